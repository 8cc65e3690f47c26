"""The network of STARK: equal to reference numbers, and exact in what padding, templates and keys mean."""

import argparse
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from lib.errors import UserError
from lib.models.parts.corner_head import CornerHead, attended_map, mean_position
from lib.models.parts.positions import sine_positions
from lib.models.parts.resnet import FrozenResNet
from lib.models.parts.transformer import Tokens
from lib.models.parts.weights import initialise_backbone, load_weights
from lib.models.stark import Stark
from tests.models.recipe import hash_tensor, hash_unit, recipe_state

SMALL = {"dim": 32, "heads": 4, "feedforward": 64, "encoder_layers": 2, "decoder_layers": 2,
         "dropout": 0.0, "head_channels": 32}  # fmt: skip
# Our own numbers, made by `python -m tests.models.write_reference`: they say whether the networks changed.
REFERENCE = json.loads((Path(__file__).parent / "corner_networks.json").read_text())


class Trunk(nn.Module):
    """A backbone of two convolutions, of stride 16."""

    def __init__(self, channels=24):
        super().__init__()
        self.channels = channels
        self.body = nn.Sequential(nn.Conv2d(3, 12, 4, 4), nn.ReLU(), nn.Conv2d(12, channels, 4, 4))

    def forward(self, images):
        return self.body(images)


def difference(first, second):
    return (first - second).abs().max().item()


def xyxy(cxcywh):
    return torch.cat([cxcywh[..., :2] - cxcywh[..., 2:] / 2, cxcywh[..., :2] + cxcywh[..., 2:] / 2], dim=-1)


def with_recipe(network):
    """The network with weights by the recipe, in evaluation mode."""
    network.load_state_dict(recipe_state("tiny", network.state_dict(), [("conv5_", 0.5)]))
    return network.eval()


def build(**options):
    return with_recipe(Stark(Trunk(), **SMALL, **options))


def crops(name, *shape, right=0):
    """Images in [0, 1] and a padding mask whose last `right` columns are true."""
    images = hash_tensor(name, shape, 0.5 / 3**0.5, 0.5)
    padding = torch.zeros(*shape[:-3], *shape[-2:], dtype=torch.bool)
    padding[..., shape[-1] - right :] = True
    return images, padding


def inputs(templates=1, batch=2):
    return *crops("z", batch, templates, 3, 32, 32), *crops("x", batch, 3, 64, 64, right=16)


def from_maps(network, state):
    """The network with weights `state`, which lack those of the backbone, in evaluation mode."""
    keys = network.load_state_dict(state, strict=False)
    assert not keys.unexpected_keys
    assert all(name.startswith(("backbone.", "window_penalty")) for name in keys.missing_keys)
    return network.eval()


def read_keys(path):
    """{name: (shape, dtype)} and the names of the parameters, of a list of a checkpoint's keys."""
    rows = [line.strip().split(" | ") for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: (shape, dtype) for name, shape, dtype, _ in rows}, {row[0] for row in rows if row[3] == "P"}


def keys_of(network):
    state = network.state_dict()
    described = {name: (str(tuple(value.shape)), str(value.dtype)[6:]) for name, value in state.items()}
    return described, {name for name, _ in network.named_parameters()}


@pytest.fixture(scope="module")
def parity(shared_data):
    def read(name):
        path = shared_data / "parity" / name
        if not path.is_file():
            pytest.skip(f"needs {path}")
        return torch.load(path, weights_only=True)

    return read


def test_the_recipe_is_exact():
    known = [-1.200893707353211, -1.497449583650583, -0.47469937775425036, -0.14758079227041726]
    assert hash_unit("abc", 4).tolist() == pytest.approx(known, abs=1e-14)


