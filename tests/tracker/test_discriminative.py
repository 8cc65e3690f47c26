"""The rules of discriminative trackers: exact without rounding, equal to the reference with it."""

import math

import numpy as np
import pytest
import torch

from lib.models.atom.classifier import filter_scores, learn_first, normalise_features, update_filter
from lib.models.parts.iounet import IoUNet, refine_boxes
from lib.models.parts.memory import MemoryRule, SampleMemory, next_weights
from lib.test.tracker import discriminative as dcf
from lib.test.tracker.first_samples import Augmentation, augment, dimp_augmentations, first_samples

RULES = {"dimp.dimp50": dcf.LocalisationRule(), "dimp.prdimp50": dcf.LocalisationRule(not_found=0.04),
         "dimp.super_dimp": dcf.LocalisationRule()}  # fmt: skip
SIZES = {"dimp.dimp50": 288, "dimp.prdimp50": 352, "dimp.super_dimp": 352}


@pytest.fixture
def reference(shared_data):
    """Load one file of reference numbers: reference(name) -> dict."""

    def load(name):
        path = shared_data / "parity" / f"{name}.pt"
        if not path.is_file():
            pytest.skip(f"needs {path}")
        return torch.load(path, weights_only=True)

    return load


def continuous(position_of_pixel):
    """The reference counts positions from the centre of pixel 0."""
    return tuple(float(value) + 0.5 for value in position_of_pixel)


def window_around(centre, scale, size):
    half = scale * size / 2
    return dcf.Window(centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half, size)


@pytest.mark.parametrize(("rounding", "name"), [("integer", "int_division"), ("half_pixel", "head")])
def test_crop_equals_reference(reference, rounding, name):
    fixture = reference("online")
    image = fixture["image_hwc_uint8"].numpy()
    for case in fixture["sample_patch"]:
        expected, note = case[name], case["note"]
        patch, window = dcf.crop(image, continuous(case["pos_yx"]), case["scale"], case["output_sz"], case["mode"],
                                 case["max_scale_change"], rounding)  # fmt: skip
        coordinates = [window.top, window.left, window.bottom, window.right]
        assert coordinates == expected["coord_y0x0y1x1"][0].tolist(), note
        assert (patch[0, 0] - expected["patch_red"]).abs().max() < 1e-3, note
        assert patch[0].mean(dim=(1, 2)).tolist() == pytest.approx(expected["patch_mean"].tolist(), abs=1e-3), note
        assert window.centre == pytest.approx(continuous(expected["sample_pos_yx"])), note
        assert window.scale == pytest.approx(expected["sample_scale"].item(), rel=1e-6), note


def test_localisation_equals_reference(reference):
    for case in reference("online")["localize"]:
        window = window_around(continuous(case["sample_pos_yx"]), case["sample_scale"], SIZES[case["parameters"]])
        scores = case["raw_scores"]
        if case["parameters"] == "dimp.prdimp50":
            scores = scores.flatten().softmax(0).view_as(scores)
        found = dcf.localise(scores, RULES[case["parameters"]], window, continuous(case["pos_yx"]),
                             tuple(case["target_sz_hw"].tolist()), case["kernel"])  # fmt: skip
        assert found.flag == case["flag"], case["name"]
        assert found.translation == pytest.approx(case["translation"].tolist(), rel=1e-5, abs=1e-5), case["name"]
        assert found.score == pytest.approx(case["max_score"], rel=1e-5)
    tie = reference("online")["max2d_tie"]
    assert list(dcf.highest_cell(tie["map"][0].numpy())) == tie["index_yx"][0].tolist()


def test_geometry_equals_reference(reference):
    fixture = reference("online")
    for case in fixture["centered_sample_pos"]:
        found = dcf.search_centre(case["pos_yx"], case["target_scale"], 16 * case["feature_sz"], case["feature_sz"],
                                  case["kernel"])  # fmt: skip
        assert found == pytest.approx(case["centered_sample_pos"].tolist(), rel=1e-6)
    for case in fixture["iounet_box"]:
        window = window_around(continuous(case["sample_pos_yx"]), case["sample_scale"], case["img_sample_sz"])
        box = window.box_to_crop(continuous(case["pos_yx"]), case["target_sz_hw"])
        assert box == pytest.approx(case["box_xywh"].tolist(), rel=1e-5)
        assert np.allclose(np.hstack(window.box_to_image(box)),
                           np.hstack([continuous(case["pos_yx"]), case["target_sz_hw"]]))  # fmt: skip
    for case in fixture["update_state"]:
        if case["new_scale"] is None:
            start = case["start"]
            found = dcf.clamp_centre(continuous(case["new_pos_yx"]), start["target_sz"], start["image_sz"], True)
            assert found == pytest.approx(continuous(case["pos"]))
    for kernel, cases in reference("tomp")["online_labels"]["cases"].items():
        for case in cases:
            window = window_around(continuous(case["sample_pos_yx"]), case["sample_scale"], 288)
            label = dcf.target_label(window, continuous(case["pos_yx"]), 18, int(kernel), 0.9)
            assert (label - case["label"][0, 0]).abs().max() < 1e-5


