"""Crops, labels and their changes: the tracker's geometry, mirrored exactly, and finite whatever the box."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import config
from lib.data import boxes
from lib.data.crop import Crop
from lib.errors import FrameError
from lib.test.tracker.lunar_rules import State
from lib.test.tracker.motion import start
from lib.train.data.augmentation import Appearance, Distractor, draw_appearance
from lib.train.data.lunar import Clips
from lib.train.data.views import LabelledFrame, Scene, Views, plausible
from lib.train.losses import score_labels

SIZES = ["DATA.SEARCH.SIZE=128", "DATA.TEMPLATE.SIZE=64"]
PLAIN = [
    f"DATA.AUGMENT.{name}=0" for name in ("FLIP", "GRAY", "BRIGHTNESS", "STRETCH", "BLUR", "JPEG", "TINY", "NIGHT")
]
STILL = ["DATA.SEARCH.CENTER_JITTER=0", "DATA.SEARCH.SCALE_JITTER=0"]
EVERYTHING = ["DATA.AUGMENT.DISTRACTORS=0.5", "DATA.AUGMENT.BLUR=0.5", "DATA.AUGMENT.JPEG=0.5"]


def scene(seed=0, width=320, height=240):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def shot(image, box):
    return LabelledFrame(image, np.asarray(box, float), np.asarray(box, float), "a/b, frame 1")


def process(image, box, *overrides, cfg=None, seed=0, searches=1, away=(), search_box=None):
    clips = Clips(cfg or config.load("lunar", "baseline_pairs", [*SIZES, *overrides]))
    search = shot(image, box) if search_box is None else search_box
    other = shot(scene(9), [50, 60, 30, 20])
    rng = np.random.default_rng(seed)
    return clips(rng, [shot(image, box)], [search] * searches, lambda: other, away)


@pytest.mark.parametrize(
    "box", [[100.3, 80.7, 9.2, 5.1], [140.5, 60.2, 41.9, 63.3], [20, 10, 200, 190], [-8, 3, 20, 9]]
)
def test_crops_are_the_trackers(small_tracker, box):
    """Without jitter and augmentation template, mask and search crop equal those of LunarTracker to the bit."""
    tracker, image = small_tracker(*PLAIN, *STILL), scene()
    sample = process(image, box, cfg=tracker.config)
    patch, mask = tracker._template_patch(image, np.asarray(box, float))
    assert np.array_equal(sample["template_images"][0].permute(1, 2, 0), patch)
    assert np.array_equal(sample["template_masks"][0], mask)
    centre = boxes.xywh_to_cxcywh(box)[:2]
    state = State(np.asarray(box, float), (), None, start(centre, math.sqrt(box[2] * box[3])))
    crop = tracker._search_crop(state, image)
    assert np.array_equal(sample["search_images"][0].permute(1, 2, 0), crop.extract(image))
    assert np.allclose(sample["crop_params"][0], (crop.cx, crop.cy, crop.side))
    assert np.allclose(sample["search_anno"][0] * 128, crop.to_patch(box), atol=1e-4)
    assert math.isclose(sample["src_side"][0], math.sqrt(box[2] * box[3]), rel_tol=1e-6)


def test_mirroring_pixels_mirrors_boxes():
    """T8: mirrored or not, all else drawn alike, crops and boxes are each other's mirror image."""
    for seed in range(20):
        kept, mirrored = (
            process(scene(), [100.3, 80.7, 29.2, 25.1], *EVERYTHING, f"DATA.AUGMENT.FLIP={flip}", seed=seed, searches=3)
            for flip in (0, 1)
        )
        for kind in ("template", "search"):
            assert mirrored[f"{kind}_images"].equal(kept[f"{kind}_images"].flip(-1))
            anno = kept[f"{kind}_anno"].clone()
            seen = kept["search_visible"] if kind == "search" else slice(None)
            anno[:, 0] = 1 - anno[:, 0] - anno[:, 2]
            assert torch.allclose(mirrored[f"{kind}_anno"][seen], anno[seen], atol=1e-6)
        masks = kept["template_masks"].view(1, 4, 4).flip(-1).flatten(1)
        assert torch.allclose(mirrored["template_masks"], masks, atol=1e-6)
        assert kept["search_visible"].equal(mirrored["search_visible"])


def spot(cx, cy, sigma, width=640, height=480):
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    value = np.exp(-((x - cx) ** 2)[None] / (2 * sigma**2) - ((y - cy) ** 2)[:, None] / (2 * sigma**2))
    return np.repeat((value * 250).astype(np.uint8)[..., None], 3, axis=2)


