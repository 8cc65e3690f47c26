"""The network: equal to OSTrack, equal with and without the template cache, and every option of it."""

import copy

import numpy as np
import pytest
import torch
from timm.layers import Attention

from lib.data.crop import coverage
from lib.export.profile import count
from lib.models.lunar import TemplateState, TrackerOutput, boxes_at, decode
from lib.models.lunar.stages import stages
from lib.models.parts.block import Block
from tests.networks import make_lunar

SMALL = {"embed_dim": 48, "depth": 3, "num_heads": 3, "head_channels": 16, "template_size": 64, "search_size": 128}


def build(**options):
    torch.manual_seed(0)
    model = make_lunar(**(SMALL | options)).eval()
    for parameter in model.parameters():  # fresh weights make almost flat maps
        torch.nn.init.normal_(parameter, std=0.1) if parameter.ndim > 1 else None
    return model


def inputs(model, batch=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    T, Z, S = model.num_templates, model.template_size, model.search_size
    templates = torch.rand(batch, T, 3, Z, Z, generator=generator)
    masks = torch.rand(batch, T, model.backbone.template_grid**2, generator=generator)
    return templates, masks, torch.rand(batch, 3, S, S, generator=generator)


def difference(first, second):
    return max((a - b).abs().max().item() for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def parity(shared_data):
    path = shared_data / "parity" / "ostrack_small.pt"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("part", ["joint", "candidate_elimination"])
@torch.no_grad()
def test_equals_ostrack(parity, part):
    reference, config = parity[part], parity["config"]
    ce = reference["ce"]
    model = make_lunar(
        embed_dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        head_channels=config["head_channels"],
        position="separate",
        token_types=False,
        image_mean=(0, 0, 0),
        image_std=(1, 1, 1),
        **({"elimination_layers": ce["loc"], "elimination_keep": ce["keep"][0]} if ce else {}),
    ).eval()
    keys = model.load_state_dict(reference["net"], strict=False)
    assert keys.missing_keys == []
    assert keys.unexpected_keys == ["backbone.cls_token", "backbone.pos_embed"]

    z, x = parity["z"].float(), parity["x"].float()
    output = model(z[:, None], None, x)
    expected = TrackerOutput(reference["score_map"], reference["size_map"], reference["offset_map"])
    assert difference(output, expected) < 1e-5
    assert (decode(output)[0] - reference["pred_boxes"][:, 0]).abs().max() < 1e-5
    features = model.backbone(model.encode_template(z[:, None]), x).flatten(2).transpose(1, 2)
    assert (features - reference["backbone_feat"][:, -features.shape[1] :]).abs().max() < 1e-5


@torch.no_grad()
def test_fused_attention_equals_the_explicit_formula():
    torch.manual_seed(0)
    block = Block(48, 3).eval()
    x, (key, value) = torch.randn(2, 10, 48), torch.randn(2, 2, 3, 6, 16)
    attended, (query, own_key, own_value) = block.attend(x, (key, value))
    logits = query @ torch.cat([key, own_key], 2).transpose(-2, -1) / 16**0.5
    mixed = (logits.softmax(-1) @ torch.cat([value, own_value], 2)).transpose(1, 2).reshape(2, 10, 48)
    assert (attended - x - block.attn.proj(mixed)).abs().max() < 1e-5


@pytest.mark.parametrize("options", [{}, {"num_templates": 2, "register_tokens": 2, "layer_scale": True}])
@torch.no_grad()
def test_one_way_cache_is_exact(options):
    model = build(attention="one_way", **options)
    templates, masks, search = inputs(model)
    state = model.encode_template(templates, masks)
    cached = model.track(state, search)
    assert difference(cached, model.track(state, search)) == 0
    assert difference(cached, model(templates, masks, search)) == 0

    # The same through full attention over all tokens, with template rows masked off from search columns.
    vit, joint = model.backbone, copy.deepcopy(model.backbone)
    joint.attention = "joint"
    tokens = joint.encode_template(model.normalise(templates), masks).tokens
    M = tokens.shape[1]
    x = vit.patch_embed(model.normalise(search)) + vit.positions()[1] + vit.type_embed[2]
    tokens = torch.cat([tokens, x], dim=1)
    mask = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool)
    mask[:M, M:] = False
    for block in vit.blocks:
        attention = Attention(48, 3, qkv_bias=True)
        attention.load_state_dict(block.attn.state_dict())
        tokens = tokens + block.ls1(attention(block.norm1(tokens), attn_mask=mask))
        tokens = tokens + block.ls2(block.mlp(block.norm2(tokens)))
    features = vit.norm(tokens[:, M:]).transpose(1, 2).unflatten(2, (8, 8))
    assert (features - vit(state, model.normalise(search))).abs().max() < 1e-5
    assert (tokens[:, :M] - state.tokens).abs().max() < 1e-5


@torch.no_grad()
def test_templates_matter_and_the_modes_differ():
    for attention in ("joint", "one_way"):
        model = build(attention=attention, num_templates=2)
        templates, masks, search = inputs(model)
        output = model(templates, masks, search)
        swapped = model(templates.flip(1), masks.flip(1), search)
        assert difference(output, swapped) < 1e-5  # attention knows no order of templates
        templates[:, 1] = 0
        assert difference(output, model(templates, masks, search)) > 1e-4
    one_way = build(attention="one_way", num_templates=2)
    assert difference(output, one_way(*inputs(model))) == 0
    assert difference(output, build(attention="joint", num_templates=2)(*inputs(model))) > 1e-4


@pytest.mark.parametrize("attention", ["joint", "one_way"])
@torch.no_grad()
def test_samples_of_a_batch_are_independent(attention):
    model = build(attention=attention)
    templates, masks, search = inputs(model)
    together = model(templates, masks, search)
    states = [model.encode_template(templates[i : i + 1], masks[i : i + 1]) for i in range(2)]
    assert difference([m[1:] for m in together], model.track(states[1], search[1:])) < 1e-5
    assert difference(together, model.track(TemplateState.join(states), search)) < 1e-5


@pytest.mark.parametrize("attention", ["joint", "one_way"])
def test_every_parameter_learns(attention):
    model = build(attention=attention, head_stride=8, register_tokens=1, layer_scale=True, drop_path=0.1).train()
    torch.nn.init.normal_(model.box_head.lateral.weight)
    sum(m.sum() for m in model(*inputs(model, batch=4))).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize(
    "options", [{"attention": "joint", "elimination_layers": (1,), "elimination_keep": 0.7}, {"attention": "one_way"}]
)
def test_checkpointing_changes_no_number(options):
    """Not even with stochastic depth; and it does keep less for the backward pass."""
    results, kept = [], []
    for checkpointing in (False, True):
        model = build(drop_path=0.3, **options).train()
        model.backbone.checkpointing = checkpointing
        torch.manual_seed(5)
        sizes = []

        def note(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            output = model(*inputs(model))
        sum(m.sum() for m in output).backward()
        results.append([*output, *(p.grad for p in model.parameters())])
        kept.append(sum(sizes))
    assert difference(*results) == 0
    assert kept[1] < 0.7 * kept[0]


@torch.no_grad()
def test_uint8_equals_float():
    model = build()
    templates, masks, search = (x.mul(255).round() for x in inputs(model))
    floats = model(templates / 255, masks / 255, search / 255)
    assert difference(model(templates.byte(), masks / 255, search.byte()), floats) == 0
    image = model.normalise(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8))
    assert image.flatten().tolist() == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-4)


