"""Parts of the discriminative trackers: exact properties that need no reference numbers."""

import pytest
import torch
from torch.autograd import gradcheck

from lib.models.dimp.model import Classifier
from lib.models.keep_track.model import Matcher
from lib.models.parts.filters import FilterInitialiser, InstanceL2Norm, apply_filter, apply_filter_transposed
from lib.models.parts.iounet import IoUNet, from_relative, refine_boxes, to_relative
from lib.models.parts.matching import find_candidates, log_optimal_transport, mutual_matches
from lib.models.parts.optimisers import DiMPOptimiser, HingeOptimiser, PrDiMPOptimiser, distance_bins
from lib.models.parts.resnet import ResNet, drop_unused
from lib.models.parts.roi_pooling import precise_roi_pool
from lib.models.tomp.model import ToMPHead, box_at, clip_box, ltrb_map


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def bilinear(features, x, y):
    """The surface through the cells (C, H, W) at points (P,), zero beyond them."""
    rows, columns = torch.arange(features.shape[1]), torch.arange(features.shape[2])
    down = (1 - (y[:, None] - rows).abs()).clamp(min=0)
    across = (1 - (x[:, None] - columns).abs()).clamp(min=0)
    return torch.einsum("ph,chw,pw->pc", down.double(), features, across.double())


def test_roi_pooling_is_the_mean_of_the_surface():
    features = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    boxes = torch.tensor([[1.3, 0.7, 3.1, 2.4], [-1.5, 3.2, 4.0, 5.0], [2.2, 2.6, 0.03, 0.02]], dtype=torch.float64)
    pooled = precise_roi_pool(features, 8 * boxes.expand(2, -1, -1), (2, 3), 8)
    steps = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    for image in range(2):
        for index, (x, y, width, height) in enumerate(boxes.tolist()):
            grid_y, grid_x = torch.meshgrid(y + steps * height, x + steps * width, indexing="ij")
            surface = bilinear(features[image], grid_x.flatten(), grid_y.flatten()).view(400, 400, 3)
            surface = surface[:, :399]  # Divisible by the three bins across.
            expected = surface.view(2, 200, 3, 133, 3).mean(dim=(1, 3)).permute(2, 0, 1)
            # The last of 400 columns is left out, so the bins are a quarter of a percent narrower.
            assert (pooled[image, index] - expected).abs().max() < 2e-2


def test_roi_pooling_of_a_plane_is_its_value_in_the_middle():
    columns, rows = torch.arange(12.0, dtype=torch.float64), torch.arange(10.0, dtype=torch.float64)
    plane = (2 * columns + 3 * rows[:, None] - 1)[None, None]
    boxes = torch.tensor([[[16.0, 24.0, 32.0, 8.0], [17.3, 9.9, 0.4, 51.0], [40.0, 40.0, 1e-3, 1e-3]]]).double()
    pooled = precise_roi_pool(plane, boxes, 1, 8)[0, :, 0, 0, 0]
    middle = (boxes[0, :, :2] + boxes[0, :, 2:] / 2) / 8
    assert (pooled - (2 * middle[:, 0] + 3 * middle[:, 1] - 1)).abs().max() < 1e-12
    small = precise_roi_pool(plane.float(), boxes.float(), 1, 8)[0, :, 0, 0, 0]
    assert (small - pooled).abs().max() < 1e-4  # Boxes of a thousandth of a px stay precise in float32.


def test_roi_pooling_gradients_are_exact():
    features = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor(
        [[[3.1, 2.2, 14.3, 11.9], [-4.0, 8.7, 9.1, 40.0]]] * 2, dtype=torch.float64, requires_grad=True
    )
    assert gradcheck(lambda f, b: precise_roi_pool(f, b, (2, 3), 4), (features, boxes))


