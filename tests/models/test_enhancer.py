"""The low-light enhancers: the two-step haze diffusion (spec enhancer.md, 8), and what holds for every one."""

import itertools
import json
import math

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from lib.errors import UserError
from lib.models.enhancer import TYPES, UNTRAINED, build_enhancer, load_enhancer, save_enhancer
from lib.models.enhancer.base import Enhancer
from lib.models.enhancer.haze import brightness, dehaze, transmission
from lib.models.enhancer.trunk import BANDS, Trunk, enlarged, pyramid, whole_cells
from tests.models.draws import rand

TRAINED = ("haze_diffusion", "curve")
OPEN = torch.ones(1)


def build(type="haze_diffusion", seed=0, std=0.3, **options):
    """An enhancer whose every weight is random: fresh ones have constant outputs."""
    torch.manual_seed(seed)
    enhancer = build_enhancer(type, **options).eval()
    with torch.no_grad():
        for parameter in enhancer.parameters():
            parameter += std * torch.randn(parameter.shape) / max(1, parameter[0].numel()) ** 0.5
    return enhancer


def constant(noise=-4.0, depth=-1.5, slope=0.0, **options):
    """A HazeDiffusion with the same maps at every place of every image. noise: log of that of the finest band."""
    enhancer = build_enhancer("haze_diffusion", **options).eval()
    maps = torch.tensor([noise - band * math.log(2) for band in range(BANDS)] + [depth, slope])
    enhancer.trunk.maps.bias.data.copy_(maps.repeat_interleave(4))
    return enhancer


@pytest.mark.parametrize("depth", [-6.0, -1.5, 0.0, 3.0])
@pytest.mark.parametrize("slope", [-20.0, 0.0, 20.0])  # of which tanh is -1, 0 and 1
@torch.no_grad()
def test_tones_keep_their_order_under_the_largest_guide(depth, slope):
    ramp = torch.linspace(0, 1, 256).expand(1, 3, 32, 256)
    for image in itertools.chain(*constant(depth=depth, slope=slope, denoise=0).path(ramp, OPEN)):
        assert (image.diff(dim=3) > -1e-6).all()
        assert image[..., -1].min() > 0.99 and image[..., 0].max() == 0


@torch.no_grad()
def test_guide_and_depth_are_those_of_the_formula():
    enhancer = constant(depth=0.7, slope=0.4, denoise=0, number=1)
    enhancer.trunk.values.bias.data[:3] = -50  # no veil
    image = rand(1, 3, 40, 64).double()
    value = image.amax(dim=1, keepdim=True)
    depth = 0.6 * 5.0 * torch.sigmoid(0.7 + 3.0 * math.tanh(0.4) * (value - 0.5))
    expected = image / (value + (1 - value) * torch.exp(-depth))
    assert (enhancer(image.float(), torch.tensor([0.6])) - expected).abs().max() < 1e-5