@torch.no_grad()
def test_maps_of_bfloat16_networks_are_float32():
    model = build(head_stride=8)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(*inputs(model))
    assert all(m.dtype == torch.float32 and m.isfinite().all() for m in output)


@torch.no_grad()
def test_elimination_zeroes_what_it_drops_and_keeping_all_changes_nothing():
    model = build()
    templates, masks, search = inputs(model)
    full = model(templates, masks, search)
    model.backbone.elimination_layers = (0, 1)
    model.backbone.elimination_keep = 1.0
    assert difference(full, model(templates, masks, search)) < 1e-5
    model.backbone.elimination_keep = 0.7
    features = model.backbone(model.encode_template(templates, masks), model.normalise(search))
    kept = (features.abs().amax(1) > 0).flatten(1).sum(1)
    assert kept.tolist() == [32, 32]  # 64 -> ceil(44.8) -> ceil(31.5)


def test_fine_head_starts_as_the_enlarged_plain_one():
    plain, fine = build(head_stride=16), build(head_stride=8)
    torch.nn.init.zeros_(fine.box_head.lateral.weight)
    keys = fine.load_state_dict(plain.state_dict(), strict=False)
    assert keys.unexpected_keys == []
    assert {name.split(".")[1] for name in keys.missing_keys} == {"stem", "lateral"}
    with torch.no_grad():
        output, coarse = fine(*inputs(fine)), plain(*inputs(plain))
    assert output.score_map.shape == (2, 1, 16, 16) and coarse.score_map.shape == (2, 1, 8, 8)
    # Flat features far from the border give flat maps, the same ones at both resolutions.
    flat = torch.randn(1, 48, 1, 1).expand(1, 48, 16, 16)
    with torch.no_grad():
        a, b = plain.box_head(flat, None), fine.box_head(flat, torch.zeros(1, 3, 256, 256))
    assert max((x[..., 8, 8] - y[..., 16, 16]).abs().max().item() for x, y in zip(a, b, strict=True)) < 1e-5


@pytest.mark.parametrize(("stride", "cells"), [(None, 8), (14, 8), (7, 16)])
@torch.no_grad()
def test_patch_14(stride, cells):
    model = build(patch_size=14, template_size=56, search_size=112, head_stride=stride)
    assert model(*inputs(model)).offset_map.shape == (2, 2, cells, cells)