def test_augmentation_equals_reference(reference):
    fixture = reference("online")
    image = fixture["augmentation_input"]
    kinds = {
        "identity": Augmentation("identity"), "translation": Augmentation("shift"),
        "fliplr_shift": Augmentation("flip"), "blur_3_1": Augmentation("blur", (3, 1)),
        "blur_0.2_2": Augmentation("blur", (0.2, 2)), "rotate_10": Augmentation("rotate", (10,)),
        "rotate_-45": Augmentation("rotate", (-45,)),
    }  # fmt: skip
    for name, augmentation in kinds.items():
        case = fixture["augmentation"][name]
        # OpenCV rotates in fixed point: its rounding leaves a few thousandths.
        found = augment(image, augmentation, 48, case["shift"])
        assert (found - case["out"]).abs().max() < (1e-3 if "rotate" in name else 1e-4), name


def test_first_samples_equal_reference(reference):
    fixture = reference("online")
    image = fixture["image_hwc_uint8"].numpy()
    for name, case in fixture["init_samples"].items():
        size, factor = (288, 5) if "dimp18" in name else (352, 6)
        extent = case["target_sz_hw"]
        scale = dcf.search_scale(extent, factor, size)
        found = first_samples(image, continuous(case["pos_yx"]), extent, scale, size, dimp_augmentations(),
                                  case["random"], rounding="half_pixel")  # fmt: skip
        assert scale == pytest.approx(case["init_sample_scale"].item(), rel=1e-6)
        assert found.window.centre == pytest.approx(continuous(case["init_sample_pos"]))
        assert (found.boxes - case["target_boxes"]).abs().max() < 1e-4, name
        means = found.crops.double().mean(dim=(1, 2, 3))
        assert (means - case["patch_mean"]).abs().max() < 1e-2, name


def test_memory_equals_reference(reference):
    for case in reference("online")["memory"]:
        memory = SampleMemory((torch.zeros(case["num_init"], 1),), case["memory_size"], MemoryRule())
        if "score_max" in case["log"][0]:
            for entry in case["log"]:
                score = entry["score_max"]
                certainty = score if case["name"].endswith("other_object") else max(score, math.sqrt(score))
                slot = memory.store((torch.zeros(1),), entry["learning_rate"], certainty, keep_weight=True)
                assert slot == entry["replace"]
                used = memory.certain_weights(0.5)
                assert (memory.weights - entry["weights"][: memory.count]).abs().max() < 1e-6
                assert (memory.certainties - entry["certainties_after"][: memory.count]).abs().max() < 1e-6
                assert (used - entry["weights_used"]).abs().max() < 1e-6
            continue
        log = {entry["step"]: entry for entry in case["log"]}
        hard = {step for step, entry in log.items() if entry["learning_rate"] is not None}
        period = 4
        assert all((step % period == period - 1) == (step in hard) for step in log)
        for step in range(max(log) + 1):
            slot = memory.store((torch.zeros(1),), 0.02 if step % period == period - 1 else None)
            if step in log:
                assert slot == log[step]["replace"], (case["name"], step)
                assert (memory.weights - log[step]["weights"][: memory.count]).abs().max() < 1e-6


