"""The network of STTrack: equal to the released code with `faithful`, and what is corrected without."""

import pytest
import torch

from lib.models.parts.corner_head import attended_map
from lib.models.parts.resnet import FrozenResNet
from lib.models.parts.weights import load_weights
from lib.models.sttrack import QueryState, STTrack
from lib.models.sttrack.model import hann
from tests.models.test_stark import (
    REFERENCE,
    SMALL,
    Trunk,
    crops,
    difference,
    from_maps,
    keys_of,
    parity,  # noqa: F401 (a fixture)
    read_keys,
    with_recipe,
)


def build(w=0.3, **options):
    network = with_recipe(STTrack(Trunk(), **SMALL, **options))
    torch.nn.init.constant_(network.window_penalty, w)
    return network


def clip(frames=4, batch=2):
    return *crops("z", batch, 3, 32, 32), *crops("x", batch, frames, 3, 64, 64, right=16)


def encoded(network, frames=4):
    """Tokens of the template, and of each frame."""
    template, template_padding, search, padding = clip(frames)
    seen = [network.encode(search[:, i], padding[:, i]) for i in range(frames)]
    return network.encode(template, template_padding), seen


def released(data, w):
    network = from_maps(STTrack(Trunk(12), **SMALL, faithful=True), data["net"])
    torch.nn.init.constant_(network.window_penalty, w)
    template = network.tokens(data["feat_z"].float(), data["mask_z"])
    frames = [network.tokens(maps.float(), mask) for maps, mask in zip(data["feat_x"], data["mask_x"], strict=True)]
    return network, template, frames


@pytest.mark.parametrize("case", ["w1_init", "w03", "w0"])
@torch.no_grad()
def test_equals_the_released_code(parity, case):  # noqa: F811
    data = parity("sttrack_small.pt")
    reference = data[case]
    network, template, frames = released(data, reference["w"])
    trained = torch.stack([found.boxes_xyxy for found in network.follow(template, frames)])
    assert difference(trained, reference["train"]["pred_boxes"][:, :, 0]) < 5e-5
    for sample, expected in enumerate(reference["test"]):
        state = network.start(1)
        for i, search in enumerate(frames):
            found, readout, state = network.step(template.select([sample]), search.select([sample]), state)
            assert difference(found.boxes_xyxy, expected["pred_boxes"][i, :, 0]) < 5e-5
            if case == "w03":
                assert difference(readout.spatial, expected["spatial"][i, :, 0]) < 2e-5
                assert difference(readout.temporal, expected["temporal"][i, 0]) < 2e-5
                attention = readout.attention[0, : max(i, 1)]
                assert difference(attention, expected["attention"][i].flatten()) < 1e-5


@torch.no_grad()
def test_every_step_of_the_released_training(parity):  # noqa: F811
    data = parity("sttrack_small.pt")
    reference = data["w03"]["train"]
    network, template, frames = released(data, 0.3)
    state = network.start(2)
    for i, search in enumerate(frames):
        assert difference(state.query, reference[f"query_in_{i + 1}"].squeeze(1)) < 2e-5
        readout = network.readout(template, search, state, itself=True)
        assert difference(readout.spatial, reference["spatial"][i, 0, :, 0]) < 2e-5
        assert difference(readout.temporal, reference["temporal"][i, 0]) < 2e-5
        state = network.write(state, readout)
    assert difference(hann(20, periodic=True), data["window"]) < 1e-6


def test_keys_are_those_of_the_released_code(shared_data):
    path = shared_data / "parity" / "keys_sttrack.txt"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    with torch.device("meta"):
        network = STTrack(FrozenResNet("resnet50"), faithful=True)
    assert keys_of(network) == read_keys(path)
    assert sum(parameter.numel() for parameter in network.parameters()) == 30_726_211


@pytest.mark.parametrize("name, faithful", [("corrected", False), ("faithful", True)])
@torch.no_grad()
def test_equals_our_own_reference(name, faithful):
    found = build(faithful=faithful)(*clip())
    expected = torch.tensor(REFERENCE["sttrack"][name])
    assert difference(torch.stack([each.boxes_xyxy for each in found]), expected) < 1e-5


@pytest.mark.parametrize("faithful", [False, True])
@torch.no_grad()
def test_the_query_is_passed_on_and_the_state_is_a_value(faithful):
    network = build(faithful=faithful)
    template, frames = encoded(network)
    state = network.start(2)
    assert torch.equal(state.query, network.query_embed.weight.expand(2, -1))
    readout = network.readout(template, frames[0], state)
    kept = state.each(torch.clone)
    after = network.write(state, readout)
    assert torch.equal(after.query, readout.temporal)
    assert torch.equal(after.history[:, -1], readout.spatial) and after.length.tolist() == [1, 1]
    for name in ("query", "history", "length"):
        assert torch.equal(getattr(state, name), getattr(kept, name)), "the state that went in is as it was"
    first, again = (network.step(template, frames[1], after) for _ in range(2))
    assert torch.equal(first[0].boxes_xyxy, again[0].boxes_xyxy) and torch.equal(first[2].query, again[2].query)
    assert not list(network.buffers(recurse=False)), "nothing is kept on the module"


@torch.no_grad()
def test_training_and_tracking_do_the_same():
    network = build()
    template, frames = encoded(network)
    state = network.start(2)
    for search, trained in zip(frames, network(*clip()), strict=True):
        found, _, state = network.step(template, search, state)
        assert difference(found.boxes_xyxy, trained.boxes_xyxy) < 1e-6
    released_network = build(faithful=True)
    state = released_network.start(2)
    template, frames = encoded(released_network)
    apart = []
    for search, trained in zip(frames, released_network(*clip()), strict=True):
        found, _, state = released_network.step(template, search, state)
        apart.append(difference(found.boxes_xyxy, trained.boxes_xyxy))
    assert apart[0] < 1e-6 < min(apart[1:]), "the released tracker leaves out the frame itself, but for the first"


