"""The discriminative family equals the reference's numbers, stored beside the checkout; `-s` prints how closely."""

import pytest
import torch
from torchvision.models.resnet import BasicBlock, Bottleneck

from lib.models.atom import atom
from lib.models.dimp import Classifier, dimp, prdimp, super_dimp, super_dimp_simple
from lib.models.keep_track import Matcher, keep_track
from lib.models.keep_track.model import DescriptorExtractor, candidate_centres, normalise_centres
from lib.models.parts.filters import FilterInitialiser, InstanceL2Norm, apply_filter, apply_filter_transposed
from lib.models.parts.iounet import IoUNet, refine_boxes, to_relative
from lib.models.parts.matching import find_candidates, log_optimal_transport
from lib.models.parts.optimisers import DiMPOptimiser, HingeOptimiser, PrDiMPOptimiser, distance_bins
from lib.models.parts.resnet import drop_unused
from lib.models.parts.roi_pooling import precise_roi_pool
from lib.models.tomp import ToMPHead, box_at, clip_box, ltrb_map, released_state, tomp
from lib.models.tomp.model import position_encoding
from tests.recipe_weights import recipe, recipe_weights


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
        expected = torch.as_tensor(expected, dtype=found.dtype)
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


def test_filters(reference, same):
    for case in reference("dimp_classifier")["apply_filter"].values():
        case = double(case)
        plain = case["filter"].dim() == 4 and "per_sequence_product" not in case
        if "per_sequence_product" in case:
            # The reference mixes the sequences here. This is the product of each sequence with its own filter.
            case["scores"] = case["per_sequence_product"]
        if case["filter"].dim() == 4:
            same("filters", apply_filter(case["feat"], case["filter"]), case["scores"], 1e-12)
        if plain:
            back = apply_filter_transposed(case["feat"], case["cotangent"], case["filter"].shape[-2:])
            same("filters, transposed", back, case["transpose_training"], 1e-12)


def dimp_optimiser(constructor):
    return DiMPOptimiser(
        constructor["num_iter"], constructor["feat_stride"], constructor["init_step_length"],
        constructor["init_filter_reg"], constructor.get("min_filter_reg", 1e-3), constructor["init_gauss_sigma"],
        constructor["num_dist_bins"], constructor["bin_displacement"], constructor["mask_init_factor"],
        constructor["mask_act"], constructor.get("act_param") if constructor["score_act"] == "bentpar" else None,
        constructor.get("alpha_eps", 0.0),
    )  # fmt: skip


