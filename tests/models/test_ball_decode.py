"""From heat maps to points: exact between cells; and as TrackNetV3, WASB and the port of V1 do it."""

import numpy as np
import pytest
import torch

from lib.data import heatmap
from lib.models.ball import decode, trajectory

MAP, FULL_HD = (512, 288), (1920, 1080)
KINDS = {"gaussian": heatmap.gaussian, "disc": heatmap.disc}


@pytest.fixture(scope="module")
def tracknet(shared_data):
    return load(shared_data, "tracknetv3.pt")


@pytest.fixture(scope="module")
def wasb(shared_data):
    return load(shared_data, "wasb.pt")


@pytest.fixture(scope="module")
def port(shared_data):
    return load(shared_data, "tracknet_v1_port.pt")


def load(shared_data, name):
    path = shared_data / "parity" / name
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not here")
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_map_gives_the_exact_centre(kind):
    rng = np.random.default_rng(1)
    for point in rng.uniform((20, 20), (1900, 1060), (40, 2)):
        heat = KINDS[kind](heatmap.to_cells(point, FULL_HD, MAP), MAP)
        (ball,) = decode.find_balls(heat)
        assert np.array(ball[:2]) * 3.75 == pytest.approx(point, abs=0.05)  # px of the image
        assert 0.9 < ball.peak <= 1


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5, 4.0])
def test_a_gaussian_of_any_width_and_height_gives_its_centre(sigma):
    for x, y in ((10.5, 10.5), (20.01, 12.99), (31.3, 20.8)):
        (ball,) = decode.find_balls(0.7 * heatmap.gaussian((x, y), (64, 48), sigma))
        assert ball[:2] == pytest.approx((x, y), abs=1e-3)


def test_a_gaussian_that_the_border_cuts_gives_its_centre():
    for x, y in ((0.3, 20.0), (63.9, 0.2), (30.0, 47.6)):
        (ball,) = decode.find_balls(heatmap.gaussian((x, y), (64, 48)))
        assert ball[:2] == pytest.approx((x, y), abs=1e-3)


def test_noise_moves_the_centre_little():
    rng = np.random.default_rng(2)
    errors = []
    for point in rng.uniform(8, 40, (50, 2)):
        heat = heatmap.gaussian(point, (64, 48)) + rng.normal(0, 0.02, (48, 64))
        errors.append(np.hypot(*np.subtract(decode.find_balls(heat.clip(0, 1))[0][:2], point)))
    assert np.median(errors) < 0.05


