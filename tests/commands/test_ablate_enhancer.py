"""tracking/ablate_enhancer.py on rendered clips: what it prints is what the trackers and images give, measured once."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lib.data import benchmarks
from lib.data.image import encode_jpeg
from lib.models.enhancer import build_enhancer, save_enhancer
from lib.test.analysis import metrics
from lib.test.analysis.enhancers import Bench, Variant, flattest, measure_image, nights, order_error
from lib.test.evaluation.runner import Experiment
from lib.train.image_losses import psnr, ssim
from tests import processes

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "pretrained/lunar_tiny.safetensors"
RNG = np.random.default_rng(0)
FRAMES = 4


def tables(folder):
    """{title: {label: [cells]}} of what was written."""
    found = {}
    for part in (folder / "ablation.md").read_text().split("\n### ")[1:]:
        title, *lines = part.strip().splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
        found[title] = {row[0]: row[1:] for row in rows[2:]}
    return found


def records(folder):
    return [json.loads(line) for line in (folder / "ablation.jsonl").read_text().splitlines()]


@pytest.fixture
def seeds(tmp_path):
    """Two files: the same enhancer of another strength."""
    for name, power in (("a", 0.4), ("b", 0.7)):
        save_enhancer(tmp_path / f"{name}.safetensors", build_enhancer("gamma", power=power))
    return tmp_path / "a.safetensors", tmp_path / "b.safetensors"


@pytest.fixture
def stills(tmp_path):
    """Two images, in folders below: even light with noise in it, and darkness."""
    (tmp_path / "night/town").mkdir(parents=True)
    noisy = np.clip(np.random.default_rng(0).normal(35, 5, (64, 80, 3)), 0, 255).round().astype(np.uint8)
    cv2.imwrite(str(tmp_path / "night/town/noisy.png"), noisy)
    (tmp_path / "night/town/black.jpg").write_bytes(encode_jpeg(np.zeros((40, 40, 3), np.uint8)))
    return tmp_path / "night"


def test_what_is_tracked_is_scored_as_ever(tmp_path, command, capsys):
    words = ["--dataset", "lunar_demo#ball_park@mild,lunar_demo#ball_park@heavy", "--frames", FRAMES]
    words += ["--trackers", f"lunar/tiny={TINY},identity/baseline", "--output", tmp_path / "out"]
    assert command("ablate_enhancer.py", "--enhancers", "gamma,blur_gamma,average+blur", *words) == 0
    printed, found = capsys.readouterr().out, tables(tmp_path / "out")
    titles = [f"on lunar_demo@{night}: 1 of 1 clips" for night in ("mild", "heavy")]
    expected = [f"{name} {title}" for name in ("lunar/tiny", "identity/baseline") for title in titles]
    means = [f"{name}, mean over the datasets: 1 clips" for name in ("lunar/tiny", "identity/baseline")]
    assert sorted(found) == sorted(expected + means) and all(title in printed for title in found)
    for enhancer in ("gamma", None):
        tracker = Experiment("lunar", "tiny", (), TINY, enhancer).build()
        clip = benchmarks.load("lunar_demo#ball_park@heavy")[0]
        frames, predicted = clip.frames(), [clip.first_box]
        tracker.initialize(frames[0], clip.first_box.tolist())
        predicted += [tracker.track(frames[index])["target_bbox"] for index in range(1, FRAMES)]
        scores = metrics.summary([metrics.score(predicted, clip.boxes_xywh[:FRAMES], clip.visible[:FRAMES])])
        cells = found["lunar/tiny on lunar_demo@heavy: 1 of 1 clips"][enhancer or "none"]
        assert cells[:3] == [f"{100 * scores[name]:.2f}" for name in ("auc", "p5", "np_auc")]
    for name in ("lunar/tiny", "identity/baseline"):
        mild, heavy = (found[f"{name} {title}"] for title in titles)
        mean = found[f"{name}, mean over the datasets: 1 clips"]
        assert list(mean) == ["none", "gamma", "blur_gamma", "average+blur"]
        for label in mean:
            both = [float(table[label][0]) for table in (mild, heavy)]
            assert float(mean[label][0]) == pytest.approx(np.mean(both), abs=0.01)
            gains = [float(table[label][0]) - float(table["none"][0]) for table in (mild, heavy)]
            assert label == "none" or float(mean[label][3].split()[0]) == pytest.approx(np.mean(gains), abs=0.02)
        assert mean["none"][3:6] == ["-"] * 3 and mean["blur_gamma"][6:8] == ["-"] * 2, "the reference"


def test_in_good_light_nothing_changes_by_anything(tmp_path, command):
    words = ["--dataset", "lunar_day#day_0[01]", "--frames", 4, "--trackers", f"opencv/mil,lunar/tiny={TINY}"]
    words += ["--enhancers", "gamma,average+blur", "--reference", "gamma", "--output", tmp_path / "out"]
    assert command("ablate_enhancer.py", *words) == 0
    for name in ("opencv/mil", "lunar/tiny"):
        found = tables(tmp_path / "out")[f"{name} on lunar_day: 2 of 2 clips"]
        none, gamma, blur = found["none"], found["gamma"], found["average+blur"]
        assert none[:3] == gamma[:3] == blur[:3]
        assert gamma[3:8] == ["+0.00 ±0.00", "+0.00 ±0.00", "0/0", "-", "-"]
        assert blur[3:8] == ["+0.00 ±0.00", "+0.00 ±0.00", "0/0", "+0.00 ±0.00", "+0.00 ±0.00"]


def test_what_is_known_is_not_measured_again(tmp_path, stills, seeds, command, capsys):
    def run(enhancers, *more):
        words = ["--stills", stills, "--dataset", "lunar_demo#swarm", "--frames", 3, "--trackers", "identity/baseline"]
        assert command("ablate_enhancer.py", "--enhancers", enhancers, *words, "--output", tmp_path / "out", *more) == 0
        return capsys.readouterr().out

    first, ledger = run(f"gamma,own={seeds[0]}"), tmp_path / "out/ablation.jsonl"
    assert len(records(tmp_path / "out")) == 6 and "6 measured" in first
    before = ledger.stat().st_mtime_ns, ledger.read_bytes()
    again = run(f"gamma,own={seeds[0]}")
    assert (ledger.stat().st_mtime_ns, ledger.read_bytes()) == before
    assert again == first.replace("6 measured", "0 measured")
    assert "0 measured" in run(f"other={seeds[0]}"), "it is the file that counts"
    run(f"gamma,own={seeds[0]},blur")
    assert ledger.read_bytes().startswith(before[1]) and len(records(tmp_path / "out")) == 8
    save_enhancer(seeds[0], build_enhancer("gamma", power=0.5))
    assert "2 measured" in run(f"gamma,own={seeds[0]}"), "another file of the same name"
    whole = records(tmp_path / "out")
    ledger.write_bytes(ledger.read_bytes()[:-20])
    assert "1 measured" in run(f"gamma,own={seeds[0]},blur"), "what an interruption cut off"
    lines = ledger.read_text().splitlines()
    assert [json.loads(line)["key"] for line in (*lines[:-2], lines[-1])] == [record["key"] for record in whole]
    assert "6 measured" in run(f"gamma,own={seeds[0]}", "--overwrite") and len(records(tmp_path / "out")) == 6


def test_seeds_are_averaged(tmp_path, seeds, command):
    first, second = seeds
    words = ["--photographs", "lunar_day#day_0[0-2]", "--dataset", "lunar_demo#car_road@heavy", "--frames", 4]
    words += ["--trackers", "opencv/mil", "--output", tmp_path / "out"]
    assert command("ablate_enhancer.py", "--enhancers", f"{first},{second},both={first}:{second}", *words) == 0
    photographs, clips = tables(tmp_path / "out").values()
    assert len(records(tmp_path / "out")) == 6, "both is made of what is there"
    for column in range(0, 8, 2):
        one, two = (float(photographs[name][column]) for name in ("a", "b"))
        mean, _, spread = photographs["both"][column].partition(" ±")
        assert float(mean) == pytest.approx((one + two) / 2, abs=0.011) and one != two
        assert float(spread) == pytest.approx(abs(one - two) / np.sqrt(2), abs=0.02)
    values = [float(clips[name][0]) for name in ("a", "b", "both")]
    assert values[2] == pytest.approx((values[0] + values[1]) / 2, abs=0.011)


def test_photographs_are_darkened_and_compared_with_the_day():
    clip = benchmarks.load("lunar_day#day_00")[0]
    found = Bench((psnr, ssim)).photograph(clip, [Variant(), Variant.of("gamma")])
    day = clip.frames()[0]
    height, width = day.shape[:2]
    day = day[(height - 256) // 2 :][:256, (width - 256) // 2 :][:, :256]
    assert found.shape == (2, 4, 2) and len({night.tobytes() for night in nights(day, clip.name)}) == 4
    for number, night in enumerate(nights(day, clip.name)):
        truth, shown = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255 for image in (day, night))
        assert found[0, number].tolist() == pytest.approx([psnr(shown, truth).item(), ssim(shown, truth).item()])
        enhanced = build_enhancer("gamma")(shown, torch.ones(1))
        assert found[1, number].tolist() == pytest.approx([psnr(enhanced, truth).item(), ssim(enhanced, truth).item()])


def test_noise_is_measured_where_an_image_is_flat():
    image = np.full((160, 320, 3), 80.0)
    image[:, :160] += 60 * (np.arange(160) // 4 % 2)[None, :, None]  # stripes, no noise
    image[:32, 160:192] = 250
    noisy = np.clip(image + RNG.normal(0, 6, image.shape), 0, 255).round().astype(np.uint8)
    places = flattest(noisy)
    assert 8 <= len(places[0]) <= 25 and (places[1] >= 10).all()
    brightness, noise, ratio, white = measure_image(noisy, places)
    assert noise == pytest.approx(6 / 255, rel=0.05) and ratio == pytest.approx(6 / 85, rel=0.1)
    assert brightness == pytest.approx(noisy.max(axis=2).mean() / 255) and white == pytest.approx(0.02, rel=0.1)


def test_stills_and_processes_as_a_user_would(tmp_path, stills):
    words = ["--enhancers", "gamma,blur", "--stills", stills, "--threads", 2]
    clean = {**os.environ, "LUNAR_SAVE": str(tmp_path / "results")}
    done = processes.run(ROOT / "tracking/ablate_enhancer.py", *words, env=clean, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    found = {
        label: [float(cell) for cell in row]
        for label, row in tables(tmp_path / "results/ablation").popitem()[1].items()
    }
    brightness, lower, median, upper, noise, _, _, order = zip(
        *(found[name] for name in ("none", "gamma", "blur")), strict=True
    )
    assert brightness[1] > 1.5 * brightness[0] and noise[1] > noise[0] > 0.01
    assert brightness[2] == pytest.approx(brightness[0], abs=0.02) and noise[2] < noise[0] / 2
    assert all(low < middle < high for low, middle, high in zip(lower, median, upper, strict=True))
    assert median[0] == pytest.approx(brightness[0], abs=1e-3), "of two images"
    assert order[0] == 0 and 3 * order[1] < order[2], "a curve keeps the order, but for noise; a blur does not"
    measured = Bench().still(str(stills / "town/noisy.png"), [Variant()])[0]
    assert measured[1] == pytest.approx(noise[0], abs=1e-4)


def test_order_of_lightness():
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 50, axis=0).repeat(3, axis=2)
    assert order_error(ramp, ramp) == order_error(ramp, 2 * ramp) == 0
    assert order_error(ramp, 200 - ramp) == pytest.approx(0.99), "all but the equal ones"
    halves = np.concatenate([ramp[:, 50:], ramp[:, :50]], axis=1)
    assert order_error(ramp, halves) == pytest.approx(0.5)
    colours = ramp * np.uint8([1, 0, 0])
    assert order_error(colours, colours[..., ::-1]) == 0, "of the largest channel"


@pytest.mark.parametrize(
    ("enhancers", "words", "message"),
    [
        (
            "gama",
            ["--stills", "night"],
            "gama: no such file; expected an enhancer's .safetensors file, or one of",
        ),
        ("gamma,own=gone.safetensors", ["--stills", "night"], "gone.safetensors: no such file"),
        ("gamma,=blur", ["--stills", "night"], "'=blur': expected NAME, FILE or LABEL=FILE"),
        ("own=", ["--stills", "night"], "'own=': expected NAME, FILE or LABEL=FILE"),
        ("average+", ["--stills", "night"], "'average+': expected NAME, FILE or LABEL=FILE"),
        ("own=gamma:blur", ["--stills", "night"], "several seeds are written LABEL=FILE:FILE"),
        ("gamma,gamma", ["--stills", "night"], "two are called 'gamma'"),
        ("blur,none=gamma", ["--stills", "night"], "two are called 'none'"),
        ("gamma", ["--stills", "night", "--reference", "blur"], "--reference blur: none of --enhancers (gamma)"),
        ("gamma", ["--stills", "gone"], "gone: no such folder"),
        ("gamma", ["--stills", "night/empty"], "no images here"),
        ("gamma", ["--photographs", "gone"], "no benchmark or folder 'gone'"),
        ("gamma", ["--photographs", "night/empty"], "no sequences here"),
        ("gamma", [], "nothing to measure on"),
        ("gamma", ["--dataset", "lunar_demo"], "--dataset and --trackers go together"),
        ("gamma", ["--dataset", "lunar_demo", "--trackers", "opencv"], "'opencv': expected SCRIPT/CONFIG[=WEIGHTS]"),
        ("gamma", ["--dataset", "lunar_demo", "--trackers", "opencb/mil"], "opencb"),
        ("gamma", ["--dataset", "lunar_demo", "--trackers", "opencv/mol"], "mol"),
        ("gamma", ["--dataset", "lunar_deno", "--trackers", "opencv/mil"], "did you mean lunar_demo?"),
        ("gamma", ["--stills", "night", "--threads", 0], "--threads 0: expected at least 1"),
    ],
)
def test_wrong_words_end_in_one_line(tmp_path, stills, command, capsys, monkeypatch, enhancers, words, message):
    monkeypatch.chdir(tmp_path)
    (stills / "empty").mkdir()
    assert command("ablate_enhancer.py", "--enhancers", enhancers, *words, "--output", "out") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
    assert not (tmp_path / "out").exists()


def test_a_clip_that_fails_is_named_and_the_others_are_kept(tmp_path, command, capsys):
    words = ["--dataset", "lunar_day#day_0[56]", "--frames", 2, "--trackers", "identity/baseline"]
    assert command("ablate_enhancer.py", "--enhancers", "gamma", *words, "--output", tmp_path / "out") == 4
    output = capsys.readouterr()
    assert "identity/baseline on lunar_day: 1 of 2 clips" in output.out
    assert "1 clips failed" in output.err and "day_06: the first frame has no box to start from" in output.err
