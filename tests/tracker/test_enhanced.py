"""The enhancer before a tracker: day passes untouched, only the target's surroundings change, nothing is remembered."""

import numpy as np
import pytest
import safetensors.torch
import torch

from lib import cli, config
from lib.contracts import LockstepTracker, Result, Tracker
from lib.data.image import brightness, encode_jpeg
from lib.models.enhancer import UNTRAINED, Gamma, build_enhancer, save_enhancer
from lib.models.lunar.build import build_network
from lib.test.tracker.enhanced import REACH, FrameEnhancer, Sight, enhanced, purpose_of

RNG = np.random.default_rng(0)
DARK = [RNG.integers(0, 60, (240, 320, 3), np.uint8) for _ in range(8)]
BRIGHT = [image + 120 for image in DARK]
BOX = np.array([150.3, 100.7, 9.5, 7.25])


class Recorder(Tracker):
    """A tracker that keeps the frames it is shown and its results, and answers from a list of (box, present)."""

    def __init__(self, answers=()):
        self.answers, self.seen, self.boxes, self.results = iter(answers), [], [], []

    def initialize(self, frame, box):
        self.seen, self.boxes, self.results = [frame], [box], [Result(tuple(box), 1.0, True)]
        return self.results[0]

    def track(self, frame):
        self.seen.append(frame)
        box, present = next(self.answers, (BOX, True))
        self.results.append(Result(tuple(box), 0.5, present))
        return self.results[-1]


def before(tracker, name="gamma", **options):
    return enhanced(tracker, FrameEnhancer(build_enhancer(name, **options), purpose="tracker"))


def follow(tracker, images, box=BOX):
    first = tracker.initialize(images[0], list(box))
    return [first, *(tracker.track(image) for image in images[1:])]


def changed(image, seen):
    """(x0, y0, x1, y1) of the pixels that differ."""
    rows, columns = np.nonzero((image != seen).any(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_in_good_light_the_tracker_gets_the_very_frames():
    recorder = Recorder()
    follow(before(recorder), BRIGHT)
    assert all(seen is image for seen, image in zip(recorder.seen, BRIGHT, strict=True))


@pytest.mark.parametrize("name", [name for name in UNTRAINED if name != "average"])
def test_at_night_a_window_changes_and_the_input_never(name):
    recorder, images = Recorder(), [image.copy() for image in DARK[:2]]
    for image in images:
        image.setflags(write=False)
    results = follow(before(recorder, name), images)
    x0, y0, x1, y1 = Sight(tuple(BOX)).window(320, 240)
    for image, seen in zip(images, recorder.seen, strict=True):
        assert changed(image, seen) == (x0, y0, x1, y1) and seen.flags.writeable and seen.dtype == np.uint8
        assert (seen[y0:y1, x0:x1].mean() > 1.1 * image[y0:y1, x0:x1].mean()) == (name != "blur")
    assert np.array_equal(images, DARK[:2])
    assert all(one is other for one, other in zip(results, recorder.results, strict=True)), "results pass unchanged"
    assert recorder.boxes == [list(BOX)]


def test_the_window_is_that_of_the_whole_image_s_pixels():
    enhancer = FrameEnhancer(build_enhancer("gamma"))
    (part, _), (whole, _) = enhancer.enhance(DARK[0], 0.5, (16, 32, 100, 77)), enhancer.enhance(DARK[0], 0.5)
    assert np.array_equal(part[32:77, 16:100], whole[32:77, 16:100])
    assert np.array_equal(enhancer.steps(DARK[0], 0.5)[0][-1], whole)
    expected = DARK[0] / 255 + 0.5 * ((DARK[0] / 255) ** 0.45 - DARK[0] / 255)
    assert np.abs(whole - 255 * expected).max() < 0.51, "rounded, not truncated"


def test_large_windows_are_enhanced_at_half_their_size():
    y, x = np.mgrid[:720, :900]
    image = np.stack([20 + x / 30, 20 + y / 30, 30 + x / 60], axis=2).astype(np.uint8)
    enhancer, seen = FrameEnhancer(build_enhancer("gamma")), []
    enhancer.enhancer.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[2:])))
    whole, _ = enhancer.enhance(image, 1.0)
    part, _ = enhancer.enhance(image, 1.0, (16, 0, 816, 720))
    enhancer.enhance(image, 1.0, (16, 0, 640, 624))
    assert seen == [(720, 900), (360, 400), (624, 624)]
    assert np.array_equal(part[:, :16], image[:, :16])
    assert np.abs(part[:, 16:816].astype(int) - whole[:, 16:816]).max() <= 4


