"""Datasets as users have them on disk: found, or refused in one line that says what was expected where."""

import pickle

import numpy as np
import pytest

from lib.data import benchmarks, starts
from lib.data.image import encode_jpeg
from lib.data.render import DEMO
from lib.data.sequence import Sequence
from lib.errors import UserError
from lib.train.data.sampler import usable
from lib.vis.video import VideoWriter

FRAME = np.full((48, 64, 3), 90, np.uint8)


def write_frames(folder, count=3, name="{:08d}.jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        (folder / name.format(number)).write_bytes(encode_jpeg(FRAME))


def write_boxes(path, rows=("1,2,3,4", "2.5,2,3,4", "3,2,3,4")):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


LAYOUTS = {
    "own": ("{}/img/{}", "{}/groundtruth.txt"),
    "otb": ("{}/img/{}", "{}/groundtruth_rect.txt"),
    "tnl2k": ("{}/imgs/{}", "{}/groundtruth.txt"),
    "vot": ("{}/color/{}", "{}/groundtruth.txt"),
    "got10k": ("{}/{}", "{}/groundtruth.txt"),
    "nat2021": ("data_seq/{}/{}", "anno/{}.txt"),
    "uavdark135": ("sequences/{}/{}", "anno_revise/{}.txt"),
    "inside": ("{}/{}", "{}/{}.txt"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    frames, annotation = LAYOUTS[layout]
    for name in ("b", "a 10", "a 2", "[c]"):
        write_frames((tmp_path / frames.format(name, "x")).parent)
        write_boxes(tmp_path / annotation.format(name, name))
    sequences = benchmarks.load(tmp_path)
    assert [sequence.name for sequence in sequences] == ["[c]", "a 2", "a 10", "b"]
    for sequence in sequences:
        assert len(sequence.frames()) == 3 and np.array_equal(sequence.boxes_xywh[1], [2.5, 2, 3, 4])
        assert np.abs(sequence.frames()[2].astype(int) - FRAME).max() < 3


def test_videos(tmp_path):
    for name in ("one", "two"):
        with VideoWriter(tmp_path / f"{name}.mp4") as video:
            for _ in range(3):
                video.write(FRAME)
        write_boxes(tmp_path / f"{name}.txt")
    (tmp_path / "README.txt").write_text("words")
    assert [len(sequence.frames()) for sequence in benchmarks.load(tmp_path)] == [3, 3]
    (tmp_path / "two.txt").unlink()
    with pytest.raises(UserError, match=r"two\.mp4: no ground truth beside it: expected two\.txt"):
        benchmarks.load(tmp_path)


def test_a_list_of_videos(tmp_path):
    """Wherever they lie: boxes in the line or beside the video; two of one name are told apart by their folders."""
    for folder, name in (("a b", "one"), ("c", "one"), ("c", "two")):
        (tmp_path / folder).mkdir(exist_ok=True)
        with VideoWriter(tmp_path / folder / f"{name}.mp4") as video:
            for _ in range(3):
                video.write(FRAME)
    write_boxes(tmp_path / "c" / "two.txt")
    listed = tmp_path / "mine.txt"
    listed.write_text(f"# name, box\na b/one.mp4, 1, 2.5, 3, 4\n\n{tmp_path}/c/one.mp4 5 6 7 8\nc/two.mp4\n")
    sequences = benchmarks.load(listed)
    assert [each.name for each in sequences] == ["a b_one", "c_one", "two"]
    assert {each.dataset for each in sequences} == {"mine"} and [len(each.frames()) for each in sequences] == [3] * 3
    assert [each.first_box.tolist() for each in sequences[:2]] == [[1, 2.5, 3, 4], [5, 6, 7, 8]]
    assert sequences[0].visible.tolist() == [True, False, False] and sequences[2].visible.all()
    assert [each.name for each in benchmarks.load(f"{listed}#c*@mild")] == ["c_one"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n# none\n", r"list\.txt: is empty, expected a line `VIDEO x y w h`"),
        ("no.mp4 1 2 3 4\n", r"list\.txt:1: no\.mp4: .*no\.mp4: no such video"),
        ("\nhere.mp4\n", r"list\.txt:2: expected `VIDEO x y w h`, or the boxes in .*here\.txt"),
        ("here.mp4 1 2 3\n", r"list\.txt:1: here\.mp4 1 2 3: .* no such video"),
    ],
)
def test_a_list_that_is_wrong_says_where(tmp_path, text, message):
    with VideoWriter(tmp_path / "here.mp4") as video:
        video.write(FRAME)
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        benchmarks.load(tmp_path / "list.txt")


def test_absent_frames_flags_and_attributes(tmp_path):
    write_frames(tmp_path / "a" / "img", 4)
    write_boxes(tmp_path / "a" / "groundtruth.txt", ["1,2,3,4", "nan,nan,nan,nan", "0,0,0,0", "5,5,5,5"])
    (tmp_path / "a" / "absent.txt").write_text("0\n0\n0\n1\n")
    (tmp_path / "a" / "attributes.txt").write_text("TO, FM\nlow-light\n")
    (sequence,) = benchmarks.load(tmp_path)
    assert sequence.visible.tolist() == [True, False, False, False]
    assert sequence.attributes == ("TO", "FM", "low-light")
    (tmp_path / "a" / "absent.txt").write_text("0\n0\n")
    with pytest.raises(UserError, match=r"absent\.txt: 2 flags for 4 frames"):
        benchmarks.load(tmp_path)


def test_only_the_first_frame_labelled(tmp_path):
    write_frames(tmp_path / "a", 5)
    write_boxes(tmp_path / "a" / "groundtruth.txt", ["1,2,3,4"])
    (sequence,) = benchmarks.load(tmp_path)
    assert len(sequence) == 5 and sequence.visible.tolist() == [True] + [False] * 4


def test_polygons_become_boxes(tmp_path):
    write_frames(tmp_path / "a", 1)
    write_boxes(tmp_path / "a" / "groundtruth.txt", ["10,10,20,12,18,22,8,20"])
    assert benchmarks.load(tmp_path)[0].boxes_xywh.tolist() == [[8, 10, 12, 12]]


def test_wrong_ground_truth_names_file_and_line(tmp_path):
    write_frames(tmp_path / "a" / "img")
    write_boxes(tmp_path / "a" / "groundtruth.txt", ["1,2,3,4", "1,2,3", "1,2,3,4"])
    with pytest.raises(UserError, match=r"a/groundtruth\.txt:2: expected 4 numbers, found 3"):
        benchmarks.load(tmp_path)


def test_rows_and_frames_must_agree(tmp_path):
    write_frames(tmp_path / "a" / "img", 5)
    write_boxes(tmp_path / "a" / "groundtruth.txt")
    with pytest.raises(UserError, match="a: 3 rows for 5 frames"):
        benchmarks.load(tmp_path)[0].frames()


def test_the_benchmark_lunar(tmp_path):
    with pytest.raises(UserError, match=r"lunar: no such folder\. It should hold .*<seq>/groundtruth.*--data_root"):
        benchmarks.load("lunar", tmp_path)
    (tmp_path / "lunar").mkdir()
    with pytest.raises(UserError, match="no sequences here; looked for"):
        benchmarks.load("lunar", tmp_path)
    write_frames(tmp_path / "lunar" / "x" / "img")
    write_boxes(tmp_path / "lunar" / "x" / "groundtruth.txt")
    assert [sequence.dataset for sequence in benchmarks.load("lunar", tmp_path)] == ["lunar"]
    write_frames(tmp_path / "lunar" / "test" / "y" / "img")
    write_boxes(tmp_path / "lunar" / "test" / "y" / "groundtruth.txt")
    assert [sequence.name for sequence in benchmarks.load("lunar", tmp_path)] == ["y"], (
        "the test split where there is one"
    )


def test_unknown_and_doubled_names(tmp_path):
    with pytest.raises(UserError, match="did you mean lunar_demo"):
        benchmarks.load("lunar_dmo")
    write_frames(tmp_path / "a" / "set" / "x")
    write_boxes(tmp_path / "a" / "set" / "x" / "groundtruth.txt")
    with pytest.raises(UserError, match="two datasets are called 'set'"):
        benchmarks.load_all(f"{tmp_path}/a/set, {tmp_path}/a/set")
    with pytest.raises(UserError, match="no dataset"):
        benchmarks.load_all(" , ")


def test_some_of_a_dataset_and_a_dataset_at_night():
    some = benchmarks.load("lunar_demo#*_city")
    assert {one.name for one in some} == {"drone_city", "tiny_drone_city"} and some[0].dataset == "lunar_demo"
    with pytest.raises(UserError, match=r"lunar_demo#zebra\*: no sequence is called like that; there are ball_park, "):
        benchmarks.load("lunar_demo#zebra*")
    wrongs = ("dusk", "video_mild", "mild@heavy", "heavy@video_heavy", "starts@mild", "starts@starts")
    for wrong in (*wrongs, "@mild", "mild@", ""):
        with pytest.raises(UserError, match="@video_heavy, @starts at its end, or a night and then @starts$"):
            benchmarks.load(f"lunar_demo@{wrong}")
    day, means = some[0].frames()[5].mean(), []
    for strength in ("mild", "moderate", "heavy"):
        (night,) = benchmarks.load(f"lunar_demo#drone_city@{strength}")
        assert night.dataset == f"lunar_demo@{strength}" and np.array_equal(night.boxes_xywh, some[0].boxes_xywh)
        frames = pickle.loads(pickle.dumps(night)).frames()
        assert np.array_equal(frames[5], night.frames()[5]), "the same noise in any process and order"
        means.append(frames[5].mean())
    assert day > means[0] > means[1] > means[2]


def test_a_folder_at_night_is_found_again(tmp_path):
    for each in "ab":
        write_frames(tmp_path / "set" / each / "img")
        write_boxes(tmp_path / "set" / each / "groundtruth.txt")
    ((name, (sequences, place)),) = benchmarks.load_all(f"{tmp_path}/set#a@heavy").items()
    assert name == "set@heavy" and [one.name for one in sequences] == ["a"]
    again = benchmarks.load(place)
    assert [one.name for one in again] == ["a", "b"], "results of another run may be of other sequences"
    assert {one.dataset for one in again} == {"set@heavy"}


def test_suffixes_stand_at_the_end_of_a_path_and_in_one_order(tmp_path):
    for folder in ("p@x#y/clips", "p@x#y/lot#1"):
        for name in ("a", "b"):
            write_frames(tmp_path / folder / name / "img")
            write_boxes(tmp_path / folder / name / "groundtruth.txt")
    clips = f"{tmp_path}/p@x#y/clips"
    assert benchmarks.split_name(f"{clips}#a@mild") == (clips, "a", ("mild",))
    assert benchmarks.split_name(f"{clips}@mild@starts") == (clips, "", ("mild", "starts"))
    assert [one.dataset for one in benchmarks.load(f"{clips}@mild")] == ["clips@mild"] * 2
    assert [one.name for one in benchmarks.load(f"{clips}#b")] == ["b"]
    assert [one.name for one in benchmarks.load(f"{tmp_path}/p@x#y/lot#1")] == ["a", "b"], "it is there by this name"
    with pytest.raises(UserError, match=r"lasot@mild#bird-2: # comes before @, as in lasot#bird-2@mild$"):
        benchmarks.load("lasot@mild#bird-2", tmp_path)
    with pytest.raises(UserError, match="lasot#bird-2@dusk: expected one of @mild, "):  # and not: no such folder
        benchmarks.load("lasot#bird-2@dusk", tmp_path)


def test_runs_start_all_over_a_video_and_go_to_its_farther_end(tmp_path):
    boxes, visible, far = np.random.default_rng(0).random((161, 4)), np.ones(161, bool), np.arange(161) > 50
    visible[[50, 51, 52, 53, 54, 159, 160]] = False
    whole = Sequence("bird", "set", boxes, lambda: np.arange(161), visible, frame_attributes={"far": far})
    runs = starts.runs(whole)
    assert [run.name for run in runs] == ["bird@0", "bird@55", "bird@107", "bird@158"]
    assert {run.video for run in runs} == {"bird"} and whole.video == "bird"
    for run, order in zip(runs, (range(161), range(55, 161), range(107, -1, -1), range(158, -1, -1)), strict=True):
        assert np.array_equal(run.boxes_xywh, boxes[order]) and np.array_equal(run.visible, visible[order])
        assert np.array_equal(run.frame_attributes["far"], far[order]) and run.visible[0]


def test_runs_of_odd_videos():
    def of(*visible):
        return starts.runs(Sequence("a", "set", np.ones((len(visible), 4)), None, np.array(visible, bool)))

    assert [run.name for run in of(1)] == ["a@0"]
    assert [(run.name, len(run)) for run in of(1, 1)] == [("a@0", 2), ("a@1", 2)]
    assert [(run.name, len(run)) for run in of(1, *[0] * 300)] == [("a@0", 301)], "labelled in its first frame alone"
    (blind,) = of(*[0] * 9)
    with pytest.raises(UserError, match="a@0: the first frame has no box"):
        blind.first_box  # noqa: B018


def test_runs_show_the_frames_of_their_video_by_night_too(tmp_path):
    for night in ("", "@heavy", "@video_heavy"):
        (whole,) = benchmarks.load(f"lunar_demo#drone_city{night}")
        runs = benchmarks.load(f"lunar_demo#drone_city{night}@starts")
        assert {run.dataset for run in runs} == {f"lunar_demo{night}@starts"}
        frames, last = whole.frames(), pickle.loads(pickle.dumps(runs[-1])).frames()
        assert len(last) == len(whole) and last.fps == frames.fps
        for index in (0, 5, len(whole) - 1):
            assert np.array_equal(last[index], frames[len(whole) - 1 - index])
    write_frames(tmp_path / "set/a/img", count=3)
    write_boxes(tmp_path / "set/a/groundtruth.txt", ["1,2,3,4"] * 4)
    with pytest.raises(UserError, match="a: 4 rows for 3 frames"):
        benchmarks.load(f"{tmp_path}/set@starts")[-1].frames()
    ((name, (_, place)),) = benchmarks.load_all(f"{tmp_path}/set@heavy@starts").items()
    assert name == "set@heavy@starts" and place == f"{tmp_path}/set@heavy@starts"


def test_what_does_not_match_is_not_read(tmp_path):
    for name in ("a", "b"):
        write_frames(tmp_path / name / "img")
        write_boxes(tmp_path / name / "groundtruth.txt")
    (tmp_path / "b" / "groundtruth.txt").write_text("no numbers")
    assert [one.name for one in benchmarks.load(f"{tmp_path}#a")] == ["a"]


def test_the_demo_is_a_benchmark():
    sequences = benchmarks.load("lunar_demo")
    assert len(sequences) >= 12 and all(sequence.visible[0] for sequence in sequences)
    copy = pickle.loads(pickle.dumps(sequences[0]))  # as it is sent to the runner's processes
    assert np.array_equal(copy.frames()[3], sequences[0].frames()[3])


def test_rendered_training_clips_are_not_the_demos():
    sequences = benchmarks.load("lunar_rendered")
    assert len(sequences) == 400 and not {one.name for one in sequences} & {spec.name for spec in DEMO}
    assert np.mean([usable(one.visible, 10) for one in sequences]) > 0.95
    again = benchmarks.load("lunar_rendered#0000*")
    for one, two in zip(sequences, again, strict=False):
        assert np.array_equal(one.frames()[40], two.frames()[40])


def test_rendered_benchmarks_have_no_clip_in_common():
    counts = {"lunar_rendered": 400, "lunar_night": 200, "lunar_crossing": 200, "lunar_crossing_train": 400}
    seen = []
    for name, count in counts.items():
        assert name in benchmarks.names()
        sequences = benchmarks.load(name)
        assert len(sequences) == len({one.name for one in sequences}) == count
        assert {one.dataset for one in sequences} == {name}
        assert name == "lunar_rendered" or all(one.visible[0] for one in sequences), "to test on: the start has a box"
        seen += [one.boxes_xywh.tobytes() for one in sequences if one.visible.any()]
    assert len(set(seen)) == len(seen) > 1190
    test, train = (benchmarks.load(f"{name}#crossing_007")[0] for name in ("lunar_crossing", "lunar_crossing_train"))
    assert pickle.loads(pickle.dumps(test)).frames()[30].shape == (240, 320, 3)
    assert not np.array_equal(test.frames()[30], train.frames()[30])
    assert test.attributes == ("SO",)


def test_real_video(shared_data):
    sequences = benchmarks.load(shared_data / "dev")
    assert len(sequences) == 16 and sum(map(len, sequences)) == 3473
    assert all(len(sequence.frames()) == len(sequence) for sequence in sequences)
