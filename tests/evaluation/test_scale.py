"""One benchmark over many processes and machines: shards, evaluations that share a folder, the dataset's own base."""

import dataclasses
import errno
import logging
import os
import runpy

import numpy as np
import pytest

from lib.commands.test import _select as select
from lib.data import benchmarks
from lib.errors import MachineError
from lib.test.evaluation import results, waiting
from lib.test.evaluation.runner import Experiment, evaluate
from tests.evaluation.test_runner import FAULTY, ROOT, boxes, write_sequence
from tests.processes import Started, until

IDENTITY = Experiment("identity", "baseline")


@pytest.fixture
def place(tmp_path):
    return results.Run(tmp_path / "results", "identity", "baseline")


@pytest.fixture
def sequences(tmp_path):
    """Five sequences of three frames, of a dataset whose files call the first pixel 1."""
    for name in "abcde":
        write_sequence(tmp_path / "set", name, frames=3)
    return [dataclasses.replace(sequence, origin=1.0) for sequence in benchmarks.load(tmp_path / "set")]


def hidden(place):
    return [path.name for path in place.root.rglob(".*")]


# ---- the dataset's own base -----------------------------------------------------------------------------------------


def test_result_files_are_in_the_base_of_the_dataset(place, sequences):
    """The first row is what the annotation file of a MATLAB-born dataset says, one more than our boxes."""
    evaluate(IDENTITY, sequences, place)
    written, _ = results.read(results.find(place, "set", "a"), 3)
    np.testing.assert_allclose(written[0], [21, 16, 10, 8], atol=1e-3)
    np.testing.assert_allclose(sequences[0].from_file(written)[0], sequences[0].first_box, atol=1e-3)


def test_videos_show_boxes_where_they_were_tracked(tmp_path, monkeypatch, sequences):
    """--debug draws what was tracked in pixels of the frames, whatever the base of the files."""
    drawn = {}
    monkeypatch.setattr("lib.vis.video.save_tracked", lambda path, frames, found, truth: drawn.update({path: found}))
    monkeypatch.setattr(benchmarks, "load_all", lambda names, root=None: {"set": (sequences, None)})
    main = runpy.run_path(str(ROOT / "tracking" / "test.py"))["main"]
    assert main(["identity", "baseline", "--dataset", "set", "--debug", "--save_dir", str(tmp_path / "out")]) == 0
    assert len(drawn) == 5
    for found in drawn.values():
        np.testing.assert_allclose(found, np.tile(sequences[0].first_box, (3, 1)), atol=1e-3)


# ---- shards ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 7, 16])
@pytest.mark.parametrize("parts", [1, 2, 3, 5, 20])
def test_shards_partition_any_list(count, parts):
    names = list(range(count))
    shards = [select(names, None, f"{part}/{parts}") for part in range(1, parts + 1)]
    assert sorted(name for shard in shards for name in shard) == names
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_shards_of_every_dataset_of_a_list_are_one_run(tmp_path, command):
    """Two datasets in a comma list, one smaller than the number of shards: together the files of one run."""
    for number in range(5):
        write_sequence(tmp_path / "first", f"{number}", frames=3, width=10.0 + number)
    for number in range(2):
        write_sequence(tmp_path / "second", f"{number}", frames=3, width=20.0 + number)
    datasets = f"{tmp_path / 'first'},{tmp_path / 'second'}"

    def files(place):
        found = place.rglob("?.txt"), place.rglob("*_score.txt")
        return {str(path.relative_to(place)): path.read_bytes() for paths in found for path in paths}

    words = ["test.py", "identity", "baseline", "--dataset", datasets, "--save_dir"]
    assert command(*words, tmp_path / "one") == 0
    seen = []
    for part in (1, 2, 3):
        assert command(*words, tmp_path / "many", "--shard", f"{part}/3") == 0
        seen.append(len(files(tmp_path / "many")))
    assert seen == [2 * 3, 2 * 6, 2 * 7]
    assert files(tmp_path / "many") == files(tmp_path / "one")


# ---- claims ---------------------------------------------------------------------------------------------------------


def test_a_sequence_is_handed_out_once(place, sequences):
    one, two = (waiting.Queue(sequences, place, overwrite=False) for _ in range(2))
    assert [one.next().name, two.next().name, one.next().name] == ["a", "b", "c"]
    assert [sequence.name for sequence in (two.next(), two.next())] == ["d", "e"] and two.next() is None
    assert one.next() is None and [sequence.name for sequence in one.taken] == ["b", "d", "e"]
    assert results.discover(place.root) == {}, "a claim is no result"
    one.release("a")  # given up, as after a failure
    results.write(place, "set", "c", sequences[2].boxes_xywh)
    one.release("c")
    two.wait_for_others()
    assert [sequence.name for sequence in two.waiting] == ["a"] and two.summary.elsewhere == ["c"]
    assert two.frames == 3 * 4
    assert two.next().name == "a"
    for name in "abde":
        two.release(name)
    assert hidden(place) == []


