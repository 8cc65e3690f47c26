"""tracking/enhance.py on images, folders and videos: what is dark is enhanced, what is not is written as it was."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data import image as images
from lib.data.frames import VideoFrames
from lib.data.image import brightness, encode_jpeg
from lib.models.enhancer import build_enhancer, load_enhancer, save_enhancer
from lib.test.tracker.enhanced import FrameEnhancer
from lib.vis.video import VideoWriter
from tests import processes

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
DARK = cv2.resize(RNG.integers(0, 80, (12, 16, 3), np.uint8), (96, 72))
BRIGHT = DARK + 140


def png(image):
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()


def read(path):
    return images.decode(path.read_bytes(), path)


def enhanced(image, name="gamma"):
    enhancer = FrameEnhancer(build_enhancer(name))
    return enhancer.enhance(image, enhancer.gate(brightness(image)))[0]


@pytest.fixture
def folder(tmp_path):
    """Images of several sizes and kinds."""
    place = tmp_path / "night é"
    place.mkdir()
    (place / "dark.png").write_bytes(png(DARK))
    (place / "small.jpg").write_bytes(encode_jpeg(DARK[:33, :41]))
    (place / "day.jpg").write_bytes(encode_jpeg(BRIGHT))
    cv2.imwrite(str(place / "old.bmp"), BRIGHT[:, :, ::-1])
    return place


@pytest.fixture
def two_steps(tmp_path):
    save_enhancer(tmp_path / "two.safetensors", build_enhancer("haze_diffusion", channels=(4, 4, 4)))
    return tmp_path / "two.safetensors"


def test_an_image_as_a_user_would(folder, tmp_path):
    script = [ROOT / "tracking/enhance.py", folder / "dark.png", tmp_path / "sub/out.png"]
    clean = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "OMP_NUM_THREADS": "1"}
    done = processes.run(*script, "--device", "cpu", "--enhancer", "gamma", env=clean, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith(f"wrote {tmp_path}/sub/out.png: 1 frames, 0 of them as they were (gate closed), ")
    assert done.stdout.endswith(" ms a frame on cpu\n") and done.stdout.count("\n") == 1
    assert np.array_equal(read(tmp_path / "sub/out.png"), enhanced(DARK))


def test_a_folder_keeps_names_and_what_is_bright(folder, tmp_path, command, capsys):
    out = tmp_path / "out"
    assert command("enhance.py", folder, out, "--enhancer", "blur_gamma") == 0
    assert "4 frames, 2 of them as they were" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["dark.png", "day.jpg", "old.png", "small.jpg"]
    assert (out / "day.jpg").read_bytes() == (folder / "day.jpg").read_bytes()
    assert np.array_equal(read(out / "old.png"), BRIGHT)
    assert np.array_equal(read(out / "dark.png"), enhanced(DARK, "blur_gamma"))
    small = enhanced(read(folder / "small.jpg"), "blur_gamma")
    assert np.abs(read(out / "small.jpg").astype(int) - small).mean() < 4, "only JPEG lies between"


@pytest.mark.parametrize(
    ("flags", "panels"), [((), 1), (("side_by_side",), 2), (("steps",), 2), (("side_by_side", "steps"), 3)]
)
def test_panels(folder, tmp_path, two_steps, command, flags, panels):
    words = [f"--{flag}" for flag in flags]
    for name, image in (("dark.png", DARK), ("day.jpg", read(folder / "day.jpg"))):
        assert command("enhance.py", folder / name, tmp_path / "o.png", "--enhancer", two_steps, *words) == 0
        parts = np.split(read(tmp_path / "o.png"), panels, axis=1)
        assert "side_by_side" not in flags or np.array_equal(parts[0], image)
        if name == "day.jpg":
            assert all(np.array_equal(part, image) for part in parts)
        else:
            assert parts[-1].mean() > 1.02 * parts[-2].mean() if panels > 1 else parts[-1].mean() > 1.05 * image.mean()


def test_people_and_trackers_get_their_own_strength(folder, tmp_path, two_steps, command):
    """Of one file; a share is that of what people get, and of 0 nothing is left."""
    shown = {}
    for strength in ("people", "tracker", "1", "0.5", "0"):
        out = tmp_path / f"{strength}.png"
        words = ["--enhancer", two_steps, "--strength", strength]
        assert command("enhance.py", folder / "dark.png", out, *words) == 0
        shown[strength] = read(out).astype(float)
    assert np.array_equal(shown["people"], shown["1"]) and np.array_equal(shown["0"], DARK)
    assert DARK.mean() < shown["0.5"].mean() < shown["people"].mean()
    detail = {name: np.abs(np.diff(image, axis=1)).mean() / image.mean() for name, image in shown.items()}
    assert detail["tracker"] != detail["people"]
    before = FrameEnhancer(load_enhancer(two_steps), purpose="tracker")
    as_seen, _ = before.enhance(DARK, before.gate(brightness(DARK)))
    assert np.array_equal(shown["tracker"], as_seen), "what a tracker sees of a frame that is all window"


def test_a_video_in_sequence(tmp_path, command, capsys):
    with VideoWriter(tmp_path / "in.mp4", 20) as video:
        for image in [DARK] * 2 + [BRIGHT] * 10:
            video.write(image)
    words = ["--enhancer", "gamma", "--side_by_side"]
    assert command("enhance.py", tmp_path / "in.mp4", tmp_path / "out.mp4", *words) == 0
    enhancer, light, gates = FrameEnhancer(build_enhancer("gamma")), None, []
    source, found = VideoFrames(tmp_path / "in.mp4"), VideoFrames(tmp_path / "out.mp4")
    assert len(found) == 12 and found.fps == pytest.approx(20) and found[0].shape == (72, 192, 3)
    for index in range(12):
        image, both = source[index], found[index].astype(int)
        light = brightness(image, light)
        gates.append(enhancer.gate(light))
        assert np.abs(both[:, :96] - image).mean() < 6
        assert np.abs(both[:, 96:] - enhancer.enhance(image, gates[-1])[0]).mean() < 6
    closed = gates.count(0.0)
    assert 0 < closed < 9, "the gate is slower than the light"
    assert f"12 frames, {closed} of them as they were" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "output", "words", "message"),
    [
        ("dark.png", "o.png", ["--enhancer", "gama"], "gama: no such file; expected an enhancer's .safetensors file"),
        ("dark.png", "o.png", [], "not there; pass --enhancer FILE.safetensors, or one of average, gamma"),
        ("gone.png", "o.png", [], "gone.png: no such video, folder of frames or camera"),
        ("dark.png", "out", [], "an image becomes an image: expected a name ending in .png, .jpg, .jpeg"),
        ("dark.png", "o.mp4", [], "an image becomes an image"),
        ("dark.png", "night é/dark.png", [], "would be written over the input"),
        ("", "night é", [], "would be written over the input"),
        ("", "o.mp4", [], "a folder of images becomes a folder"),
        ("day.jpg", "o.png", ["--enhancer", "gamma", "--device", "tpu"], "--device tpu: expected auto, cpu"),
        (
            "dark.png",
            "o.png",
            ["--enhancer", "gamma", "--strength", "2"],
            "--strength 2: expected people, tracker, night_tracker or a",
        ),
        ("dark.png", "o.png", ["--enhancer", "gamma", "--strength", "much"], "--strength much: expected people,"),
    ],
)
def test_wrong_words_end_in_one_line(folder, tmp_path, command, capsys, monkeypatch, source, output, words, message):
    monkeypatch.setenv("LUNAR_PRETRAINED", str(tmp_path / "pretrained"))
    assert command("enhance.py", folder / source, tmp_path / output, *words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["night é"] and len(list(folder.iterdir())) == 4


def test_the_default_is_the_pretrained_one(folder, tmp_path, two_steps, command, monkeypatch):
    monkeypatch.setenv("LUNAR_PRETRAINED", str(tmp_path / "pretrained"))
    (tmp_path / "pretrained").mkdir()
    two_steps.rename(tmp_path / "pretrained/enhancer.safetensors")
    assert command("enhance.py", folder / "dark.png", tmp_path / "o.png") == 0


def test_damaged_and_clashing_images_are_named(folder, tmp_path, command, capsys):
    (folder / "old.png").write_bytes(png(DARK))
    assert command("enhance.py", folder, tmp_path / "out", "--enhancer", "gamma") == 2
    assert "old.bmp and old.png would both be written as old.png" in capsys.readouterr().err
    (folder / "old.png").unlink()
    (folder / "small.jpg").write_bytes((folder / "small.jpg").read_bytes()[:200])
    assert command("enhance.py", folder, tmp_path / "out", "--enhancer", "gamma") == 2
    assert "small.jpg: damaged or truncated JPEG" in capsys.readouterr().err
    assert "small.jpg" not in [path.name for path in (tmp_path / "out").iterdir()]
    assert not list((tmp_path / "out").glob(".*")), "no temporary file stays"


def test_what_is_no_image_is_refused(tmp_path, command, capsys):
    (tmp_path / "text.mp4").write_text("no video")
    assert command("enhance.py", tmp_path / "text.mp4", tmp_path / "o.mp4", "--enhancer", "gamma") == 2
    error = capsys.readouterr().err
    assert "is a text file, expected a video" in error and error.count("\n") == 1
    (tmp_path / "empty").mkdir()
    assert command("enhance.py", tmp_path / "empty", tmp_path / "o", "--enhancer", "gamma") == 2
    assert not (tmp_path / "o.mp4").exists() and not (tmp_path / "o").exists()