@pytest.mark.parametrize("part, names", [("s", ["z1"]), ("st", ["z1", "z2"])])
@torch.no_grad()
def test_equals_stark(parity, part, names):
    data = parity("stark_small.pt")
    reference = data[part]
    network = from_maps(Stark(Trunk(24), **SMALL, half_cell=False, classify=part == "st"), reference["net"])
    templates = [network.tokens(data[f"feat_{name}"].float(), data[f"mask_{name}"]) for name in names]
    search = network.tokens(data["feat_x"].float(), data["mask_x"])
    tokens = Tokens.concatenate([*templates, search])
    assert torch.equal(tokens.padding, reference["mask"])
    assert difference(tokens.features.transpose(0, 1), reference["feat"]) < 2e-5
    assert difference(tokens.positions.transpose(0, 1), reference["pos"]) < 2e-5
    found, memory = network.transformer(tokens, network.query_embed.weight.expand(2, 1, -1))
    assert difference(memory.features.transpose(0, 1), reference["enc_mem"]) < 2e-5
    assert difference(found[None], reference["hs"]) < 2e-5
    assert difference(attended_map(memory.features[:, -64:], found), reference["opt_feat"]) < 5e-4
    output = network.track(templates, search)
    assert difference(output.top_left, reference["score_tl"]) < 5e-4
    assert difference(output.bottom_right, reference["score_br"]) < 5e-4
    assert difference(output.boxes_xyxy, reference["boxes_xyxy"]) < 2e-6
    if part == "st":
        assert difference(output.logits, reference["pred_logits"].flatten()) < 2e-5