def test_whole_refinement_equals_reference(reference):
    fixture = reference("iounet")
    network = IoUNet((8, 12), (16, 16), (16, 16)).double().eval()
    network.load_state_dict(fixture["net"])
    inputs = {key: value.detach().double() for key, value in fixture["inputs"].items()}
    with torch.no_grad():
        modulation = network.modulation((inputs["ref2"][:1], inputs["ref3"][:1]), inputs["bb"][:1])
        features = network.features((inputs["test2"][:1], inputs["test3"][:1]))
    for name, case in fixture["whole_refine"].items():
        space, steps, length = ("default", 5, 1.0) if "dimp18" in name else ("relative", 10, 2.5e-3)
        middle, scale = continuous(case["sample_pos_yx"]), case["sample_scale"]
        rows, columns = case["img_sample_sz_hw"]
        # The fixture's crop is not square; a square window with the same middle differs by a constant.
        window = window_around(middle, scale, rows)
        box = window.box_to_crop(continuous(case["pos_yx"]), case["target_sz_hw"])
        box[0] += (columns - rows) / 2
        boxes = dcf.jittered_boxes(box, case["uniform_random"].double())
        assert (boxes - case["init_boxes"]).abs().max() < 1e-4
        refined, quality = refine_boxes(network, modulation, features, boxes[None], space, steps, length)
        chosen = dcf.choose_box(refined[0], quality[0], box, faithful=True)
        chosen[0] -= (columns - rows) / 2
        centre, extent = window.box_to_image(chosen, faithful=True)
        assert centre == pytest.approx(continuous(case["new_pos_yx"]), abs=1e-5), name
        assert extent == pytest.approx(case["new_target_sz_hw"].tolist(), abs=1e-5), name


def test_atom_equals_reference(reference):
    fixture = reference("atom_online")
    given = {key: value.double() if torch.is_tensor(value) else value
             for key, value in fixture["joint_input"].items()}  # fmt: skip
    for case in fixture["joint"]:
        if case["cg_iterations"] > 5:
            continue  # Ten iterations amplify rounding a billionfold in the reference too.
        exact = 1e-12 if case["cg_iterations"] < 5 else 1e-8
        filters, projection, losses = learn_first(given["samples"], given["labels"], given["sample_weights"],
                                                  given["filter"], given["projection"], 4,
                                                  case["cg_iterations"])  # fmt: skip
        assert (filters - case["filters"][-1]).abs().max() < exact
        assert (projection - case["projections"][-1]).abs().max() < exact
        assert [loss.item() for loss in losses] == pytest.approx(case["losses"], rel=1e-8)
    given = {key: value.double() if torch.is_tensor(value) else value
             for key, value in fixture["filter_update"].items() if key != "cases"}  # fmt: skip
    for case in fixture["filter_update"]["cases"]:
        filters = given["start_filter"]
        rule = "fletcher_reeves" if case["fletcher_reeves"] else "polak_ribiere"
        for iterations, expected in zip(case["cg_iterations"], case["filters"][1:], strict=True):
            filters = update_filter(given["samples"], given["labels"], given["sample_weights"], filters, iterations,
                                    rule=rule)  # fmt: skip
            assert (filters - expected).abs().max() < 1e-8
    scores = fixture["scores"]
    found = filter_scores(scores["samples"].double(), scores["filter"])
    assert (found - scores["scores"]).abs().max() < 1e-12
    features = fixture["feature_normalisation"]
    assert (normalise_features(features["feat"]) - features["out"]).abs().max() < 1e-5
    for case in fixture["localize"]:
        scores = case["raw_scores"].double()
        fine = dcf.fourier_interpolate(scores, 288, faithful=True)
        assert (fine[::9, ::9] - case["upsampled_every_9"]).abs().max() < 1e-5
        assert fine.sum().item() == pytest.approx(case["upsampled_sum"], rel=1e-4)
        found = dcf.localise_atom(scores, dcf.LocalisationRule(), case["target_scale"],
                                  tuple(case["target_sz_hw"].tolist()), faithful=True)  # fmt: skip
        assert found.flag == (case["flag"] or "normal"), case["name"]
        assert found.score == pytest.approx(case["max_score"], abs=1e-5)
        assert found.translation == pytest.approx(case["translation"].tolist(), abs=1e-4), case["name"]


def ramp(rows, columns):
    """An image whose red is the column and green the row of the px's centre, times two."""
    image = np.zeros((rows, columns, 3), np.uint8)
    image[..., 0] = 2 * np.arange(columns)
    image[..., 1] = 2 * np.arange(rows)[:, None]
    return image


