"""The trackers that learn online, through the command line: released checkpoints, missing ones, and small networks."""

import sys
import types

import cv2
import numpy as np
import pytest
import torch
import torchvision

from lib import config, registry
from lib.export.engines import open_stages
from lib.export.graphs import export, recorded
from lib.models.dimp.build import build_network
from lib.models.keep_track import KeepTrack, Matcher
from lib.models.keep_track.model import DescriptorExtractor
from lib.models.parts import efficientnet_lite
from lib.models.parts.weights import initialise_backbone
from lib.models.tomp import ALIAS
from lib.test.evaluation.results import Run
from lib.test.follow.saved import Found, Saved
from lib.test.tracker import dimp_steps, keep_track
from lib.test.tracker.online import LOOK

SMALL = ("MODEL.BACKBONE.TYPE=lite0", "MODEL.BACKBONE.WIDTH=16", "DATA.SEARCH.SIZE=64", "TEST.SEARCH_SIZE=null",
         "TEST.SEARCH_FACTOR=null")  # fmt: skip
FILTER = ("MODEL.CLASSIFIER.WIDTH=16", "MODEL.CLASSIFIER.BLOCK=false", "MODEL.BOX_WIDTH=16")
TOMP = ("MODEL.HIDDEN_DIM=16", "MODEL.TRANSFORMER.NHEADS=2", "MODEL.TRANSFORMER.DIM_FEEDFORWARD=32",
        "MODEL.TRANSFORMER.ENC_LAYERS=1", "MODEL.TRANSFORMER.DEC_LAYERS=1")  # fmt: skip
ATOM = ("MODEL.BOX_WIDTH=16", "TEST.FIRST_STEPS=2", "TEST.FIRST_ITERATIONS=3")
EVERY = [("dimp", "dimp18", FILTER), ("dimp", "prdimp50", FILTER), ("dimp", "super_dimp_simple", FILTER),
         ("atom", "default", ATOM), ("tomp", "tomp50", TOMP)]  # fmt: skip
pytestmark = pytest.mark.usefixtures("minute_trunk")
RNG = np.random.default_rng(0)
FRAMES = [RNG.integers(90, 110, (60, 80, 3), np.uint8) for _ in range(4)]
for number, frame in enumerate(FRAMES):
    frame[20 + number : 28 + number, 30 + 2 * number : 40 + 2 * number] = (250, 20, 120)
BOX = (30.0, 20.0, 10.0, 8.0)


@pytest.fixture
def minute_trunk(monkeypatch):
    """A trunk of five narrow blocks."""
    blocks = tuple((1, 1, 3, stride, outputs) for stride, outputs in ((1, 8), (2, 24), (2, 40), (2, 80), (1, 112)))
    monkeypatch.setattr(efficientnet_lite, "LITE0", blocks)


def small(script, name, overrides, *more):
    torch.manual_seed(0)
    return registry.tracker(script)(config.load(script, name, [*SMALL, *overrides, *more]))


@pytest.mark.parametrize(("script", "name", "overrides"), EVERY)
def test_small_networks_track_the_same_way_twice(script, name, overrides):
    tracker = small(script, name, overrides)
    runs = []
    for _ in range(2):
        first = tracker.initialize(FRAMES[0], BOX)
        assert first.box == BOX and first.present
        runs.append([tracker.track(frame) for frame in FRAMES[1:]])
    assert runs[0] == runs[1], "nothing is left of what came before"
    for result in runs[0]:
        assert np.isfinite(result.box).all() and min(result.box[2:]) >= 1 and 0 <= result.score <= 1


@pytest.mark.parametrize(("script", "name", "overrides"), EVERY)
def test_several_targets_in_one_batch_are_as_each_alone(script, name, overrides):
    """A state is a value: tracking on from it again gives the same, whatever was tracked from it before."""
    tracker = small(script, name, (*overrides, "TEST.NOT_FOUND=0"))
    starts = [tracker.start(FRAMES[0], box) for box in (BOX, (50.0, 10.0, 12.0, 9.0))]
    alone, alone_states = [], []
    for state in starts:
        boxes = []
        for frame in FRAMES[1:]:
            (state,), (result,) = tracker.track_frames([state], [frame])
            boxes.append(result.box)
        alone.append(boxes)
        alone_states.append(state)
    states, together = starts, []
    for frame in FRAMES[1:]:
        states, results = tracker.track_frames(states, [frame, frame])
        together.append([result.box for result in results])
    assert np.abs(np.swapaxes(together, 0, 1) - np.array(alone)).max() < 1e-3
    (again,), (result,) = tracker.track_frames(starts[:1], FRAMES[1:2])
    assert result.box == alone[0][0] and again.frames == 2


