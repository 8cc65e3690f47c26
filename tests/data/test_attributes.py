"""Derived attributes: every rule on both sides of its threshold, what cannot be told, and agreement with true ones."""

import math
from pathlib import Path

import numpy as np
import pytest

from lib.data import attributes, benchmarks
from lib.data.attributes import FROM_BOXES, FROM_PIXELS, from_boxes, from_pixels, measure_boxes, measure_pixels
from lib.data.frames import ImageFrames
from lib.data.image import encode_jpeg
from lib.data.sequence import Sequence
from lib.data.storage import Folder

SIZE = (640, 480)


def sequence(boxes, **facts):
    return Sequence("made", "made", np.array(boxes, np.float64), opener=None, **facts)


def still(count=40, side=(30.0, 30.0), at=(300.0, 200.0)):
    """Boxes of a target that rests."""
    return np.tile(np.float64([*at, *side]), (count, 1))


def test_nothing_holds_for_a_large_target_at_rest():
    assert from_boxes(sequence(still()), SIZE) == ()


@pytest.mark.parametrize(
    ("side", "size", "holds"),
    [(21.9, SIZE, True), (22.0, SIZE, False), (21.9, (210, 210), False), (21.9, (220, 220), True)],
)
def test_tiny_by_latot(side, size, holds):
    """Both limits: 22 px, and one percent of the image (21.9 / 219 is a tenth)."""
    values = measure_boxes(sequence(still(side=(side, side), at=(50, 50))), size)
    assert ("tiny (LaTOT)" in attributes.words(FROM_BOXES, values)) == holds
    assert attributes.tiny_by_area(values) == holds
    assert values["side"] == pytest.approx(side) and values["relative_area"] == pytest.approx(side**2 / math.prod(size))


def test_latots_rule_has_two_readings():
    boxes = still(2)
    boxes[0, 2:], boxes[1, 2:] = 2, 40  # mean side 21, mean area 802
    values = measure_boxes(sequence(boxes), SIZE)
    assert "tiny (LaTOT)" in attributes.words(FROM_BOXES, values) and not attributes.tiny_by_area(values)
    assert values["tiny_frames"] == 0.5


@pytest.mark.parametrize(
    ("sides", "holds"), [((19.1, 100), True), ((100, 14.3), True), ((19.3, 14.5), False), ((19.2, 14.4), False)]
)
def test_tiny_by_nt_vot211(sides, holds):
    """Three percent of 640 and 480 px are 19.2 and 14.4 px; either side alone suffices."""
    assert ("tiny (NT-VOT211)" in from_boxes(sequence(still(side=sides)), SIZE)) == holds


@pytest.mark.parametrize(("narrow", "holds"), [(20, False), (21, True)])
def test_tiny_by_nt_vot211_is_a_matter_of_most_frames(narrow, holds):
    boxes = still(40)
    boxes[:narrow, 2] = 19
    found = measure_boxes(sequence(boxes), SIZE)
    assert found["narrow_frames"] == narrow / 40 and ("tiny (NT-VOT211)" in from_boxes(sequence(boxes), SIZE)) == holds


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("ratio", "holds"), [(1.99, False), (2.01, True)])
def test_scale_variation_is_about_a_second(ratio, holds, reverse):
    boxes = still(31)
    boxes[30, 2] *= ratio
    boxes = boxes[::-1] if reverse else boxes
    assert measure_boxes(sequence(boxes), SIZE, fps=30)["scale"] == pytest.approx(ratio)
    assert ("scale variation" in from_boxes(sequence(boxes), SIZE, fps=30)) == holds
    assert math.isnan(measure_boxes(sequence(boxes), SIZE, fps=31)["scale"]), "shorter than a second"
    assert "scale variation" not in from_boxes(sequence(boxes), SIZE, fps=31)


def test_growth_that_takes_longer_than_a_second_is_none():
    boxes = still(120)
    boxes[:, 2] *= 2 ** (np.arange(120) / 61)  # doubles in 61 frames
    assert "scale variation" not in from_boxes(sequence(boxes), SIZE, fps=60)
    assert "scale variation" in from_boxes(sequence(boxes), SIZE, fps=62)


