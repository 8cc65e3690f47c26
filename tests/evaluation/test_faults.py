"""What an evaluation survives: being killed, sequences that fail, results that change, a full disk.

python -m pytest -m soak kills it 50 times instead of 2.
"""

import json
import os
import random
import subprocess
import time

import numpy as np
import pytest

from lib.data import benchmarks
from lib.errors import MachineError
from lib.test.evaluation import results
from lib.test.evaluation.provenance import NOTE
from lib.test.utils.packing import write_zip
from tests.evaluation.test_runner import FAULTY, run, write_sequence
from tests.evaluation.test_scale import started
from tests.processes import until

FRAMES = 20


def written(dataset, suffix=""):
    """{file name: bytes} of the boxes, or of the companions `suffix`."""
    place = dataset.parent / "out/test/tracking_results/identity/baseline" / dataset.name
    return {path.name: path.read_bytes() for path in place.glob(f"???{suffix}.txt")}


# ---- killed (F15) ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.soak)])
def test_killed_at_any_moment_and_run_again(tmp_path, kills):
    """SIGKILL at random, then the same command again: the files of an unbroken run, no finished sequence started
    again, and at no moment a file that is not whole."""
    chance = random.Random(0)
    count = 7 * kills
    dataset, log = tmp_path / "set", tmp_path / "tracked"
    for number in range(count):
        write_sequence(dataset, f"{number:03d}", FRAMES, width=20.0 + number)
    log.touch()
    broken_off = 0
    for number in range(kills):
        finished, before = set(written(dataset)), starts(log)
        process = started(dataset, "--threads", 2 * (number % 2), log=log, seconds=0.005)
        until(lambda before=before: len(starts(log)) > len(before))
        end = time.monotonic() + chance.uniform(0, 0.4)
        while time.monotonic() < end:
            assert all(data.count(b"\n") == FRAMES for data in written(dataset).values()), "only whole files"
            time.sleep(0.02)
        broken_off += process.poll() is None
        process.kill()
        process.communicate()
        again = {f"{width - 20:03d}.txt" for width in starts(log)[len(before) :]} & finished
        assert not again, "a finished sequence was tracked again"
    process = started(dataset, log=log, seconds=0)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    print(
        f"\n{broken_off} of {kills} killed at work; {count} sequences, {len(starts(log))} starts; {out.splitlines()[1]}"
    )
    assert broken_off == kills and set(starts(log)) == set(range(20, 20 + count))
    assert len(starts(log)) <= count + 2 * kills, "a kill costs at most what was in work"
    whole = tmp_path / "whole" / "set"
    whole.parent.mkdir()
    whole.symlink_to(dataset)
    assert started(whole, seconds=0).wait(240) == 0
    for suffix in ("", "_score"):
        assert written(dataset, suffix) == written(whole, suffix) and len(written(whole, suffix)) == count
    assert all(data.count(b"\n") == FRAMES for data in written(dataset, "_time").values())


def starts(log):
    """Widths of the first boxes, which number the sequences, in the order in which they were started."""
    return [int(width) for width in log.read_text().split()]


# ---- failing sequences (F16) ----------------------------------------------------------------------------------------


def test_of_twenty_one_raises_one_hangs_one_segfaults(tmp_path):
    for number in range(17):
        write_sequence(tmp_path / "set", f"{number:03d}", width=20.0 + number)
    for name, width in (("07_raises", 11.0), ("08_hangs", 12.0), ("09_segfaults", 13.0)):
        write_sequence(tmp_path / "set", name, width=width)
    done = run(tmp_path / "set", "--threads", 2, "--timeout", 2, script=FAULTY)
    assert done.returncode == 4 and "17 of 20 sequences tracked" in done.stdout
    assert len(written(tmp_path / "set")) == 17
    assert done.stderr.splitlines()[0] == "lunar: error: 3 sequences failed, the others are saved:"
    assert sorted(done.stderr.splitlines()[1:]) == [
        "  set/07_raises: ZeroDivisionError: on purpose",
        "  set/08_hangs: no frame in 2 s (--timeout)",
        "  set/09_segfaults: the process tracking it died (signal 11)",
    ]


# ---- results that change (F18) --------------------------------------------------------------------------------------


@pytest.fixture
def scored(tmp_path, command, capsys):
    """Write results of two sequences; returns scores(*flags) -> (exit code, the tracker's scores, stdout, stderr)."""
    for name in "ab":
        write_sequence(tmp_path / "set", name)
    sequences = benchmarks.load(tmp_path / "set")
    place = results.Run(tmp_path / "results", "identity", "baseline")

    def scores(*flags):
        words = ["--trackers", "identity:baseline", "--dataset", tmp_path / "set", "--results", place.root]
        code = command("analysis_results.py", *words, "--json", tmp_path / "scores.json", *flags)
        captured = capsys.readouterr()
        found = json.loads((tmp_path / "scores.json").read_text()) if code == 0 else None
        return code, found and found["datasets"][0]["trackers"][0], captured.out, captured.err

    scores.sequences, scores.place = sequences, place
    return scores


