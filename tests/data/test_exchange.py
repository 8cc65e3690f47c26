"""Annotation formats of other programs: what is written is read again, and what those programs write is understood."""

import json
import shutil

import cv2
import numpy as np
import pytest

from lib.data import benchmarks
from lib.data.exchange import FORMATS
from lib.data.exchange.tracks import Clip, Track, thinned
from lib.errors import UserError

COUNT, WIDTH, HEIGHT = 8, 64, 48
NAMES = tuple(f"{number:06d}.png" for number in range(1, COUNT + 1))
FOLDER = {"mot": "img1", "coco": "images", "cvat": "images", "yolo": "images", "voc": "JPEGImages", "labelme": "",
          "label_studio": "walk", "anti_uav": ""}  # fmt: skip
WRITTEN = [name for name, one in FORMATS.items() if one.write]
TRACKED = ("mot", "coco", "cvat", "label_studio")


def clip():
    """Two targets; the first is away in frames 3 and 4, the second comes with frame 2 and goes with frame 6."""
    way = np.arange(COUNT)[:, None]
    first = np.array([[3.25, 4.5, 10.125, 8.75]]) + way * [2.5, 1.25, 0.5, 0.25]
    second = np.array([[30.0, 20.0, 12.0, 9.0]]) + way * [1.0, -0.5, 0.0, 0.0]
    first[3:5] = second[:2] = second[7:] = np.nan
    return Clip("walk", (WIDTH, HEIGHT), NAMES, (Track(1, "bird", first), Track(2, "ball", second)))