@torch.no_grad()
def test_the_history_is_bounded_and_its_oldest_entry_goes_first():
    network, endless = build(history=2), build(faithful=True)
    template, frames = encoded(network)
    found, state, long = [], network.start(2), endless.start(2)
    for search in frames:
        readout = network.readout(template, search, state)
        found.append(readout.spatial)
        state, long = network.write(state, readout), endless.write(long, readout)
        assert state.history.shape[1] == 2
    assert torch.equal(state.history, torch.stack(found[-2:], dim=1))
    assert torch.equal(long.history, torch.stack(found, dim=1)) and long.length.tolist() == [4, 4]


@torch.no_grad()
def test_entries_that_hold_nothing_are_not_attended_to():
    network = build(history=3)
    template, frames = encoded(network)
    state = network.start(2)
    attention = network.readout(template, frames[0], state).attention
    assert torch.equal(attention, torch.tensor([[0.0, 0, 0, 1]] * 2)), "the first frame attends to itself"
    state = network.write(state, network.readout(template, frames[0], state))
    readout = network.readout(template, frames[1], state)
    assert torch.equal(readout.attention, torch.tensor([[0.0, 0, 1, 0]] * 2))
    noise = QueryState(state.query, torch.where(state.empty[..., None], 9.0, state.history), state.length)
    assert torch.equal(network.readout(template, frames[1], noise).temporal, readout.temporal)
    both = network.readout(template, frames[1], state, itself=True).attention
    assert (both[:, 2:] > 0).all() and torch.allclose(both.sum(dim=1), torch.ones(2))


@pytest.mark.parametrize("faithful", [False, True])
@torch.no_grad()
def test_targets_of_different_age_in_one_batch(faithful):
    network = build(faithful=faithful)
    template, frames = encoded(network)
    old = young = network.start(2)
    for search in frames[:3]:
        _, _, old = network.step(template, search, old)
    _, _, young = network.step(template, frames[0], young)
    joined = QueryState.join([old.split()[0], young.split()[1]])
    assert joined.length.tolist() == [3, 1]
    together, _, after = network.step(template, frames[3], joined)
    for sample, state in enumerate((old, young)):
        alone, _, next_state = network.step(
            template.select([sample]), frames[3].select([sample]), state.select([sample])
        )
        assert difference(together.boxes_xyxy[sample], alone.boxes_xyxy[0]) < 1e-5
        assert difference(after.query[sample], next_state.query[0]) < 1e-5
    assert torch.equal(joined.detach().to("cpu").query, joined.query)


def test_windows():
    assert hann(5, periodic=False).min() > 0 and torch.allclose(hann(5, False), hann(5, False).flip(0))
    assert hann(4, periodic=True)[0].abs().max() < 1e-6 and hann(4, True)[2, 2].item() == pytest.approx(1)
    with torch.no_grad():
        plain, half, full = (build(w)(*clip(1))[0].boxes_xyxy for w in (0.0, 0.5, 1.0))
        network = build(0.0)
        template, frames = encoded(network, 1)
        readout = network.readout(template, frames[0], network.start(2))
        bare = network.box_head(attended_map(readout.features, readout.temporal[:, None])).boxes_xyxy
        assert torch.equal(plain, bare), "w = 0 changes nothing"
        assert difference(plain, half) > 1e-6 < difference(half, full)
        at_ends = [build(w, faithful=True)(*clip(2)) for w in (0.0, 1.0)]
        constant = at_ends[0][0].boxes_xyxy[0]
        for found in (*at_ends[0], *at_ends[1]):
            assert difference(found.boxes_xyxy, constant) < 1e-5, "the released window hides everything at 0 and at 1"
    assert (
        STTrack(Trunk(), **SMALL).window_penalty.item() == 0
        and STTrack(Trunk(), **SMALL, faithful=True).window_penalty.item() == 1
    )


def test_gradients_flow_through_time():
    network = STTrack(Trunk(), **SMALL).train()
    boxes = network(*clip(3))[-1].boxes_xyxy
    boxes.sum().backward()
    # The first frame's query reaches the last frame's box through two writes.
    for name in ("query_embed.weight", "window_penalty", "bottleneck.weight", "backbone.0.body.0.weight",
                 "transformer.encoder.layers.0.linear1.weight",
                 "update_head.decoder.layers.0.multihead_attn.out_proj.weight"):  # fmt: skip
        assert network.get_parameter(name).grad.abs().max() > 0, name
    network = STTrack(Trunk(), **SMALL, faithful=True).train()
    network(*clip(2))[-1].boxes_xyxy.sum().backward()
    assert network.transformer.encoder.layers[0].linear1.weight.grad.abs().max() == 0, "as released: no gradient"


def test_a_checkpoint_of_the_released_code_loads(tmp_path):
    path = tmp_path / "STTRACK_ep0200.pth.tar"
    source = build(faithful=True)
    torch.save({"epoch": 200, "net_type": "STTRACK", "net": source.state_dict()}, path)
    network = STTrack(Trunk(), **SMALL, faithful=True)
    report = load_weights(network, path)
    assert report.complete and report.ignored == ("epoch", "net_type")
    assert network.window_penalty.item() == pytest.approx(0.3)
