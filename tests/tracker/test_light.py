"""The tracker without torch: the graphs that ship answer as the weights that ship, in an environment without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lib
from lib import config
from lib.api import LoadedTracker
from lib.vis.video import VideoWriter

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = """
import sys

HEAVY = ("torch", "torchvision", "timm", "einops", "safetensors", "matplotlib", "lmdb", "tensorboard", "onnx")


class Without:
    # An import system that does not know the packages of HEAVY, as where they are not installed.
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in HEAVY else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""
SEQUENCES, FRAMES = 2, 51  # 100 frames tracked
CODE = """
import numpy as np
from lib import load_dataset, load_tracker
tracker = load_tracker("lunar", "tiny")
boxes = []
for sequence in load_dataset("lunar_demo")[:{sequences}]:
    frames = sequence.frames()
    boxes.append(tracker.initialize(frames[0], sequence.first_box).box)
    boxes += [tracker.track(frames[index]).box for index in range(1, {frames})]
assert "torch" not in sys.modules
np.save({out!r}, boxes)
"""


def run(code):
    command = [sys.executable, "-c", WITHOUT + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_equal_boxes_without_torch(tmp_path):
    out = tmp_path / "boxes.npy"
    done = run(CODE.format(sequences=SEQUENCES, frames=FRAMES, out=str(out)))
    assert done.returncode == 0, done.stderr
    tracker = lib.load_tracker("lunar", "tiny", device="cpu")
    boxes = []
    for sequence in lib.load_dataset("lunar_demo")[:SEQUENCES]:
        frames = sequence.frames()
        boxes.append(tracker.initialize(frames[0], sequence.first_box).box)
        boxes += [tracker.track(frames[index]).box for index in range(1, FRAMES)]
    assert np.abs(np.load(out) - boxes).max() < 1e-3


def test_several_targets_and_batches_equal_singles():
    from lib.test.tracker.lunar_light import LightLunarTracker

    folder = ROOT / "pretrained" / "lunar_tiny_onnx"
    tracker = LoadedTracker(lambda: LightLunarTracker(config.load("lunar", "tiny"), folder))
    sequence = lib.load_dataset("lunar_demo")[1]
    frames, first = sequence.frames(), sequence.first_box
    targets = {"a": first, "b": first + (3, -2, 1, 0)}
    tracker.initialize(frames[0], targets)
    together = [tracker.track(frames[index]) for index in range(1, 4)]
    for name, box in targets.items():
        tracker.initialize(frames[0], box)
        alone = [tracker.track(frames[index]) for index in range(1, 4)]
        assert np.abs(np.subtract([each[name].box for each in together], [each.box for each in alone])).max() < 1e-3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("load_tracker('lunar', 'baseline')", "needs torch: pip install 'lunar-tracking[train]'"),
        ("load_tracker(checkpoint='pretrained/lunar_compact.safetensors')", "--checkpoint as given needs torch"),
        ("load_tracker('lunar', 'tiny', backend='torch')", "--backend as given needs torch"),
        ("load_tracker('lunar', 'tiny', settings=['TEST.ASSOCIATE=true'])", "--associate as given needs torch"),
    ],
)
def test_what_needs_torch_says_so(call, words):
    code = f"""
from lib import load_tracker
from lib.errors import UserError
try:
    {call}
except UserError as error:
    print(error)
"""
    done = run(code)
    assert words in done.stdout, done.stdout + done.stderr


def test_the_command_lines_without_torch(tmp_path):
    """`track` and `test` of the installed package, on a video whose rows FFmpeg pads."""
    video, rng = tmp_path / "set" / "a.mp4", np.random.default_rng(0)
    with VideoWriter(video) as file:
        for _ in range(5):
            file.write(rng.integers(0, 255, (60, 100, 3), np.uint8))
    (tmp_path / "set" / "a.txt").write_text("40,20,20,20\n" + "nan,nan,nan,nan\n" * 4)
    assert lib.load_dataset(str(video.parent))[0].frames()[0].flags.c_contiguous
    code = f"""
from lib.commands import track, test
words = ["--save_dir", {str(tmp_path / "out")!r}]
assert track.main([{str(video)!r}, "--box", "40", "20", "20", "20", "--save_results", *words]) == 0
assert test.main(["lunar", "tiny", "--dataset", {str(tmp_path / "set")!r}, *words]) == 0
assert "torch" not in sys.modules
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    followed = np.loadtxt(tmp_path / "out/test/video_demo/lunar/tiny/video_a.txt")
    tested = np.loadtxt(tmp_path / "out/test/tracking_results/lunar/tiny/set/a.txt")
    assert followed.shape == (5, 4) and np.abs(followed - tested).max() < 1e-3