def test_tiny_targets_are_where_their_boxes_say(monkeypatch):
    """Shrunk 2 to 20 times, and stretched, the target's centre stays within 0.15 px of the shrunk frame, and its side
    is as drawn."""
    monkeypatch.setattr("lib.train.data.augmentation.TINY_CHANCE", 0.0)
    sides, stretches = [], []
    for seed in range(100):
        cx, cy = np.random.default_rng(seed).uniform((250, 200), (390, 280))
        box = [cx - 30, cy - 30, 60, 60]
        plain = [name for name in PLAIN if "TINY" not in name and "STRETCH" not in name]
        tiny = ("DATA.AUGMENT.TINY=1", "DATA.AUGMENT.STRETCH=0.1", "DATA.SEARCH.CENTER_JITTER=2")
        sample = process(spot(cx, cy, 12), box, *plain, *tiny, seed=seed)
        patch = sample["search_images"][0, 0].numpy().astype(float)
        x, y = np.arange(128) + 0.5, np.arange(128) + 0.5
        seen = np.array([(patch.sum(0) * x).sum(), (patch.sum(1) * y).sum()]) / patch.sum()
        anno = sample["search_anno"][0].numpy() * 128
        sides.append(float(sample["src_side"][0]))
        window = float(sample["crop_params"][0, 2]) * sides[-1] / 60
        off = np.abs(seen - anno[:2] - anno[2:] / 2).max() * window / 128
        assert off < 0.15, (seed, off)
        assert math.isclose(math.sqrt(anno[2] * anno[3]) * window / 128, sides[-1], rel_tol=1e-4)
        stretches.append(math.log(anno[3] / anno[2]) / 2)
    low = 60 * 64 / 480  # smaller, and the window would exceed the frame
    assert 0.08 < np.std(stretches) < 0.12
    assert min(sides) >= low and max(sides) <= 32 and abs(np.median(sides) / math.sqrt(low * 32) - 1) < 0.25


def test_absent_targets_have_no_label():
    """T9: an absent frame gives finite tensors, a zero box and a zero score map."""
    image, box = scene(), [100.3, 80.7, 29.2, 25.1]
    gone = LabelledFrame(image, None, np.asarray(box))
    sample = process(image, box, *EVERYTHING, search_box=gone)
    assert not sample["search_visible"].any() and not sample["search_anno"].any()
    assert all(torch.isfinite(values.float()).all() for values in sample.values())
    assert not score_labels(sample["search_anno"], 16, present=sample["search_visible"]).any()
    small, large = ([100, 80, 9, 9], [20, 10, 200, 190])  # a window elsewhere; none is: another sequence's frame
    for target in (small, large):
        for seed in range(20):
            sample = process(image, target, *PLAIN, seed=seed, away=(0,))
            assert not sample["search_visible"].any() and not sample["search_anno"].any()


def test_camera_nights_change_pixels_and_only_by_night():
    box = [100.3, 80.7, 29.2, 25.1]
    for dark in (0, 1):
        words = [f"DATA.AUGMENT.NIGHT={dark}", "DATA.AUGMENT.AVERAGED=0.5"]
        before, without, within = (
            process(scene(), box, *words, *share, searches=2)
            for share in ((), ["DATA.AUGMENT.NIGHT_VIDEO=0"], ["DATA.AUGMENT.NIGHT_VIDEO=1"])
        )
        assert all(values.equal(without[name]) for name, values in before.items())
        assert [values.equal(before[name]) for name, values in within.items() if "images" in name] == [not dark] * 2
        for name, values in within.items():
            assert values.dtype == before[name].dtype and values.shape == before[name].shape


def test_camera_nights_leave_the_other_draws_alone():
    looks = []
    for share in (0, 1):
        augment = config.load("lunar", "baseline_pairs", ["DATA.AUGMENT.NIGHT=1", f"DATA.AUGMENT.NIGHT_VIDEO={share}"])
        looks.append(draw_appearance(np.random.default_rng(3), augment.DATA.AUGMENT, 1, 2, False))
    plain, camera = looks
    assert plain.camera is None and camera.night is None and camera.camera is not None
    assert replace(camera, night=plain.night, camera=None) == plain


def test_distractors_never_touch_the_target():
    pasted = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        image, side = np.full((128, 128, 3), 90, np.uint8), np.exp(rng.uniform(0, 4, 2))
        box = np.concatenate([rng.uniform(0, 128, 2) - side / 2, side])
        distractor = Distractor.draw(rng, scene(1), np.array([50.0, 60, *rng.uniform(5, 60, 2)]))
        out = distractor.paste(image, box, step=seed % 4)
        changed = np.argwhere((out != image).any(axis=2))[:, ::-1]
        inside = (changed + 1 > box[:2]) & (changed < box[:2] + box[2:])
        assert not inside.all(axis=1).any() and (image == 90).all()
        pasted += len(changed) > 0
    assert pasted > 60