@pytest.mark.parametrize(("step", "holds"), [(29.9, False), (30.1, True)])
def test_fast_motion(step, holds):
    boxes = still()
    boxes[20:, 0] += step * 0.6
    boxes[20:, 1] += step * 0.8
    assert measure_boxes(sequence(boxes), SIZE)["speed"] == pytest.approx(step / 30)
    assert ("fast motion" in from_boxes(sequence(boxes), SIZE)) == holds


def test_a_step_over_frames_without_a_box_is_not_fast():
    boxes = still()
    boxes[20:, 0] += 100
    boxes[20] = np.nan
    assert "fast motion" not in from_boxes(sequence(boxes), SIZE)


@pytest.mark.parametrize(("x", "holds"), [(-14.9, False), (-15.1, True), (624.9, False), (625.1, True)])
def test_out_of_view_by_a_box_over_the_border(x, holds):
    boxes = still()
    boxes[7, 0] = x
    assert ("out of view" in from_boxes(sequence(boxes), SIZE)) == holds


@pytest.mark.parametrize("returns", [False, True])
@pytest.mark.parametrize(("last", "holds"), [(596, True), (590, False)])
def test_out_of_view_by_absence_at_the_border(last, holds, returns):
    """At 15 px a frame a box of 30 px that ends at 626 goes over the border at 640; one that ends at 620 does not."""
    boxes = still()
    boxes[:30, 0] = last - 15 * np.arange(30)[::-1]
    boxes[30:] = np.nan
    boxes = boxes[::-1] if returns else boxes
    assert ("out of view" in from_boxes(sequence(boxes), SIZE)) == holds


def test_a_box_cut_to_the_image_is_at_its_border():
    boxes = still()
    boxes[19] = 0, 200, 5, 30
    boxes[20:25] = np.nan
    assert "out of view" in from_boxes(sequence(boxes), SIZE)


def test_sparse_labels_are_not_absence():
    boxes = still(at=(0, 200))
    boxes[np.arange(40) % 10 > 0] = np.nan
    assert "out of view" not in from_boxes(sequence(boxes), SIZE)


def test_marked_invisible_is_absent_though_it_has_a_box():
    boxes = still()
    boxes[20] = 0, 0, 3, 3
    visible = np.arange(40) != 20
    assert from_boxes(sequence(boxes, visible=visible), SIZE) == ()


class Frames(list):
    fps = 30.0


def scene(target=(220, 220, 220), background=(120, 120, 120), noise=4.0, twin=None, side=12, count=4):
    """Frames of a square on a noisy background, and its sequence; twin: where the same square is once more."""
    rng = np.random.default_rng(0)
    frames = Frames()
    pattern = np.linspace(0.7, 1.1, side)[:, None, None] * np.array(target)
    for _ in range(count):
        frame = np.array(background) + rng.normal(0, noise, (240, 320, 3))
        for x, y in ((150, 100), *([] if twin is None else [twin])):
            frame[y : y + side, x : x + side] = pattern
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return sequence(still(count, (side, side), (150, 100))), frames


@pytest.mark.parametrize(("level", "holds"), [(61, True), (66, False)])
def test_low_illumination(level, holds):
    """0.25 of full brightness is a level of 63.75; the brightest channel counts."""
    made, frames = scene(target=(level, 0, 0), background=(level, level / 2, 0), noise=0, side=40)
    assert ("low illumination" in from_pixels(made, frames)) == holds


def test_a_street_lit_by_lamps_is_dark():
    made, frames = scene(background=(40, 30, 20), target=(90, 80, 60), side=20)
    for frame in frames:
        frame[60:80, 110:200] = 255
        frame[130:150, 110:200] = 255
    values = measure_pixels(made, frames)
    assert values["brightness"] < 0.25 and frames[0][60:160, 110:210].mean() > 0.4 * 255
    assert "low illumination" in from_pixels(made, frames)


@pytest.mark.parametrize(("tint", "holds"), [(0, False), (1, True)])
def test_grey_video_may_be_heat(tint, holds):
    """A thermal camera's cold sky is dark in all channels alike; the codec leaves no colour in it."""
    made, frames = scene(background=(30, 30, 30), target=(200, 200, 200))
    for frame in frames:
        frame[:] = frame[..., :1]
        frame[..., 0] += np.uint8(tint)
    assert ("low illumination" in from_pixels(made, frames)) == holds


