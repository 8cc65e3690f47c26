"""Labels and losses of the discriminative trackers: equal to the reference, and exact in simple cases."""

import pytest
import torch

from lib.train import dcf_losses as losses


def double(tree):
    if isinstance(tree, dict):
        return {key: double(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(double(value) for value in tree)
    return tree.detach().double() if torch.is_tensor(tree) and tree.is_floating_point() else tree


@pytest.fixture
def reference(shared_data):
    path = shared_data / "parity" / "losses.pt"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    return torch.load(path, weights_only=True)


def gradient(loss, *inputs):
    inputs = [value.clone().requires_grad_() for value in inputs]
    value = loss(*inputs)
    return value.item(), torch.autograd.grad(value, inputs)


def same(found, expected, tolerance=1e-10):
    assert (found - expected).abs().max() < tolerance


def test_labels_equal_reference(reference):
    for case in reference["labels"]:
        if isinstance(case["feat_sz"], tuple):
            continue  # Crops are square here.
        found = losses.score_label(case["boxes"], case["sigma_factor"], case["kernel"], case["feat_sz"],
                                   case["image_sz"], case["density"])  # fmt: skip
        same(found, case["label"], 1e-5)


def test_hinge_equals_reference(reference):
    case = double(reference["lbhinge"])
    value, (grad,) = gradient(lambda x: losses.hinge_loss(x, case["label"], case["threshold"]), case["prediction"])
    assert value == pytest.approx(case["value"].item(), rel=1e-12)
    same(grad, case["grad"])
    clipped = losses.hinge_loss(case["prediction"], case["label"], case["threshold"], 0.02)
    assert clipped.item() == pytest.approx(case["value_clip_0_02"].item(), rel=1e-6)


def total(parts, weights):
    return sum(weights[name] * value for name, value in parts.items())


def test_dimp_totals_equal_reference(reference):
    fixture = double(reference)
    case = fixture["dimp_total"]
    scores = case["scores_per_iterate"]

    def hinge(label):
        return lambda score: losses.hinge_loss(score, label, 0.05)

    def dimp(first, last, iou):
        parts = losses.classification_losses([first, *scores[1:-1], last], hinge(case["label"]))
        overlap = torch.nn.functional.mse_loss(iou, case["iou_target_minus1_1"])
        return total(parts, {"final": 100, "initial": 100, "iterates": 400}) + overlap

    value, grads = gradient(dimp, scores[0], scores[-1], case["iou_pred"])
    expected = case["cases"]["dimp18_and_dimp50"]
    assert value == pytest.approx(expected["loss"].item(), rel=1e-10)
    for found, grad in zip(grads, expected["grad_first_last_iou"], strict=True):
        same(found, grad)

    case = fixture["kl_total"]
    scores = case["scores_per_iterate"]
    present = case["test_anno"][..., 0] != 99999
    boxes = losses.sampled_kl_loss(case["bb_scores"], case["sample_density"], case["gt_density"], present=present)
    assert boxes.item() == pytest.approx(case["cases"]["prdimp"]["stats"]["Loss/bb_ce"], rel=1e-10)
    grid = losses.classification_losses(scores, lambda s: losses.grid_kl_loss(s, case["label_density"]))
    found = total(grid, {"final": 0.25, "initial": 0.25, "iterates": 1.0}) + 0.0025 * boxes
    assert found.item() == pytest.approx(case["cases"]["prdimp"]["loss"].item(), rel=1e-10)
    parts = losses.classification_losses(scores, hinge(case["label"]))
    found = total(parts, {"final": 100, "initial": 100, "iterates": 400}) + 0.01 * boxes
    assert found.item() == pytest.approx(case["cases"]["super_dimp"]["loss"].item(), rel=1e-10)


def test_densities_and_kl_equal_reference(reference):
    case = double(reference["densities"])
    same(losses.gaussian_mixture_density(case["x"], case["gmm_std"]), case["gmm_density"], 1e-8)
    same(losses.gaussian_mixture_density(case["x"], case["gauss_std"][:, None]), case["gauss_density"], 1e-7)
    case = double(reference["kl_regression"])
    value, (grad,) = gradient(
        lambda s: losses.sampled_kl_loss(s, case["sample_density"], case["gt_density"]), case["scores"]
    )
    assert value == pytest.approx(case["value"].item(), rel=1e-10)
    same(grad, case["grad"])
    found = losses.sampled_kl_loss(case["scores"], case["sample_density"], case["gt_density"], 0.1)
    assert found.item() == pytest.approx(case["eps_0_1"].item(), rel=1e-10)
    case = double(reference["kl_grid"])
    value, (grad,) = gradient(lambda s: losses.grid_kl_loss(s, case["density"]), case["scores"])
    assert value == pytest.approx(case["value"].item(), rel=1e-10)
    same(grad, case["grad"])


def test_overlap_equals_reference(reference):
    case = double(reference["iou"])
    same((losses.overlap_targets(case["reference"], case["proposals"]) + 1) / 2, case["iou"])


def test_tomp_equals_reference(reference):
    case = double(reference["giou"])
    value, (grad,) = gradient(lambda p: losses.dense_giou_loss(p, case["target"], case["region"]), case["pred"])
    assert value == pytest.approx(case["value"].item(), rel=1e-6)
    same(grad, case["grad"], 1e-6)
    nowhere = torch.zeros_like(case["region"])
    empty = losses.dense_giou_loss(case["pred"], case["target"], nowhere, faithful=True)
    assert empty.item() == pytest.approx(case["value_empty_region"].item(), rel=1e-6)
    assert losses.dense_giou_loss(case["pred"], case["target"], nowhere).item() == 0
    case = double(reference["tomp_total"])
    found = losses.dense_giou_loss(case["pred"], case["target"], case["region"])
    found = found + 100 * losses.hinge_loss(case["scores"], case["label"], 0.05)
    assert found.item() == pytest.approx(case["loss"].item(), rel=1e-6)


def test_matching_equals_reference(reference):
    case = double(reference["matching_loss"])

    def loss(log_assignment):
        return losses.matching_loss(
            log_assignment, case["gt_matches0"], case["gt_matches1"], case["gt_assignment"]
        ).mean()

    value, (grad,) = gradient(loss, case["log_assignment"])
    assert value == pytest.approx(case["value"].item(), rel=1e-10)
    same(grad, case["grad"])


def test_label_peaks_at_the_target_and_density_sums_to_one():
    box = torch.tensor([100.0, 60.0, 16.0, 32.0])
    label = losses.score_label(box, 0.05, 1, 18, 288)
    assert divmod(int(label.argmax()), 18) == (4, 6)
    even = losses.score_label(box, 0.05, 4, 18, 288, density=True)
    assert even.shape == (19, 19) and even.sum().item() == pytest.approx(1, abs=1e-4)


def test_perfect_predictions_cost_nothing():
    label = torch.rand(2, 3, 5, 5)
    background = label < 0.5
    perfect = torch.where(background, -torch.rand_like(label), label)
    assert losses.hinge_loss(perfect, label, 0.5).item() == 0
    ltrb = torch.rand(1, 1, 4, 3, 3) + 0.1
    assert losses.dense_giou_loss(ltrb, ltrb, torch.ones(1, 1, 1, 3, 3, dtype=torch.bool)).item() == pytest.approx(0)
    boxes = torch.tensor([[[2.0, 3.0, 4.0, 5.0]]])
    assert losses.overlap_targets(boxes, boxes).item() == 1
    # The divergence is least where the softmax equals the density.
    density = torch.rand(1, 1, 4, 4).flatten(2).softmax(2).view(1, 1, 4, 4)
    least = losses.grid_kl_loss(density.log(), density)
    assert all(losses.grid_kl_loss(density.log() + 0.3 * torch.randn(1, 1, 4, 4), density) >= least for _ in range(5))


def test_absent_targets_cost_nothing():
    scores, ones = torch.rand(2, 3, 8, requires_grad=True), torch.ones(2, 3, 8)
    none = losses.sampled_kl_loss(scores, ones, ones, present=torch.zeros(2, 3, dtype=torch.bool))
    none.backward()
    assert none.item() == 0 and not scores.grad.any()