@pytest.mark.parametrize(("script", "name", "overrides"), EVERY)
def test_an_interrupted_video_goes_on_from_a_file(script, name, overrides, tmp_path):
    tracker = small(script, name, overrides)
    state = tracker.start(FRAMES[0], BOX)
    (state,), _ = tracker.track_frames([state], [FRAMES[1]])
    saved = Saved(Run(tmp_path, script, name), "video.mp4", {"weights": "none"}, ["1"])
    saved.write(Found([{"1": BOX}] * 2, [{"1": 1.0}] * 2, [0.1] * 2, (2, {"1": state})), complete=False)
    frames, states = saved.partial().states
    _, expected = tracker.track_frames([state], [FRAMES[2]])
    _, results = tracker.track_frames([states["1"]], [FRAMES[2]])
    assert frames == 2 and results == expected


def test_faithful_rounds_what_the_original_rounds():
    exact, faithful = (
        small("dimp", "dimp18", FILTER, f"TEST.FAITHFUL={value}", "TEST.NOT_FOUND=0") for value in (False, True)
    )
    boxes = []
    for tracker in (exact, faithful):
        tracker.initialize(FRAMES[0], (30.3, 20.4, 10.0, 8.0))
        boxes.append(tracker.track(FRAMES[1]).box)
    assert boxes[0] != boxes[1]
    assert faithful.settings.faithful and not exact.settings.faithful
    assert small("tomp", "tomp50", TOMP, "TEST.FAITHFUL=true").settings.min_box == 10
    assert small("tomp", "tomp50", TOMP).settings.min_box == 1


@pytest.mark.parametrize(("script", "name", "overrides"), [EVERY[1], EVERY[3]])
@pytest.mark.parametrize(
    ("correction", "step", "factor"), [(0, 1, 1.25), (1, 1, 1), (0.5, 1, 1.25**0.5), (0, 0.5, 1.25**0.5)]
)
def test_sizes_follow_an_iou_net_that_is_wrong(monkeypatch, script, name, overrides, correction, step, factor):
    """An IoU-Net that leaves a target's place and height as they are and finds 1.25 times its width."""

    def too_wide(iou_net, features, box, *more):
        x, y, width, height = box
        return [x - width / 8, y, width * 1.25, height]

    monkeypatch.setattr(dimp_steps, "refined_box", too_wide)
    settings = "TEST.NOT_FOUND=0", f"TEST.SIZE_CORRECTION={correction}", f"TEST.SIZE_STEP={step}"
    tracker = small(script, name, (*overrides, *settings))
    tracker.initialize(FRAMES[0], BOX)
    for number, frame in enumerate(FRAMES[1:], 1):
        result = tracker.track(frame)
        assert result.present
        assert result.box[2:] == pytest.approx((10 * factor**number, 8), rel=1e-4)


def test_a_window_has_at_least_its_smallest_side():
    tracker = small("dimp", "dimp18", FILTER, "DATA.SEARCH.MIN_SIDE=64")
    tracker.initialize(FRAMES[0], (30.0, 20.0, 2.0, 2.0))
    assert tracker._state.target.scale * 64 == pytest.approx(64)


def release(path, state):
    """Write a checkpoint as PyTracking's trainer does: weights among pickled objects of classes that are not here."""
    module = types.ModuleType("ltr.admin.model_constructor")
    constructor = type("NetConstructor", (), {"__module__": module.__name__})
    module.NetConstructor = constructor
    names = ("ltr", "ltr.admin", module.__name__)
    sys.modules.update(dict.fromkeys(names, module))
    try:
        content = {"epoch": 50, "net_type": "DiMPnet", "net": state, "constructor": constructor()}
        torch.save(content, path, _use_new_zipfile_serialization=path.suffix == ".tar")
    finally:
        for name in names:
            del sys.modules[name]


UNUSED = ("layer4.0.conv1.weight", "layer4.0.bn1.running_mean", "fc.weight")


@pytest.fixture
def video(tmp_path):
    folder = tmp_path / "videos" / "spot"
    folder.mkdir(parents=True)
    for number, frame in enumerate(FRAMES):
        cv2.imwrite(str(folder / f"{number:04d}.png"), frame[:, :, ::-1])
    (folder / "groundtruth.txt").write_text(4 * f"{','.join(map(str, BOX))}\n")
    return folder.parent