def test_empty_boxes_give_nothing():
    features = torch.randn(1, 2, 5, 6, requires_grad=True)
    boxes = torch.tensor([[[4.0, 4.0, 0.0, 8.0], [8.0, 8.0, -4.0, 4.0], [500.0, 4.0, 8.0, 8.0]]], requires_grad=True)
    pooled = precise_roi_pool(features, boxes, 3, 4)
    pooled.sum().backward()
    assert not pooled.any() and not boxes.grad.any() and not features.grad.any()


def test_relative_coordinates_invert():
    boxes = torch.rand(1, 5, 4) * 50 + 1
    size = boxes[:, :1, 2:]
    assert (from_relative(to_relative(boxes, size), size) - boxes).abs().max() < 1e-4


@pytest.mark.parametrize(("space", "length"), [("default", 1e-3), ("relative", 1e-5)])
def test_refinement_raises_the_prediction(space, length):
    network = IoUNet((4, 6), (8, 8), (8, 8)).double().eval()
    with torch.no_grad():
        modulation = network.modulation((torch.randn(2, 4, 16, 16).double(), torch.randn(2, 6, 8, 8).double()),
                                        torch.tensor([[30.0, 40, 40, 50]] * 2).double())  # fmt: skip
        features = network.features((torch.randn(2, 4, 16, 16).double(), torch.randn(2, 6, 8, 8).double()))
        boxes = torch.tensor([[[20.0, 30, 40, 50], [40, 20, 60, 30]]] * 2).double()
        before = network.predict(modulation, features, boxes)
        refined, _ = refine_boxes(network, modulation, features, boxes, space, 5, length)
        assert (network.predict(modulation, features, refined) > before).all()
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("size", [(4, 4), (3, 3), (4, 3), (1, 1)])
def test_filters_and_their_transpose(size):
    features = torch.randn(2, 3, 5, 7, 9, dtype=torch.float64)
    filters = torch.randn(3, 5, *size, dtype=torch.float64)
    scores = apply_filter(features, filters)
    assert scores.shape[-2:] == (7 + (size[0] + 1) % 2, 9 + (size[1] + 1) % 2)
    weights = torch.randn_like(scores)
    back = apply_filter_transposed(features, weights, size)
    assert (weights * scores).sum().item() == pytest.approx((back * filters).sum().item())
    # A sequence has nothing to do with another one's filter.
    alone = apply_filter(features[:, 1:2], filters[1:2])
    assert torch.allclose(scores[:, 1:2], alone)


def dimp_optimiser(**changes):
    arguments = {"iterations": 3, "stride": 16, "step_length": 1.0, "weight_decay": 0.3, "min_weight_decay": 1e-3,
                 "sigma": 0.9, "bins": 20, "bin_width": 0.5, "mask_factor": 3.0}  # fmt: skip
    return DiMPOptimiser(**(arguments | changes)).double()


def samples():
    boxes = torch.tensor([[[30.0, 28.0, 40.0, 36.0]], [[50.0, 20.0, 44.0, 30.0]]], dtype=torch.float64)
    return torch.randn(2, 1, 3, 7, 8, dtype=torch.float64), boxes


def optimisers():
    prdimp = PrDiMPOptimiser(3, 16, 1.0, 0.3, 0.05, 0.9, 0.0).double()
    return {"dimp": dimp_optimiser(), "prdimp": prdimp, "hinge": HingeOptimiser(3, 0.3, 0.05, 0.1).double()}


@pytest.mark.parametrize("name", ["dimp", "prdimp", "hinge"])
def test_optimisers_lower_their_loss(name):
    features, boxes = samples()
    target = torch.rand(2, 1, 8, 9, dtype=torch.float64) if name == "hinge" else boxes
    with torch.no_grad():
        filters, losses = optimisers()[name](torch.zeros(1, 3, 4, 4).double(), features, target, iterations=12)
    assert len(filters) == len(losses) == 13
    assert losses[-1] < losses[1] < losses[0]


