"""The compact network: the contracts of the ViT, and limits on what `lunar tiny`, one on a trunk, may cost."""

import pytest
import torch

from lib import config
from lib.errors import UserError
from lib.export.profile import count
from lib.models.lunar import TemplateState, boxes_at
from lib.models.lunar.build import build_network
from lib.models.lunar.stages import stages
from lib.train import losses
from tests.networks import make_lunar


def build(**options):
    torch.manual_seed(0)
    plain = {"template_size": 64, "search_size": 128, "head_channels": 32}
    return make_lunar(kind="compact", **(plain | options)).eval()


def inputs(model, batch=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    T, Z, S = model.num_templates, model.template_size, model.search_size
    templates = torch.rand(batch, T, 3, Z, Z, generator=generator)
    masks = torch.rand(batch, T, (Z // 8) ** 2, generator=generator)
    return templates, masks, torch.rand(batch, 3, S, S, generator=generator)


def difference(first, second):
    return max((a - b).abs().max().item() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("options", [{}, {"num_templates": 3, "position": "separate"}, {"token_types": False}])
@torch.no_grad()
def test_the_cache_is_exact(options):
    model = build(**options)
    templates, masks, search = inputs(model)
    state = model.encode_template(templates, masks)
    first = model.track(state, search)
    assert difference(first, model.track(state, search)) == 0, "a state can be used again"
    assert difference(first, model(templates, masks, search)) == 0


@torch.no_grad()
def test_samples_of_a_batch_are_independent():
    model = build(num_templates=2)
    templates, masks, search = inputs(model)
    together = model(templates, masks, search)
    states = [model.encode_template(templates[i : i + 1], masks[i : i + 1]) for i in range(2)]
    assert difference([m[1:] for m in together], model.track(states[1], search[1:])) < 1e-5
    assert difference(together, model.track(TemplateState.join(states), search)) < 1e-5


@torch.no_grad()
def test_templates_and_masks_matter_and_have_no_order():
    model = build(num_templates=2)
    templates, masks, search = inputs(model)
    output = model(templates, masks, search)
    assert difference(output, model(templates.flip(1), masks.flip(1), search)) < 1e-5
    assert difference(output, model(templates, 1 - masks, search)) > 1e-4
    templates[:, 1] = 0
    assert difference(output, model(templates, masks, search)) > 1e-4


@torch.no_grad()
def test_several_equal_templates_are_one():
    one, three = build(), build(num_templates=3)
    three.load_state_dict(one.state_dict())
    templates, masks, search = inputs(one)
    repeated = templates.expand(-1, 3, -1, -1, -1), masks.expand(-1, 3, -1)
    tokens = three.encode_template(*repeated).tokens
    assert tokens.shape == (2, 3 * 64, 96)
    assert difference([one.encode_template(templates, masks).tokens], [tokens[:, 64:128]]) < 1e-5
    assert three(*repeated, search).score_map.shape == (2, 1, 16, 16)


def test_every_parameter_learns():
    model = build(num_templates=2, register_tokens=1, layer_scale=True, drop_path=0.1).train()
    sum(m.sum() for m in model(*inputs(model, batch=4))).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@torch.no_grad()
def test_uint8_equals_float():
    model = build()
    templates, masks, search = (x.mul(255).round() for x in inputs(model))
    floats = model(templates / 255, masks / 255, search / 255)
    assert difference(model(templates.byte(), masks / 255, search.byte()), floats) == 0


@pytest.mark.parametrize(("template", "search"), [(32, 64), (48, 112), (64, 160), (96, 96)])
@torch.no_grad()
def test_crop_sizes(template, search):
    model = build(template_size=template, search_size=search)
    assert model(*inputs(model)).offset_map.shape == (2, 2, search // 8, search // 8)


@torch.no_grad()
def test_template_and_search_have_their_own_statistics():
    model = build().train()
    templates, masks, search = inputs(model)
    before = {name: value.clone() for name, value in model.state_dict().items() if "running_mean" in name}
    model.encode_template(templates, masks)
    moved = {name for name, value in before.items() if not torch.equal(value, model.state_dict()[name])}
    assert moved and all("norms.0" in name for name in moved)
    model.eval()
    state = model.encode_template(templates, masks)
    for layer in model.backbone.patch_embed.layers:
        layer.norms[1].running_mean += 1
    assert torch.equal(state.keys, model.encode_template(templates, masks).keys)


@torch.no_grad()
def test_maps_of_bfloat16_networks_are_float32():
    model = build()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(*inputs(model))
    assert all(m.dtype == torch.float32 and m.isfinite().all() for m in output)


def test_a_flat_crop_has_finite_gradients():
    """A black crop beyond the image has features of no length, whose direction is undefined."""
    model = build().train()
    templates, masks, search = inputs(model)
    sum(m.sum() for m in model(templates * 0, masks * 0, search * 0)).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_learns_to_point_at_a_square():
    """Forty steps on one batch: a bright square, shown in the template, is found in the search crop."""
    torch.manual_seed(0)
    model = build().train()
    templates, search = torch.zeros(8, 1, 3, 64, 64), torch.zeros(8, 3, 128, 128)
    templates[..., 16:48, 16:48] = 1
    corners = torch.randint(4, 92, (8, 2))
    for crop, (x, y) in zip(search, corners.tolist(), strict=True):
        crop[:, y : y + 32, x : x + 32] = 1
    masks = torch.zeros(8, 1, 8, 8)
    masks[..., 2:6, 2:6] = 1
    boxes = torch.cat([corners / 128, torch.full((8, 2), 0.25)], dim=1)
    cells, labels = losses.centre_cells(boxes, 16), losses.score_labels(boxes, 16)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    curve = []
    for _ in range(40):
        output = model(templates, masks.flatten(2), search)
        found = boxes_at(output, cells)
        loss = losses.focal_loss(output.score_map, labels) + (found[:, 2:] - 0.25).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    assert curve[-1] < 0.4 * curve[0]


def test_impossible_options():
    for options in ({"search_size": 100}, {"template_size": 256}, {"position": "rope"}):
        with pytest.raises(ValueError):
            build(**options)
    with pytest.raises(ValueError, match="coverage"):
        build().encode_template(inputs(build())[0])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("MODEL.BACKBONE.STRIDE=16", "STRIDE 16: compact needs 8"),
        ("MODEL.BACKBONE.TYPE=vit_tiny", "STRIDE 8: vit_tiny needs 14 or 16"),
        ("MODEL.BACKBONE.ATTENTION=joint", "compact has one_way alone"),
        ("MODEL.HEAD.STRIDE=4", "MODEL.HEAD.STRIDE"),
        ("MODEL.PRETRAIN_FILE=mae.pth", "PRETRAIN_FILE holds a ViT"),
        ("MODEL.BACKBONE.CE_LOC=[1]", "needs ATTENTION: joint"),
        ("DATA.SEARCH.SIZE=100", "not a multiple"),
    ],
)
def test_impossible_configurations_are_one_line(override, message):
    with pytest.raises(UserError, match=message) as error:
        build_network(config.load("lunar", "compact", [override]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "parameters"), [("tiny_pairs", 1.0e6), ("tiny", 1.3e6)])
def test_tiny_stays_within_its_limits(name, parameters):
    cost = count(stages(build_network(config.load("lunar", name))))
    assert cost.parameters < parameters
    assert cost.per_frame < 0.2e9
    assert cost.per_start < 0.1e9
    assert ("query" in cost.frame) == (name == "tiny") and cost.frame.get("query", 0) <= 0.05 * cost.per_frame