def prdimp_optimiser(constructor):
    return PrDiMPOptimiser(
        constructor["num_iter"], constructor["feat_stride"], constructor["init_step_length"],
        constructor["init_filter_reg"], constructor["min_filter_reg"], constructor["gauss_sigma"],
        constructor["alpha_eps"], constructor["normalize_label"], constructor.get("softmax_reg"),
        constructor.get("label_threshold", 0.0), constructor.get("label_shrink", 0.0),
        constructor.get("init_uni_weight", 0.0),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_optimisers(reference, same, dtype):
    fixture = reference("dimp_classifier")
    kind = str(dtype)[-7:]
    exact = 1e-12 if dtype == torch.float64 else 1e-4

    def inputs(name, factor=1):
        given = {key: value.to(dtype) for key, value in fixture["optimiser_input"].items()}
        given["feat"] = given["feat"] * factor
        if name == "online_4d" or name.endswith("online_4d"):
            given = {key: value[:1] if key == "weights" else value[:, :1] for key, value in given.items()}
        weights = given["sample_weight"] if "sample_weight" in name or "online" in name else None
        return given["weights"], given["feat"], given["bb"], weights

    for name, case in fixture["optimiser_variants"].items():
        optimiser = dimp_optimiser(case["constructor"])
        for key, value in optimiser.state_dict().items():
            same("DiMP optimiser, start of parameters", value, case["net"][key], 1e-6)
        optimiser.load_state_dict(case["net"])
        found = optimiser.to(dtype)(*inputs(name), iterations=case["forward"].get("num_iter"))
        same(f"DiMP optimiser {kind}, filters", torch.stack(found[0]).detach(), case["filters"], exact)
        same(f"DiMP optimiser {kind}, losses", torch.stack(found[1]).flatten().detach(), case["losses"], exact)
    for name, case in fixture["prdimp_variants"].items():
        optimiser = prdimp_optimiser(case["constructor"])
        optimiser.load_state_dict(case["net"])
        given = inputs(name, case["feat_factor"])
        if name == "from_zero_filter":
            given = torch.zeros_like(given[0]), *given[1:]
        found = optimiser.to(dtype)(*given, iterations=case["forward"].get("num_iter"))
        # The reference makes the weight 1 / images in float32.
        loose = max(exact, 1e-8)
        label = optimiser.label(given[2], (12, 14), (4, 4))
        same(f"PrDiMP optimiser {kind}, label", label, case["label_density"], loose)
        same(f"PrDiMP optimiser {kind}, filters", torch.stack(found[0]).detach(), case["filters"], loose)
        same(f"PrDiMP optimiser {kind}, losses", torch.stack(found[1]).flatten().detach(), case["losses"], 10 * loose)
    for name, case in fixture["simple_variants"].items():
        arguments = case["residual"]
        optimiser = HingeOptimiser(5, case["init_filter_reg"], arguments["hinge_threshold"],
                                   arguments["activation_leak"], arguments.get("act_param"))  # fmt: skip
        optimiser.load_state_dict(case["net"])
        filters, features, _, weights = inputs(name)
        found = optimiser.to(dtype)(filters, features, fixture["simple_label"].to(dtype), weights)
        # The reference has its leak of .1 in float32, and divides the loss by the number of residuals.
        loose = max(exact, 1e-6)
        losses = torch.stack(found[1]).flatten().detach() * len(filters) / (fixture["simple_label"].numel() + 512)
        same(f"hinge optimiser {kind}, filters", torch.stack(found[0]).detach(), case["filters"], loose)
        same(f"hinge optimiser {kind}, losses", losses, case["losses"], loose)
    for case in double(fixture["distance_map"]):
        bins = distance_bins(case["center_yx"], case["output_sz"], case["num_bins"], case["displacement"])
        same("distance bins, sum", bins.sum(1), case["sum_over_bins"], 1e-12)
        label = (bins * torch.arange(case["num_bins"])[:, None, None]).sum(1)
        same("distance bins", label, case["label"], 1e-12)


def small_classifier(case, inputs, optimiser):
    """The classifier of a fixture with 16 channels."""
    blocks = []
    if any(key.startswith("feature_extractor.0.conv1") for key in case["net"]):
        bottleneck = any(key.startswith("feature_extractor.0.conv3") for key in case["net"])
        blocks = [Bottleneck(inputs, inputs // 4) if bottleneck else BasicBlock(inputs, inputs)]
    head = torch.nn.Sequential(*blocks, torch.nn.Conv2d(inputs, 16, 3, padding=1, bias=False), InstanceL2Norm(1 / 16))
    initialiser = FilterInitialiser(16, 4, 16, normalise=case.get("filter_norm", False))
    network = Classifier(head, initialiser, optimiser).eval()
    network.load_state_dict(case["net"])
    return network


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_classifiers(reference, same, dtype):
    fixture, kind = reference("dimp_classifier"), str(dtype)[-7:]
    exact = 1e-10 if dtype == torch.float64 else 1e-4
    dimps = [name for name in fixture if name.startswith("r")]
    for name in [*dimps, "prdimp", "simple"]:
        case = fixture[name]
        if name == "prdimp":
            optimiser = prdimp_optimiser(case["constructor"])
        elif name == "simple":
            optimiser = HingeOptimiser(5, 0.1, 0.05, 0.1)
        else:
            optimiser = dimp_optimiser(fixture["dimp_constructor"])
        given = {key: value.to(dtype) for key, value in fixture[case["input"]].items()}
        network = small_classifier(case, given["train_backbone_feat"].shape[2], optimiser).to(dtype)
        boxes = case["train_bb"].to(dtype)
        train = network.features(given["train_backbone_feat"])
        test = network.features(given["test_backbone_feat"])
        target = case["train_label"].to(dtype) if name == "simple" else None
        filters, losses = network.learn(train, boxes, target)
        scores = torch.stack([apply_filter(test, iterate) for iterate in filters])
        loose = exact if name in dimps else max(exact, 1e-6)
        same(f"classifiers {kind}, features", train.detach(), case["train_clf_feat"], 1e-6)
        same(f"classifiers {kind}, first filter", filters[0].detach(), case["init_filter"], exact)
        same(f"classifiers {kind}, filters", torch.stack(filters).detach(), case["filters"], loose)
        same(f"classifiers {kind}, scores", scores.detach(), case["test_scores"], loose)
        if name in dimps:
            same(f"classifiers {kind}, losses", torch.stack(losses).flatten().detach(), case["losses"], loose)
            for found, key in zip(optimiser.maps(boxes, (12, 14), (4, 4)),
                                  ("label_map", "target_mask", "spatial_weight"), strict=True):  # fmt: skip
                same(f"classifiers {kind}, maps", found.detach(), case[key], exact)


def check_layer(same, name, found, expected):
    """Compare features (1 or N, C, H, W) with what the fixture keeps of them."""
    same(name, found[:, :3].detach(), expected["first_channels"], 1e-6)
    same(name, found.abs().mean().detach(), expected["abs_mean"], 1e-10)


@pytest.mark.parametrize(
    "name", ["dimp18", "dimp50", "super_dimp", "super_dimp_simple", "prdimp18", "prdimp50", "atom_resnet18"]
)
def test_networks(reference, shared_data, same, name):
    fixture = reference("networks")[name]
    build = {"dimp18": lambda: dimp(18), "dimp50": lambda: dimp(50), "super_dimp": super_dimp, "atom_resnet18": atom,
             "super_dimp_simple": super_dimp_simple, "prdimp18": lambda: prdimp(18),
             "prdimp50": lambda: prdimp(50)}[name]  # fmt: skip
    network = build().eval()
    listing = shared_data / "parity" / f"keys_{name}.txt"
    network.load_state_dict(drop_unused(recipe_weights(listing, fixture["explicit"], fixture["seed"])), strict=True)
    network.double()
    inputs = fixture["inputs"]
    ending, shape = ("_atom", (1, 2)) if name == "atom_resnet18" else ("", (2, 1))
    train = recipe("train_imgs" + ending, (*shape, 3, 128, 160)).double()
    test = recipe("test_imgs" + ending, (1, shape[1], 3, 128, 160)).double()
    boxes, proposals = inputs["train_bb"].double(), inputs["test_proposals"].double()
    with torch.no_grad():
        layers = network.backbone(test)
        for layer in ("layer2", "layer3"):
            check_layer(same, f"{name}, {layer}", layers[layer][0], fixture["outputs"][layer])
        if name == "atom_resnet18":
            rated = network(train, test, boxes, proposals)
        else:
            features = network.classifier.features(layers["layer3"])
            check_layer(same, f"{name}, features", features[0], fixture["outputs"]["clf_feat"])
            label = inputs["train_label"].double() if "train_label" in inputs else None
            scores, rated = network(train, test, boxes, proposals, label)
            same(f"{name}, scores", torch.stack(scores), fixture["outputs"]["test_scores"], 1e-6)
    same(f"{name}, rating of boxes", rated, fixture["outputs"]["iou_pred"], 1e-10)


def test_tomp_head(reference, same):
    fixture = reference("tomp")
    for name in ("train_7x9_two_sequences", "train_no_test_encoding", "train_10x10", "track_1gt_2mem", "track_1gt",
                 "track_2gt_1mem"):  # fmt: skip
        case = fixture[name]
        state = {key: value for key, value in fixture[case["net"]].items() if "query_embed_fg_decoder" not in key}
        head = ToMPHead(24, 32, 4, 2, 2, 64, 18, mark_test="no_test" not in name and "without" not in case["net"])
        head.load_state_dict(state, strict=True)
        head.double().eval()
        inputs, expected = double(case["inputs"]), case["outputs"]
        labels = inputs["train_label"]
        frames, sequences = labels.shape[:2]
        with torch.no_grad():
            train = head.feature_extractor(inputs["train_backbone"]).unflatten(0, (frames, sequences))
            test = head.feature_extractor(inputs["test_backbone"])
            scores, ltrb = head(train, test, labels, inputs["train_ltrb"], case.get("num_gth_frames"))
        same("ToMP head, features", train.flatten(0, 1), expected["train_feat"].reshape(-1, *train.shape[2:]), 1e-6)
        # The reference's position encoding is float32.
        same("ToMP head, scores", scores, expected["scores"][0], 1e-5)
        same("ToMP head, boxes", ltrb, expected["ltrb"][0], 1e-5)
    for case in fixture["position_encoding"].values():
        found = position_encoding(case["d"], *case["hw"], case["feature_sz"])
        same("ToMP position encoding", found[:, 0], case["row0"], 1e-4)
        same("ToMP position encoding", found[:, :, -1], case["column_last"], 1e-4)
    maps = fixture["encodings"]
    same("ToMP box map", ltrb_map(maps["boxes_xywh_crop_px"], 18, 16, 288), maps["ltrb"], 1e-6)
    decoding = fixture["decoding"]
    for case in decoding["cases"]:
        top, left, bottom, _ = case["sample_coords_y0x0y1x1"][0].tolist()
        scale = (bottom - top) / 288
        x, y, width, height = box_at(decoding["bbox_preds"][0, 0], case["score_loc_yx"], 16, 288)
        box = [left + x * scale, top + y * scale, width * scale, height * scale]
        same("ToMP box", torch.tensor(box), case["box_xywh"], 1e-5)
    for case in decoding["clip"]:
        same("ToMP clip", torch.tensor(clip_box(case["box"], decoding["clip_image_hw"], 10)), case["clipped"], 1e-6)


@pytest.mark.parametrize("depth", [50, 101])
def test_tomp_networks(reference, shared_data, same, depth):
    fixture = reference("networks")[f"tomp{depth}"]
    network = tomp(depth).eval()
    listing = shared_data / "parity" / f"keys_tomp{depth}.txt"
    network.load_state_dict(released_state(recipe_weights(listing, fixture["explicit"], fixture["seed"])), strict=True)
    network.double()
    train = recipe("train_imgs_tomp", (2, 1, 3, 160, 160)).double()
    test = recipe("test_imgs_tomp", (1, 1, 3, 160, 160))[0].double()
    inputs, expected = double(fixture["inputs"]), fixture["outputs"]
    with torch.no_grad():
        scores, ltrb = network(train, test, inputs["train_label"], inputs["train_ltrb_target"])
        same(f"tomp{depth}, scores", scores, expected["test_scores"][0], 1e-6)
        same(f"tomp{depth}, boxes", ltrb, expected["bbox_preds"][0], 1e-6)
        scores, ltrb = network(train, test, inputs["train_label"], inputs["train_ltrb_target"], 1)
        same(f"tomp{depth}, scores in tracking", scores, expected["tracking_scores"][0], 1e-6)
        same(f"tomp{depth}, boxes in tracking", ltrb, expected["tracking_bbox_preds"][0], 1e-6)


def test_keep_track(reference, same):
    fixture = reference("keep_track")
    for case in fixture["peaks"]:
        cells, scores = find_candidates(case["score_map"], case["threshold"], case["kernel"])
        assert cells.tolist() == case["coords_yx"].tolist(), case["name"]
        assert torch.equal(scores, case["scores"])
    case = fixture["candidates"]
    extractor = DescriptorExtractor(24, 32)
    extractor.load_state_dict(case["net"])
    found = extractor.double()(case["backbone_feat"].double(), case["tsm_coords_yx"][None])
    same("KeepTrack, descriptors", found.detach(), case["descriptors"], 1e-10)
    centres = candidate_centres(case["tsm_coords_yx"], case["search_area_box_xywh"].tolist(), 23)
    same("KeepTrack, centres of candidates", centres, case["img_coords_yx"], 1e-6)
    for name in ("tracking_image_size_tuple", "training_image_size_tensor", "one_to_one", "sinkhorn_50"):
        case = fixture["matching"][name]
        iterations = case["config"].get("num_sinkhorn_iterations", 10)
        matcher = Matcher(32, (8, 16, 32), 4, iterations).eval()
        matcher.load_state_dict(fixture["matching_net"])
        inputs, expected = double(case["inputs"]), case["outputs"]
        centres = [normalise_centres(inputs[f"img_coords{i}"], (240, 320), swapped="training" not in name)
                   for i in (0, 1)]  # fmt: skip
        same("KeepTrack, normalised centres", centres[0], expected["normalised_coords"][0], 1e-6)
        with torch.no_grad():
            found = matcher.double()(
                [inputs["descriptors0"], inputs["descriptors1"]], centres, [inputs["scores0"], inputs["scores1"]]
            )
        same("KeepTrack, log assignment", found.log_assignment, expected["log_assignment"], 1e-10)
        assert torch.equal(found.matches0, expected["matches0"]) and torch.equal(found.matches1, expected["matches1"])
        same("KeepTrack, match probabilities", found.scores0, expected["match_scores0"], 1e-10)
        same("KeepTrack, match probabilities", found.scores1, expected["match_scores1"], 1e-10)
    for case in double(fixture["optimal_transport"]):
        found = log_optimal_transport(case["scores"], case["alpha"], case["iterations"])
        same("KeepTrack, optimal transport", found, case["log_assignment"], 1e-10)


def test_keep_track_network(reference, shared_data, same):
    fixture = reference("networks")["keep_track"]
    network = keep_track().eval()
    listing = shared_data / "parity" / "keys_keep_track.txt"
    network.load_state_dict(drop_unused(recipe_weights(listing, fixture["explicit"], fixture["seed"])), strict=True)
    network.double()
    inputs, expected = fixture["inputs"], fixture["outputs"]
    images = [recipe(f"kt{i}", (1, 3, 128, 128)).double() for i in (0, 1)]
    centres = [normalise_centres(inputs[f"candidate_img_coords{i}"][0].double(), (240, 320)) for i in (0, 1)]
    cells = [inputs[f"candidate_tsm_coords{i}"][0] for i in (0, 1)]
    with torch.no_grad():
        found = network(images, cells, centres, [inputs[f"candidate_scores{i}"][0].double() for i in (0, 1)])
        same("keep_track, descriptors", network.describe(images[0], cells[0]), expected["descriptors0"], 1e-10)
    same("keep_track, log assignment", found.log_assignment, expected["log_assignment"], 1e-6)
    assert torch.equal(found.matches0, expected["matches0"]) and torch.equal(found.matches1, expected["matches1"])
