"""The spatio-temporal query: nothing at first, a value from frame to frame, and gated as the specification says."""

import math

import pytest
import torch
from torch import nn

from lib.models.lunar import decode
from lib.models.lunar.query import (
    CAUTION,
    FADE,
    FAR,
    REWIND,
    WIDTH,
    QueryState,
    Readout,
    _relative,
    apply_position_prior,
    position_prior,
)
from tests.networks import make_lunar, temporal_query

KINDS = {
    "compact": {"kind": "compact", "embed_dim": 32, "num_heads": 2},
    "one_way": {"embed_dim": 32, "depth": 2, "num_heads": 2, "attention": "one_way", "head_stride": 8},
    "joint": {"embed_dim": 32, "depth": 2, "num_heads": 2, "attention": "joint", "head_stride": 8},
}
SMALL = {"template_size": 32, "search_size": 64, "head_channels": 16}
QUERY = {"dim": 24, "heads": 3, "slots": 4, "trajectory": 3, "reset": 3}


def build(kind="one_way", **query):
    torch.manual_seed(0)
    return make_lunar(**KINDS[kind], **SMALL, query=QUERY | query).eval()


def loud(network):
    """The network with weights that let the query be heard everywhere."""
    generator = torch.Generator().manual_seed(5)
    query = network.query
    parts = [query.scale, query.shift, *query.quality[-1].parameters(), *(p for p in query.parameters() if p.ndim == 2)]
    for part in parts:
        nn.init.normal_(part, std=0.2, generator=generator)
    if query.injects:
        nn.init.zeros_(query.loudness)
    return network


def video(network, count=5, batch=2, seed=1):
    """(template state, [(search crops, windows, places, confidence)]) of `batch` different videos."""
    generator = torch.Generator().manual_seed(seed)
    T, Z, S = network.num_templates, network.template_size, network.search_size
    templates = torch.rand(batch, T, 3, Z, Z, generator=generator)
    masks = torch.rand(batch, T, network.backbone.template_grid**2, generator=generator)
    frames = []
    for _ in range(count):
        search = torch.rand(batch, 3, S, S, generator=generator)
        windows = torch.tensor([300.0, 200, 64]) + 10 * torch.randn(batch, 3, generator=generator)
        places = windows * torch.tensor([1, 1, 0.2]) + torch.randn(batch, 3, generator=generator)
        frames.append((search, windows, places, torch.rand(batch, generator=generator)))
    with torch.no_grad():
        return network.encode_template(templates, masks), frames


def follow(network, template, frames, state=None):
    """[(maps, Readout, QueryState)] of every frame."""
    state, steps = network.query.start(len(frames[0][0])) if state is None else state, []
    for search, windows, places, confidence in frames:
        output, readout = network.readout(template, search, state, windows)
        state = network.write(state, readout, places, confidence, windows)
        steps.append((output, readout, state))
    return steps


def tensors(step):
    output, readout, state = step
    return [*output, readout.spatial, readout.query, readout.gain, readout.expected, *vars(state).values()]


def same(first, second, tolerance=0.0):
    return all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in zip(first, second, strict=True))


def one(template, number):
    """The template state of one sample."""
    keys = template.keys
    part = slice(number, number + 1)
    return type(template)(
        template.tokens[part], *([None, None] if keys is None else [keys[:, part], template.values[:, part]])
    )


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_before_training_the_query_changes_nothing(kind):
    """Q1: the same maps to the bit without INJECT, nearly with it; and the same weights serve with and without."""
    torch.manual_seed(0)
    plain = make_lunar(**KINDS[kind], **SMALL).eval()
    assert not plain.remembers and not any(name.startswith("query.") for name in plain.state_dict())
    for inject in (False, True):
        network = build(kind, inject=inject)
        loaded = network.load_state_dict(plain.state_dict(), strict=False)
        assert not loaded.unexpected_keys and all(name.startswith("query.") for name in loaded.missing_keys)
        template, frames = video(network)
        for (search, *_), (output, readout, _) in zip(frames, follow(network, template, frames), strict=True):
            wanted = plain.track(template, search)
            assert same(output, wanted, 1e-3 if inject else 0)
            _, _, score = decode(output)
            assert torch.allclose(network.query.judge(readout, score).sigmoid(), score, atol=1e-6)
        search, windows, *_ = frames[0]
        output, _ = loud(network).readout(template, search, network.query.start(len(search)), windows)
        assert not same(output, wanted)
        left = make_lunar(**KINDS[kind], **SMALL).load_state_dict(network.state_dict(), strict=False)
        assert not left.missing_keys and all(name.startswith("query.") for name in left.unexpected_keys)


