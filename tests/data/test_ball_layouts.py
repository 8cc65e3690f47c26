"""Datasets of balls: every layout built small, every spelling read, every fault named with its line."""

import cv2
import numpy as np
import pytest
import torch

from lib.data.benchmarks.ball_layouts import LAYOUTS, UNLABELLED, parse_cvat, parse_lines, parse_spans, parse_table
from lib.data.storage import open_storage
from lib.errors import UserError

NAN = pytest.approx((np.nan, np.nan), nan_ok=True)


@pytest.fixture
def images(tmp_path):
    """Write tiny images of brightness 0, 10, 20 ... : images("folder", ["0.png", ...])."""

    def write(folder, names):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            assert cv2.imwrite(str(tmp_path / folder / name), np.full((4, 6, 3), 10 * number, np.uint8))

    return write


def ball_clips(storage, dataset):
    layout = next(layout for layout in LAYOUTS[dataset] if layout.entries(storage))
    return [layout.clip(storage, name, entry) for name, entry in layout.entries(storage).items()]


def write(tmp_path, file, text):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)


def point(x, y, seen=True):
    attribute = '<attribute name="used_in_game">1</attribute>'
    return f'<points frame="{{}}" outside="0" occluded="{int(not seen)}" points="{x},{y}">{attribute}</points>'


def track(*shapes):
    inside = "".join(shape.format(number) for number, shape in enumerate(shapes))
    return f'<annotations><track id="0" label="ball">{inside}</track></annotations>'


@pytest.mark.parametrize("root", ["", "test/"])
@pytest.mark.parametrize("dataset", ["badminton100k", "shuttlecock", "table_tennis"])
def test_shuttlecock_prefers_corrected_labels(tmp_path, images, dataset, root):
    write(tmp_path, f"{root}match1/csv/1_01_00_ball.csv", "Frame,Visibility,X,Y\n0,1,1,1\n1,1,1,1\n")
    write(tmp_path, f"{root}match1/corrected_csv/1_01_00_ball.csv", "Frame,Visibility,X,Y\n0,0,0,0\n1,1,3,2\n")
    write(tmp_path, f"{root}match2/csv/1_02_00_ball.csv", "Frame,Visibility,X,Y\n0,1,5,1\n")
    images(f"{root}match1/frame/1_01_00", ["0.png", "1.png"])
    images(f"{root}match2/frame/1_02_00", ["0.png"])
    first, second = ball_clips(open_storage(tmp_path), dataset)
    part = root.replace("/", "_")
    assert (first.name, second.name) == (f"{part}match1_1_01_00", f"{part}match2_1_02_00")
    assert (first.match, second.match) == (f"{root}match1", f"{root}match2")
    assert first.points[0] == NAN and first.points[1].tolist() == [3, 2] and first.visibility.tolist() == [0, 1]
    assert second.points.tolist() == [[5, 1]]


def test_images_without_zero_padding_are_paired_by_number(tmp_path, images):
    rows = "".join(f"{number},1,{number},7\n" for number in range(12))
    write(tmp_path, "match1/csv/a_ball.csv", "Frame,Visibility,X,Y\n" + rows)
    images("match1/frame/a", [f"{number}.png" for number in range(12)])
    (clip,) = ball_clips(open_storage(tmp_path), "shuttlecock")
    frames = clip.opener()
    assert len(frames) == len(clip) == 12
    assert [frames[k].mean() for k in (2, 10)] == [20, 100] and clip.points[:, 0].tolist() == list(range(12))


@pytest.mark.parametrize(("first_label", "first_image"), [(0, 0), (1, 1), (1, 0), (0, 1)])
def test_labels_and_images_may_count_from_0_or_1(tmp_path, images, first_label, first_image):
    rows = "".join(f"{number + first_label},1,{number + 1},7\n" for number in range(3))
    write(tmp_path, "match1/csv/a_ball.csv", "Frame,Visibility,X,Y\n" + rows)
    images("match1/frame/a", [f"{number + first_image:05d}.png" for number in range(3)])
    (clip,) = ball_clips(open_storage(tmp_path), "shuttlecock")
    assert clip.points[:, 0].tolist() == [1, 2, 3] and [frame.mean() for frame in clip.opener()] == [0, 10, 20]


def test_frames_without_a_label_are_said_to_have_none(tmp_path, images):
    write(tmp_path, "match1/csv/a_ball.csv", "Frame,Visibility,X,Y\n0,1,1,1\n2,1,3,3\n")
    images("match1/frame/a", ["0.png", "1.png", "2.png", "3.png"])
    (clip,) = ball_clips(open_storage(tmp_path), "shuttlecock")
    assert clip.visibility.tolist() == [1, UNLABELLED, 1] and clip.points[1] == NAN
    assert [frame.mean() for frame in clip.opener()] == [0, 10, 20]