@torch.no_grad()
def test_soft_types_sum():
    model = build()
    templates, _, search = inputs(model)
    vit = model.backbone
    target, background, _ = vit.type_embed
    masks = torch.tensor([0.0, 0.25, 1.0, 0.5] * 4).expand(2, 1, 16)
    with_types = vit.encode_template(templates, masks).tokens
    vit.type_embed = None
    added = with_types - vit.encode_template(templates).tokens
    expected = masks[0, 0, :, None] * target + (1 - masks[0, 0, :, None]) * background
    assert (added - expected).abs().max() < 1e-5


def test_shared_positions_are_the_top_left_block():
    vit = build().backbone
    z, x = vit.positions()
    assert torch.equal(z.unflatten(1, (4, 4)), x.unflatten(1, (8, 8))[:, :4, :4])


@pytest.mark.parametrize(
    "options",
    [
        {"search_size": 100},
        {"template_size": 256},
        {"attention": "two_way"},
        {"position": "rope"},
        {"attention": "one_way", "elimination_layers": (1,)},
    ],
)
def test_impossible_options(options):
    with pytest.raises(ValueError):
        build(**options)


def test_wrong_shapes_are_named():
    model = build()
    templates, masks, search = inputs(model)
    with pytest.raises(ValueError, match=r"expected \(B, 1, 3, 64, 64\)"):
        model.encode_template(search, masks)
    with pytest.raises(ValueError, match=r"expected \(B, 3, 128, 128\)"):
        model.track(model.encode_template(templates, masks), templates[:, 0])
    with pytest.raises(ValueError, match="coverage"):
        model.encode_template(templates)


def test_decode_returns_the_box_that_was_drawn():
    generator = torch.Generator().manual_seed(0)
    H = 16
    boxes = torch.rand(200, 4, generator=generator) * 0.98 + 0.01
    cell = (boxes[:, :2] * H).floor().long()
    index = cell[:, 1] * H + cell[:, 0]
    score = torch.rand(200, 1, H, H, generator=generator) * 0.5
    score.view(200, -1)[torch.arange(200), index] = 0.9
    offset, size = torch.randn(2, 200, 2, H, H, generator=generator)
    offset.flatten(2)[torch.arange(200), :, index] = boxes[:, :2] * H - cell
    size.flatten(2)[torch.arange(200), :, index] = boxes[:, 2:]
    output = TrackerOutput(score, size, offset)
    decoded, peak, value = decode(output)
    assert torch.equal(peak, index) and (value == 0.9).all()
    assert (decoded - boxes).abs().max() < 1e-6
    assert torch.equal(boxes_at(output, index), decoded)

    response = torch.zeros(H, H)
    response[3, 5] = 1
    decoded, peak, value = decode(output, response)
    assert (peak == 3 * H + 5).all() and torch.equal(value, score[:, 0, 3, 5])


def test_template_mask_is_exact():
    rng = np.random.default_rng(0)
    size, grid, fine = 128, 8, 2048
    for _ in range(20):
        # Box edges on the fine grid, so that counting its samples is exact as well.
        x, y, w, h = rng.integers(-200, fine, 2).tolist() + rng.integers(1, fine, 2).tolist()
        picture = np.zeros((fine, fine), np.float32)
        picture[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = 1
        counted = picture.reshape(grid, fine // grid, grid, fine // grid).mean((1, 3)).ravel()
        mask = coverage(np.array([x, y, w, h]) * size / fine, size, grid)
        assert np.abs(mask - counted).max() < 1e-5
    assert coverage([[[60.0, 60.0, 8.0, 8.0]]], 128, 8).sum() * 16**2 == 64
    assert coverage([50.0, 50.0, 0.0, -3.0], 128, 8).sum() == 0


@pytest.mark.parametrize(
    ("backbone", "crops", "gigamacs"),
    [("vit_tiny", (128, 256), 2.17), ("vit_base", (128, 256), 29.1), ("vit_base", (192, 384), 70.7)],
)
def test_cost_is_that_of_the_architecture(backbone, crops, gigamacs):
    with torch.device("meta"):
        model = make_lunar(kind=backbone, template_size=crops[0], search_size=crops[1], token_types=False)
    cost = count(stages(model))
    patches = sum((side // 16) ** 2 for side in crops) * 3 * 16**2 * model.backbone.embed_dim
    blocks = cost.per_frame + cost.per_start - cost.frame["head"] - patches
    assert blocks / 1e9 == pytest.approx(gigamacs, rel=0.01)


def test_one_way_costs_less_a_frame():
    joint, one_way = (count(stages(build(attention=attention))) for attention in ("joint", "one_way"))
    assert one_way.per_frame < joint.per_frame and one_way.parameters == joint.parameters


def test_a_block_has_the_parameters_of_timms_in_its_order():
    from timm.models.vision_transformer import Block as TimmBlock

    for scaled in (False, True):
        theirs = TimmBlock(48, 3, qkv_bias=True, init_values=1e-5 if scaled else None)
        ours = Block(48, 3, layer_scale=scaled)
        assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