def test_frames_are_averaged_in_the_window_and_a_new_size_starts_anew():
    rng, tracker = np.random.default_rng(0), Recorder()
    images = [np.uint8(np.clip(40 + rng.normal(0, 8, (240, 320, 3)), 0, 255)) for _ in range(10)]
    follow(before(tracker, "average"), images)
    x0, y0, x1, y1 = Sight(tuple(BOX)).window(320, 240)
    quiet = [seen[y0:y1, x0:x1].std() for seen in tracker.seen]
    assert np.array_equal(tracker.seen[0], images[0]) and quiet[-1] < 0.5 * quiet[0]
    enhancer = FrameEnhancer(build_enhancer("average"))
    large = np.zeros((720, 720, 3), np.uint8)
    _, memory = enhancer.enhance(large, 1.0, (0, 0, 704, 704))
    _, fresh = enhancer.enhance(large, 1.0, (0, 0, 320, 320), memory)
    assert (memory[0], fresh[0]) == (2, 1) and (fresh[1].variance == 1).all()


def test_strength_opens_the_gate_before_a_tracker_only_so_far():
    tracker = Recorder()
    follow(before(tracker, "gamma", strength=0.5), DARK[:2])
    x0, y0, x1, y1 = window = Sight(tuple(BOX)).window(320, 240)
    enhancer = FrameEnhancer(build_enhancer("gamma"))
    half, _ = enhancer.enhance(DARK[1], 0.5 * enhancer.gate(brightness(DARK[1], brightness(DARK[0]))), window)
    assert np.array_equal(tracker.seen[1][y0:y1, x0:x1], half[y0:y1, x0:x1])


def test_a_tracker_that_knows_the_night_gets_averaged_frames_in_their_own_light():
    rng = np.random.default_rng(0)
    images = [np.uint8(np.clip(40 + rng.normal(0, 8, (240, 320, 3)), 0, 255)) for _ in range(4)]
    seen = {}
    for name, knows, options in (
        ("other", False, {}),
        ("night", True, {}),
        ("average", True, {}),
        ("single", True, {"average": False}),
    ):
        tracker = Recorder()
        tracker.knows_night = knows
        kind, options = ("average", {}) if name == "average" else ("haze_diffusion", {"average": True, **options})
        purpose = purpose_of(tracker)
        follow(enhanced(tracker, FrameEnhancer(build_enhancer(kind, **options), purpose=purpose)), images)
        seen[name] = tracker.seen
    assert all(np.array_equal(*pair) for pair in zip(seen["night"], seen["average"], strict=True))
    assert all(np.array_equal(*pair) for pair in zip(seen["single"], images, strict=True))
    x0, y0, x1, y1 = Sight(tuple(BOX)).window(320, 240)
    assert seen["other"][-1][y0:y1, x0:x1].mean() > 1.5 * images[-1].mean() > 0.9 * seen["night"][-1].mean()


def test_the_network_looks_at_every_fourth_frame_of_a_video():
    enhancer, looks = build_enhancer("haze_diffusion"), []
    enhancer.trunk.register_forward_hook(lambda *_: looks.append(len(tracker.seen)))
    tracker = Recorder()
    follow(enhanced(tracker, FrameEnhancer(enhancer, purpose="tracker")), [DARK[0]] * 9)
    assert looks == [0, 0, 4, 4, 8, 8], "two evaluations each"
    assert all(np.array_equal(*pair) for pair in zip(tracker.seen[4:7], tracker.seen[5:8], strict=True)), "no flicker"
    frames = FrameEnhancer(enhancer, purpose="tracker")
    _, memory = frames.enhance(DARK[0], 1.0, (0, 0, 160, 160))
    looks.clear()
    frames.enhance(DARK[0], 1.0, (0, 0, 96, 160), memory)
    assert len(looks) == 2, "another window"