def test_dimp_reaches_the_dense_solution():
    """With slope 1 everywhere the problem is linear: compare with its normal equations."""
    features, boxes = samples()
    optimiser = dimp_optimiser()
    with torch.no_grad():
        optimiser.target_mask_predictor[0].weight.fill_(40)  # The sigmoid of it is 1.
        label, mask, weight = optimiser.maps(boxes, (8, 9), (4, 4))
        assert (mask == 1).all()
        found = optimiser(torch.zeros(1, 3, 4, 4).double(), features, boxes, iterations=400)[0][-1]
    matrix = torch.nn.functional.unfold(features[:, 0], 4, padding=2).transpose(1, 2).reshape(-1, 48)
    weight = weight.reshape(-1, 1) * 0.5**0.5
    rows = weight * matrix
    exact = torch.linalg.solve(rows.T @ rows + 0.09 * torch.eye(48).double(), rows.T @ (weight * label.reshape(-1, 1)))
    assert (found.flatten() - exact.flatten()).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["dimp", "prdimp", "hinge"])
def test_unrolled_optimisers_have_exact_gradients(name):
    """By finite differences, through three steps, for every learned parameter and for the features."""
    features, boxes = samples()
    optimiser = optimisers()[name]
    target = torch.rand(2, 1, 8, 9, dtype=torch.float64) if name == "hinge" else boxes
    start, cotangent = torch.randn(1, 3, 4, 4).double() / 10, torch.randn(1, 3, 4, 4).double()

    def result():
        return (optimiser(start, features, target)[0][-1] * cotangent).sum()

    tensors = [*optimiser.parameters(), features.requires_grad_()]
    gradients = torch.autograd.grad(result(), tensors)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        direction = torch.randn_like(tensor)
        with torch.no_grad():
            tensor += 1e-6 * direction
            up = result()
            tensor -= 2e-6 * direction
            down = result()
            tensor += 1e-6 * direction
        along = (gradient * direction).sum().item()
        assert ((up - down) / 2e-6).item() == pytest.approx(along, rel=1e-4, abs=1e-7)


def test_samples_of_weight_zero_do_not_count():
    features, boxes = samples()
    for name in ("dimp", "prdimp"):
        with torch.no_grad():
            optimiser, start = optimisers()[name], torch.randn(1, 3, 4, 4).double()
            both = optimiser(start, features, boxes, torch.tensor([1.0, 0.0]).double())[0][-1]
            one = optimiser(start, features[:1], boxes[:1], torch.tensor([1.0]).double())[0][-1]
        assert torch.allclose(both, one)


def test_distance_bins_share_each_cell():
    bins = distance_bins(torch.tensor([[2.3, 4.1], [-3.0, 20.0]]), (7, 9), 10, 0.5)
    assert torch.allclose(bins.sum(1), torch.ones(2, 7, 9)) and bins.min() >= 0
    centre = torch.tensor([[2.0, 4.0]], requires_grad=True)
    distance_bins(centre, (7, 9), 10, 0.5).square().sum().backward()
    assert centre.grad.isfinite().all()


def test_learned_filter_finds_its_target():
    """A classifier learns a bright spot in one place and finds it in another."""

    def image(row, column):
        spot = torch.zeros(1, 1, 4, 18, 18)
        spot[..., row - 1 : row + 2, column - 1 : column + 2] = torch.tensor([1.0, -1.0, 0.5, 2.0])[:, None, None]
        return spot + 0.05 * torch.randn_like(spot)

    optimiser = DiMPOptimiser(5, 16, 1.0, 0.1, 1e-3, 0.9, 100, 0.1, 3.0)
    network = Classifier(InstanceL2Norm(1 / 8), FilterInitialiser(4, 4, 16), optimiser)
    box = torch.tensor([[[5 * 16 - 24.0, 9 * 16 - 24.0, 48.0, 48.0]]])  # Cell i lies at px 16 i.
    with torch.no_grad():
        filters, _ = network.learn(network.features(image(9, 5)), box, iterations=20)
        scores = apply_filter(network.features(image(12, 7)), filters[-1])[0, 0]
    row, column = divmod(int(scores.argmax()), 19)
    assert (row, column) in [(12, 7), (13, 7), (12, 8), (13, 8)]