def test_a_lamp_elsewhere_is_no_light():
    made, frames = scene(background=(20, 20, 20), target=(40, 40, 40))
    for frame in frames:
        frame[:, 250:] = 255
    assert measure_pixels(made, frames)["brightness"] < 0.1 and frames[0].max(axis=2).mean() > 70


def test_contrast_is_in_standard_deviations_of_the_background():
    rng = np.random.default_rng(1)
    made, frames = sequence(still(4, (20, 20), (150, 100))), Frames()
    for _ in range(4):
        frames.append(np.clip(rng.normal(100, 10, (240, 320, 3)), 0, 255).round().astype(np.uint8))
    values = measure_pixels(made, frames)
    assert values["contrast"] == pytest.approx(1, abs=0.1) and "low contrast" in from_pixels(made, frames)
    for frame in frames:
        frame[100:120, 150:170, 1] += 30
    values = measure_pixels(made, frames)
    assert values["contrast"] == pytest.approx(math.hypot(3, 1), rel=0.08)
    assert "low contrast" not in from_pixels(made, frames)


def test_texture_is_contrast_though_the_mean_is_the_same():
    made, frames = scene(target=(120, 120, 120))
    for frame in frames:
        frame[100:112, 150:162] = 90
        frame[100:112, 150:162:2] = 150
    assert measure_pixels(made, frames)["contrast"] > 5


@pytest.mark.parametrize("side", [4, 12, 60])
def test_similar_object(side):
    apart = side + 3
    assert "similar object" in from_pixels(*scene(side=side, twin=(150 - apart, 100)))
    assert "similar object" not in from_pixels(*scene(side=side))
    far = scene(side=side, twin=(150 - apart, 100))
    for frame in far[1]:  # of the same shape, but much fainter
        faint = frame[100 : 100 + side, 150 - apart : 150 - apart + side]
        faint[:] = 120 + (faint.astype(float) - 120) / 12
    assert "similar object" not in from_pixels(*far)


def test_only_what_is_near_is_similar():
    made, frames = scene(twin=(10, 200))
    assert "similar object" not in from_pixels(made, frames)


def test_the_target_is_not_its_own_look_alike():
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[24:40, 24:40] = np.random.default_rng(0).integers(50, 255, (16, 16, 3))
    assert attributes.similarity(pixels, np.array([24.0, 24, 16, 16])) < 0.3


def test_similarity_is_the_textbook_s_formula():
    """Against the three factors computed one by one, in float64, at every place."""
    rng = np.random.default_rng(2)
    image = rng.integers(0, 255, (30, 40, 3)).astype(np.float32)
    patch = image[10:20, 15:24]
    found = attributes._structural_similarity(image, patch)
    assert found.shape == (21, 32) and found[10, 15] == pytest.approx(1, abs=1e-5)
    for y, x in ((0, 0), (20, 31), (9, 15), (3, 17)):
        other = np.float64(image[y : y + 10, x : x + 9])
        mine = np.float64(patch)
        a, b = other.mean(axis=(0, 1)), mine.mean(axis=(0, 1))
        covariance = ((other - a) * (mine - b)).mean(axis=(0, 1)).sum()
        spread = ((other - a) ** 2).mean(axis=(0, 1)).sum() + ((mine - b) ** 2).mean(axis=(0, 1)).sum()
        expected = 2 * (a * b).sum() / (a**2 + b**2).sum() * 2 * covariance / spread
        assert found[y, x] == pytest.approx(expected, abs=1e-4)


def test_pixels_of_a_target_half_off_the_image_are_looked_at_and_one_quite_off_is_not():
    boxes = still(4, (20, 20), (-10, 100))
    frames = Frames(np.full((240, 320, 3), 30, np.uint8) for _ in range(4))
    assert measure_pixels(sequence(boxes), frames)["brightness"] == pytest.approx(30 / 255)
    boxes[:, 0] = -200
    values = measure_pixels(sequence(boxes), frames)
    assert all(math.isnan(values[name]) for name in ("brightness", "contrast", "similarity"))
    assert from_pixels(sequence(boxes), frames) == ()


