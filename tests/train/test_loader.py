"""The same batches for any number of workers and processes, and clear words when a worker dies."""

import multiprocessing

import pytest
import torch

from lib.errors import FrameError, MachineError
from lib.train.data import epoch_batches, make_loader
from tests.train.test_sampler import samples, sequence


@pytest.fixture
def made():
    return samples(
        {"made": [sequence(name) for name in ("a", "bb", "ccc")]}, "DATA.AUGMENT.DISTRACTORS=0.5", "DATA.ABSENT=0.2"
    )


def test_batches_of_all_processes_are_those_of_one():
    whole = epoch_batches(50, 8, epoch=3)
    assert len(whole) == 6 and whole[1] == [(3, index) for index in range(8, 16)]
    parts = [epoch_batches(50, 4, epoch=3, rank=rank, world=2) for rank in range(2)]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole
    assert epoch_batches(50, 8, epoch=3, start=4) == whole[4:]
    assert epoch_batches(7, 8, epoch=0) == [] and epoch_batches(50, 8, epoch=0, start=9) == []


def test_batches_do_not_depend_on_workers(made):
    """F6: bit-identical for 0, 1 and 4 workers, and for two processes."""
    batches = epoch_batches(12, 4, epoch=1)
    made[0, 0]  # what the parent has open is not used by its workers
    expected = list(make_loader(made, batches, 0))
    assert expected[0]["search_images"].shape == (4, 1, 3, 64, 64) and expected[0]["index"].tolist() == [0, 1, 2, 3]
    for workers in (1, 4):
        for one, two in zip(expected, make_loader(made, batches, workers), strict=True):
            assert one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)
    halves = [list(make_loader(made, epoch_batches(12, 2, epoch=1, rank=rank, world=2), 0)) for rank in (0, 1)]
    for whole, *parts in zip(expected, *halves, strict=True):
        assert all(torch.cat([part[name] for part in parts]).equal(whole[name]) for name in whole)


def test_a_killed_worker_is_one_line(made):
    loader = make_loader(made, epoch_batches(4000, 4, epoch=0), 2)
    iterator = iter(loader)
    next(iterator)
    worker = multiprocessing.active_children()[-1]
    with pytest.raises(MachineError, match="a data worker was killed: memory .*NUM_WORKER") as caught:
        worker.kill()
        while True:
            next(iterator)
    assert "\n" not in str(caught.value)


def test_a_workers_error_is_one_line():
    made = samples({"made": [sequence("bad", fail=range(10))]})
    with pytest.raises(FrameError, match=r"^sample 0 of epoch 0: 10 draws failed") as caught:
        list(make_loader(made, epoch_batches(2, 2, epoch=0), 1))
    assert "\n" not in str(caught.value)