@pytest.mark.parametrize("inject", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_what_comes_later_changes_nothing_before(kind, inject):
    """Q3."""
    network = loud(build(kind, inject=inject))
    template, frames = video(network)
    changed = [*frames[:3], (1 - frames[3][0], *frames[3][1:]), frames[4]]
    before, after = follow(network, template, frames), follow(network, template, changed)
    for number in range(5):
        assert same(tensors(before[number]), tensors(after[number])) == (number < 3)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_samples_of_a_batch_are_independent(kind):
    """Q4: one of three videos is what it is alone, unreached by another's frame; states come apart and join."""
    network = loud(build(kind, inject=True))
    template, frames = video(network, batch=3)
    together = follow(network, template, frames)
    parts = [[tuple(part[n : n + 1] for part in frame) for frame in frames] for n in range(3)]
    alone = [follow(network, one(template, n), parts[n]) for n in range(3)]
    for step, *singles in zip(together, *alone, strict=True):
        for n, single in enumerate(singles):
            assert same([part[n : n + 1] for part in tensors(step)], tensors(single), 1e-5)

    half = together[1][2]
    assert same(vars(QueryState.join([states[1][2] for states in alone])).values(), vars(half).values(), 1e-5)
    assert same(vars(QueryState.join(half.split())).values(), vars(half).values())
    order = torch.tensor([2, 0, 1])
    moved = [tuple(part[order] for part in frame) for frame in frames[2:]]
    turned = type(template).join([one(template, n) for n in order.tolist()])
    for step, again in zip(together[2:], follow(network, turned, moved, half.select(order)), strict=True):
        assert same([part[order] for part in tensors(step)], tensors(again), 1e-5)

    other = [frames[0], (frames[1][0].clone(), *(part.clone() for part in frames[1][1:])), *frames[2:]]
    for part in other[1]:
        part[2] = part[2] / 2 + 0.3
    for number, step in enumerate(follow(network, template, other)):
        pairs = list(zip(tensors(step), tensors(together[number]), strict=True))
        assert all(torch.equal(a[:2], b[:2]) for a, b in pairs)
        assert number < 1 or not all(torch.equal(a[2], b[2]) for a, b in pairs)


@torch.no_grad()
def test_reset_is_for_some_samples():
    network = loud(build())
    template, frames = video(network)
    state = follow(network, template, frames)[-1][2]
    fresh = network.query.start(1)
    mixed = state.reset(torch.tensor([False, True])).split()
    assert same(vars(mixed[0]).values(), vars(state.select([0])).values())
    assert same(vars(mixed[1]).values(), vars(fresh).values())


class Gates:
    """A small TemporalQuery that is given what it saw."""

    def __init__(self, count=1, **options):
        torch.manual_seed(0)
        self.query = temporal_query(
            8, 4, **({"dim": 8, "heads": 2, "slots": 6, "trajectory": 4, "reset": 10} | options)
        )
        self.state = self.query.start(count)

    def see(self, *confidence):
        """One frame; returns the Readout."""
        count, dim = len(self.state.prior), self.query.dim
        readout = Readout(torch.randn(count, dim), torch.randn(count, dim), None, None, torch.zeros(count, 4))
        places, windows = 100 + torch.rand(count, 3), torch.tensor([[100.0, 100, 64]] * count)
        self.state = self.query.write(self.state, readout, places, torch.tensor(confidence).expand(count), windows)
        return readout


@torch.no_grad()
def test_long_lost_is_given_up():
    """Q5: below HOLD the prior decays, after RESET such frames it is gone, and with it what was remembered lately."""
    gates = Gates()
    for frame in range(20):
        gates.see(0.2 if frame == 0 else 0.95 if frame < 12 else 0.7)
    before = gates.state
    for lost in range(1, 10):
        gates.see(0.3)
        assert gates.state.lost.item() == lost
        assert torch.allclose(gates.state.prior, 0.8**lost * before.prior)
    assert torch.equal(gates.state.marks, before.marks) and torch.equal(gates.state.memory, before.memory)
    gates.see(0.3)
    state, time = gates.state, 29
    assert not state.prior.any() and state.lost.item() == 10 and state.time.item() == time + 1
    kept = before.marks[0, :, 3] <= time - 10 - REWIND
    assert kept[0] and kept[1:].any() and not kept.all()
    assert torch.equal(state.marks[0, kept], before.marks[0, kept]) and not state.marks[0, ~kept].any()
    gates.see(0.3)
    assert not gates.state.prior.any() and gates.state.lost.item() == 11
    readout = gates.see(0.9)
    assert torch.equal(gates.state.prior, readout.query) and gates.state.lost.item() == 0

    early = Gates(reset=3)
    early.see(0.0), early.see(0.9), early.see(0.9)
    first = early.state
    for _ in range(3):
        early.see(0.0)
    assert torch.equal(early.state.marks[:, 0], first.marks[:, 0]) and not early.state.marks[:, 1:].any()
    assert torch.equal(early.state.memory[:, 0], first.memory[:, 0]) and first.marks[0, 0, 4] > 0


@torch.no_grad()
def test_doubt_goes_half_way_and_certainty_is_remembered():
    gates = Gates(2)
    readout = gates.see(0.1, 0.1)
    assert torch.equal(gates.state.prior, readout.query), "of the first frame everything is sure"
    assert torch.equal(gates.state.memory[:, 0], readout.spatial) and (gates.state.marks[:, 0, 4] > 0).all()
    before = gates.state
    readout = gates.see(0.6, 0.59)
    after = gates.state
    assert torch.allclose(after.prior[0], readout.query[0], atol=1e-6)
    assert torch.allclose(after.prior[1], (before.prior[1] + readout.query[1]) / 2)
    assert torch.equal(after.memory[0, 1], readout.spatial[0])
    assert after.marks[0, 1, 3:].tolist() == [1.0, pytest.approx(0.6)]
    assert torch.equal(after.memory[1], before.memory[1]) and torch.equal(after.marks[1], before.marks[1])
    gates.see(0.35, 0.34)
    assert gates.state.lost.tolist() == [0, 1]
    assert torch.equal(gates.state.trajectory[:, 1:3], after.trajectory[:, 2:])
    assert gates.state.trajectory[:, 3, 3].tolist() == [pytest.approx(0.35), pytest.approx(0.34)]


@pytest.mark.parametrize("slots", [1, 2, 5, 6])
@torch.no_grad()
def test_the_first_slot_stays_and_the_least_of_the_older_half_goes(slots):
    gates, random = Gates(slots=slots), torch.Generator().manual_seed(slots)
    for frame in range(200):
        before = gates.state
        confidence = torch.rand(1, generator=random).item()
        readout = gates.see(confidence)
        after = gates.state
        changed = (after.marks != before.marks).any(2)[0].nonzero().flatten().tolist()
        if frame == 0:
            first = after
            continue
        assert torch.equal(after.memory[:, 0], first.memory[:, 0]) and torch.equal(after.marks[:, 0], first.marks[:, 0])
        if confidence < 0.6 or slots == 1:
            assert after.lost.item() < 10 and not changed
            continue
        assert len(changed) == 1 and torch.equal(after.memory[:, changed[0]], readout.spatial)
        marks = before.marks[0]
        empty = [slot for slot in range(1, slots) if marks[slot, 4] == 0]
        old = sorted(range(1, slots), key=lambda slot: marks[slot, 3].item())[: slots // 2]
        assert changed[0] in (empty or [min(old, key=lambda slot: marks[slot, 4].item())])


@pytest.mark.parametrize("gradient", [0, 1, 2])
@pytest.mark.parametrize(("doubt", "reached"), [(None, (1, 2)), (1, (2, 3))])
def test_gradients_reach_the_last_memories(gradient, doubt, reached):
    """Q6: through as many written frames as asked for; a frame in doubt is not written and not one of them."""
    network = loud(build(gradient=gradient, slots=8))
    template, frames = video(network, 6, 1)
    frames = [(frame[0].requires_grad_(), *frame[1:3], torch.ones(1)) for frame in frames]
    if doubt:
        frames[-1 - doubt] = (*frames[-1 - doubt][:3], torch.full((1,), 0.5))
    output, readout, _ = follow(network, template, frames)[-1]
    loss = output.score_map.sum() + network.query.judge(readout, torch.full((1,), 0.5)).sum()
    grads = torch.autograd.grad(loss, [frame[0] for frame in frames], allow_unused=True)[::-1]
    nonzero = {back for back, grad in enumerate(grads) if grad is not None and grad.abs().sum() > 0}
    assert nonzero == {0, *reached[:gradient]}


@torch.no_grad()
def test_a_state_never_grows():
    """Q8."""
    query = temporal_query(8, 4, dim=8, heads=2, slots=5, trajectory=4).eval()
    state = query.start(2)
    shapes = [part.shape for part in vars(state).values()]
    types = [part.dtype for part in vars(state).values()]
    windows = torch.tensor([[30.0, 40, 64]] * 2)
    for _ in range(300):
        readout = query.read(state, query.expectation(state, windows), torch.rand(2, 8, 4, 4), windows)
        state = query.write(state, readout, windows / 2, torch.rand(2), windows)
    assert [part.shape for part in vars(state).values()] == shapes
    assert [part.dtype for part in vars(state).values()] == types and state.time.tolist() == [300, 300]
    assert all(part.isfinite().all() for part in vars(state).values())


@torch.no_grad()
def test_nothing_stays_on_the_network():
    """Q7: A, B, A; the second A is the first."""
    network = loud(build(inject=True))

    def snapshot():
        parts = {name: {key: id(value) for key, value in vars(part).items()} for name, part in network.named_modules()}
        return parts, {name: id(value) for name, value in [*network.named_parameters(), *network.named_buffers()]}

    before, weights = snapshot(), {name: value.clone() for name, value in network.state_dict().items()}
    (template, a), (other, b) = video(network, seed=1), video(network, seed=2)
    runs = [follow(network, *each) for each in ((template, a), (other, b), (template, a))]
    assert all(same(tensors(x), tensors(y)) for x, y in zip(runs[0], runs[2], strict=True))
    assert not same(tensors(runs[0][-1]), tensors(runs[1][-1]))
    assert snapshot() == before
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def remembered():
    """(network, features, windows, a state with several memories of confidence)."""
    network = loud(build(slots=6))
    template, frames = video(network, 5)
    frames = [(*frame[:3], 0.6 + 0.4 * frame[3]) for frame in frames]
    state = follow(network, template, frames)[-1][2]
    return network.query, torch.rand(2, 32, 4, 4), frames[-1][1], state


def read(query, state, features, windows):
    readout = query.read(state, query.expectation(state, windows), features, windows, attention=True)
    assert torch.allclose(readout.attention.sum(1), torch.ones(2))
    return readout


@torch.no_grad()
def test_memories_have_no_order_but_marks():
    """Q9."""
    query, features, windows, state = remembered()
    order = torch.tensor([3, 0, 4, 2, 5, 1])
    readout = read(query, state, features, windows)
    both = QueryState(**vars(state) | {"memory": state.memory[:, order], "marks": state.marks[:, order]})
    assert same(read(query, both, features, windows), readout, 1e-6)
    filled = torch.tensor([1, 0, 3, 4, 2, 5])
    assert (state.marks[:, :5, 4] > 0).all()
    mixed = QueryState(**vars(state) | {"memory": state.memory[:, filled]})
    assert (read(query, mixed, features, windows).query - readout.query).abs().max() > 1e-3
    empty = state.marks[:, :, 4] == 0
    assert empty.any()
    noise = state.memory + empty[..., None] * torch.randn_like(state.memory)
    assert same(read(query, QueryState(**vars(state) | {"memory": noise}), features, windows), readout)


@torch.no_grad()
def test_places_count_from_the_window_in_its_sides():
    query, features, windows, state = remembered()
    readout = read(query, state, features, windows)

    def moved(place):
        """The Readout where all lengths become place(lengths (..., 3))."""
        marks = torch.cat([place(state.marks[..., :3]), state.marks[..., 3:]], dim=2)
        trajectory = torch.cat([place(state.trajectory[..., :3]), state.trajectory[..., 3:]], dim=2)
        return read(
            query, QueryState(**vars(state) | {"marks": marks, "trajectory": trajectory}), features, place(windows)
        )

    assert same(moved(lambda place: place + torch.tensor([70.0, -40, 0])), readout, 1e-5)
    assert same(moved(lambda place: 3 * place), readout, 1e-5)
    assert not same(read(query, state, features, windows + torch.tensor([8.0, 0, 0])), readout, 1e-3)
    assert not same(read(query, state, features, windows * torch.tensor([1, 1, 1.5])), readout, 1e-3)


def test_relative_places_by_hand():
    places = torch.tensor([[[110.0, 80, 20], [9000, -9000, 40], [100, 100, 0]]])
    windows = torch.tensor([[100.0, 100, 40]])
    wanted = [[0.25, -0.5, math.log(0.5) / 4], [FAR, -FAR, 0], [0, 0, math.log(1e-3) / 4]]
    assert torch.allclose(_relative(places, windows), torch.tensor([wanted]))


@pytest.mark.parametrize(("dim", "heads"), [(32, 3), (6, 3)])
def test_widths_that_do_not_divide(dim, heads):
    with pytest.raises(ValueError, match=f"query of width {dim}"):
        temporal_query(8, 4, dim=dim, heads=heads)


@torch.no_grad()
def test_the_prediction_error_is_a_mean_in_window_sides():
    query = temporal_query(8, 4, dim=8, heads=2)
    state, windows, wanted = query.start(2), torch.tensor([[100.0, 50, 40], [10, 20, 200]]), torch.zeros(2)
    # In sides, from the window's middle: expected, found. Nothing is farther off than FAR.
    steps = [((0.5, 0.5), (0, 0), 0.0), ((0.1, -0.2), (0.4, 0.2), 0.5), ((0, 0), (0.3, 0), 0.3), ((0, 0), (9, 0), FAR)]
    for number, (expected, found, error) in enumerate(steps):
        expected = torch.tensor([[*expected, 0.1, 0.0]] * 2)
        readout = Readout(torch.rand(2, 8), torch.rand(2, 8), None, None, expected)
        places = torch.cat([windows[:, :2] + torch.tensor(found) * windows[:, 2:], windows[:, 2:] / 4], dim=1)
        state = query.write(state, readout, places, torch.tensor([0.9, 0.1]), windows)
        if number:
            wanted = wanted + FADE * (error - wanted)
        assert torch.allclose(state.prediction_error, wanted, atol=1e-6), "also of a frame in which the target is lost"
    assert wanted[0] > 0.2
    expectation = query.expectation(state, windows)
    expected = query.read(state, expectation, torch.rand(2, 8, 4, 4), windows).expected
    assert torch.equal(expected[:, 3], state.prediction_error)
    calm = torch.cat([expected[:, :3], torch.zeros(2, 1)], dim=1)
    assert (position_prior(expected, 16) > position_prior(calm, 16)).all(), "after large errors the prior is wide"
    assert not state.reset(torch.tensor([True, True])).prediction_error.any()


def test_the_position_prior_by_hand():
    cells = position_prior(torch.tensor([[0.25, -0.125, 0.0, 0.0], [0.25, -0.125, 0.3, 0.2]]), 4)
    for number, width in enumerate((WIDTH**2, WIDTH**2 + 0.09 + (CAUTION * 0.2) ** 2)):
        for row, y in enumerate((-0.375, -0.125, 0.125, 0.375)):
            for column, x in enumerate((-0.375, -0.125, 0.125, 0.375)):
                square = (x - 0.25) ** 2 + (y + 0.125) ** 2
                assert cells[number, 0, row, column].item() == pytest.approx(1 / (1 + square / width), rel=1e-5)
    assert position_prior(torch.tensor([[-0.125, 0.375, 0.1, 0]]), 4)[0, 0, 3, 1] == 1


def test_the_position_prior_moves_the_peak_to_where_the_target_is_expected():
    random = torch.Generator().manual_seed(0)
    score = torch.rand(3, 1, 16, 16, generator=random)
    expected = torch.tensor([[0.2, -0.1, 0.05, 0.0], [-1.5, 0.3, 0.2, 0.1], [0, 0, 0.01, 0.4]])
    assert torch.equal(apply_position_prior(score, expected, 0.0), score)
    assert torch.equal(apply_position_prior(score, expected, 1.0), position_prior(expected, 16))

    here = torch.tensor([[(11.5 / 16) - 0.5, (4.5 / 16) - 0.5, 0.05, 0.0]])  # column 11, row 4

    def found(peaks, influence=0.15):
        """(row, column) of the response's peak for scores {(row, column): value} over next to nothing."""
        score = torch.full((1, 1, 16, 16), 1e-4)
        for (row, column), value in peaks.items():
            score[0, 0, row, column] = value
        return divmod(apply_position_prior(score, here, influence).argmax().item(), 16)

    assert found({(4, 11): 0.7, (9, 3): 0.7}) == found({(9, 3): 0.7, (4, 11): 0.7}) == (4, 11)
    assert found({(5, 11): 0.6, (12, 2): 0.7}) == (5, 11), "the nearer one, if not far worse"
    assert found({(9, 3): 0.8}) == (9, 3), "where nothing is seen nothing is found"
    assert found({(5, 11): 0.1, (9, 3): 0.8}) == (9, 3), "nor hardly anything"
