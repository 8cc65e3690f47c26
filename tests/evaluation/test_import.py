"""Published raw results of other projects, read where they lie: every layout, folder or zip, scored as ours are."""

import io
import stat
import struct
import zipfile

import numpy as np
import pytest

from lib.data.sequence import Sequence
from lib.errors import UserError
from lib.test.analysis import scoring
from lib.test.evaluation import imported, results
from lib.test.evaluation.imported import Imported
from lib.test.evaluation.results import Run

NAMES = ("bike1", "car_2", "夜 a.b")
DATASET = "uav123"


def boxes_of(name, shift=0.0):
    """(6, 4) boxes with three decimals, the same for the same name."""
    start = 10.125 + 7 * len(name)
    return np.array([[start + 3.5 * step + shift, start + step, 12.25, 9.5] for step in range(6)])


def times_of(name):
    return np.arange(1, 7) / 8 + len(name)


SEQUENCES = [Sequence(name, DATASET, boxes_of(name, shift=2), opener=None) for name in NAMES]

# Where each project puts the boxes of a sequence below the folder of one tracker, and how it writes them.
LAYOUTS = {
    "STARK, OSTrack": ("{}.txt", "\t"),
    "LoRAT": ("{}.txt", "\t"),
    "PyTracking": ("uav_{}.txt", "\t"),
    "PyTracking, NfS": ("nfs_{}.txt", "\t"),
    "PyTracking, TC128": ("tpl_{}.txt", "\t"),
    "pysot": ("{}.txt", ","),
    "ODTrack, SUTrack": ("uav/{}.txt", "\t"),
    "another case": ("UAV123/{}.txt", ", "),
    "STARK, GOT-10k": ("uav123_test/{}.txt", "\t"),
    "AQATrack": ("uav/AQATrack-ep150/{}.txt", ","),
    "AQATrack, GOT-10k": ("uav/AQATrack-ep150/{0}/{0}_001.txt", ","),
    "got10k toolkit": ("{0}/{0}_001.txt", ","),
    "got10k toolkit, no number": ("{0}/{0}.txt", ","),
    "STTrack": ("{}.txt", " "),
}


def text(rows, delimiter=",", end="\n"):
    return "".join(delimiter.join(f"{value:.3f}" for value in np.atleast_1d(row)) + end for row in rows)


def lay(place, layout):
    """Write results of all sequences with `place(name, text)`, in a layout."""
    pattern, delimiter = LAYOUTS[layout]
    for name in NAMES:
        file = pattern.format(name)
        place(file, text(boxes_of(name), delimiter))
        place(file.removesuffix(".txt").removesuffix("_001") + "_time.txt", text(times_of(name)))


def to_folder(folder):
    def place(name, content):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)

    folder.mkdir(parents=True, exist_ok=True)
    return place