def test_words_that_cannot_be_told_are_not_given():
    frames = scene(background=(5, 5, 5), target=(6, 6, 6))[1]
    tiny = still(4, (4, 4), (0, 0))
    unlabelled, first, points = np.full((4, 4), np.nan), tiny.copy(), sequence(tiny, task="point")
    first[1:] = np.nan
    for made in (sequence(unlabelled), sequence(first), sequence(first[:1])):
        assert from_boxes(made, SIZE) == () and from_pixels(made, frames) == ()
    assert measure_boxes(sequence(unlabelled), SIZE)["labelled"] == 0
    assert measure_boxes(sequence(first), SIZE)["side"] == 4, "what is known is measured"
    assert from_boxes(points, SIZE) == () and from_pixels(points, frames) == ("low illumination",)
    crops = sequence(tiny, windows=np.ones((4, 4)))
    assert from_boxes(crops, SIZE) == () and from_pixels(crops, frames) == ()


def test_few_frames_are_decoded_and_only_labelled_ones():
    class Counting(Frames):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    asked = []
    frames = Counting(np.zeros((100, 100, 3), np.uint8) for _ in range(90))
    boxes = still(90, (10, 10), (40, 40))
    boxes[30:] = np.nan
    measure_pixels(sequence(boxes), frames)
    assert asked == sorted(asked) and asked[0] == 0 and asked[-1] == 29 and len(asked) == attributes.SAMPLES


def test_jpegs_are_decoded_in_part_with_the_same_outcome(tmp_path):
    made, frames = scene(twin=(170, 100))
    frames = Frames(np.tile(frame, (3, 3, 1)) for frame in frames)  # larger than what is decoded whole
    for number, frame in enumerate(frames):
        (tmp_path / f"{number}.jpg").write_bytes(encode_jpeg(frame, 95))
    files = ImageFrames(Folder(tmp_path), [f"{number}.jpg" for number in range(len(frames))])
    whole = Frames(files[index] for index in range(len(frames)))
    assert attributes.frame_size(files) == (960, 720) == attributes.frame_size(whole)
    assert measure_pixels(made, files) == measure_pixels(made, whole)


def test_every_word_is_in_the_documentation_as_defined():
    text = (Path(__file__).parents[2] / "docs/attributes.md").read_text()
    for word, attribute in {**FROM_BOXES, **FROM_PIXELS}.items():
        assert f"| {word} | {attribute.definition} |" in text
        assert word[0].islower(), "never taken for an annotated abbreviation"


def test_agreement_with_true_attributes_of_rendered_clips():
    """As docs/attributes.md says of 200 clips: fast motion agrees exactly, similar object mostly, tiny misses none."""
    clips = benchmarks.load("lunar_night")[40:64]
    found = []
    for clip in clips:
        frames = clip.frames()
        found.append(from_boxes(clip, frames.size, frames.fps) + from_pixels(clip, frames))
    true, words = [set(clip.attributes) for clip in clips], list(map(set, found))
    assert all(("FM" in one) == ("fast motion" in other) for one, other in zip(true, words, strict=True))
    assert all("tiny (LaTOT)" in other for one, other in zip(true, words, strict=True) if "TO" in one)
    similar = [("SO" in one, "similar object" in other) for one, other in zip(true, words, strict=True)]
    assert sum(a == b for a, b in similar) / len(similar) > 0.75
    assert 0 < sum(a for a, _ in similar) < len(similar)


def test_real_videos_as_recorded(shared_data):
    found = {}
    for one in benchmarks.load(shared_data / "dev#*V_*") + benchmarks.load(shared_data / "dev#uavdt*"):
        frames = one.frames()
        words = from_boxes(one, attributes.frame_size(frames), frames.fps) + from_pixels(one, frames)
        found[one.name] = set(words)
    assert {"scale variation", "fast motion"} <= found["dd_V_DRONE_101"]
    assert found["dd_V_HELICOPTER_055"] == set()
    assert {"tiny (LaTOT)", "similar object"} <= found["dd_V_DRONE_105"]
    assert found["uavdt_S1606"] == {"similar object"}