@pytest.mark.parametrize("box", [BOX, [-5, 3, 4, 4], [700, -300, 20, 20], [100, 20, 60, 90], [0, 0, 0, 0]])
def test_windows_reach_far_enough_and_stay_on_the_frame(box):
    x, y, w, h = box
    cx, cy = np.clip([x + w / 2, y + h / 2], 0, [320, 240])
    reach = max(6 * np.sqrt(w * h), 160) / 2
    x0, y0, x1, y1 = Sight(tuple(box)).window(320, 240)
    assert 0 <= x0 <= max(cx - reach, 0) and min(cx + reach, 320) <= x1 <= 320 and x0 < x1
    assert 0 <= y0 <= max(cy - reach, 0) and min(cy + reach, 240) <= y1 <= 240 and y0 < y1
    assert x0 % 16 == y0 % 16 == 0


def test_windows_follow_the_answers_and_grow_while_the_target_is_lost():
    recorder = Recorder([([40.0, 60.0, 8, 8], True), ([np.nan] * 4, False), ([40.0, 60.0, 8, 8], True)])
    follow(before(recorder), DARK[:5])
    boxes = [tuple(BOX)] * 2 + [(40.0, 60.0, 8, 8)] * 3
    expected = [Sight(box, absent) for box, absent in zip(boxes, (0, 0, 0, 1, 0), strict=True)]
    found = [changed(image, seen) for image, seen in zip(DARK, recorder.seen, strict=False)]
    assert found == [sight.window(320, 240) for sight in expected] and found[3] != found[2] == found[4]
    sides = [np.diff(Sight((2000, 2000, 40, 40), absent).window(4000, 4000)[::2])[0] for absent in [*range(20), 10**6]]
    assert sides == sorted(sides) and 3 * 240 <= sides[-1] <= 3.1 * 240 + 32


def test_the_brightness_is_averaged_and_closes_the_gate_for_good():
    enhancer = FrameEnhancer(Gamma())
    flat = [np.full((90, 700, 3), value, np.uint8) for value in (51, 255, 0)]
    assert brightness(flat[0]) == pytest.approx(0.2, abs=1e-9), "the first frame as it is"
    assert brightness(flat[1], 0.2) == pytest.approx(0.9 * 0.2 + 0.1)
    assert brightness(flat[2]) == 0 and enhancer.gate(0.0) == 1
    barred = np.concatenate([flat[0], np.zeros((90, 700, 3), np.uint8)])
    assert brightness(barred) == pytest.approx(0.2, abs=0.01), "black bars do not count"
    gates, light = [], None
    for image in [flat[0]] * 2 + [flat[1]] * 8:
        light = brightness(image, light)
        gates.append(enhancer.gate(light))
    assert gates[:2] == [1, 1] and 0 < gates[2] < 1 and gates == sorted(gates, reverse=True) and gates[-1] == 0
    images = torch.from_numpy(DARK[0]).permute(2, 0, 1)[None] / 255
    assert enhancer.gate(brightness(DARK[0])) == pytest.approx(enhancer.enhancer.gate_of(images).item(), abs=0.1)


def test_initialize_forgets(small_tracker):
    tracker = before(small_tracker(), "blur_gamma")
    first = follow(tracker, DARK)
    assert follow(tracker, [*DARK[:4], *BRIGHT[:4]], BOX + 20) != first
    follow(tracker, BRIGHT)
    assert follow(tracker, DARK) == first, "A, B, C, A: the second A is the first"


def test_lockstep_equals_one_by_one(small_tracker):
    tracker = before(small_tracker(), "blur_gamma")
    videos, firsts = [DARK, [*BRIGHT[:4], *DARK[4:]]], [BOX, BOX + [20, 10, 3, 5]]
    states = [tracker.start(video[0], box) for video, box in zip(videos, firsts, strict=True)]
    together = []
    for images in zip(*(video[1:] for video in videos), strict=True):
        states, results = tracker.track_frames(states, list(images))
        together.append(results)
    for number, (video, box) in enumerate(zip(videos, firsts, strict=True)):
        for alone, found in zip(follow(tracker, video, box)[1:], together, strict=True):
            assert np.allclose(alone["target_bbox"], found[number]["target_bbox"], atol=1e-3)
    assert not isinstance(before(Recorder()), LockstepTracker), "only what the tracker can do itself"


def test_by_day_results_are_those_of_the_tracker_alone(small_tracker):
    tracker = small_tracker()
    assert follow(before(tracker), BRIGHT) == follow(tracker, BRIGHT)
    assert follow(before(tracker), DARK) != follow(tracker, DARK)


# ---- through the command lines --------------------------------------------------------------------------------------