@torch.no_grad()
def test_veil_and_tint_are_those_of_the_formula():
    enhancer = constant(depth=0.7, denoise=0, number=1)
    enhancer.trunk.values.bias.data.copy_(torch.tensor([0.3, -0.4, 1.0, 3.0, -3.0, 3.0]))
    image = rand(1, 3, 32, 32).double()
    veil, tint = enhancer.trunk.values.bias.double()[:, None, None].split(3)
    veil, tint = 0.1 * torch.sigmoid(veil), 0.3 * torch.tanh(tint)
    depth = 5.0 * torch.sigmoid(torch.tensor(0.7)) + (tint - tint.mean()) / 2
    expected = dehaze(image, torch.exp(-depth), veil)
    assert (enhancer(image.float(), OPEN) - expected).abs().max() < 1e-5
    enhancer.trunk.maps.bias.data[-8:-4] = -50  # tint alone
    expected = dehaze(image, torch.exp(-((tint - tint.mean()) / 2).clamp(min=-0.15)), veil)
    assert (tint - tint.mean()).min() / 2 < -0.16
    assert (enhancer(image.float(), OPEN) - expected).abs().max() < 1e-5
    plain = constant(depth=0.7, denoise=0, number=1, form="plain")
    plain.trunk.values.load_state_dict(enhancer.trunk.values.state_dict())
    expected = ((image - veil) * torch.exp(depth) + veil).clamp(0, 1)
    assert (plain(image.float(), OPEN) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("form", ["dcp", "plain"])
@torch.no_grad()
def test_a_step_is_that_of_ddim(form):
    """Brute force, from the noise that was taken out and the clean image that was foreseen."""
    enhancer = build(residual=True, form=form, number=3, std=0.1)
    enhancer.TINT = 0.0  # one transmission for all channels
    before = rand(1, 3, 64, 64, low=0.1, high=0.3)
    path = enhancer.path(before, OPEN)
    for step, (after, foreseen) in zip((3, 2), path[:2], strict=True):
        estimate = enhancer._estimate(before, OPEN[:, None, None, None], step - 1)
        before, clean, _, attenuation, veil = (x.double() for x in (before, *estimate))
        attenuation, air = attenuation[:, :1], 1 - veil
        if form == "dcp":
            total = transmission(brightness(clean, veil), attenuation**step)
            left = transmission(brightness(dehaze(clean, attenuation, veil), veil), attenuation ** (step - 1))
        else:
            total, left = attenuation**step, attenuation ** (step - 1)
        z, noise = 1 - before - air, clean - before
        first = (z - noise) / total
        share = torch.sqrt((1 - left**2) / (1 - total**2))
        expected = 1 - (left * first + share * (z - total * first) + air)
        inside = (expected > 0.01) & (expected < 0.99) & (clean > veil)
        assert inside.float().mean() > 0.5 and (share * noise).abs().mean() > 1e-4
        assert (after - expected)[inside].abs().max() < 1e-5
        inside &= first + air > 0.01
        assert (foreseen - (1 - first - air))[inside].abs().max() < 1e-5
        before = after


def test_pyramid():
    image = rand(2, 3, 64, 32)
    bands = pyramid(image)
    assert torch.allclose(enlarged(enlarged(bands.cells) + bands.middle) + bands.fine, image, atol=1e-6)
    halves = F.avg_pool2d(image, 2)
    line = torch.tensor([0.25, 0.5, 0.25])
    binomial = (line[:, None] * line)[None, None]
    details = []
    for level, mean in ((image, halves), (halves, bands.cells), (bands.cells, F.avg_pool2d(bands.cells, 2))):
        details.append(level - F.interpolate(mean, scale_factor=2, mode="bilinear"))
    assert all(torch.allclose(*pair, atol=1e-6) for pair in zip(bands[1:4], details, strict=True))
    fine, middle, coarse = (detail.square().mean(dim=1, keepdim=True) for detail in details)
    for energy, expected in ((bands.energies[:, :1], F.avg_pool2d(fine, 2)), (bands.energies[:, 1:], middle)):
        expected = F.conv2d(F.pad(expected, (1, 1, 1, 1), mode="replicate"), binomial)
        assert torch.allclose(energy, expected + 1e-6, rtol=1e-4, atol=1e-8)
    assert torch.allclose(bands.coarse_energy, coarse + 1e-6, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (16, 1)])
def test_enlarged_is_bilinear(size):
    x = rand(2, 4, *size).requires_grad_()
    expected = F.interpolate(x, scale_factor=2, mode="bilinear")
    assert torch.allclose(enlarged(x), expected, atol=1e-6)
    weights = rand(*expected.shape, seed=1)
    gradients = [torch.autograd.grad((out * weights).sum(), x)[0] for out in (enlarged(x), expected)]
    assert torch.allclose(*gradients, atol=1e-5)


def noisy_target(sigma=0.02, size=5, contrast=0.15, side=128):
    """A square target on grey, with noise and without: (1, 3, side, side) each, and the target's mask."""
    clean = torch.full((1, 3, side, side), 0.2)
    top = side // 2 + 1  # over the border of cells
    clean[:, :, top : top + size, top : top + size] += contrast
    noise = sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return clean + noise, clean, clean[:, :1] > 0.25


@torch.no_grad()
def test_noise_goes_and_a_tiny_target_stays():
    enhancer = constant(noise=math.log(0.03), depth=-50.0, number=1)
    for size in (4, 6):
        image, clean, target = noisy_target(size=size)
        out = enhancer(image, OPEN)
        field = out[:, :, :48]
        assert field.std() < 0.35 * image[:, :, :48].std()
        assert abs(field.mean() - 0.2) < 1e-3
        target = target.expand_as(out)
        contrast = out[target].mean() - field.mean()
        assert contrast > 0.9 * 0.15 and (out - clean)[target].square().mean().sqrt() < 0.03
    assert (enhancer(clean, OPEN) - clean).abs().max() < 0.02, "without noise next to nothing is taken"