def test_one_night_and_one_flip_for_all_crops_of_a_sample(monkeypatch):
    seen = []
    darken = "lib.train.data.augmentation.night.darken"
    monkeypatch.setattr(darken, lambda image, params, rng: seen.append(params) or image)
    process(scene(), [100, 80, 30, 30], "DATA.AUGMENT.NIGHT=1", "DATA.AUGMENT.NIGHT_EV=[3,4]", searches=4)
    assert len(seen) == 5 and len(set(seen)) == 1 and 3 <= seen[0].ev <= 4


def test_averaged_nights_calm_the_search_crops_alone():
    grey, settings = np.full((240, 320, 3), 120, np.uint8), ["DATA.AUGMENT.NIGHT=1", "DATA.AUGMENT.NIGHT_EV=[5,5.1]"]

    def grain(images):
        images = images.float()
        return (images[..., 1:] - images[..., :-1]).std().item()

    ratios = []
    for seed in range(12):
        raw, calm = (
            process(grey, [130, 100, 40, 40], *PLAIN, *STILL, *settings, f"DATA.AUGMENT.AVERAGED={share}", seed=seed)
            for share in (0, 1)
        )
        assert math.isclose(grain(raw["template_images"]), grain(calm["template_images"]), rel_tol=0.1)
        ratios.append(grain(calm["search_images"]) / max(grain(raw["search_images"]), 0.1))
        difference = raw["search_images"].float().mean() - calm["search_images"].float().mean()
        assert abs(difference) < 1, "no brighter than the frames it is the mean of"
    assert np.median(ratios) < 0.75 and max(ratios) < 1.05


def test_a_still_moves_smoothly_through_a_clip():
    sample = process(scene(), [150, 110, 20, 20], *PLAIN, "DATA.SEARCH.SCALE_JITTER=0", searches=6, seed=3)
    centres, params = sample["search_anno"][:, :2] + sample["search_anno"][:, 2:] / 2, sample["crop_params"]
    assert sample["search_visible"].all()
    places = params[:, :2] + (centres - 0.5) * params[:, 2:]  # of the target, in the frame that seems to move
    steps = places.diff(dim=0)
    assert steps.abs().max() > 1
    # Each window lies where the target was one frame before.
    assert torch.allclose(params[1:, :2], places[:-1], atol=1e-3)


def test_clips_without_flicker():
    grey = np.full((240, 320, 3), 120, np.uint8)
    for seed in range(10):
        sample = process(
            grey, [100, 80, 30, 30], *PLAIN[:2], *PLAIN[3:], "DATA.AUGMENT.BRIGHTNESS=0.5", seed=seed, searches=4
        )
        middle = sample["search_images"][:, 0, 40:90, 40:90].float().amax(dim=(1, 2))
        assert middle.max() - middle.min() <= 120 * 0.5 * 0.2 + 1


NUMBERS = st.one_of(
    st.floats(-400, 800),
    st.sampled_from([0.0, -0.0, 1.0, -5.0, 1e-9, 0.3, 320.0, 240.0, 1e4, 1e300, -1e300, math.nan, math.inf, -math.inf]),
)
CONFIGS = [
    config.load(
        "lunar",
        "baseline",
        ["DATA.SEARCH.SIZE=32", "DATA.TEMPLATE.SIZE=16", *EVERYTHING, f"DATA.AUGMENT.TINY={p}", *floor],
    )
    for p in (0, 1)
    for floor in ([], ["DATA.SEARCH.MIN_SIDE=0", "DATA.TEMPLATE.MIN_SIDE=0"])
]
IMAGE, OTHER = scene(), LabelledFrame(scene(9), None, np.array([50.0, 60, 30, 20]))


@settings(max_examples=2000, deadline=None)
@given(
    st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    st.one_of(st.none(), st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)),
    st.integers(0, 3),
    st.integers(0, 1000),
    st.booleans(),
)
def test_every_box_gives_finite_tensors_or_a_typed_error(template, search, number, seed, away):
    """F11: zero, negative, NaN, off the image, larger than it, a pixel or less. LunarSamples redraws on FrameError."""
    clips = Clips(CONFIGS[number])
    template = np.array(template)
    box = np.array(template if search is None else search)
    seen = plausible(box, IMAGE)
    second = LabelledFrame(IMAGE, box if seen else None, box if seen else template)
    try:
        sample = clips(
            np.random.default_rng(seed), [shot(IMAGE, template)], [second], lambda: OTHER, (0,) if away else ()
        )
    except FrameError:
        assert not plausible(template, IMAGE)
        return
    assert plausible(template, IMAGE)
    assert all(torch.isfinite(values.float()).all() for values in sample.values())
    assert sample["template_masks"].min() >= 0 and sample["template_masks"].max() <= 1 + 1e-6
    assert sample["src_side"].min() > 0 and sample["crop_params"][:, 2].min() >= 1
    if sample["search_visible"].any():
        anno = sample["search_anno"][0]
        assert anno[2:].min() > 0 and ((anno[:2] + anno[2:] / 2 - 0.5).abs() <= 0.5).all()