@pytest.fixture
def dataset(tmp_path):
    """A folder with a sequence by day and one at night."""
    for name, images in (("day", BRIGHT), ("night", DARK)):
        place = tmp_path / "set" / name / "img"
        place.mkdir(parents=True)
        for number, image in enumerate(images):
            (place / f"{number}.jpg").write_bytes(encode_jpeg(image, 95))
        rows = [",".join(map(str, BOX)) for _ in images]
        (tmp_path / "set" / name / "groundtruth.txt").write_text("\n".join(rows))
    return tmp_path / "set"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    network = build_network(config.load("lunar", "tiny"))
    safetensors.torch.save_file(network.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def boxes(dataset, tracker, name, sequence):
    return (dataset.parent / f"test/tracking_results/{tracker}/{name}/set/{sequence}.txt").read_text()


@pytest.mark.parametrize("batch", [1, 2])
def test_runs_are_kept_apart_and_scored(dataset, weights, command, capsys, batch):
    words = ["lunar", "tiny", "--checkpoint", weights, "--dataset", dataset, "--save_dir", dataset.parent]
    assert command("test.py", *words, "--batch", batch) == 0
    assert command("test.py", *words, "--batch", batch, "--enhancer", "blur_gamma") == 0
    assert "lunar tiny+blur_gamma on set: 2 of 2 sequences tracked" in capsys.readouterr().out
    plain, night = (boxes(dataset, "lunar", name, "night") for name in ("tiny", "tiny+blur_gamma"))
    assert plain != night
    assert boxes(dataset, "lunar", "tiny", "day") == boxes(dataset, "lunar", "tiny+blur_gamma", "day")
    assert command("analysis_results.py", "--results", dataset.parent) == 0
    table = capsys.readouterr().out
    assert "lunar tiny " in table and "lunar tiny+blur_gamma " in table
    assert command("analysis_results.py", "--results", dataset.parent, "--trackers", "lunar:tiny+blur_gamma") == 0
    assert "lunar tiny+blur_gamma " in capsys.readouterr().out


def test_processes_build_an_enhancer_of_a_file(dataset, command):
    save_enhancer(dataset.parent / "mine.v2.safetensors", Gamma(power=0.6))
    words = ["identity", "baseline", "--dataset", dataset, "--save_dir", dataset.parent, "--threads", 1, "--runid", 3]
    assert command("test.py", *words, "--enhancer", dataset.parent / "mine.v2.safetensors") == 0
    assert len(boxes(dataset, "identity", "baseline+mine.v2_003", "night").splitlines()) == 8
    assert len(list((dataset.parent / "test/tracking_results/identity").iterdir())) == 1


@pytest.mark.parametrize("name", ["gama", "gone.safetensors", "", "/"])
def test_a_wrong_enhancer_is_one_line(dataset, command, capsys, name):
    words = ["opencv", "mil", "--dataset", dataset, "--save_dir", dataset.parent, "--threads", 2, "--enhancer", name]
    assert command("test.py", *words) == 2
    error = capsys.readouterr().err
    assert "expected" in error and error.count("\n") == 1
    assert not (dataset.parent / "test").exists()


def test_mil_is_refused_in_lockstep_as_ever(dataset, command, capsys):
    words = ["opencv", "mil", "--dataset", dataset, "--save_dir", dataset.parent, "--enhancer", "gamma", "--batch", 2]
    assert command("test.py", *words) == 2
    assert "--batch: this tracker has no network to batch for" in capsys.readouterr().err


def test_video_demo_takes_an_enhancer(dataset, command, capsys):
    words = ["opencv", "mil", dataset / "night", "--optional_box", *BOX, "--save_results", "--save_dir", dataset.parent]
    assert command("video_demo.py", *words, "--no_display", "--enhancer", "blur") == 0
    assert (dataset.parent / "test/video_demo/opencv/mil+blur/video_night.txt").is_file()
    assert command("video_demo.py", *words, "--no_display", "--enhancer", "nothing") == 2
    error = capsys.readouterr().err
    assert "nothing: no such file" in error and error.count("\n") == 1


def test_the_help_names_the_enhancers(capsys):
    parser = cli.parser("", "")
    cli.add_enhancer_flag(parser)
    assert ", ".join(UNTRAINED) in " ".join(parser.format_help().split())
    assert REACH > 4, "lunar's search window has 4 target sizes"