@pytest.mark.parametrize("band", range(BANDS))
@torch.no_grad()
def test_every_band_is_denoised_by_its_own_map(band):
    enhancer, image = constant(noise=-50.0, depth=-50.0, number=1), rand(1, 3, 64, 64, low=0.3, high=0.7)
    enhancer.trunk.values.bias[:3] = -50
    assert (enhancer(image, OPEN) - image).abs().max() < 1e-6
    enhancer.trunk.maps.bias[4 * band : 4 * band + 4] = 50
    noise = 0.95 * pyramid(image)[1 + band]
    for _ in range(band):
        noise = enlarged(noise)
    for gate in (1.0, 0.4):
        assert (enhancer(image, torch.tensor([gate])) - (image - gate**2 * noise)).abs().max() < 1e-5


@torch.no_grad()
def test_what_denoising_leaves_is_an_image():
    image = (rand(1, 3, 64, 64) > 0.5).float()
    for seed in range(3):
        clean = build(seed=seed, std=3.0)._estimate(image, OPEN[:, None, None, None], 0)[0]
        assert clean.min() >= 0 and clean.max() <= 1


@torch.no_grad()
def test_the_deepest_step_stays_in_range():
    enhancer = constant(depth=50.0, number=1)
    enhancer.depth = 30.0
    enhancer.trunk.values.bias[:3] = torch.tensor([50.0, 0.0, 1.0])
    assert enhancer(rand(4, 3, 64, 64, low=0.5), torch.ones(4)).max() <= 1


@torch.no_grad()
def test_flat_images_lose_nothing_to_denoising():
    """Whatever the shares of the bands, which differ from place to place."""
    enhancer = build(depth=0.0, std=2.0)
    flat = torch.tensor([0.1, 0.3, 0.2])[:, None, None].expand(1, 3, 64, 64)
    with torch.no_grad():
        enhancer.trunk.values.weight.zero_()
        enhancer.trunk.values.bias[3:] = 0
    flat_out = enhancer(flat, OPEN)
    assert (flat_out - flat).abs().max() < 1e-5
    assert (enhancer(rand(1, 3, 64, 64), OPEN) - rand(1, 3, 64, 64)).abs().max() > 0.1


@pytest.mark.parametrize("type", [each for each in TYPES if each != "average"])
@torch.no_grad()
def test_gate(type):
    enhancer = build(type) if type in TRAINED else build_enhancer(type)
    images = rand(3, 3, 64, 64, high=0.2)
    out = enhancer(images, torch.tensor([0.0, 0.5, 1.0]))
    assert torch.equal(out[0], images[0]) and not torch.equal(out[1], images[1])
    assert torch.equal(enhancer(images, torch.zeros(3)), images)
    with torch.enable_grad():
        assert torch.equal(enhancer(images, torch.zeros(3)), images)
    changes = [(enhancer(images, torch.full((3,), gate)) - images).abs().mean() for gate in (0.01, 0.5, 1.0)]
    assert changes[0] < changes[1] < changes[2]
    assert torch.equal(enhancer(images), enhancer(images, enhancer.gate_of(images)))
    assert torch.equal(enhancer(images + 0.6), images + 0.6), "well lit"


def test_a_closed_gate_needs_no_exact_arithmetic():
    enhancer = Enhancer()
    enhancer.steps = lambda images, gate: [images + torch.nan]
    images = rand(2, 3, 8, 8)
    out = enhancer(images, torch.tensor([0.0, 0.1]))
    assert torch.equal(out[0], images[0]) and out[1].isnan().all()