def test_the_frame_is_never_changed():
    image = scene()
    before = image.copy()
    for seed in range(20):
        process(image, [100, 80, 30, 30], *EVERYTHING, "DATA.AUGMENT.NIGHT=0.5", seed=seed)
    assert np.array_equal(image, before)


def test_views_reach_beyond_the_frame():
    """A window partly off the frame is black there, whatever the ratio."""
    views = Views(config.load("lunar", "baseline_pairs", SIZES).DATA)
    for ratio in (1.0, 0.37):
        window = Crop(0.0, 120 * ratio, 100.0, 128)
        white = np.full((240, 320, 3), 255, np.uint8)
        patch = views.photograph(None, LabelledFrame(white, None, None), window, Scene(Appearance.plain(1), ratio), 0)
        assert (patch[:, :, :62] == 0).all() and (patch[:, 64, 66:] == 255).all()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_template_turned_by_quarters_is_exact(quarters):
    """The template of a turned sample is the unturned one turned, box and mask with it; the search crop is the same."""
    image = cv2.GaussianBlur(scene(), (0, 0), 3)  # for turning resamples once more
    plain = process(image, [100, 80, 40, 20], *PLAIN, *STILL)
    clips = Clips(config.load("lunar", "baseline_pairs", [*SIZES, *PLAIN, *STILL]))
    looks = {"turn": quarters * math.pi / 2}
    turned = with_appearance(clips, image, [100, 80, 40, 20], looks)
    expected = np.rot90(plain["template_images"][0].permute(1, 2, 0).numpy(), -quarters)
    found = turned["template_images"][0].permute(1, 2, 0).numpy()
    opposite = np.rot90(plain["template_images"][0].permute(1, 2, 0).numpy(), quarters)
    difference = min(np.abs(found.astype(int) - each).max() for each in (expected, opposite))
    assert difference <= 3
    x, y, w, h = plain["template_anno"][0].tolist()
    sides = (w, h) if quarters == 2 else (h, w)
    assert np.allclose(turned["template_anno"][0], (0.5 - sides[0] / 2, 0.5 - sides[1] / 2, *sides), atol=1e-6)
    assert turned["search_images"].equal(plain["search_images"])
    assert turned["search_anno"].equal(plain["search_anno"])


def with_appearance(clips, image, box, changes):
    """A sample seen with a plain Appearance in which `changes` are made."""
    with pytest.MonkeyPatch.context() as patch:
        drawn = lambda rng, augment, templates, searches, shrunk: replace(  # noqa: E731
            Appearance.plain(templates + searches), **changes
        )
        patch.setattr("lib.train.data.views.draw_appearance", drawn)
        return clips(np.random.default_rng(0), [shot(image, box)], [shot(image, box)], lambda: None)


def test_a_turned_disc_keeps_its_box():
    """The box of a turned template encloses the ellipse that filled the one before: of a circle that is the same."""
    image = np.full((240, 320, 3), 20, np.uint8)
    cv2.circle(image, (160, 120), 24, (255, 255, 255), -1, cv2.LINE_AA)
    clips = Clips(config.load("lunar", "baseline_pairs", [*SIZES, *PLAIN, *STILL]))
    sample = with_appearance(clips, image, [136, 96, 48, 48], {"turn": 0.7})
    patch = sample["template_images"][0].permute(1, 2, 0).numpy()
    rows, columns, _ = np.nonzero(patch > 128)
    x, y, w, h = (sample["template_anno"][0] * patch.shape[0]).tolist()
    assert np.allclose((columns.min(), rows.min(), np.ptp(columns), np.ptp(rows)), (x, y, w, h), atol=1.5)


def test_a_part_comes_from_inside_the_target():
    rng, box = np.random.default_rng(0), np.array([100.0, 80.0, 40.0, 20.0])
    for _ in range(50):
        part = Distractor.part(rng, scene(), box)
        x, y, w, h = part.box_xywh
        assert x >= 100 and y >= 80 and x + w <= 140 and y + h <= 100
        assert math.sqrt(w * h / 800) - 1e-9 <= part.size <= 1
