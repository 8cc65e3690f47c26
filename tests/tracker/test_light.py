"""The tracker without torch: the graphs that ship answer as the weights that ship, in an environment without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lib
from lib import config
from lib.api import LoadedTracker

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
SEQUENCES, FRAMES = 4, 51  # 200 frames tracked
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
        ("load_tracker('lunar', 'tiny', checkpoint='x.pth')", "checkpoint needs torch"),
        ("load_tracker('lunar', 'tiny', backend='torch')", "backend onnx on the CPU alone"),
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