def pictures(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        cv2.imwrite(str(folder / name), np.full((HEIGHT, WIDTH, 3), 20 * number, np.uint8))


def written(place, name, tolerance=0.0):
    files = FORMATS[name].write(clip(), tolerance)
    for file, data in files.items():
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_bytes(data)
    folders = {(place / file).parent for file in files} if name == "anti_uav" else [place / FOLDER[name]]
    for folder in folders:
        pictures(folder)
    return place


def seen(boxes):
    """From the first frame with a box to the last."""
    there = np.flatnonzero(np.isfinite(boxes[:, 0]))
    return boxes[there[0] : there[-1] + 1], there[0]


@pytest.mark.parametrize("name", TRACKED)
def test_tracks_come_back(tmp_path, name):
    sequences = benchmarks.load(written(tmp_path / "walk", name))
    assert [one.name for one in sequences] == ["walk_1", "walk_2"]
    for sequence, track in zip(sequences, clip().tracks, strict=True):
        expected, first = seen(track.boxes_xywh)
        assert np.allclose(sequence.boxes_xywh, expected, atol=1e-3, equal_nan=True)
        frames = sequence.frames()
        assert [round(frames[index].mean() / 20) for index in (0, -1)] == [first, first + len(expected) - 1]
        assert name == "mot" or sequence.category == track.label


@pytest.mark.parametrize("name", ["yolo", "voc", "labelme"])
def test_still_boxes_come_back(tmp_path, name):
    stills = benchmarks.load(written(tmp_path / "walk", name))
    found = np.array([sequence.first_box for sequence in stills])
    expected = [box for frame in range(COUNT) for box in (track.boxes_xywh[frame] for track in clip().tracks)]
    expected = np.array([box for box in expected if np.isfinite(box).all()])
    assert np.allclose(found, expected, atol=1e-3)
    assert round(stills[len(stills) - 1].frames()[0].mean() / 20) == COUNT - 1


@pytest.mark.parametrize("name", TRACKED)
def test_tracks_survive_another_round(tmp_path, name):
    first = benchmarks.load(written(tmp_path / "walk", name))
    for number, sequence in enumerate(first):
        again = tmp_path / str(number) / "again"
        for file, data in FORMATS[name].write(Clip.of(sequence), 0.0).items():
            (again / file).parent.mkdir(parents=True, exist_ok=True)
            (again / file).write_bytes(data)
        folder = again / (sequence.name if name == "label_studio" else FOLDER[name])
        folder.mkdir(exist_ok=True)
        for image in sequence.frames().names:
            shutil.copy(tmp_path / "walk" / image, folder)
        (back,) = benchmarks.load(again)
        assert np.allclose(back.boxes_xywh, sequence.boxes_xywh, atol=2e-3, equal_nan=True)


@pytest.mark.parametrize("tolerance", [0.0, 0.5, 3.0])
def test_thinned_keyframes_keep_the_stated_error(tolerance):
    random = np.random.default_rng(0)
    for count in (1, 2, 3, 50):
        boxes = np.cumsum(random.normal(0, 1, (count, 4)), axis=0) + 100
        keys = thinned(boxes, tolerance)
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        between = np.stack([np.interp(range(count), keys, corners[keys, side]) for side in range(4)], axis=1)
        assert np.abs(between - corners).max() <= tolerance + 1e-9
        assert keys[0] == 0 and keys[-1] == count - 1
    straight = np.array([[1.0, 2.0, 9.0, 9.0]]) + np.arange(30)[:, None] * [2.0, 1.0, 0.5, 0.0]
    assert thinned(straight, 1e-6) == [0, 29]


def test_cvat_thins_and_marks_where_the_target_is_outside(tmp_path):
    thin = written(tmp_path / "thin" / "walk", "cvat", tolerance=0.01)
    text = (thin / "annotations.xml").read_text()
    assert text.count("<box ") == 2 + 1 + 2 + 2 + 1 and text.count('outside="1"') == 2
    whole = benchmarks.load(written(tmp_path / "whole" / "walk", "cvat"))
    for sequence, other in zip(benchmarks.load(thin), whole, strict=True):
        assert np.allclose(sequence.boxes_xywh, other.boxes_xywh, atol=0.02, equal_nan=True)


def test_cvat_beside_a_video(tmp_path):
    from tests.data.test_video import number_of, record

    record(tmp_path / "a.MOV")
    boxes = [(2, 0, 10, 20, 20, 30), (6, 0, 18, 20, 32, 30), (9, 1, 18, 20, 32, 30)]
    shapes = "".join(
        f'<box frame="{frame}" keyframe="1" outside="{outside}" occluded="0" xtl="{x}" ytl="{y}" xbr="{right}" '
        f'ybr="{bottom}.00" z_order="0"></box>\n'
        for frame, outside, x, y, right, bottom in boxes
    )
    head = '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><track id="0" label="ball">'
    (tmp_path / "a.xml").write_text(f"{head}{shapes}</track></annotations>")
    (sequence,) = benchmarks.load(tmp_path)
    assert sequence.name == "a" and len(sequence) == 7 and sequence.category == "ball"
    assert sequence.boxes_xywh[2].tolist() == [14, 20, 12, 10] and sequence.boxes_xywh[6].tolist() == [18, 20, 14, 10]
    assert number_of(sequence.frames()[3]) == 5


def test_a_plain_coco_export_is_a_dataset_of_still_images(tmp_path):
    pictures(tmp_path / "train")
    table = {
        "images": [{"id": 7, "file_name": NAMES[0]}, {"id": 9, "file_name": NAMES[1]}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 1, "bbox": [1, 2, 3.5, 4], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [5, 6, 7, 8]},
            {"id": 3, "image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
            {"id": 4, "image_id": 7, "category_id": 1, "bbox": [0, 0, 0, 9]},
        ],
        "categories": [{"id": 1, "name": "bird"}],
    }
    (tmp_path / "train" / "_annotations.coco.json").write_text(json.dumps(table))
    for place in (tmp_path / "train", tmp_path):
        stills = benchmarks.load(place)
        assert sorted(one.first_box.tolist() for one in stills) == [[1, 2, 3.5, 4], [5, 6, 7, 8]]


def test_yolo_of_train_and_val_with_outlines_and_empty_files(tmp_path):
    for part in ("train", "val"):
        pictures(tmp_path / "images" / part)
        (tmp_path / "labels" / part).mkdir(parents=True)
    (tmp_path / "labels" / "train" / "000001.txt").write_text("0 0.5 0.5 0.25 0.5\n3 .25 .25 .5 .5 0.9\n")
    (tmp_path / "labels" / "val" / "000002.txt").write_text("0 0.1 0.1 0.3 0.1 0.3 0.5 0.1 0.5\n")
    (tmp_path / "labels" / "val" / "000003.txt").write_text("")
    found = [one.first_box.tolist() for one in benchmarks.load(tmp_path)]
    assert found == [[24, 12, 16, 24], [0, 0, 32, 24], pytest.approx([6.4, 4.8, 12.8, 19.2])]


WRONG = {
    "mot": ("gt/gt.txt", "1,1,2,3,4\n", "gt.txt:1: expected at least 6 numbers"),
    "coco": ("annotations.json", '{"images": [{"id": 1}], "annotations": []}', "not annotations as COCO's"),
    "cvat": ("annotations.xml", "<annotations><track></annotations>", "annotations.xml: not XML"),
    "yolo": ("labels/000001.txt", "0 100 100 20 20\n", "000001.txt:1: expected `class cx cy w h` in shares"),
    "voc": ("Annotations/000001.xml", "<a><object><bndbox/></object></a>", "without a bndbox"),
    "labelme": ("000001.json", '{"shapes": [{"label": "a"}]}', "a shape without points"),
    "anti_uav": ("1/IR_label.json", '{"exist": [1, 1], "gt_rect": [[1, 2, 3, 4]]}', "2 numbers in exist, 1 boxes"),
    "label_studio": ("annotations.json", '[{"data": {}, "type": "videorectangle"}]', "not an export of Label Studio"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_wrong_is_one_line(tmp_path, name):
    place = written(tmp_path / "walk", name)
    file, text, words = WRONG[name]
    (place / file).write_text(text)
    with pytest.raises(UserError) as error:
        benchmarks.load(place)
    assert words in str(error.value) and str(error.value).isprintable()


def test_detections_and_frames_that_are_not_there(tmp_path):
    place = written(tmp_path / "walk", "mot")
    (place / "gt" / "gt.txt").write_text("1,-1,2,3,4,5,0.9\n")
    with pytest.raises(UserError, match="these are detections"):
        benchmarks.load(place)
    (place / "gt" / "gt.txt").write_text("9,1,2,3,4,5,1\n")
    with pytest.raises(UserError, match="a box in frame 8, counted from 0, of 8 images"):
        benchmarks.load(place)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_command(tmp_path, command, capsys, name):
    source = written(tmp_path / "walk", "mot")
    words = ["convert.py", source, tmp_path / "out", "--to", name, "--tolerance", 0.1]
    assert command(*words) == 0
    assert "wrote 2 videos" in capsys.readouterr().out and len(list((tmp_path / "out").iterdir())) == 2
    results = tmp_path / "results" / "walk"
    results.mkdir(parents=True)
    for sequence, track in zip(benchmarks.load(source), (0, 1), strict=True):
        rows = "1\t2\t3\t4\n" * len(sequence)
        (results / f"{sequence.name}.txt").write_text(rows)
        assert track in (0, 1)
    assert command(*words, "--results", tmp_path / "results") == 0
    if name == "mot":
        assert (tmp_path / "out" / "walk_1" / "gt" / "gt.txt").read_text().startswith("1,1,1,2,3,4,1,1,1\n2,1,1,2,3,4")


def test_anti_uav_is_one_target_beside_images_or_a_video(tmp_path):
    from tests.data.test_video import COUNT as LENGTH
    from tests.data.test_video import record

    found = benchmarks.load(written(tmp_path / "day", "anti_uav"))
    assert [one.name for one in found] == ["1", "2"], "a folder for each target"
    for sequence, track in zip(found, clip().tracks, strict=True):
        assert np.allclose(sequence.boxes_xywh, seen(track.boxes_xywh)[0], atol=1e-3, equal_nan=True)
    (tmp_path / "night/one").mkdir(parents=True)
    for name in ("infrared", "visible"):
        record(tmp_path / f"night/one/{name}.mp4")
        exist, boxes = [1] * LENGTH, [[1, 2, 3, 4]] * LENGTH
        exist[2], boxes[2] = 0, []
        (tmp_path / f"night/one/{name}.json").write_text(json.dumps({"exist": exist, "gt_rect": boxes}))
    found = benchmarks.load(tmp_path / "night")
    assert [one.name for one in found] == ["one_infrared", "one_visible"]
    assert not found[0].visible[2] and found[0].visible.sum() == LENGTH - 1
    assert found[1].frames()[0].shape == (64, 96, 3)


def test_label_studio_between_keyframes_and_after_the_last(tmp_path):
    from tests.data.test_video import COUNT as LENGTH
    from tests.data.test_video import record

    record(tmp_path / "0123abcd-a.mp4")
    keys = [(3, True, 10), (5, False, 20), (8, True, 50)]
    sequence = [
        {"frame": frame, "enabled": enabled, "x": x, "y": 25, "width": 12.5, "height": 50, "rotation": 0, "time": 0.1}
        for frame, enabled, x in keys
    ]
    result = {"type": "videorectangle", "id": "a", "value": {"sequence": sequence, "labels": ["ball"]}}
    task = {"data": {"video": "/data/upload/1/0123abcd-a.mp4"}, "annotations": [{"result": [result]}]}
    (tmp_path / "project-1.json").write_text(json.dumps([task]))
    (found,) = benchmarks.load(tmp_path)
    assert found.category == "ball" and len(found) == LENGTH - 2 and found.begins == 2
    assert found.boxes_xywh[:3].tolist() == [[9.6, 16, 12, 32], pytest.approx([14.4, 16, 12, 32]), [19.2, 16, 12, 32]]
    assert not found.visible[3:5].any() and (found.boxes_xywh[5:] == [48, 16, 12, 32]).all()


def test_masks_are_boxes_around_their_pixels(tmp_path):
    pictures(tmp_path / "JPEGImages/480p/walk")
    (tmp_path / "Annotations/480p/walk").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        mask[10:14, 20 + number : 27 + number] = (0, 0, 128)  # red, as OpenCV writes it: the first target
        if number > 3:
            mask[30:40, 1:3] = (0, 128, 0)
        cv2.imwrite(str(tmp_path / "Annotations/480p/walk" / name), mask)
    one, two = benchmarks.load(tmp_path)
    assert (one.name, two.name) == ("walk_1", "walk_2") and len(one) == COUNT and len(two) == COUNT - 4
    assert one.boxes_xywh[3].tolist() == [23, 10, 7, 4] and (two.boxes_xywh == [1, 30, 2, 10]).all()
    grey = np.zeros((HEIGHT, WIDTH), np.uint8)
    grey[5, 6] = 255
    cv2.imwrite(str(tmp_path / "Annotations/480p/walk" / NAMES[0]), grey)
    assert [each.name for each in benchmarks.load(tmp_path)] == ["walk_1", "walk_2", "walk_255"]
    (tmp_path / "Annotations/480p/walk" / NAMES[0]).write_bytes(b"x")
    with pytest.raises(UserError, match="expected a mask"):
        benchmarks.load(tmp_path)
