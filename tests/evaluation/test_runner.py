"""tracking/test.py: every finished sequence is kept, every failure is listed, whatever happens in between."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.contracts import Result, Tracker
from lib.data import benchmarks
from lib.data import image as images
from lib.data.crop import Crop
from lib.data.frames import PartialFrame
from lib.data.image import encode_jpeg
from lib.test.evaluation import results, runner, work
from lib.test.tracker import lunar_rules
from tests import processes

ROOT = Path(__file__).resolve().parents[2]
FAULTY = Path(__file__).with_name("faulty.py")
RNG = np.random.default_rng(0)


def write_sequence(folder, name, frames=6, width=10.0):
    place = folder / name / "img"
    place.mkdir(parents=True)
    for number in range(frames):
        (place / f"{number:04d}.jpg").write_bytes(encode_jpeg(RNG.integers(0, 255, (40, 60, 3), np.uint8)))
    rows = [f"{20 + number % 90 / 3:.3f},{15:.3f},{width},{8}" for number in range(frames)]
    (folder / name / "groundtruth.txt").write_text("\n".join(rows))


@pytest.fixture
def dataset(tmp_path):
    for name in ("a", "b", "c", "d"):
        write_sequence(tmp_path / "set", name)
    return tmp_path / "set"


def run(dataset, *flags, script=ROOT / "tracking" / "test.py", tracker=("identity", "baseline"), **environment):
    words = [script, *tracker, "--dataset", dataset, "--save_dir", dataset.parent / "out", *flags]
    return processes.run(*words, env={**os.environ, **environment})


def boxes(dataset, folder="baseline"):
    place = dataset.parent / "out/test/tracking_results/identity" / folder / dataset.name
    return {path.name: path.read_bytes() for path in place.glob("?.txt")}


def test_several_starts_count_as_one_video(tmp_path):
    """Runs from anchors, some backwards, are tracked, found again by analysis_results.py alone, and drawn together."""
    for name in ("a", "b"):
        write_sequence(tmp_path / "set", name, frames=60)
    done = run(tmp_path / "set@moderate@starts")
    assert done.returncode == 0 and "4 of 4 sequences tracked" in done.stdout, done.stderr
    place = tmp_path / "out/test/tracking_results/identity/baseline/set@moderate@starts"
    rows = (place / "b@59.txt").read_text().splitlines()
    assert len(rows) == 60 and rows[0] == rows[-1] == "39.667\t15.000\t10.000\t8.000", "the last frame's, for ever"
    report = tmp_path / "scores.json"
    done = processes.run(ROOT / "tracking/analysis_results.py", "--results", place.parents[2], "--json", report)
    assert done.returncode == 0, done.stderr
    assert "set@moderate@starts (clean): 4 sequences, runs through 2 videos, 240 frames" in done.stdout
    assert "by bootstrap over videos." in done.stdout
    (found,) = json.loads(report.read_text())["datasets"]
    assert [(one["name"], one["video"]) for one in found["sequences"]][1:3] == [("a@59", "a"), ("b@0", "b")]


def test_files_and_second_run(dataset):
    first = run(dataset)
    assert first.returncode == 0, first.stderr
    assert "4 of 4 sequences tracked" in first.stdout and "FPS" in first.stdout and first.stderr == ""
    place = dataset.parent / "out/test/tracking_results/identity/baseline/set"
    assert len((place / "a.txt").read_text().splitlines()) == 6
    assert (place / "a.txt").read_text().splitlines()[0] == "20.000\t15.000\t10.000\t8.000"
    for suffix in ("_time", "_score"):
        assert len(np.loadtxt(place / f"a{suffix}.txt")) == 6
    (place / "b.txt").unlink()
    before = (place / "a.txt").stat().st_mtime_ns
    second = run(dataset)
    assert "1 of 4 sequences tracked (3 were there already" in second.stdout
    assert (place / "a.txt").stat().st_mtime_ns == before and (place / "b.txt").exists()
    assert "4 of 4" in run(dataset, "--overwrite").stdout


@pytest.mark.parametrize("flags", [["--threads", 2], ["--sequence", "c"], ["--sequence", "1"], ["--runid", 7]])
def test_flags(dataset, flags):
    done = run(dataset, *flags)
    assert done.returncode == 0, done.stderr
    expected = {"c": ["c.txt"], "1": ["b.txt"]}.get(flags[1], ["a.txt", "b.txt", "c.txt", "d.txt"])
    assert sorted(boxes(dataset, "baseline_007" if flags[0] == "--runid" else "baseline")) == expected


def test_shards_are_the_whole(dataset):
    counts = []
    for part in (1, 2, 3):
        assert run(dataset, "--shard", f"{part}/3").returncode == 0
        counts.append(len(boxes(dataset)))
    assert counts == [2, 3, 4]


@pytest.mark.parametrize("threads", [0, 2])
def test_a_failure_is_listed_and_the_rest_is_saved(dataset, threads):
    write_sequence(dataset, "e", width=11.0)
    write_sequence(dataset, "g", width=14.0)
    frame = dataset / "b" / "img" / "0003.jpg"
    frame.write_bytes(frame.read_bytes()[:300])
    (dataset / "c" / "img" / "0005.jpg").unlink()
    done = run(dataset, "--threads", threads, script=FAULTY)
    assert done.returncode == 4
    assert sorted(boxes(dataset)) == ["a.txt", "d.txt"]
    assert "4 sequences failed, the others are saved" in done.stderr
    assert "set/g: ValueError" in done.stderr, "a box that is not finite"
    for reason in (
        "0003.jpg: damaged or truncated JPEG",
        "c: 6 rows for 5 frames",
        "set/e: ZeroDivisionError: on purpose",
    ):
        assert reason in done.stderr
    assert not list((dataset.parent / "out").rglob(".*")), "no temporary file stays"


def test_hanging_and_dying_processes_cost_only_their_sequence(dataset):
    write_sequence(dataset, "e", width=12.0)
    write_sequence(dataset, "f", width=13.0)
    done = run(dataset, "--threads", 2, "--timeout", 3, script=FAULTY)
    assert done.returncode == 4
    assert sorted(boxes(dataset)) == ["a.txt", "b.txt", "c.txt", "d.txt"]
    assert "set/e: no frame in 3 s (--timeout)" in done.stderr
    assert f"set/f: the process tracking it died (signal {signal.SIGSEGV.value})" in done.stderr


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_and_terminate(tmp_path, threads, sent, code):
    write_sequence(tmp_path / "set", "slow", frames=300)
    log = tmp_path / "tracked"
    words = [FAULTY, "identity", "baseline", "--dataset", tmp_path / "set", "--save_dir", tmp_path / "out"]
    environment = {**os.environ, "SECONDS_A_FRAME": "0.1", "TRACKED": str(log)}
    process = processes.Started([*words, "--threads", threads], environment)
    processes.until(log.exists)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == code and len(errors.splitlines()) == 1, errors


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sequence", "zz"], "--sequence zz: none of the 4 sequences"),
        (["--shard", "5/4"], "expected I/N"),
        (["--threads", "-1"], "--threads -1: expected at least 0"),
        (["--checkpoint", "/no/such"], None),
        (["--batch", "2"], "no network to batch for"),
        (["--set", "X=1"], "unknown key X"),
        (["--dataset", "/no/such/folder"], "no benchmark or folder"),
        (["--save_dir", "/proc/nowhere"], "cannot write"),
    ],
)
def test_wrong_flags_are_one_line(dataset, flags, message):
    done = run(dataset, *flags)
    if message is None:
        assert done.returncode == 0, "identity has no weights to miss"
        return
    assert done.returncode == (3 if "proc" in flags[1] else 2), done.stderr
    assert message in done.stderr and len(done.stderr.splitlines()) == 1 and done.stderr.startswith("lunar: error: ")


@pytest.mark.parametrize(
    ("tracker", "flags", "message"),
    [
        (("lunar", "baseline"), [], "no weights for lunar baseline: looked for"),
        (
            ("lunar", "tiny"),
            ["--checkpoint", "/no/such.pth"],
            "/no/such.pth: no such checkpoint; trained epochs of lunar tiny: none",
        ),
        (("lunar", "ostrack_256"), [], "OSTrack_ep0300.pth.tar"),
        (("opencv", "nano"), [], "nanotrack"),
        (("opencv", "nano"), ["--checkpoint", "/tmp"], "expected *backbone*.onnx"),
        (("lunr", "tiny"), [], "did you mean lunar?"),
    ],
)
def test_missing_weights_are_one_line(dataset, tracker, flags, message):
    done = run(dataset, *flags, tracker=tracker)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_disk_full_stops_with_3_and_keeps_what_was_there(dataset):
    assert run(dataset, "--sequence", "a").returncode == 0
    before = boxes(dataset)
    command = [sys.executable, "tracking/test.py", "identity", "baseline", "--dataset", str(dataset)]
    command += ["--save_dir", str(dataset.parent / "out")]
    limited = ["bash", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "bash", *command]
    done = subprocess.run(limited, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 3 and len(done.stderr.splitlines()) == 1, done.stderr
    assert boxes(dataset) == before


def test_names_whose_results_would_collide(dataset):
    write_sequence(dataset, "a_time")
    done = run(dataset)
    assert done.returncode == 2 and "'a_time' would overwrite" in done.stderr


def test_debug_writes_a_video(dataset):
    done = run(dataset, "--sequence", "a", "--debug")
    assert done.returncode == 0
    (video,) = (dataset.parent / "out/test/debug/identity/baseline/set").iterdir()
    assert video.name == "a.mp4" and video.stat().st_size > 1000


def test_debug_shows_what_the_network_saw(dataset):
    """With a query, four pictures a frame: the crop, the scores, where the query looks, and what it expects."""
    import cv2

    done = run(dataset, "--sequence", "a", "--debug", "--device", "cpu", tracker=("lunar", "tiny"))
    assert done.returncode == 0, done.stderr
    place = dataset.parent / "out/test/debug/lunar/tiny/set"
    assert sorted(path.name for path in place.iterdir()) == ["a.mp4", "a_maps.mp4"]
    assert f"wrote {place / 'a_maps.mp4'}" in done.stdout
    video, pictures = cv2.VideoCapture(str(place / "a_maps.mp4")), []
    assert video.isOpened()
    while (frame := video.read())[0]:
        pictures.append(frame[1])
    assert len(pictures) == 6 - 1, "the first frame is given"
    assert all(picture.shape == (256, 4 * 256, 3) for picture in pictures)
    panels = np.split(pictures[-1], 4, axis=1)
    assert all(panel.std() > 1 for panel in panels)


def test_lockstep_through_the_command(dataset, tmp_path):
    """--batch gives the results of one by one, for sequences of different lengths, one of them with a bad frame."""
    import torch
    from safetensors.torch import save_file

    from lib import config
    from lib.models.lunar.build import build_network

    write_sequence(dataset, "e", frames=9)
    write_sequence(dataset, "f")
    (dataset / "f" / "img" / "0002.jpg").write_bytes(b"no image")
    torch.manual_seed(0)
    small = ["DATA.SEARCH.SIZE=64", "DATA.TEMPLATE.SIZE=32", "MODEL.HEAD.NUM_CHANNELS=16"]
    network = build_network(config.load("lunar", "tiny", small))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    flags = [part for value in small for part in ("--set", value)] + ["--checkpoint", tmp_path / "w.safetensors"]
    place = dataset.parent / "out/test/tracking_results/lunar"
    assert run(dataset, *flags, tracker=("lunar", "tiny")).returncode == 4
    done = run(dataset, *flags, "--batch", 6, "--runid", 1, tracker=("lunar", "tiny"))
    assert done.returncode == 4 and "1 sequences failed" in done.stderr, done.stderr
    for name in "abcde":
        alone, together = (np.loadtxt(place / folder / "set" / f"{name}.txt") for folder in ("tiny", "tiny_001"))
        assert np.allclose(alone, together, atol=0.01)


# ---- frames decoded in part -----------------------------------------------------------------------------------------

NAMES, FRAMES = ("a", "b", "c"), 6


@pytest.fixture
def large(tmp_path):
    """Three sequences of 1920 x 1080 JPEGs, the targets at the top, in the middle and at the bottom right."""
    scene = cv2.resize(RNG.integers(0, 255, (68, 120, 3), np.uint8), (1920, 1080), interpolation=cv2.INTER_CUBIC)
    for name, x, y in zip(NAMES, (300, 900, 1890), (5, 500, 1050), strict=True):
        (tmp_path / "set" / name / "img").mkdir(parents=True)
        for number in range(FRAMES):
            shifted = np.roll(scene, 4 * number, axis=1)
            (tmp_path / "set" / name / "img" / f"{number}.jpg").write_bytes(encode_jpeg(shifted, 80))
        (tmp_path / "set" / name / "groundtruth.txt").write_text(f"{x},{y},24,18\n" * FRAMES)
    return tmp_path / "set"


class Ready:
    """An experiment whose tracker is there already."""

    def __init__(self, tracker):
        self.tracker = tracker

    def build(self):
        return self.tracker


class CroppingTracker(Tracker):
    """Cuts a patch out of every frame and moves by what it shows."""

    def __init__(self, partial):
        self.partial, self.kinds = partial, set()

    def initialize(self, image, box):
        self.box = tuple(box)
        return self.track(image)

    def track(self, image):
        assert image.shape == (1080, 1920, 3)
        self.kinds.add(type(image))
        x, y, w, h = self.box
        patch = Crop(x + w / 2, y + h / 2, 6 * (w + h), 64).extract(image).astype(float)
        self.box = (x + (patch[:, 32:].mean() - patch[:, :32].mean()) / 9, y, w, h)
        return Result(self.box, 1.0, True)


def tracked(tracker, dataset, folder, batch=1):
    """({name of a file of boxes or scores: its bytes}, Summary)."""
    where = results.Run(dataset.parent / folder, "any", "any")
    summary = runner.evaluate(Ready(tracker), benchmarks.load(dataset), where, batch=batch)
    files = {path.name: path.read_bytes() for path in (dataset.parent / folder).rglob("*.txt")}
    return {name: data for name, data in files.items() if "_time" not in name}, summary


def test_parts_of_frames_give_the_results_of_whole_ones(large):
    parts, wholes = CroppingTracker(True), CroppingTracker(False)
    found, summary = tracked(parts, large, "parts")
    expected, _ = tracked(wholes, large, "wholes")
    assert found == expected and len(found) == 6 and summary.frames == 3 * FRAMES
    assert len(set(found["b.txt"].splitlines())) == FRAMES, "the boxes depend on the pixels"
    assert wholes.kinds == {np.ndarray}
    assert parts.kinds == {PartialFrame if images.libjpeg() else np.ndarray}


@pytest.mark.parametrize("batch", [1, 3])
def test_lunar_finds_the_same_in_parts_of_frames(large, small_tracker, monkeypatch, batch):
    """Online templates and the large window of a lost target included."""
    for name, value in (("UPDATE_INTERVAL", 2), ("UPDATE_SCORE", 0.0), ("LOST_FRAMES", 1)):
        monkeypatch.setattr(lunar_rules, name, value)
    tracker = small_tracker(
        "DATA.TEMPLATE.NUMBER=2",
        "TEST.CONFIDENCE=0.05",
    )
    assert tracker.partial
    found, _ = tracked(tracker, large, "parts", batch)
    monkeypatch.setattr(tracker, "partial", False)
    expected, _ = tracked(tracker, large, "wholes", batch)
    assert found == expected and len(set(found["b.txt"].splitlines())) == FRAMES


def damage(dataset, name, kind):
    """Frame 3 of a sequence whose target is in the middle: truncated, or with a hole in its bytes."""
    path = dataset / name / "img" / "3.jpg"
    data = path.read_bytes()
    place = int(len(data) * {"truncated": 0.9, "above": 0.2, "below": 0.8}[kind])
    path.write_bytes(data[:place] + (b"" if kind == "truncated" else bytes(3000) + data[place + 3000 :]))


@pytest.mark.parametrize("kind", ["truncated", "above", "below"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_damaged_frame_fails_its_sequence_alone_with_one_message(large, small_tracker, monkeypatch, kind, batch):
    tracker = small_tracker()
    expected, _ = tracked(tracker, large, "undamaged", batch=1)
    damage(large, "b", kind)
    found, parts = tracked(tracker, large, "parts", batch)
    monkeypatch.setattr(tracker, "partial", False)
    _, wholes = tracked(tracker, large, "wholes", batch)
    assert parts.failed == wholes.failed and list(parts.failed) == ["b"]
    assert "3.jpg: damaged or truncated JPEG" in parts.failed["b"]
    assert sorted(parts.done) == ["a", "c"] and parts.frames == 2 * FRAMES
    for name in ("a.txt", "c.txt"):
        assert np.allclose(*(np.loadtxt(files[name].splitlines()) for files in (found, expected)), atol=0.01)


def ahead(monkeypatch):
    """Decode ahead, as for a network that leaves the cores alone."""
    monkeypatch.setattr(work, "_decodes_ahead", lambda tracker, cores: True)
    monkeypatch.setattr(runner.cli, "share_of_cores", lambda processes: 4)


def test_frames_decoded_ahead_give_the_same_results(large, small_tracker, monkeypatch):
    """Sequences of different lengths, more than are tracked together; a bad frame fails its sequence at its turn."""
    for number, frames in enumerate((1, 9, 4)):
        write_sequence(large, f"s{number}", frames)
    tracker = small_tracker()
    expected, alone = tracked(tracker, large, "alone", batch=2)
    threads, decode = set(), images.decode

    def noted(*arguments):
        threads.add(threading.current_thread())
        return decode(*arguments)

    monkeypatch.setattr(images, "decode", noted)
    ahead(monkeypatch)
    found, summary = tracked(tracker, large, "ahead", batch=2)
    assert found == expected and len(found) == 2 * 6 and summary.frames == alone.frames
    assert 1 <= len(threads) <= 3 and threading.main_thread() not in threads
    damage(large, "b", "truncated")
    found, summary = tracked(tracker, large, "damaged", batch=2)
    assert list(summary.failed) == ["b"] and "3.jpg: damaged or truncated JPEG" in summary.failed["b"]
    assert {name.split("_")[0].split(".")[0] for name in found} == {"a", "c", "s0", "s1", "s2"}
    gc.collect()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads), "they end with the evaluation"


def test_an_interrupt_while_frames_are_decoded_ahead(large, small_tracker, monkeypatch):
    tracker, steps = small_tracker(), []

    def interrupted(states, frames):
        steps.append(len(frames))
        raise KeyboardInterrupt

    monkeypatch.setattr(tracker, "track_frames", interrupted)
    ahead(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        tracked(tracker, large, "out", batch=3)
    assert steps == [3] and not list((large.parent / "out").rglob("*.txt"))


def test_what_only_hands_out_work_imports_no_torch(dataset):
    code = (
        "import runpy, sys; main = runpy.run_path('tracking/test.py')['main']; assert main(sys.argv[1:]) == 0; "
        "print('imported:', *sys.modules)"
    )
    flags = ["--dataset", dataset, "--save_dir", dataset.parent / "out", "--device", "cpu", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, "lunar", "tiny", *map(str, flags)], capture_output=True, text=True, cwd=ROOT
    )
    assert "4 of 4 sequences tracked" in done.stdout, done.stderr
    imported = done.stdout.partition("imported: ")[2].split()
    assert "lib.test.evaluation.runner" in imported and "torch" not in imported


@pytest.mark.parametrize("threads", [0, 1])
def test_a_device_that_is_not_there_is_one_line(dataset, threads):
    flags = "--threads", threads, "--device", "cuda:99"
    done = run(dataset, *flags, tracker=("lunar", "tiny"))
    assert done.returncode == 3 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "--device cuda:99: there is no such device here" in done.stderr


@pytest.mark.skipif(images.libjpeg() is None, reason="no libjpeg-turbo with its own interface here")
@pytest.mark.parametrize("batch", [1, 3])
def test_decoding_within_the_tracker_is_no_tracking_time(large, small_tracker, monkeypatch, batch):
    """By a clock that moves only while a part of a frame is decoded."""
    decode, clock = images.decode_region, [0]

    def ticking(*arguments):
        clock[0] += 1
        return decode(*arguments)

    tracker = small_tracker()
    monkeypatch.setattr(images, "decode_region", ticking)
    monkeypatch.setattr(time, "perf_counter", lambda: float(clock[0]))
    _, summary = tracked(tracker, large, "out", batch)
    assert summary.decoding_seconds == clock[0] >= 3 * FRAMES and summary.tracking_seconds == 0
    assert not np.loadtxt(next((large.parent / "out").rglob("b_time.txt"))).any()


def test_what_follows_no_contract_is_refused(large):
    with pytest.raises(TypeError, match="object: expected a tracker of lib/contracts.py"):
        tracked(object(), large, "out")