def test_resnet_is_a_part_of_torchvisions():
    import torchvision

    whole = torchvision.models.resnet18(weights=None).eval()
    part = ResNet(18).eval()
    state = {f"feature_extractor.{key}": value for key, value in whole.state_dict().items()}
    kept = {key.removeprefix("feature_extractor."): value for key, value in drop_unused(state).items()}
    part.load_state_dict(kept, strict=True)
    image = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        x = whole.maxpool(whole.relu(whole.bn1(whole.conv1(image))))
        expected = whole.layer3(whole.layer2(whole.layer1(x)))
        found = part(image)
    assert torch.equal(found["layer3"], expected)
    assert [found[name].shape[1] for name in part.channels] == list(part.channels.values())


def test_tomp_box_goes_round():
    box = [100.3, 80.9, 5.2, 3.7]
    ltrb = ltrb_map(torch.tensor(box), 18, 16, 288)
    assert box_at(ltrb, (5, 6), 16, 288) == pytest.approx(box, abs=1e-4)
    # A target of 4 px stays one where the caller allows it, and the reference's 10 px can be had.
    assert clip_box([50.0, 60.0, 4.0, 3.0], (240, 320), 1.0) == [50.0, 60.0, 4.0, 3.0]
    assert clip_box([318.0, -2.0, 8.0, 3.0], (240, 320), 1.0) == [318.0, 0.0, 2.0, 1.0]


def test_tomp_does_not_see_ignored_frames():
    head = ToMPHead(6, 16, 4, 1, 1, 32, 6).eval()
    features = torch.randn(3, 1, 16, 5, 5)
    labels, ltrb, test = torch.rand(3, 1, 5, 5), torch.rand(3, 1, 4, 5, 5), torch.randn(1, 16, 5, 5)
    with torch.no_grad():
        scores, boxes = head(features, test, labels, ltrb, box_frames=1)
        changed = features.clone()
        changed[1:] += 1
        other_scores, other_boxes = head(changed, test, labels, ltrb, box_frames=1)
    assert torch.equal(boxes, other_boxes) and not torch.equal(scores, other_scores)


def test_transport_has_the_right_masses():
    log = log_optimal_transport(torch.randn(2, 4, 6, dtype=torch.float64), 0.3, 200)
    assert torch.allclose(log.exp()[:, :-1].sum(2), torch.ones(2, 4).double(), atol=1e-6)
    assert torch.allclose(log.exp()[:, :, :-1].sum(1), torch.ones(2, 6).double(), atol=1e-6)


def test_matches_follow_the_order_of_candidates():
    matcher = Matcher(16, (8,), 4).double().eval()
    descriptors = [torch.randn(1, 16, n).double() for n in (4, 3)]
    centres = [torch.randn(1, n, 2).double() for n in (4, 3)]
    scores = [torch.rand(1, n).double() for n in (4, 3)]
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        found = matcher(descriptors, centres, scores)
        mixed = matcher((descriptors[0][..., order], descriptors[1]), (centres[0][:, order], centres[1]),
                        (scores[0][:, order], scores[1]))  # fmt: skip
    assert torch.allclose(found.log_assignment[:, [*order.tolist(), 4]], mixed.log_assignment)
    certain = torch.full((1, 3, 3), -20.0)
    certain[0, 0, 1] = certain[0, 1, 0] = -0.01
    matches = mutual_matches(certain, 0.2)
    assert matches.matches0.tolist() == [[1, 0]] and matches.matches1.tolist() == [[1, 0]]


def test_candidates_are_separate_peaks():
    scores = torch.zeros(12, 12)
    scores[3, 4], scores[3, 5], scores[9, 9], scores[0, 11] = 0.9, 0.8, 0.95, 0.04
    cells, values = find_candidates(scores, 0.05)
    assert cells.tolist() == [[9, 9], [3, 4]] and values.tolist() == pytest.approx([0.95, 0.9])