def test_several_balls_come_largest_first_and_none_from_nothing():
    heat = np.maximum(heatmap.disc((10.2, 10.7), (64, 48), 2), heatmap.disc((40.6, 30.1), (64, 48), 4))
    large, small = decode.find_balls(heat)
    assert large[:2] == pytest.approx((40.6, 30.1), abs=0.01) and small[:2] == pytest.approx((10.2, 10.7), abs=0.01)
    assert decode.find_balls(np.zeros((48, 64))) == [] and decode.find_balls(np.full((48, 64), 0.5)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_absent_balls_are_empty(kind):
    assert not KINDS[kind](None, (8, 6)).any() and KINDS[kind](None, (8, 6)).shape == (6, 8)


def test_label_discs_of_tracknetv3(tracknet):
    label = tracknet["label"]
    for cell, expected in zip(label["cxcy"], label["nonzero_yx"], strict=True):
        assert np.argwhere(heatmap.released_disc(cell, MAP)).tolist() == expected.tolist()
    for (w, h, x, y), cell in zip(*tracknet["label_from_px"].values(), strict=True):
        assert heatmap.released_cell((x, y), (w, h)) == cell


def test_labels_of_wasb(wasb):
    for case in wasb["label"]:
        x, y = case["cxy"]
        binary = heatmap.released_disc((x, y), (64, 48), origin_is_empty=False)
        assert np.argwhere(binary).tolist() == case["binary_yx"].tolist()
        soft = heatmap.released_soft((x, y), (64, 48))
        rows, columns = (slice(max(int(c) - 4, 0), int(c) + 5) for c in (y, x))
        assert soft[rows, columns] == pytest.approx(case["soft"].numpy(), abs=1e-6)


def test_the_map_of_wasb(wasb):
    for case in wasb["affine"]:
        to_map = decode.released_similarity(tuple(case["wh"]))
        assert to_map == pytest.approx(case["to_map"].numpy(), abs=1e-4)
        points = np.array([(*point, 1) for point in case["points"]])
        assert points @ to_map.T == pytest.approx(case["map_xy"].numpy(), abs=1e-4)


def test_where_tracknetv3_locates(tracknet):
    locate = tracknet["locate"]
    for name, heat in locate["maps"].items():
        expected = locate["out"][name]
        found = decode.released_locate(heat.numpy())
        assert list(found.rectangle) == expected["bbox_xywh"], name
        assert list(found.cell) == expected["cell"], name
        assert [int(c * 2.5) for c in found.cell] == expected["px_x2.5"], name
        assert (found.cell != (0, 0)) == bool(expected["visible"]), name
        assert found.confidence == pytest.approx(expected["confidence"], abs=1e-6), name


@pytest.mark.parametrize(("rule", "name"), [
    ("weighted", "concomp_weighted"), ("count", "concomp_count"), ("peaks", "nms_weighted"),
])  # fmt: skip
def test_blobs_of_wasb(tracknet, wasb, rule, name):
    for case, heat in tracknet["locate"]["maps"].items():
        expected = wasb["blobs"]["out"][case][name]
        found = decode.released_blobs(heat.numpy(), rule=rule)
        assert len(found) == len(expected["score"]), case
        for (x, y, score), xy, mass in zip(found, expected["xy"], expected["score"], strict=True):
            assert (x, y) == pytest.approx(xy, abs=1e-4), case
            assert score == pytest.approx(mass, abs=1e-4), case


def test_windows_average_as_in_tracknetv3(tracknet):
    for name, expected in tracknet["ensemble_weights"].items():
        kind, length = name.split("_")
        assert trajectory.window_weights(int(length), kind == "weight") == pytest.approx(expected.numpy(), abs=1e-7)
    data = tracknet["ensemble"]
    for kind in ("average", "weight"):
        found = trajectory.average_windows(data["window_preds"].numpy(), kind == "weight")
        assert found == pytest.approx(data[f"{kind}_b3"].numpy(), abs=1e-6)


def test_windows_that_agree_average_to_what_they_agree_on():
    frames = np.random.default_rng(3).random((9, 4, 5)).astype(np.float32)
    windows = np.stack([frames[start : start + 3] for start in range(7)])
    assert trajectory.average_windows(windows) == pytest.approx(frames, abs=1e-6)


def test_gaps_and_lines_of_tracknetv3(tracknet):
    for name, case in tracknet["rectify"].items():
        marked = case["mask"]
        if "visibility" in case:
            assert trajectory.released_gaps(case["visibility"], case["y"]).tolist() == marked, name
            assert trajectory.released_fill(case["y"], marked).tolist() == case["lin_y"], name
        assert trajectory.released_fill(case["x"], marked).tolist() == case["lin_x"], name
    corner = tracknet["coor_threshold"]
    dropped = (trajectory.released_drop_corner(corner["coor"].numpy()) == 0).all(axis=-1)
    assert dropped.tolist() == corner["zeroed"].tolist()


def test_our_gaps_end_where_the_ball_left_through_the_top():
    visible = np.array([0, 1, 0, 0, 1, 1, 0, 1, 0], bool)
    y = np.array([0, 50, 0, 0, 80, 12, 0, 60, 0])
    marked = trajectory.gaps(visible, y, top=20)
    assert marked.tolist() == [False, False, True, True, False, False, False, False, False]
    points = np.stack([np.arange(9) * 10.0, y], axis=1)
    points[marked] = np.nan
    filled = trajectory.fill_gaps(points, marked)
    assert filled[2:4].tolist() == pytest.approx(np.array([[20, 60], [30, 70]]))
    assert np.array_equal(filled[~marked], points[~marked])


def test_the_choice_of_wasb(wasb):
    for name, gate in (("online", 300.0), ("peak", np.inf)):
        linker = trajectory.Linker(gate)
        for blobs, expected in zip(wasb["tracker"]["frames"], wasb["tracker"][name], strict=True):
            point = linker.step(blobs)
            assert point.visible == expected["visible"]
            assert point == pytest.approx((expected["x"], expected["y"], expected["score"]))
    case = wasb["tracker"]["predict"]
    assert trajectory.extrapolate(np.array(case["points"])) == pytest.approx(case["pred"])


def test_motion_prefers_the_blob_on_the_parabola():
    path = [(0.0, 0.0), (10.0, 2.0), (20.0, 6.0)]
    blobs = [(60.0, 40.0, 3.0), (30.0, 12.0, 2.9)]
    for motion, expected in ((0.0, 60.0), (0.1, 30.0)):
        linker = trajectory.Linker(motion=motion)
        for x, y in path:
            linker.step([(x, y, 1.0)])
        assert linker.step(blobs).x == expected


def test_grey_blob_of_tracknet_v1(port):
    assert heatmap.released_grey_blob().tolist() == port["label_kernel"].tolist()


def test_where_the_port_of_tracknet_v1_locates(port):
    centres, expected = port["postprocess"]["centres"], port["postprocess"]["xy_1280x720"]
    blob = heatmap.released_grey_blob()
    for name, xy in expected.items():
        if name == "small_core":
            continue
        levels = np.zeros((360 + 40, 640 + 40), np.int64)
        places = centres.get(name, [])
        for x, y in places if places and isinstance(places[0], list) else [places][: len(places)]:
            levels[y : y + 41, x : x + 41] = np.maximum(levels[y : y + 41, x : x + 41], blob)
        found = decode.released_grey_circle(levels[20:-20, 20:-20])
        assert (found if found is None else list(found)) == xy, name
    core = np.zeros((360, 640), np.int64)
    core[198:203, 298:303] = 255
    assert decode.released_grey_circle(core) is None
