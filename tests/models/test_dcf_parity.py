"""The discriminative family equals the reference's numbers, stored beside the checkout. `-s` prints what was reached."""

import pytest
import torch

from lib.models.parts.iounet import IoUNet, refine_boxes, to_relative
from lib.models.parts.roi_pooling import precise_roi_pool


def each_tensor(tree, change):
    """Apply `change` to every tensor of nested dicts, lists and tuples."""
    if isinstance(tree, dict):
        return {key: each_tensor(value, change) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(each_tensor(value, change) for value in tree)
    return change(tree) if torch.is_tensor(tree) else tree


def double(tree):
    """The tensors of floating point as float64."""
    return each_tensor(tree, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


@pytest.fixture
def reference(shared_data):
    """Load one file of reference numbers: reference(name) -> dict."""

    def load(name):
        path = shared_data / "parity" / f"{name}.pt"
        if not path.is_file():
            pytest.skip(f"needs {path}")
        return each_tensor(torch.load(path, weights_only=True), torch.Tensor.detach)

    return load


@pytest.fixture
def same():
    """Compare with a reference value, relative to its largest magnitude if that exceeds 1; print the worst of each."""
    worst = {}

    def compare(label, found, expected, tolerance):
        expected = torch.as_tensor(expected).to(found.dtype)
        assert found.shape == expected.shape, label
        assert found.isfinite().all(), label
        error = ((found - expected).abs().max() / expected.abs().max().clamp(min=1)).item() if found.numel() else 0.0
        worst[label] = max(worst.get(label, (0.0, 0))[0], error), tolerance
        assert error <= tolerance, f"{label}: {error:.3g} > {tolerance:g}"

    yield compare
    for label, (error, tolerance) in worst.items():
        print(f"\n| {label} | {tolerance:.0e} | {error:.1e} |", end="")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_roi_pooling(reference, same, dtype):
    fixture = reference("prroi")
    small = torch.tensor(["3x3" in note or "0.3" in note for note in fixture["roi_notes"]])
    for case in fixture["cases"]:
        features = fixture["feat"].to(dtype).clone().requires_grad_()
        rois = fixture["rois"].to(dtype).clone().requires_grad_()
        boxes = torch.cat([rois[:, 1:3], rois[:, 3:] - rois[:, 1:3]], dim=1)
        every = precise_roi_pool(features, boxes[None].expand(2, -1, -1), case["pooled"], 1 / case["spatial_scale"])
        out = every[rois[:, 0].long(), torch.arange(len(rois))]
        (out * case["grad_out"].to(dtype)).sum().backward()
        name = f"RoI pooling {str(dtype)[-7:]}"
        loose, tight = (1e-4, 1e-5) if dtype == torch.float32 else (1e-10, 1e-10)
        same(name, out.detach()[~small], case["out"][~small], tight)
        same(f"{name}, 3 and 0.3 px", out.detach()[small], case["out"][small], loose)
        same(f"{name}, gradient of features", features.grad, case["grad_feat"], loose)
        same(f"{name}, gradient of boxes", rois.grad[~small], case["grad_rois"][~small], tight)
        same(f"{name}, gradient of boxes, 3 and 0.3 px", rois.grad[small], case["grad_rois"][small], 30 * loose)


@pytest.fixture
def iou_case(reference):
    fixture = reference("iounet")
    network = IoUNet((8, 12), (16, 16), (16, 16)).eval()
    network.load_state_dict({key: value.float() if value.is_floating_point() else value
                             for key, value in fixture["net"].items()})  # fmt: skip
    return fixture, network


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_iounet(iou_case, same, dtype):
    fixture, network = iou_case
    network.to(dtype)
    inputs = {key: value.to(dtype) for key, value in fixture["inputs"].items()}
    expected, name = fixture["forward"], f"IoU-Net {str(dtype)[-7:]}"
    exact = 1e-10 if dtype == torch.float64 else 1e-5
    modulation = network.modulation((inputs["ref2"], inputs["ref3"]), inputs["bb"])
    features = network.features((inputs["test2"], inputs["test3"]))
    for index, label in enumerate(("3", "4")):
        same(f"{name}, modulation", modulation[index], expected[f"modulation{label}"], exact)
        same(f"{name}, features", features[index], expected[f"iou_feat{label}"], 1e-5)
    boxes = inputs["proposals"].clone().requires_grad_()
    predicted = network.predict(modulation, features, boxes)
    predicted.sum().backward()
    same(f"{name}, prediction", predicted.detach(), expected["iou"], exact)
    same(f"{name}, gradient", boxes.grad, expected["grad_proposals"], exact if dtype == torch.float64 else 2e-4)


def test_box_refinement(iou_case, same):
    fixture, network = iou_case
    network.double()
    inputs = double(fixture["inputs"])
    with torch.no_grad():
        modulation = network.modulation((inputs["ref2"][:1], inputs["ref3"][:1]), inputs["bb"][:1])
        features = network.features((inputs["test2"][:1], inputs["test3"][:1]))
    for name, run in fixture["refine"].items():
        for steps in range(1, run["iterations"] + 1):
            boxes, quality = refine_boxes(network, modulation, features, run["init_boxes"][None], run["space"], steps,
                                          run["step_length"], run["decay"])  # fmt: skip
            last = steps == run["iterations"]
            expected = run["out_boxes"] if last else run["boxes_before_each_step"][steps]
            same(f"box refinement, {name}", boxes[0], expected, 1e-8)
            same(f"box refinement, {name}", quality[0], run["iou_before_each_step"][steps - 1], 1e-8)
    parts = double(fixture["parametrisation"])
    same("relative coordinates", to_relative(parts["boxes"], parts["sz_norm"]), parts["rel"], 1e-6)