def test_a_video_in_place_of_images_ends_with_its_labels(tmp_path):
    write(tmp_path, "match1/csv/a_ball.csv", "Frame,Visibility,X,Y\n0,1,1,1\n1,0,0,0\n2,1,3,3\n")
    (tmp_path / "match1/video").mkdir()
    video = cv2.VideoWriter(str(tmp_path / "match1/video/a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 16))
    for brightness in (10, 60, 110, 160, 210):
        video.write(np.full((16, 32, 3), brightness, np.uint8))
    video.release()
    (clip,) = ball_clips(open_storage(tmp_path), "shuttlecock")
    frames = clip.opener()
    assert len(frames) == len(clip) == 3 and abs(frames[-1].mean() - 110) < 5
    write(tmp_path, "match1/csv/a_ball.csv", "Frame,Visibility,X,Y\n0,1,1,1\n7,1,3,3\n")
    (clip,) = ball_clips(open_storage(tmp_path), "shuttlecock")
    with pytest.raises(UserError, match="a.avi: has 5 frames, and labels for 8"):
        clip.opener()


@pytest.mark.parametrize(("dataset", "seen"), [("tennis", [0, 1, 2]), ("tennis_v1", [0, 1, 2, 3]),
                                               ("table_tennis", [0, 1, 2])])  # fmt: skip
def test_tennis_knows_its_codes_of_visibility(tmp_path, images, dataset, seen):
    head = "file name,visibility,x-coordinate,y-coordinate,status \n"
    rows = "0000.jpg,1,5,5,0\n0001.jpg,1,6,5,0\n0002.jpg,2,7,5,1\n0003.jpg,3,8,5,2\n0004.jpg,0,,,\n"
    write(tmp_path, "game1/Clip1/Label.csv", head + rows)
    images("game1/Clip1", [f"{number:04d}.jpg" for number in range(5)])
    (clip,) = ball_clips(open_storage(tmp_path), dataset)
    assert (clip.name, clip.match) == ("game1_Clip1", "game1")
    assert np.flatnonzero(np.isfinite(clip.points[:, 0])).tolist() == seen and clip.visibility.tolist() == [
        1,
        1,
        2,
        3,
        0,
    ]


def test_volleyball(tmp_path, images):
    write(tmp_path, "volleyball_ball_annotation/3/101.txt", "100 200\n0 0\n5.5 6.5\n")
    images("videos/3/101", ["9.jpg", "10.jpg", "11.jpg"])
    (clip,) = ball_clips(open_storage(tmp_path), "volleyball")
    assert (clip.name, clip.match) == ("3_101", "3") and clip.visibility.tolist() == [1, 0, 1]
    assert clip.points[2].tolist() == [5.5, 6.5] and abs(clip.opener()[1].mean() - 10) < 2


@pytest.mark.parametrize("frames", ["frames/ID-1", None])
def test_soccer(tmp_path, images, frames):
    write(tmp_path, "annos/ID-1.xml", track(point(10.5, 20.5), point(11, 21, seen=False), point(12, 22)))
    if frames is None:
        with pytest.raises(UserError, match="ID-1.xml: no frames to these labels; looked for frames/ID-1"):
            ball_clips(open_storage(tmp_path), "soccer")
        return
    images(frames, ["00000.png", "00001.png", "00002.png", "00003.png"])
    (clip,) = ball_clips(open_storage(tmp_path), "soccer")
    assert clip.match == "ID-1" and clip.points[0].tolist() == [10.5, 20.5] and clip.visibility.tolist() == [1, 0, 1]


def test_basketball_finds_the_clip_in_a_name_of_underscores(tmp_path, images):
    write(tmp_path, "ball-annos/g_1/task_x_clip_7.xml", track(point(10, 20), point(11, 21)))
    images("videos/g_1/clip_7", ["000000.jpg", "000001.jpg"])
    (clip,) = ball_clips(open_storage(tmp_path), "basketball")
    assert (clip.name, clip.match) == ("g_1_clip_7", "g_1") and clip.points.tolist() == [[10, 20], [11, 21]]


def test_reads_what_wasb_reads(shared_data):
    path = shared_data / "parity" / "wasb.pt"
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not here")
    data = torch.load(path, weights_only=True)["readers"]
    parsers = {
        "badminton": parse_table,
        "tennis": lambda data, place: parse_table(data, place, (1, 2)),
        "volleyball": parse_lines,
        "soccer": lambda data, place: parse_cvat(data, place, True),
        "basketball": lambda data, place: parse_cvat(data, place, False),
    }
    for name, parse in parsers.items():
        labels = parse(data["files"][name].encode(), name)
        for number, point in zip(labels.numbers, labels.points, strict=True):
            x, y, seen, _ = data["read"][name][int(number)]
            if name == "badminton" and (x, y) == (0, 0):
                seen = False  # WASB draws a ball in the corner; we take (0, 0) for a fault of the label
            assert np.isfinite(point).all() == seen, (name, number)
            assert not seen or point.tolist() == [x, y], (name, number)


HEADS = ("Frame,Visibility,X,Y", "frame,visibility,x,y", "file name,visibility,x-coordinate,y-coordinate",
         "frame_id;vis;ball x;ball y", "Frame , Visible, X coord ,Y coord,Z,Event")  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_heads_in_any_spelling(head):
    mark = ";" if ";" in head else ","
    rows = mark.join(("3", "1", "637.0", "20.5", "9", "hit")) + "\r\n" + mark.join(("4.0", "0", "", "", "", ""))
    labels = parse_table(f"{head}\r\n{rows}\r\n\r\n".encode("utf-8-sig"), "t.csv")
    assert labels.numbers.tolist() == [3, 4] and labels.points[0].tolist() == [637, 20.5] and labels.points[1] == NAN


def test_columns_in_any_order_and_rows_too():
    labels = parse_table(b"Y,X,Visibility,Frame\n30,20,1,2\n31,21,1,1\n", "t.csv")
    assert labels.numbers.tolist() == [1, 2] and labels.points.tolist() == [[21, 31], [20, 30]]


def test_a_seen_ball_at_the_origin_is_not_seen():
    labels = parse_table(b"Frame,Visibility,X,Y\n0,1,0,0\n1,1,0,5\n", "t.csv")
    assert labels.points[0] == NAN and labels.points[1].tolist() == [0, 5] and labels.visibility.tolist() == [1, 1]


@pytest.mark.parametrize(("table", "message"), [
    (b"", "t.csv: is empty"),
    (b"Frame,Visibility,X\n0,1,2\n", "t.csv:1: expected a head such as Frame,Visibility,X,Y; .* without y"),
    (b"Frame,Visibility,X,Y\n0,1,2\n", "t.csv:2: expected at least 4 fields, found 3"),
    (b"Frame,Visibility,X,Y\n0,1,2,3\n0,1,2,3\n", "t.csv:3: frame 0 a second time"),
    (b"Frame,Visibility,X,Y\n0,1,,3\n", "t.csv:2: expected a number, found ''"),
    (b"Frame,Visibility,X,Y\nzero,1,2,3\n", "t.csv:2: expected a frame's number or file, found 'zero'"),
    (b"Frame,Visibility,X,Y\n", "t.csv: has no labels"),
    (b"\xff\xfe\x00", "t.csv: is not a text file"),
])  # fmt: skip
def test_faults_of_tables(table, message):
    with pytest.raises(UserError, match=message):
        parse_table(table, "t.csv")


@pytest.mark.parametrize(("text", "message"), [
    ("1 2\n3\n", "v.txt:2: expected x and y, found 1 fields"),
    ("1 b\n", "v.txt:1: expected a number, found 'b'"),
    ("\n", "v.txt: has no labels"),
])  # fmt: skip
def test_faults_of_lists(text, message):
    with pytest.raises(UserError, match=message):
        parse_lines(text.encode(), "v.txt")


def test_lines_below_a_blank_one_are_told_of(caplog):
    labels = parse_lines(b"1 2\n\n3 4\n5 6\n", "v.txt")
    assert len(labels.numbers) == 1 and "v.txt:2: blank; 2 lines below it are not read" in caplog.text


@pytest.mark.parametrize(("xml", "message"), [
    ("<a", "s.xml: not XML"),
    ("<!DOCTYPE a []><a/>", "s.xml: has a DOCTYPE"),
    ("<annotations/>", "s.xml: has no labels"),
    ('<annotations><points frame="0"/></annotations>', "s.xml: expected points with frame, points, occluded, outside"),
    (track(point(1, 2)) .replace("</track>", point(3, 4).format(0) + "</track>"), "s.xml: two balls in frame 0"),
])  # fmt: skip
def test_faults_of_xml(xml, message):
    with pytest.raises(UserError, match=message):
        parse_cvat(xml.encode(), "s.xml", True)


def test_labels_and_images_that_do_not_fit(tmp_path, images):
    write(tmp_path, "match1/csv/a_ball.csv", "Frame,Visibility,X,Y\n0,1,1,1\n4,1,3,3\n")
    images("match1/frame/a", ["0.png", "1.png"])
    with pytest.raises(
        UserError, match="a_ball.csv: labels of frames 0 to 4, found 2 images, such as match1/frame/a/0"
    ):
        ball_clips(open_storage(tmp_path), "shuttlecock")


def test_frames_that_the_published_scores_are_of():
    text = b'{"map": ["match1_a"], "start": {"match1_a": 3}, "end": {"match1_a": 9}}'
    assert parse_spans(text, "drop_frame.json") == {"match1_a": slice(3, 9)}
    with pytest.raises(UserError, match="drop_frame.json: not TrackNetV3's list"):
        parse_spans(b'{"map": ["b"], "start": {}, "end": {}}', "drop_frame.json")