def test_gate_is_open_in_the_dark_and_ignores_what_is_beyond_the_frame():
    enhancer = build_enhancer("gamma", gate=(0.1, 0.3))
    expected = {0.0: 1, 0.1: 1, 0.15: 0.84375, 0.2: 0.5, 0.3: 0, 1.0: 0}
    assert enhancer.gate_at(torch.tensor(list(expected))).tolist() == pytest.approx(list(expected.values()))
    image = torch.full((1, 3, 8, 8), 0.05)
    image[:, 1] = 0.2
    assert enhancer.gate_of(image).item() == pytest.approx(0.5, abs=1e-5)
    assert enhancer.gate_of(F.pad(image, (0, 8, 3, 0))).item() == pytest.approx(0.5, abs=1e-5)
    assert enhancer.gate_of(torch.zeros(1, 3, 8, 8)).item() == 1


IMAGES = {
    "black": torch.zeros(1, 3, 48, 48),
    "white": torch.ones(1, 3, 48, 48),
    "grey": torch.full((1, 3, 48, 48), 0.1),
    "noise": rand(1, 3, 48, 48),
    "night": rand(1, 3, 48, 48) ** 6,
}
VARIANTS = [
    ("haze_diffusion", {}),
    ("haze_diffusion", {"residual": True, "number": 3}),
    ("haze_diffusion", {"form": "plain", "residual": True}),
    ("haze_diffusion", {"denoise": 0, "number": 1}),
    *((type, {}) for type in TYPES if type != "haze_diffusion"),
]


@pytest.mark.parametrize(("type", "options"), VARIANTS)
@pytest.mark.parametrize("autocast", [False, True])
@torch.no_grad()
def test_range(type, options, autocast):
    for seed, gate in ((0, 1.0), (1, 0.3), (2, 0.0)):
        enhancer = build(type, seed, std=3.0, **options) if type in TRAINED else build_enhancer(type, **options)
        for name, image in IMAGES.items():
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                steps = enhancer.steps(image, torch.tensor([gate]))
            for out in steps:
                assert out.dtype == torch.float32 and out.shape == image.shape, name
                assert out.isfinite().all() and out.min() >= 0 and out.max() <= 1, name


@torch.no_grad()
def test_only_the_network_computes_in_bfloat16():
    enhancer, image = build(std=0.1), rand(1, 3, 64, 64, high=0.2)
    estimates, forward = [], enhancer.trunk.forward
    enhancer.trunk.forward = lambda *inputs: estimates.append(forward(*inputs)) or estimates[-1]
    with torch.autocast("cpu", torch.bfloat16):
        half = enhancer(image, OPEN)
    assert {output.dtype for output in estimates[0]} == {torch.float32}
    assert not torch.equal(estimates[0][0], forward(pyramid(image), 1)[0]), "no bfloat16 at all"
    given = iter(estimates)
    enhancer.trunk.forward = lambda *_: next(given)
    assert torch.equal(half, enhancer(image, OPEN))


@pytest.mark.parametrize(("type", "options"), VARIANTS)
@torch.no_grad()
def test_calls_repeat_and_samples_of_a_batch_are_independent(type, options):
    enhancer = build(type, **options) if type in TRAINED else build_enhancer(type, **options)
    images, gate = rand(2, 3, 64, 96, high=0.3), torch.tensor([1.0, 0.5])
    together = enhancer(images, gate)
    assert torch.equal(together, enhancer(images, gate))
    singles = torch.cat([enhancer(images[i : i + 1], gate[i : i + 1]) for i in range(2)])
    assert (together - singles).abs().max() < 1e-6


@pytest.mark.parametrize(("type", "options"), [case for case in VARIANTS if case[0] in TRAINED])
@pytest.mark.parametrize("name", IMAGES)
def test_gradients_are_finite(type, options, name):
    for enhancer in (build_enhancer(type, **options), build(type, std=1.0, **options)):
        image = IMAGES[name].clone().requires_grad_()
        for gate in (0.0, 1.0):
            sum(out.square().sum() for outs in enhancer.path(image, torch.tensor([gate])) for out in outs).backward()
        gradients = {"image": image.grad} | {
            name: p.grad for name, p in enhancer.named_parameters() if p.grad is not None
        }
        assert [name for name, gradient in gradients.items() if not gradient.isfinite().all()] == []


