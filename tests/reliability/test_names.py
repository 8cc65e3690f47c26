"""F21: names of trackers, configurations, datasets and sequences: what is written stays inside, or is refused."""

import numpy as np
import pytest

from lib.data.image import encode_jpeg
from lib.errors import UserError
from lib.test.evaluation import results

BOXES = np.array([[1.5, 2, 3, 4], [2, 2.25, 3, 4]])
LEADING_OUT = ["../x", "..", ".", "", "/x", "/absolute/x", "a/b", "a/../../x", "a/..", "..\\x", "a\\b", "\\\\host\\x"]
UNPRINTABLE = ["a\0b", "a\nb", "\n", "a\rb", "a\tb", "a\x1b[2Jb", "a\x7fb", "a\u2028b", "a\u202eb", "\ufeffa", "\udcff"]
TOO_LONG = ["x" * 300, "夜" * 100]
HIDDEN = [".hidden", ".x.txt"]
ODD = ["-rf", "--help", "con", "NUL", "aux.txt", "~", "~root", "$HOME", "a b", " ", "*", "?", "[a]", "{seq}", "%s", "#"]
UNICODE = ["é", "e\u0301", "夜", "🌙", "ß" * 90]
REFUSED = [*LEADING_OUT, *UNPRINTABLE, *TOO_LONG, *HIDDEN]
NAMES = [*REFUSED, *ODD, *UNICODE]
ROLES = ("tracker", "configuration", "dataset", "sequence")


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_the_corpus_is_as_large_as_promised():
    assert len(set(NAMES)) == len(NAMES) >= 30


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_stays_inside_or_is_refused(tmp_path, role, name):
    tracker, config, dataset, sequence = (name if role == each else "x" for each in ROLES)
    try:
        run = results.Run(tmp_path / "a" / "b" / "results", tracker, config)
        path = results.write(run, dataset, sequence, BOXES, [0.1, 0.1], [1.0, 1.0])
        results.write_source(run, dataset, "/my/videos")
    except UserError as error:
        assert name in REFUSED and f"cannot name a {role}" in str(error) and str(error).isprintable()
        assert files(tmp_path) == set()
        return
    assert name not in REFUSED
    folder = f"a/b/results/{tracker}/{config}/{dataset}"
    names = {f"{folder}/{sequence}{suffix}.txt" for suffix in ("", "_time", "_score")}
    assert files(tmp_path) == {*names, f"{folder}/_source.json"}
    assert results.find(run, dataset, sequence) == path and results.read_source(run, dataset) == "/my/videos"
    assert np.array_equal(results.read(path, 2)[0], BOXES)


@pytest.mark.parametrize("level", ["tracker", "tracker/config", "tracker/config/set"])
def test_a_link_out_of_the_results_is_refused(tmp_path, level):
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / level).parent.mkdir(parents=True)
    (root / level).symlink_to(outside, target_is_directory=True)
    run = results.Run(root, "tracker", "config")
    for write in (
        lambda: results.write(run, "set", "a", BOXES),
        lambda: results.write_source(run, "set", "/my/videos"),
    ):
        with pytest.raises(UserError, match="leads out of the results folder through a link"):
            write()
    assert files(outside) == set()


def make(folder):
    (folder / "img").mkdir(parents=True)
    for number in range(2):
        (folder / "img" / f"{number}.jpg").write_bytes(encode_jpeg(np.full((48, 64, 3), 90, np.uint8)))
    (folder / "groundtruth.txt").write_text("1,2,3,4\n" * 2)


def test_the_command_tracks_sequences_of_any_honest_name(tmp_path, command, capsys):
    names = [name for name in (*ODD, *UNICODE) if name != "~root"]
    for name in names:
        make(tmp_path / "set 夜" / name)
    dataset = tmp_path / "set 夜"
    words = ["identity", "baseline", "--dataset", dataset, "--save_dir", tmp_path / "out"]
    assert command("test.py", *words) == 0, capsys.readouterr().err
    written = {path.stem for path in (tmp_path / "out").rglob("*.txt") if not path.stem.endswith(("_time", "_score"))}
    assert written == set(names)
    assert {path.split("/")[0] for path in files(tmp_path)} == {"set 夜", "out"}


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "x" * 210])
def test_the_command_refuses_the_others_in_one_line(tmp_path, command, capsys, name):
    make(tmp_path / "set" / name)
    make(tmp_path / "set" / "b")
    code = command("test.py", "identity", "baseline", "--dataset", tmp_path / "set", "--save_dir", tmp_path / "out")
    message = capsys.readouterr().err
    assert code == 2 and message.count("\n") == 1 and message[:-1].isprintable() and "cannot name a sequence" in message