@pytest.mark.parametrize(("script", "name", "file", "overrides"), [
    ("dimp", "dimp18", "dimp18.pth", FILTER), ("atom", "default", "atom_default.pth.tar", ATOM),
    ("tomp", "tomp50", "tomp50.pth.tar", TOMP),
])  # fmt: skip
def test_released_checkpoints_run(command, tmp_path, video, script, name, file, overrides):
    """The networks are small, but the files have the form of those released, and more tensors than a tracker uses."""
    settings = config.load(script, name, [*SMALL, *overrides])
    torch.manual_seed(0)
    state = registry._resolve(registry.family(script).network)(settings).state_dict()
    state.update({f"feature_extractor.{name}": torch.ones(2) for name in UNUSED})
    if script == "tomp":
        state[ALIAS] = torch.ones(2)
    release(tmp_path / file, state)
    sets = [word for override in (*SMALL, *overrides) for word in ("--set", override)]
    words = [script, name, "--dataset", video, "--checkpoint", tmp_path / file, "--save_dir", tmp_path, *sets]
    words += ["--enhancer", "blur_gamma"] if script == "tomp" else []
    assert command("test.py", *words) == 0
    (result,) = tmp_path.rglob("spot.txt")
    assert np.isfinite(np.loadtxt(result, delimiter="\t")).all() and len(np.loadtxt(result)) == 4


@pytest.mark.parametrize("script, name", [("dimp", "super_dimp"), ("atom", "default"), ("keep_track", "default")])
def test_a_missing_checkpoint_is_one_line(command, capsys, tmp_path, monkeypatch, video, script, name):
    monkeypatch.chdir(tmp_path)
    assert command("test.py", script, name, "--dataset", video, "--save_dir", tmp_path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    file = config.load(script, name).TEST.CHECKPOINT
    assert f"pretrained/{file}" in line and f"get {file} from https://" in line and "--checkpoint" in line


def test_a_camera_that_is_not_there_is_one_line(command, capsys, tmp_path):
    words = ["keep_track", "default", "0", "--optional_box", 1, 1, 9, 9, "--save_video", tmp_path / "x.mp4"]
    assert command("video_demo.py", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "camera" in line


def test_another_backend_is_one_line(command, capsys, video):
    assert command("test.py", "dimp", "dimp18", "--dataset", video, "--backend", "tensorrt") == 2
    assert "TEST.BACKEND" in capsys.readouterr().err


@pytest.mark.parametrize(("script", "name", "overrides"), [EVERY[2], EVERY[4]])
def test_onnx_gives_the_boxes_of_torch(tmp_path, script, name, overrides):
    pytest.importorskip("onnxscript", reason="the packages that write ONNX are not installed")
    tracker = small(script, name, overrides)
    states = [tracker.start(FRAMES[0], BOX), tracker.start(FRAMES[1], BOX)]
    wanted, _ = tracker.track_frames(states, FRAMES[1:3])
    export(tracker.stages(), tmp_path)
    runs = open_stages(tracker.stages(), tmp_path, "onnx")
    runs[LOOK], seen = recorded(runs[LOOK])
    tracker.use(runs)
    found, _ = tracker.track_frames(states, FRAMES[1:3])
    assert len(seen) == 1 and len(seen[0][0]) == 2, "one batch of both targets"
    for one, other in zip(wanted, found, strict=True):
        assert one.target.box_xywh == pytest.approx(other.target.box_xywh, abs=1e-2)


def test_keep_track_is_put_together_from_two_files(tmp_path, monkeypatch):
    torch.manual_seed(0)
    small_base = config.load("dimp", "super_dimp_simple", [*SMALL, *FILTER])
    matcher = KeepTrack(torch.nn.Identity(), DescriptorExtractor(16, 256), Matcher(256, (8,)))
    changes = ["TEST.SEARCH_SIZE=64", "TEST.NOT_FOUND=0", "TEST.CANDIDATE=0", *SMALL[:2]]
    settings = config.load("keep_track", "default", changes)
    monkeypatch.setattr(keep_track.configuration, "load", lambda *names: small_base)
    base = build_network(small_base)
    files = tmp_path / "base.pth.tar", tmp_path / "keep_track.pth.tar"
    release(files[0], base.state_dict())
    release(files[1], matcher.state_dict())
    monkeypatch.setattr(keep_track, "find_weights", lambda *names: files[0])
    tracker = keep_track.KeepTrackTracker(settings, files[1], network=matcher)
    tracker.initialize(FRAMES[0], BOX)
    boxes = [tracker.track(frame).box for frame in FRAMES[1:]]
    assert np.isfinite(boxes).all()
    assert torch.equal(tracker.base.bb_regressor.iou_predictor.weight, base.bb_regressor.iou_predictor.weight)
    assert tracker._state.target.candidates is not None
    (stage,) = tracker.stages()
    assert stage.module.network is tracker.base and len(stage.module(*stage.inputs.values())) == 4


def test_a_trunk_begins_from_image_classification(tmp_path):
    torch.manual_seed(0)
    whole = torchvision.models.resnet18()
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    settings = config.load("dimp", "dimp18")
    network = build_network(settings)
    assert initialise_backbone(network, tmp_path / "resnet18.pth").complete
    assert torch.equal(network.feature_extractor.layer3[1].conv2.weight, whole.layer3[1].conv2.weight)