@pytest.mark.parametrize("type", TRAINED)
def test_every_parameter_learns(type):
    enhancer = build_enhancer(type).train()
    optimiser = torch.optim.SGD(enhancer.parameters(), lr=1e-2)
    images = rand(2, 3, 64, 64) ** 4
    for _ in range(2):  # the last layers start at zero, so at first nothing comes to those before
        optimiser.zero_grad()
        (enhancer(images, torch.ones(2)) - images.sqrt()).square().sum().backward()
        optimiser.step()
    still = [name for name, p in enhancer.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert still == (["trunk.values.weight", "trunk.values.bias"] if type == "curve" else [])


def test_it_learns_one_image():
    torch.manual_seed(0)
    clean = F.interpolate(rand(1, 3, 6, 6, seed=4), size=(64, 64), mode="bicubic").clamp(0, 1)
    dark = (0.15 * clean + 0.02 * torch.randn(clean.shape)).clamp(0, 1)
    enhancer = build_enhancer("haze_diffusion")
    optimiser = torch.optim.Adam(enhancer.parameters(), lr=5e-3)
    for _ in range(100):
        optimiser.zero_grad()
        loss = (enhancer(dark, OPEN) - clean).square().mean()
        loss.backward()
        optimiser.step()
    gain = 10 * torch.log10((dark - clean).square().mean() / loss)
    assert gain > 6


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("size", [(128, 128), (256, 256), (378, 378), (384, 384), (130, 126), (37, 53), (8, 8), (1, 1)])
@torch.no_grad()
def test_every_size(type, size):
    enhancer = build(type) if type in TRAINED else build_enhancer(type)
    image = rand(1, 3, *size, high=0.2)
    out = enhancer(image, OPEN)
    assert out.shape == image.shape and out.isfinite().all()


@torch.no_grad()
def test_odd_sizes_are_those_of_the_image_continued():
    enhancer, image = build(), rand(1, 3, 37, 53, high=0.2)
    larger = F.pad(image, (0, 64 - 53, 0, 48 - 37), mode="replicate")
    assert torch.equal(whole_cells(image), larger)
    assert torch.equal(enhancer(image, OPEN), enhancer(larger, OPEN)[:, :, :37, :53])


@pytest.mark.parametrize("number", [1, 2, 3])
@torch.no_grad()
def test_one_network_call_a_step(number):
    enhancer, calls = build(number=number), []
    enhancer.trunk.register_forward_hook(lambda module, inputs, output: calls.append(inputs[1]))
    image = rand(1, 3, 64, 64, high=0.2)
    path = enhancer.path(image, OPEN)
    assert calls == list(range(number))[::-1] and len(path) == number
    assert torch.equal(path[-1][0], path[-1][1]) and torch.equal(enhancer(image, OPEN), path[-1][0])
    assert all(torch.equal(step, image) for step, (image, _) in zip(enhancer.steps(image, OPEN), path, strict=True))
    calls.clear()
    enhancer(image, torch.zeros(1))
    assert calls == []


@torch.no_grad()
def test_steps_of_equal_estimates_end_where_one_step_does():
    """What is foreseen at the first step is what the others make of it, where they see the same depth and no noise."""
    enhancer = constant(number=3, denoise=0)
    path = enhancer.path(rand(1, 3, 64, 64), OPEN)
    for _, foreseen in path[1:]:
        assert (foreseen - path[0][1]).abs().max() < 1e-5


def test_cost():
    enhancer = build_enhancer("haze_diffusion").to("meta")
    assert sum(p.numel() for p in enhancer.parameters()) == 27930
    for side, macs in ((128, 4.29e6), (256, 17.2e6)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            enhancer.steps(torch.empty(1, 3, side, side, device="meta"), torch.ones(1, device="meta"))
        assert counter.get_total_flops() / 2 == pytest.approx(macs, rel=0.02)


@pytest.mark.parametrize(("type", "options"), VARIANTS)
@torch.no_grad()
def test_save_and_load(tmp_path, type, options):
    enhancer = build(type, gate=(0.1, 0.5), **options) if type in TRAINED else build_enhancer(type, gate=(0.1, 0.5))
    path = tmp_path / "mine.safetensors"
    save_enhancer(path, enhancer, epoch=3)
    again = load_enhancer(path)
    assert type == again.type and again.options == enhancer.options and not again.training
    image = rand(1, 3, 37, 53, high=0.2)
    assert torch.equal(again(image), enhancer(image))
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()["epoch"] == "3"


def released(sci, extra=()):
    """A state dict as SCI's authors release them: `conv` is there twice, and there is what is used in training only."""
    state = {f"enhance.{name}": value for name, value in sci.state_dict().items()}
    again = {name.replace("conv.", "blocks.0.", 1): value for name, value in state.items() if "enhance.conv." in name}
    return state | again | {"calibrate.in_conv.0.weight": torch.ones(1)} | dict(extra)


def test_networks_of_sci_are_loaded_as_they_were_released(tmp_path):
    sci, path = build("sci"), tmp_path / "sci.pt"
    torch.save(released(sci), path)
    image = rand(1, 3, 20, 24, high=0.2)
    assert torch.equal(load_enhancer(path)(image, OPEN), sci(image, OPEN))
    for number, broken in enumerate(
        (
            {"enhance.out_conv.0.bias": torch.ones(4)},
            {"enhance.out_conv.0.bias": torch.full((3,), torch.nan)},
            {"other": torch.ones(1)},
            {"enhance.in_conv.0.bias": "text"},
        )
    ):
        torch.save(released(sci, broken.items()), path)
        with pytest.raises(UserError, match="sci.pt: not a network of SCI .*; expected an enhancer's"):
            load_enhancer(path)
            pytest.fail(f"{number} was loaded")
    for data in (b"", b"text", torch.zeros(3)):
        path.write_bytes(data) if isinstance(data, bytes) else torch.save(data, path)
        with pytest.raises(UserError, match="sci.pt: not a network of SCI") as raised:
            load_enhancer(path)
        assert "\n" not in str(raised.value)


@torch.no_grad()
def test_sci_divides_by_its_illumination():
    sci, image = build("sci", std=0.5), rand(1, 3, 24, 24, high=0.4)
    weights, norm = sci.state_dict(), sci.conv[1]

    def convolved(name, features):
        return F.conv2d(features, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    first = convolved("in_conv.0", image).relu()
    second = (convolved("conv.0", first) - norm.running_mean[:, None, None]) / (norm.running_var + 1e-5)[
        :, None, None
    ].sqrt()
    second = second * norm.weight[:, None, None] + norm.bias[:, None, None]
    light = 1 / (1 + torch.exp(-convolved("out_conv.0", first + second.relu()))) + image
    assert (sci(image, OPEN) - image / light.clamp(1e-4, 1)).abs().max() < 1e-5


@pytest.mark.parametrize("name", UNTRAINED)
def test_untrained_ones_have_names(name):
    assert load_enhancer(name).type == name


def broken_files(folder):
    good = folder / "good.safetensors"
    save_enhancer(good, build_enhancer("haze_diffusion"))
    data = good.read_bytes()
    made = {"type": "haze_diffusion", "options": {}}
    state = {name: value.contiguous() for name, value in build_enhancer("haze_diffusion").state_dict().items()}

    def other(made, state=state):
        return safetensors.torch.save(state, {"enhancer": made})

    name = next(iter(state))
    return {
        "nothing": b"",
        "text": b"not at all",
        "cut": data[:-100],
        "cut head": data[:50],
        "other": safetensors.torch.save({"a": torch.ones(1)}),
        "no json": other("{"),
        "a list": other("[1]"),
        "a number": other("3"),
        "type": other(json.dumps(made | {"type": "swin"})),
        "type is a list": other(json.dumps(made | {"type": ["swin"]})),
        "no options": other(json.dumps({"type": "haze_diffusion"})),
        "option": other(json.dumps(made | {"options": {"strength": 3}})),
        "value": other(json.dumps(made | {"options": {"number": 99}})),
        "text for a number": other(json.dumps(made | {"options": {"number": "many"}})),
        "channels": other(json.dumps(made | {"options": {"channels": [8, 8]}})),
        "widths": other(json.dumps(made | {"options": {"channels": [8, 8, 8]}})),
        "huge": other(json.dumps(made | {"options": {"channels": [10**9, 10**9, 10**9]}})),
        "missing": other(json.dumps(made), {k: v for k, v in state.items() if k != name}),
        "more": other(json.dumps(made), state | {"x": torch.ones(1)}),
        "not finite": other(json.dumps(made), state | {name: torch.full_like(state[name], torch.nan)}),
    }


def test_broken_files_are_one_line(tmp_path):
    for name, data in broken_files(tmp_path).items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(data)
        with pytest.raises(UserError) as raised:
            load_enhancer(path)
            pytest.fail(f"{name} was loaded")
        message = str(raised.value)
        assert message.startswith(f"{path}: ") and "\n" not in message and "expected an enhancer's" in message, name
    for missing in (tmp_path / "none.safetensors", tmp_path, "no_such_type"):
        with pytest.raises(UserError, match="no such file; expected .* or one of average, gamma"):
            load_enhancer(missing)


@pytest.mark.parametrize(
    ("type", "options"),
    [
        ("swin", {}),
        ("gamma", {"sigma": 1}),
        ("gamma", {"gate": (0.4, 0.2)}),
        ("haze_diffusion", {"number": 0}),
        ("haze_diffusion", {"form": "linear"}),
        ("haze_diffusion", {"channels": (8, 8)}),
    ],
)
def test_impossible_options(type, options):
    with pytest.raises(ValueError, match=r"^enhancer |expected"):
        build_enhancer(type, **options)


@torch.no_grad()
def test_rivals_are_what_they_are_called():
    image = rand(1, 3, 32, 32, high=0.2)
    assert torch.allclose(build_enhancer("gamma", power=0.5)(image, OPEN), image.sqrt())
    assert torch.allclose(
        build_enhancer("blur_gamma", power=0.5)(image, OPEN), build_enhancer("blur")(image, OPEN).sqrt(), atol=1e-6
    )
    point = torch.zeros(1, 3, 33, 33)
    point[:, :, 16, 16] = 1
    spread = build_enhancer("blur", sigma=1.5)(point, OPEN)[0, 0]
    offsets = torch.arange(33) - 16
    assert spread.sum().item() == pytest.approx(1, abs=1e-4)
    assert (spread * offsets[:, None] ** 2).sum().sqrt().item() == pytest.approx(1.5, rel=0.03)
    for type in ("clahe", "dcp", "gamma"):
        assert build_enhancer(type)(image, OPEN).mean() > image.mean()
    curve = build_enhancer("curve")
    expected = image
    for _ in range(8):
        expected = expected + math.tanh(0.1) * expected * (1 - expected)
    assert torch.allclose(curve(image, OPEN), expected, atol=1e-6)


def test_the_trunk_starts_at_its_biases():
    trunk = Trunk((4, 4, 4), ([1.0, -2.0], [0.5]))
    maps, values = trunk(pyramid(rand(2, 3, 64, 32)))
    assert maps.shape == (2, 2, 16, 8) and values.tolist() == [[0.5], [0.5]]
    assert (maps[:, 0] == 1).all() and (maps[:, 1] == -2).all()


@torch.no_grad()
def test_the_trunk_tells_steps_apart():
    trunk, bands = build().trunk, pyramid(rand(1, 3, 32, 32))
    scale, shift = trunk.step.weight[1].chunk(2)
    scale.zero_(), shift.zero_(), trunk.step.weight[0].zero_()
    for half in (scale, shift):
        same = trunk(bands, 0)
        half.fill_(0.5)
        assert all((a - b).abs().max() > 1e-3 for a, b in zip(same, trunk(bands, 1), strict=True))
        half.zero_()
        assert all(torch.equal(a, b) for a, b in zip(same, trunk(bands, 1), strict=True))


@torch.no_grad()
def test_dark_channel_prior_is_that_of_dong():
    image = rand(1, 3, 24, 24, high=0.6)
    image[..., :12] *= 0.2
    hazy = 1 - image[0].double()

    def darkest(channels):
        padded = F.pad(channels.amin(dim=0), (3, 3, 3, 3), value=torch.inf)
        return torch.stack([torch.stack([padded[y : y + 7, x : x + 7].min() for x in range(24)]) for y in range(24)])

    haziest = darkest(hazy).flatten().sort(descending=True, stable=True).values[99]
    among = hazy[:, darkest(hazy) >= haziest]
    air = among[:, among.sum(dim=0).argmax()][:, None, None]
    passes = 1 - 0.8 * darkest(hazy / air).clamp(0, 1)
    assert (passes < 0.5).any() and (passes > 0.5).any()
    passes = torch.where(passes < 0.5, 2 * passes**2, passes)
    expected = 1 - ((hazy - air) / passes + air).clamp(0, 1)
    assert (build_enhancer("dcp")(image, OPEN)[0] - expected).abs().max() < 1e-5