def test_overwriting_tracks_again_what_was_there_and_not_what_another_has_just_written(place, sequences):
    for sequence in sequences:
        results.write(place, "set", sequence.name, sequence.boxes_xywh)
    one, two = (waiting.Queue(sequences, place, overwrite=True) for _ in range(2))
    first = one.next()
    results.write(place, "set", first.name, sequences[0].boxes_xywh)
    one.release(first.name)
    assert two.next().name == "b" and two.summary.elsewhere == ["a"]
    assert waiting.Queue(sequences, place, overwrite=False).summary.skipped == list("abcde")


def test_a_file_system_without_locks_is_named_once_and_used(place, sequences, monkeypatch, caplog):
    def refuse(self, **_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(waiting.FileLock, "acquire", refuse)
    with caplog.at_level(logging.WARNING):
        assert len(evaluate(IDENTITY, sequences, place).done) == 5
    assert [record.getMessage().partition(":")[2] for record in caplog.records] == [
        " a file system without locks; evaluations at the same time repeat work"
    ]


def test_a_claim_that_cannot_be_written_stops(place, sequences, monkeypatch):
    def refuse(self, **_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(waiting.FileLock, "acquire", refuse)
    with pytest.raises(MachineError, match=r"\.a\.lock: cannot write: No space left"):
        evaluate(IDENTITY, sequences, place)


def test_locks_left_by_a_killed_process_hinder_nobody(place, sequences):
    folder = results.boxes_path(place, "set", "a").parent
    folder.mkdir(parents=True)
    for name in "abcde":
        (folder / f".{name}.lock").touch()
    assert len(evaluate(IDENTITY, sequences, place).done) == 5
    assert hidden(place) == []


# ---- two commands, one folder (F17) ---------------------------------------------------------------------------------


def started(dataset, *flags, log=None, seconds=0.01):
    """A running evaluation of the dataset."""
    words = [FAULTY, "identity", "baseline", "--dataset", dataset, *flags, "--save_dir", dataset.parent / "out"]
    return Started(words, {**os.environ, "SECONDS_A_FRAME": str(seconds), **({"TRACKED": str(log)} if log else {})})


@pytest.fixture
def twelve(tmp_path):
    for number in range(12):
        write_sequence(tmp_path / "set", f"{number:x}", width=20.0 + number)
    return tmp_path / "set"


@pytest.mark.parametrize("pair", [0, 1, *(pytest.param(pair, marks=pytest.mark.soak) for pair in range(2, 10))])
def test_two_evaluations_share_a_folder_and_the_work(twelve, pair):
    """Same bytes as of one alone, and not one sequence tracked twice; one of them with processes of its own."""
    log = twelve.parent / "tracked"
    both = [started(twelve, "--threads", threads, log=log) for threads in (0, 2 * (pair % 2))]
    outputs = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted(log.read_text().split()) == sorted(f"{20 + number}" for number in range(12))
    tracked = [int(out.split(" of 12 sequences tracked")[0].split()[-1]) for out, _ in outputs]
    assert sum(tracked) == 12
    alone = evaluate_alone(twelve)
    assert boxes(twelve) == alone and len(alone) == 12
    assert not list((twelve.parent / "out").rglob(".*"))


def evaluate_alone(dataset):
    """{file name: bytes} of the boxes that one process writes."""
    place = results.Run(dataset.parent / "alone", "identity", "baseline")
    evaluate(IDENTITY, benchmarks.load(dataset), place)
    return {path.name: path.read_bytes() for path in place.folder.glob("set/?.txt")}


def test_one_waits_for_the_other_and_takes_over_when_it_is_killed(tmp_path):
    """SIGKILL of one while the other waits for its last sequence: the lock dies with it, and the other tracks it."""
    write_sequence(tmp_path / "set", "a", frames=40, width=20.0)
    write_sequence(tmp_path / "set", "b", width=21.0)
    log = tmp_path / "tracked"
    slow = started(tmp_path / "set", log=log, seconds=3.0)
    until(lambda: log.exists())
    other = started(tmp_path / "set", log=log, seconds=0.001)
    until(lambda: "waiting for 1 sequences another evaluation tracks (Ctrl-C leaves them to it)\n" in other.output())
    assert sorted(boxes(tmp_path / "set")) == ["b.txt"]
    slow.kill()
    slow.communicate()
    out, err = other.communicate(timeout=240)
    assert other.returncode == 0, err
    assert "2 of 2 sequences tracked" in out and log.read_text().split() == ["20", "21", "20"]
    assert boxes(tmp_path / "set") == evaluate_alone(tmp_path / "set")


def test_what_another_finished_meanwhile_is_told(tmp_path, command, monkeypatch, capsys):
    """Another evaluation holds the first sequence, and has finished it when this one looks again."""
    for name in "ab":
        write_sequence(tmp_path / "set", name)
    sequences = benchmarks.load(tmp_path / "set")
    place = results.Run(results.results_root(tmp_path / "out"), "identity", "baseline")
    other = waiting.Queue(sequences, place, overwrite=False)
    assert other.next().name == "a"

    def meanwhile(seconds):
        results.write(place, "set", "a", sequences[0].boxes_xywh)
        other.release("a")

    monkeypatch.setattr(waiting.time, "sleep", meanwhile)
    words = ["identity", "baseline", "--dataset", tmp_path / "set", "--save_dir", tmp_path / "out"]
    assert command("test.py", *words) == 0
    assert "1 of 2 sequences tracked, 1 meanwhile by others\n" in capsys.readouterr().out
