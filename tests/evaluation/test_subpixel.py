"""What the rules of the OSTrack/STARK lineage cost a perfect tracker on a tiny target, and that ours cost nothing.

A network stub that answers with the true cell, offset and size goes through tracking/test.py and
tracking/analysis_results.py, as a user runs them; then again under each inherited rule. docs/results/precision.md
has the output of: python -m pytest -m soak tests/evaluation/test_subpixel.py -s
"""

import json
import math
import sys

import numpy as np
import pytest
import torch

from lib import config, registry
from lib.contracts import Family
from lib.data import benchmarks
from lib.data.crop import Crop
from lib.data.sequence import Sequence
from lib.models.lunar.backbone import TemplateState
from lib.models.lunar.model import TrackerOutput
from lib.test.tracker import lunar

SIDES = (4, 6, 8, 10, 12, 16, 22, 32)
FRAMES = 400
# tracker.md section 0: mean IoU of a perfect tracker
TRUNCATED = {4: 0.47, 6: 0.61, 8: 0.69, 10: 0.74, 16: 0.83, 22: 0.87}
FLOOR_10 = {4: 0.16, 6: 0.37, 8: 0.65, 10: 0.89}
ROUNDED_CROP = {4: 0.79, 6: 0.85, 8: 0.88, 12: 0.92}


def truth(side):
    """Boxes of one nominal side (each 0.8 to 1.25 of it), anywhere, sub-pixel, near the middle of 320 x 240 px."""
    rng = np.random.default_rng(side)
    sides = side * np.exp(rng.uniform(math.log(0.8), math.log(1.25), (FRAMES, 2)))
    centres = np.array([160, 120]) + rng.uniform(-3, 3, (FRAMES, 2))
    return np.concatenate([centres - sides / 2, sides], axis=1)


class Numbered:
    """Frames that carry the number of their sequence's side and their own in their first pixels, and nothing else."""

    fps = 30.0

    def __init__(self, side):
        self.side = side

    def __len__(self):
        return FRAMES

    def __getitem__(self, index):
        image = np.zeros((240, 320, 3), np.uint8)
        image[0, 0] = (self.side, index // 256, index % 256)
        return image


class TrueCell(lunar.LunarTracker):
    """The tracker, its network replaced by the truth in the pixels of the patch it is shown."""

    def __init__(self, settings, weights=None, device="cpu"):
        self.boxes = {side: truth(side) for side in SIDES}
        super().__init__(settings, weights, device, network=NoNetwork())

    def track_frames(self, states, images):
        numbers = [image[0, 0].astype(int) for image in images]
        self.now = [self.boxes[side][high * 256 + low] for side, high, low in numbers]
        return super().track_frames(states, images)

    def _locate(self, look, states, crops, cells=None):
        side = self.cells
        output = TrackerOutput(*(torch.zeros(len(crops), channels, side, side) for channels in (1, 2, 2)))
        for index, (crop, box) in enumerate(zip(crops, self.now, strict=True)):
            x, y, w, h = crop.to_patch(box) / crop.size
            column, row = (int((x + w / 2) * side), int((y + h / 2) * side))
            output.score_map[index, 0, row, column] = 1.0
            output.offset_map[index, :, row, column] = torch.tensor(
                [(x + w / 2) * side - column, (y + h / 2) * side - row]
            )
            output.size_map[index, :, row, column] = torch.tensor([w, h])
        return super()._locate((output, None, None, None), states, crops)


class InheritedCrop(Crop):
    """OSTrack's: cut from whole pixels, mapped back as if it had not been."""

    def to_patch(self, boxes_xywh):
        corner = np.round([self.cx - self.side / 2, self.cy - self.side / 2])
        whole = Crop(*(corner + self.side / 2), self.side, self.size)
        return whole.to_patch(boxes_xywh)


class RoundedCrop(TrueCell):
    def _search_crop(self, state, image):
        cx, cy = self._centre(state)
        side = math.ceil(4.0 * math.sqrt(state.box_xywh[2] * state.box_xywh[3]))
        return InheritedCrop(cx, cy, side, self.config.DATA.SEARCH.SIZE)


class NoNetwork(torch.nn.Module):
    enhances = remembers = False
    query = None

    def enhance(self, images, gate):
        return images

    def encode_template(self, templates, masks):
        return TemplateState(torch.zeros(1, 1, 1))

    def track(self, template, search):
        return None


@pytest.fixture
def mean_iou(tmp_path, monkeypatch, command):
    """mean_iou(tracker class, rounding, *--set) -> {side: mean IoU} through both commands."""
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "x.yaml").write_text("TEST: {MOTION: none}\n")
    monkeypatch.setattr(config, "EXPERIMENTS", tmp_path)
    monkeypatch.setattr(benchmarks, "load", lambda name, root=None: [
        Sequence(f"side_{side}", "stubs", truth(side), lambda side=side: Numbered(side)) for side in SIDES
    ])  # fmt: skip

    def run(tracker, rounding="none", *settings):
        stub = Family(schema=".config.lunar:Lunar", tracker=f"{__name__}:{tracker.__name__}")
        monkeypatch.setitem(registry.FAMILIES, "stub", stub)
        overrides = [word for setting in settings for word in ("--set", setting)]
        place = tmp_path / "out"
        flags = ["--dataset", "stubs", "--save_dir", place, "--batch", len(SIDES), "--overwrite"]
        assert command("test.py", "stub", "x", *flags, *overrides) == 0
        scores = tmp_path / "scores.json"
        flags = ["--trackers", "stub:x", "--dataset", "stubs", "--results", place / "test" / "tracking_results"]
        assert command("analysis_results.py", *flags, "--result_rounding", rounding, "--json", scores) == 0
        (tracker,) = json.loads(scores.read_text())["datasets"][0]["trackers"]
        return {int(one["name"].split("_")[1]): one["ao"] for one in tracker["sequences"]}

    return run


@pytest.mark.parametrize(("frames", "spread"), [(200, 0.03), pytest.param(1500, 0.01, marks=pytest.mark.soak)])
def test_our_rules_cost_nothing_and_the_inherited_ones_what_the_spec_says(mean_iou, monkeypatch, frames, spread):
    monkeypatch.setattr(sys.modules[__name__], "FRAMES", frames)
    ours = mean_iou(TrueCell)
    truncated = mean_iou(TrueCell, "trunc")
    floor = mean_iou(TrueCell, "none", "TEST.MIN_BOX=10")
    rounded = mean_iou(RoundedCrop)
    all_of_them = mean_iou(RoundedCrop, "trunc", "TEST.MIN_BOX=10")
    print("\n| side, px | ours | truncated to whole px | at least 10 x 10 px | crop on whole px | all three |")
    print("| --- | --- | --- | --- | --- | --- |")
    for side in SIDES:
        values = (ours[side], truncated[side], floor[side], rounded[side], all_of_them[side])
        print(f"| {side} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    assert min(ours.values()) > 0.999
    for measured, expected in ((truncated, TRUNCATED), (floor, FLOOR_10), (rounded, ROUNDED_CROP)):
        for side, value in expected.items():
            assert measured[side] == pytest.approx(value, abs=spread), side