def zip_of(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def ours(tmp_path):
    run = Run(tmp_path / "ours", "lunar", "baseline")
    for name in NAMES:
        results.write(run, DATASET, name, boxes_of(name), times=times_of(name))
    return run


def place_under(tmp_path, layout, packed):
    if not packed:
        lay(to_folder(tmp_path / "theirs"), layout)
        return tmp_path / "theirs"
    files = {}
    lay(files.__setitem__, layout)
    if packed == "zip":
        return zip_of(tmp_path / "theirs.zip", files)
    return (
        zip_of(tmp_path / "all.zip", {f"results [1]/{name}": content for name, content in files.items()})
        / "results [1]"
    )


@pytest.mark.parametrize("packed", ["", "zip", "folder in a zip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_layouts_score_as_ours(layout, packed, tmp_path, ours):
    theirs = Imported(place_under(tmp_path, layout, packed), "theirs", "published")
    before = sorted(tmp_path.rglob("*"))
    report = scoring.evaluate({"ours": ours, "theirs": theirs}, DATASET, SEQUENCES)
    first, second = sorted(report["trackers"], key=lambda tracker: tracker["label"])
    assert 0.1 < first["scores"]["auc"] < 0.9 and not second["missing"] and second["tracker"] == "theirs"
    assert first["scores"] == second["scores"] and first["sequences"] == second["sequences"]
    assert first["fps"] == second["fps"] and np.isfinite(first["fps"])
    assert sorted(tmp_path.rglob("*")) == before, "nothing is unpacked or written"


@pytest.mark.parametrize("delimiter", ["\t", ",", " ", ", ", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(delimiter, end, tmp_path):
    content = text(boxes_of("a"), delimiter, end).encode()
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.txt").write_bytes(content)
    archive = zip_of(tmp_path / "t.zip", {"a.txt": content})
    for folder in (tmp_path / "t", archive):
        boxes, surplus = results.read(results.find(Imported(folder, "t"), DATASET, "a"), 6)
        np.testing.assert_array_equal(boxes, boxes_of("a"))
        assert surplus == 0


@pytest.mark.parametrize("packed", [False, True])
def test_companions_of_others(packed, tmp_path):
    files = {
        "a.txt": text(boxes_of("a")),
        "a_object_presence_scores.txt": "1.0\n0.5\n0.25\n0.125\n0.5\n1\n",
        "times/a_time.txt": text(np.arange(6)),
        "b/b_001.txt": text(boxes_of("b")),
        "b/b_002.txt": text(boxes_of("b", shift=9)),
        "b/b_time.txt": text(np.arange(18).reshape(6, 3)),  # three repetitions
    }
    for name, content in files.items():
        to_folder(tmp_path / "t")(name, content)
    run = Imported(zip_of(tmp_path / "t.zip", files) if packed else tmp_path / "t", "t")
    a, b = (results.find(run, DATASET, name) for name in "ab")
    np.testing.assert_array_equal(results.read_companion(a, "_score", 6), [1, 0.5, 0.25, 0.125, 0.5, 1])
    np.testing.assert_array_equal(results.read_companion(a, "_time", 6), np.arange(6))
    np.testing.assert_array_equal(results.read_companion(b, "_time", 6), [0, 3, 6, 9, 12, 15])
    np.testing.assert_array_equal(results.read(b, 6)[0], boxes_of("b"))
    assert results.read_companion(b, "_score", 6) is None
    with pytest.raises(UserError, match=r"a_time\.txt: expected 7 rows, one a frame, found 6"):
        results.read_companion(a, "_time", 7)


def test_two_different_results_are_named(tmp_path):
    place = to_folder(tmp_path)
    place("a.txt", text(boxes_of("a")))
    place("UAV123/a.txt", text(boxes_of("a")))
    run = Imported(tmp_path, "t")
    assert results.find(run, DATASET, "a").is_file(), "two equal files are one result"
    place("UAV123/a.txt", text(boxes_of("a", shift=1)))
    with pytest.raises(UserError) as caught:
        results.find(run, DATASET, "a")
    assert f"{tmp_path}/a.txt" in str(caught.value) and f"{tmp_path}/UAV123/a.txt" in str(caught.value)
    assert results.find(run, "lasot", "a") == tmp_path / "a.txt", "a folder of another dataset is not looked into"


def test_sequences_that_are_called_like_anothers_file(tmp_path):
    place = to_folder(tmp_path)
    for name, shift in (("a", 0), ("a_001", 1), ("uav_a", 2), ("nfs_b", 3)):
        place(f"{name}.txt", text(boxes_of("a", shift)))
    run = Imported(tmp_path, "t")
    for name in ("a", "a_001", "uav_a", "nfs_b"):
        assert results.find(run, DATASET, name).name == f"{name}.txt"
    assert results.find(run, DATASET, "b").name == "nfs_b.txt"
    assert results.find(run, DATASET, "nfs_a") == tmp_path / "a.txt"


def test_what_is_missing_says_where_it_was_looked_for(tmp_path):
    lay(to_folder(tmp_path / "t"), "AQATrack")
    run = Imported(tmp_path / "t", "t")
    assert results.find(run, DATASET, "x") is None
    with pytest.raises(UserError, match=r"no results of uav123 here or in its folders; looked for x\.txt, ") as caught:
        imported.imported_runs(tmp_path / "t", DATASET, ["x"])
    for place in ("x/x_001.txt", "uav/x.txt", "uav/AQATrack-ep150/x/x_001.txt", "uav_x.txt"):
        assert f" {place}" in str(caught.value)
    with pytest.raises(UserError, match="no such file or folder"):
        imported.imported_runs(tmp_path / "elsewhere", DATASET, NAMES)


def test_all_trackers_below_a_folder(tmp_path):
    root = tmp_path / "results"
    lay(to_folder(root / "NanoTrack"), "pysot")
    lay(to_folder(root / "ostrack" / "vitb_256"), "STARK, OSTrack")
    lay(to_folder(root / "ostrack" / "vitb_384"), "STARK, OSTrack")
    lay(to_folder(root / "aqatrack" / "hivit"), "AQATrack, GOT-10k")
    lay(to_folder(root / "UAV123" / "SiamTPN"), "pysot")
    lay(to_folder(tmp_path / "disk"), "got10k toolkit")
    (root / "Linked").symlink_to(tmp_path / "disk")
    files = {}
    lay(lambda name, content: files.update({f"DiMP/{name}": content}), "PyTracking")
    zip_of(root / "DiMP.zip", files)
    lay(to_folder(root / ".hidden"), "pysot")
    to_folder(root / "other")("lasot/x.txt", text(boxes_of("x")))
    to_folder(root)("README.txt", "no results")
    found = imported.imported_runs(root, DATASET, NAMES)
    assert {label: run.folder.relative_to(root).as_posix() for label, run in found.items()} == {
        "NanoTrack": "NanoTrack",
        "ostrack vitb_256": "ostrack/vitb_256",
        "ostrack vitb_384": "ostrack/vitb_384",
        "aqatrack hivit AQATrack-ep150": "aqatrack/hivit/uav/AQATrack-ep150",
        "SiamTPN": "UAV123/SiamTPN",
        "Linked": "Linked",
        "DiMP": "DiMP.zip/DiMP",
    }
    assert (found["ostrack vitb_256"].tracker, found["ostrack vitb_256"].config) == ("ostrack", "vitb_256")
    report = scoring.evaluate(found, DATASET, SEQUENCES)
    assert len({tracker["scores"]["auc"] for tracker in report["trackers"]}) == 1

    own = imported.imported_runs(root / "NanoTrack", DATASET, NAMES)
    assert list(own) == ["NanoTrack"] and own["NanoTrack"].folder == root / "NanoTrack"
    assert list(imported.imported_runs(root / "DiMP.zip", DATASET, NAMES)) == ["DiMP"]
    lay(to_folder(root / "DiMP"), "pysot")
    with pytest.raises(UserError, match=r"two trackers are called 'DiMP': .*/DiMP and .*/DiMP\.zip/DiMP"):
        imported.imported_runs(root, DATASET, NAMES)


def test_a_part_of_the_sequences_is_enough_to_be_a_tracker(tmp_path):
    to_folder(tmp_path / "r" / "t")("car_2.txt", text(boxes_of("car_2")))
    found = imported.imported_runs(tmp_path / "r", DATASET, NAMES)
    (tracker,) = scoring.evaluate(found, DATASET, SEQUENCES)["trackers"]
    assert tracker["scored"] == 1 and tracker["missing"] == ["bike1", "夜 a.b"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "a\0b", "", ".x", "x" * 300])
def test_names_that_lead_elsewhere_are_refused(name, tmp_path):
    place = to_folder(tmp_path / "t")
    place("a.txt", text(boxes_of("a")))
    (tmp_path / "x.txt").write_text(text(boxes_of("x")))
    with pytest.raises(UserError, match="cannot name a sequence"):
        results.find(Imported(tmp_path / "t", "t"), DATASET, name)


def test_links_out_of_the_folder_are_refused(tmp_path):
    (tmp_path / "secret.txt").write_text(text(boxes_of("a")))
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(UserError, match=r"t/a\.txt: leads out of the results folder through a link"):
        results.find(Imported(tmp_path / "t", "t"), DATASET, "a")
    (tmp_path / "t" / "loop").symlink_to(tmp_path / "t")
    (tmp_path / "t" / DATASET).symlink_to(tmp_path / "t")
    assert results.find(Imported(tmp_path / "t", "t"), DATASET, "b") is None
    with pytest.raises(UserError, match="no results of uav123 here or in its folders"):
        imported.imported_runs(tmp_path / "t", DATASET, ["b"])


def member(name, content=b"1,2,3,4\n", attributes=0o644, method=zipfile.ZIP_STORED):
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system, info.compress_type = attributes << 16, 3, method
    return info, content


def archive_of(*members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for info, content in members:
            archive.writestr(info, content)
    return data.getvalue()


def latin1():
    """A name that is not UTF-8, as old Windows archivers write it."""
    return archive_of(member("caf@.txt")).replace(b"caf@", b"caf\xe9")


def said_to_be_utf8():
    return archive_of(member("café.txt")).replace("é".encode(), b"\xff\xfe")


def understated_bomb():
    """2^27 zeros whose header claims 8 bytes."""
    data = archive_of(member("a.txt", bytes(2**27), method=zipfile.ZIP_DEFLATED))
    return data.replace(struct.pack("<I", 2**27), struct.pack("<I", 8))


HOSTILE = {
    "parent": lambda: archive_of(member("../a.txt")),
    "parent inside": lambda: archive_of(member("b/../../a.txt")),
    "absolute": lambda: archive_of(member("/etc/a.txt")),
    "backslashes": lambda: archive_of(member("..\\a.txt")),
    "link": lambda: archive_of(member("a.txt", b"/etc/passwd", stat.S_IFLNK | 0o777)),
    "bomb": lambda: archive_of(member("a.txt", bytes(2**24), method=zipfile.ZIP_DEFLATED)),
    "understated bomb": understated_bomb,
    "two of one name": lambda: archive_of(member("a.txt"), member("a.txt", b"5,6,7,8\n")),
    "not UTF-8": latin1,
    "UTF-8 that is none": said_to_be_utf8,
    "another method": lambda: archive_of(member("a.txt", method=zipfile.ZIP_LZMA)),
    "encrypted": lambda: archive_of(member("a.txt")).replace(
        b"PK\x01\x02\x14\x03\x14\0\0", b"PK\x01\x02\x14\x03\x14\0\1"
    ),
    "cut off": lambda: archive_of(member("a.txt"))[:-8],
    "wrong checksum": lambda: archive_of(member("a.txt")).replace(b"1,2,3,4", b"1,2,3,5"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("fault", HOSTILE)
def test_hostile_zips_are_refused(fault, tmp_path):
    path = tmp_path / "t.zip"
    path.write_bytes(HOSTILE[fault]())
    with pytest.raises(UserError) as caught:
        results.read(results.find(Imported(path, "t"), DATASET, "a"), 1)
    assert "t.zip" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError):
        for run in imported.imported_runs(path, DATASET, ["a"]).values():
            results.read(results.find(run, DATASET, "a"), 1)
    assert list(tmp_path.iterdir()) == [path]


def test_malformed_results_name_file_and_line(tmp_path):
    path = zip_of(tmp_path / "t.zip", {"uav/a.txt": "1,2,3,4\n1,2,3\n"})
    with pytest.raises(UserError, match=r"t\.zip/uav/a\.txt:2: expected 4 numbers, found 3"):
        results.read(results.find(Imported(path, "t"), DATASET, "a"), 2)
    with pytest.raises(UserError, match=r"t\.zip/uav/b\.txt: expected 3 rows"):
        path = zip_of(tmp_path / "t.zip", {"uav/b.txt": "1,2,3,4\n1,2,3,4\n"})
        results.read(results.find(Imported(path, "t"), DATASET, "b"), 3)


@pytest.mark.parametrize("packed", [False, True])
def test_published_results_of_dtb70(shared_data, tmp_path, packed):
    """Four trackers' raw results in one folder give the published success AUC (see the folder's README)."""
    folder = shared_data / "raw_results" / "DTB70"
    sequences = []
    for file in sorted((folder / "gt").glob("*.txt")):
        sequences.append(Sequence(file.stem, "dtb70", results.read(file)[0], opener=None))
    root = folder / "results"
    if packed:
        files = {f"DTB70/{path.relative_to(root).as_posix()}": path.read_bytes() for path in root.rglob("*.txt")}
        root = zip_of(tmp_path / "published.zip", files)
    found = imported.imported_runs(root, "dtb70", [sequence.name for sequence in sequences])
    report = scoring.evaluate(found, "dtb70", sequences, protocol="stark")
    scores = {tracker["label"]: tracker["scores"]["auc"] for tracker in report["trackers"]}
    published = {"NanoTrackV3": 0.628, "LightTrack": 0.591, "SiamTPN": 0.572, "NanoTrack": 0.532}
    assert scores == pytest.approx(published, abs=0.003)


def test_two_targets_in_one_video_of_otb(tmp_path):
    for toolkit, mark in (("pysot", "-"), ("toolkit", ".")):
        (tmp_path / toolkit).mkdir()
        for name in (f"Jogging{mark}1", f"Jogging{mark}2", "Human4"):
            (tmp_path / toolkit / f"{name}.txt").write_text("1,2,3,4\n")
        run = Imported(tmp_path / toolkit, "t")
        for name in ("Jogging_1", "Jogging_2", "Human4_2"):
            assert results.find(run, "otb", name) is not None