def test_positions_and_frozen_norm_equal_the_references(parity):
    data = parity("stark_small.pt")
    for name, case in data["sine"].items():
        channels = 256 if name.endswith("d256") else case["pos"].shape[1]  # stored: every 8th channel
        positions = sine_positions(case["mask"], channels)[:, :: channels // case["pos"].shape[1]]
        assert difference(positions, case["pos"]) < 2e-5, name
    case = data["frozen_bn"]
    norm = FrozenBatchNorm2d(5)
    norm.load_state_dict({name: case[name] for name in case["state_keys"]})
    assert torch.allclose(norm.train()(case["x"]), case["y"], rtol=1e-5, atol=1e-6)
    assert not list(norm.parameters())


@torch.no_grad()
def test_full_size_equals_stark(parity):
    data = parity("stark_resnet50_recipe.pt")
    network = Stark(FrozenResNet("resnet50"), half_cell=False, classify=True).eval()
    network.load_state_dict(recipe_state(data["tag"], network.state_dict(), data["mult"]))
    for name, start in data["probe_weights"].items():
        assert torch.equal(network.state_dict()[name].flatten()[: len(start)], start)
    image = hash_tensor("stark50/input/x", (1, 3, 320, 320))
    padding = torch.zeros(1, 320, 320, dtype=torch.bool)
    padding[:, 260:] = padding[:, :, :33] = True
    features = network.backbone[0](image)
    assert difference(features[:, ::16], data["feat_x_every16"]) < 2e-4
    first, second = (network.backbone[0](hash_tensor(f"stark50/input/z{i}", (1, 3, 128, 128))) for i in (1, 2))
    assert difference(first[:, ::16], data["feat_z1_every16"]) < 2e-4
    empty = torch.zeros(1, 128, 128, dtype=torch.bool)
    search = network.tokens(features, padding)
    for part, seen in (("s", [first]), ("st", [first, second])):  # S50 is ST50 with one template and without a score
        reference, templates = data[part], [network.tokens(each, empty) for each in seen]
        found, memory = network.transformer(Tokens.concatenate([*templates, search]), network.query_embed.weight[None])
        assert torch.equal(memory.padding, reference["mask"])
        assert difference(memory.features.transpose(0, 1)[..., ::4], reference["enc_mem_every4"]) < 2e-4
        assert difference(found[None], reference["hs"]) < 2e-4
        output = network.track(templates, search)
        assert difference(output.boxes_xyxy, xyxy(reference["pred_boxes"][:, 0])) < 1e-4
        assert difference(output.top_left, reference["score_tl"]) < 2e-3
        assert difference(output.bottom_right, reference["score_br"]) < 2e-3
    assert difference(output.logits, reference["pred_logits"].flatten()) < 2e-4


@pytest.mark.parametrize("file, classify", [("keys_starks50.txt", False), ("keys_starkst50.txt", True)])
def test_keys_are_those_of_the_released_checkpoints(shared_data, file, classify):
    path = shared_data / "parity" / file
    if not path.is_file():
        pytest.skip(f"needs {path}")
    with torch.device("meta"):
        assert keys_of(Stark(FrozenResNet("resnet50"), classify=classify)) == read_keys(path)


@torch.no_grad()
def test_equals_our_own_reference():
    output = build(classify=True)(*inputs(templates=2))
    reference = REFERENCE["stark"]
    assert difference(output.boxes_xyxy, torch.tensor(reference["boxes_xyxy"])) < 1e-5
    assert difference(output.logits, torch.tensor(reference["logits"])) < 1e-4
    assert difference(output.top_left[:, 0], torch.tensor(reference["top_left"])) < 1e-3


@torch.no_grad()
def test_padding_is_never_attended_to():
    network = build()
    templates, template_padding, search, padding = inputs()
    tokens = Tokens.concatenate(
        [network.encode(templates[:, 0], template_padding[:, 0]), network.encode(search, padding)]
    )
    assert tokens.padding.sum() == 2 * 4, "one column of the search crop"
    query = network.query_embed.weight.expand(2, 1, -1)
    found, memory = network.transformer(tokens, query)
    noise = torch.where(tokens.padding[..., None], 100.0, 0.0)
    other_found, other = network.transformer(tokens._replace(features=tokens.features + noise), query)
    assert torch.equal(found, other_found)
    assert torch.equal(memory.features[~tokens.padding], other.features[~tokens.padding])


@torch.no_grad()
def test_templates_are_a_set_and_a_batch_is_its_samples():
    network = build(classify=True)
    templates, template_padding, search, padding = inputs(templates=2)
    output = network(templates, template_padding, search, padding)
    swapped = network(templates.flip(1), template_padding.flip(1), search, padding)
    assert difference(output.boxes_xyxy, swapped.boxes_xyxy) < 1e-5
    assert difference(output.logits, swapped.logits) < 1e-5
    singles = [network(*(part[[i]] for part in (templates, template_padding, search, padding))) for i in range(2)]
    assert difference(output.boxes_xyxy, torch.cat([single.boxes_xyxy for single in singles])) < 1e-5
    changed = templates.clone()
    changed[:, 1] = 1 - changed[:, 1]
    assert difference(output.boxes_xyxy, network(changed, template_padding, search, padding).boxes_xyxy) > 1e-5


@torch.no_grad()
def test_integer_and_real_images_are_the_same():
    network = build()
    templates, template_padding, search, padding = inputs()
    images = [(each * 255).round().to(torch.uint8) for each in (templates, search)]
    whole = network(images[0], template_padding, images[1], padding)
    real = network(images[0] / 255, template_padding, images[1] / 255, padding)
    assert difference(whole.boxes_xyxy, real.boxes_xyxy) < 1e-6


def test_a_corner_is_the_middle_of_its_cell():
    scores = torch.full((3, 1, 4, 5), -1e4)
    cells = [(0, 0), (2, 3), (3, 4)]
    for sample, (row, column) in enumerate(cells):
        scores[sample, 0, row, column] = 0
    middle, corner = (mean_position(scores, shift) for shift in (0.5, 0.0))
    assert torch.allclose(middle, torch.tensor([[(column + 0.5) / 5, (row + 0.5) / 4] for row, column in cells]))
    assert torch.allclose(corner, torch.tensor([[column / 5, row / 4] for row, column in cells]))
    flat = mean_position(torch.zeros(1, 1, 4, 5), 0.5)
    assert torch.allclose(flat, torch.full((1, 2), 0.5)), "a map that says nothing says the middle"
    plain, shifted = CornerHead(8, 16, half_cell=False), CornerHead(8, 16, half_cell=True)
    shifted.load_state_dict(plain.state_dict())
    features = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    apart = shifted.eval()(features).boxes_xyxy - plain.eval()(features).boxes_xyxy
    assert torch.allclose(apart, torch.full_like(apart, 0.5 / 4), atol=1e-6)


def test_sine_positions_need_a_multiple_of_four_channels():
    with pytest.raises(ValueError, match="multiple of 4"):
        sine_positions(torch.zeros(1, 2, 2, dtype=torch.bool), 6)


def test_gradients_reach_every_part():
    network = build(classify=True).train()
    output = network(*inputs())
    (output.boxes_xyxy.sum() + output.logits.sum()).backward()
    layers = ("encoder.layers.0.linear1", "decoder.layers.0.multihead_attn.out_proj")
    parts = ("backbone.0.body.0", "bottleneck", "query_embed", "cls_head.layers.0")
    for part in (*parts, *(f"transformer.{layer}" for layer in layers)):
        assert network.get_parameter(f"{part}.weight").grad.abs().sum() > 0, part


def test_what_of_the_trunk_learns():
    trunk = FrozenResNet("resnet18").train()
    before = {name: value.clone() for name, value in trunk.named_buffers()}
    trunk(torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in trunk.named_buffers())
    for name, parameter in trunk.named_parameters():
        frozen = name.startswith(("body.conv1", "body.layer1"))
        assert parameter.requires_grad != frozen and (parameter.grad is None) == frozen, name


def test_checkpoints_of_the_release_load_and_are_accounted_for(tmp_path):
    """They pickle objects of their own packages beside the weights."""
    first, second = build(), build(classify=True)
    path = tmp_path / "STARKS_ep0500.pth.tar"
    content = {"epoch": 500, "net_type": "STARKS", "net": first.state_dict(), "settings": argparse.Namespace(a=1)}
    torch.save(content, path)
    fresh = Stark(Trunk(), **SMALL)
    report = load_weights(fresh, path)
    assert report.complete and len(report.matched) == len(first.state_dict())
    assert torch.equal(fresh.bottleneck.weight, first.bottleneck.weight)
    with pytest.raises(UserError, match=r"6 missing \(cls_head.layers.0.weight"):
        load_weights(second, path)
    assert load_weights(second, path, optional=("cls_head.",)).complete, "the second stage starts from the first"
    torch.save({"net": second.state_dict()}, path)
    with pytest.raises(UserError, match=r"6 unexpected \(cls_head.layers.0.weight"):
        load_weights(fresh, path)


def test_the_trunk_starts_from_image_weights(tmp_path):
    import torchvision

    whole = torchvision.models.resnet18(weights=None)
    path = tmp_path / "resnet18.pth"
    torch.save(whole.state_dict(), path)
    trunk = FrozenResNet("resnet18")
    assert initialise_backbone(Stark(trunk, **SMALL), path).complete
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        whole.eval()
        expected = image
        for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
            expected = getattr(whole, part)(expected)
        assert difference(trunk(image), expected) < 1e-5
    with pytest.raises(UserError, match="do not fit"):
        initialise_backbone(Stark(FrozenResNet("resnet50"), **SMALL), path)
    with pytest.raises(ValueError, match="resnet50"):
        FrozenResNet("resnet")


@torch.no_grad()
def test_a_sample_of_padding_alone_is_finite():
    network = build()
    templates, template_padding, search, padding = inputs()
    whole = network(templates, torch.ones_like(template_padding), search, torch.ones_like(padding))
    assert whole.boxes_xyxy.isfinite().all()