@pytest.mark.parametrize(("centre", "scale"), [((40.3, 61.7), 1.0), ((40.3, 61.7), 0.21), ((41.9, 50.2), 2.6)])
def test_exact_crop_shows_what_its_window_says(centre, scale):
    patch, window = dcf.crop(ramp(100, 120), centre, scale, 16)
    assert window.centre == pytest.approx(centre) and window.scale == pytest.approx(scale)
    inside = (np.arange(16) + 0.5) * scale
    assert np.abs(patch[0, 0, 8].numpy() / 2 + 0.5 - (window.left + inside)).max() < 0.55
    assert np.abs(patch[0, 1, :, 8].numpy() / 2 + 0.5 - (window.top + inside)).max() < 0.55
    # Without a bias: the mean of a ramp is its middle.
    # Colours are rounded to whole numbers, two of which are one px here.
    assert patch[0, 0].mean().item() / 2 + 0.5 == pytest.approx(centre[1], abs=0.26)


def test_window_stays_inside():
    for centre in ((-5.0, 3.0), (50.0, 60.0), (130.0, 119.0)):
        window = dcf.search_window(centre, 2.0, 40, (100, 120), "inside_major", 1.5)
        assert window.top >= -1e-9 and window.left >= -1e-9
        assert window.bottom <= 100 + 1e-9 and window.right <= 120 + 1e-9
    wide = dcf.search_window((50.0, 60.0), 10.0, 40, (100, 120), "inside_major", 1.5)
    assert wide.bottom - wide.top == pytest.approx(400 / 1.5)
    assert wide.centre == pytest.approx((50.0, 60.0))


def test_mirror_and_rotation_keep_the_box_of_an_exact_crop():
    image = np.zeros((80, 90, 3), np.uint8)
    centre, extent = (40.37, 44.81), (6.0, 6.0)
    rows, columns = np.mgrid[:80, :90]
    spot = np.exp(-((rows + 0.5 - centre[0]) ** 2 + (columns + 0.5 - centre[1]) ** 2) / 8)
    image[:] = (255 * spot).astype(np.uint8)[..., None]
    scale = dcf.search_scale(extent, 5, 96)
    kinds = [Augmentation("identity"), Augmentation("flip"), Augmentation("rotate", (45,)),
             Augmentation("blur", (2, 2)), Augmentation("shift", (0.2, -0.1))]  # fmt: skip
    found = first_samples(image, centre, extent, scale, 96, kinds, torch.rand(3, 2))
    place = torch.arange(96) + 0.5
    for patch, box in zip(found.crops[:, 0], found.boxes, strict=True):
        weight = patch / patch.sum()
        seen = (weight.sum(0) @ place).item(), (weight.sum(1) @ place).item()
        assert seen == pytest.approx((box[:2] + box[2:] / 2).tolist(), abs=0.35)


def test_fourier_interpolation_passes_through_the_cells():
    scores = torch.rand(18, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert (dcf.fourier_interpolate(scores, 288)[::16, ::16] - scores).abs().max() < 1e-12


def test_weights_sum_to_one_and_initial_samples_keep_their_share():
    rule = MemoryRule(rate=0.05, initial_share=0.25)
    weights = torch.tensor([0.5, 0.5, 0, 0, 0], dtype=torch.float64)
    previous = None
    for step in range(200):
        slot = 2 + step % 3
        weights = next_weights(weights, 2, slot, previous, rule, 0.1 if step % 7 == 0 else None)
        previous = slot
        assert weights.sum().item() == pytest.approx(1)
        assert weights[:2].sum() >= 0.25 - 1e-9
    with pytest.raises(ValueError, match="no room"):
        SampleMemory((torch.zeros(3, 1),), 3, rule)


def test_boxes_of_long_targets_are_kept():
    pole = [100.0, 80.0, 22.0, 150.0]
    boxes = torch.tensor([pole]).repeat(4, 1)
    assert dcf.choose_box(boxes, torch.arange(4.0), pole, faithful=True) is None
    assert dcf.choose_box(boxes, torch.arange(4.0), pole) == pytest.approx(pole)


def test_atom_learns():
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(4, 6, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.rand(4, 1, 8, 8, generator=generator, dtype=torch.float64)
    weights = torch.full((4,), 0.25, dtype=torch.float64)
    start = torch.zeros(1, 6, 3, 3, dtype=torch.float64)
    # Without the bend below zero this is ridge regression; so compare with its normal equations.
    found = update_filter(samples, labels, weights, start, 60, filter_decay=0.1, floor=1e6)
    rows = torch.nn.functional.unfold(samples, 3, padding=1).transpose(1, 2).reshape(-1, 54) / 2
    wanted = labels.reshape(-1) / 2
    exact = torch.linalg.solve(rows.T @ rows + 0.1 * torch.eye(54, dtype=torch.float64), rows.T @ wanted)
    assert (found.flatten() - exact).abs().max() < 1e-5