def test_replaced_results_are_scored_anew(scored):
    """Ten times, of the same size and with the same time on them: nothing is remembered between two analyses."""
    one, two = scored.sequences
    results.write(scored.place, "set", "a", one.boxes_xywh)
    found = []
    for step in range(10):
        path = results.write(scored.place, "set", "b", two.boxes_xywh + [step, 0, 0, 0])
        os.utime(path, (1e9, 1e9))
        code, tracker, *_ = scored()
        assert code == 0
        found.append(tracker["sequences"][1]["ao"])
    expected = [(10 - step) / (10 + step) for step in range(10)]  # IoU of boxes 10 px wide that are `step` px apart
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_part_of_a_dataset_is_refused_and_then_labelled(scored):
    results.write(scored.place, "set", "a", scored.sequences[0].boxes_xywh)
    code, _, out, err = scored()
    assert code == 2 and len(err.splitlines()) == 1
    assert "has no results for 1 of the 2 sequences of set: b" in err and "--allow_missing" in err
    code, tracker, out, err = scored("--allow_missing")
    assert code == 0 and tracker["missing"] == ["b"]
    assert "PARTIAL 1/2" in out


# ---- disk full (F19) ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs to mount a tmpfs, which is not allowed here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(disk, left):
    """Fill the disk up to `left` bytes, in whole pages."""
    status = os.statvfs(disk)
    (disk / "filling").write_bytes(bytes(status.f_bavail * status.f_frsize - left))


@pytest.mark.parametrize("threads", [0, 2])
def test_disk_full_while_results_are_written(tmp_path, small_disk, threads):
    """The companions of a sequence still find room, its boxes do not: no boxes, so it is not taken for finished."""
    for name in "ab":
        write_sequence(tmp_path / "set", name, frames=300)
    flags = ["--save_dir", small_disk / "out"]
    assert run(tmp_path / "set", "--sequence", "a", *flags).returncode == 0
    before = contents(small_disk)
    fill(small_disk, left=3 * 4096)
    done = run(tmp_path / "set", "--threads", threads, *flags)
    assert done.returncode == 3 and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.endswith("/b.txt: cannot write: No space left on device\n")
    (small_disk / "filling").unlink()
    after = contents(small_disk)
    assert {name: after[name] for name in before if name != NOTE} == {
        name: before[name] for name in before if name != NOTE
    }
    assert sorted(set(after) - set(before)) == ["b_score.txt", "b_time.txt"]
    done = run(tmp_path / "set", *flags)
    assert done.returncode == 0 and "1 of 2 sequences tracked" in done.stdout


def contents(disk):
    return {path.name: path.read_bytes() for path in disk.rglob("*") if path.is_file()}


def test_disk_full_while_a_zip_is_packed(small_disk):
    path = small_disk / "submission.zip"
    write_zip(path, {"a.txt": "the one before"})
    before = path.read_bytes()
    fill(small_disk, left=3 * 4096)
    noise = np.random.default_rng(0).bytes(8000).hex()
    with pytest.raises(MachineError, match="submission.zip: cannot write: No space left"):
        write_zip(path, {f"{number}.txt": noise for number in range(4)})
    assert path.read_bytes() == before
    assert sorted(file.name for file in small_disk.iterdir()) == ["filling", "submission.zip"]


def test_disk_full_while_scores_are_written(scored, small_disk):
    for sequence in scored.sequences:
        results.write(scored.place, "set", sequence.name, sequence.boxes_xywh)
    (small_disk / "old.json").write_text("the one before")
    fill(small_disk, left=0)
    for flags in (["--json", small_disk / "old.json"], ["--html", small_disk / "new.html"]):
        code, _, _, err = scored(*flags)
        assert code == 3 and len(err.splitlines()) == 1 and "No space left" in err, err
    assert sorted(path.name for path in small_disk.iterdir()) == ["filling", "old.json"]
    assert (small_disk / "old.json").read_text() == "the one before"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_disk_full_while_tensorboard_is_written(small_disk):
    """Its events come from a thread of its own, which hands the error on at a later call."""
    pytest.importorskip("tensorboard")
    import torch

    from lib.train.admin.journal import Journal

    journal = Journal(small_disk, "lunar-x")
    journal.record(event="train", step=1, **{"Loss/total": 1.0})
    journal.board().flush()
    (events,) = (small_disk / "tensorboard/train/lunar/x").iterdir()
    before = events.read_bytes()
    fill(small_disk, left=0)
    noise = torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(MachineError, match="tensorboard/train/lunar/x: cannot write: No space left"):
        for step in range(2, 500):
            journal.picture("crop", noise, step)
    assert events.read_bytes().startswith(before)
