"""The training sets in the layouts they are published in, each as a tree of a few files; what is missing is named."""

import json
import pickle

import numpy as np
import pytest

from lib.data import benchmarks
from lib.data.image import encode_jpeg
from lib.errors import UserError

FRAME = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
BOXES = "1,2,3,4\n2.5,2,3,4\n3,2,3,4\n"


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_jpeg(FRAME))


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def images(folder, name="{:08d}.jpg", first=1):
    for number in range(first, first + 3):
        image(folder / name.format(number))


def got10k(root, split="train", names=("GOT-10k_Train_000001", "GOT-10k_Train_000002", "GOT-10k_Train_000003")):
    for name in names:
        images(root / "got10k" / split / name)
        text(root / "got10k" / split / name / "groundtruth.txt", BOXES)
        text(root / "got10k" / split / name / "absence.label", "0\n1\n0\n")
        text(root / "got10k" / split / name / "cover.label", "8\n8\n0\n")
    text(root / "got10k" / split / "list.txt", "\n".join(names) + "\n")


def lasot(root, names=("airplane-1", "airplane-2", "kite-7")):
    for name in names:
        folder = root / "lasot" / name.split("-")[0] / name
        images(folder / "img")
        text(folder / "groundtruth.txt", BOXES)
        text(folder / "full_occlusion.txt", "0,0,1\n")
        text(folder / "out_of_view.txt", "0,1,0\n")


def trackingnet(root):
    for number, name in ((0, "-xyz_1"), (3, "abc_0")):
        images(root / "trackingnet" / f"TRAIN_{number}" / "frames" / name, "{}.jpg", first=9)
        text(root / "trackingnet" / f"TRAIN_{number}" / "anno" / f"{name}.txt", BOXES)


def coco(folder, annotations, pictures):
    for number in (1, 2, 3):
        image(folder / pictures / f"{number:012d}.jpg")
    boxes = [
        (1, [1, 2, 3, 4], 0),
        (1, [5, 5, 9.25, 8], 0),
        (2, [0, 0, 64, 48], 1),
        (3, [5, 5, 0, 8], 0),
        (3, [6, 6, 7, 8], 0),
    ]
    table = {
        "images": [{"id": number, "file_name": f"{number:012d}.jpg"} for number in (3, 1, 2)],
        "annotations": [{"image_id": owner, "bbox": box, "iscrowd": crowd} for owner, box, crowd in boxes],
    }
    text(folder / annotations, table)


def vid(root):
    def write(number, objects):
        boxes = "".join(
            f"<object><trackid>{track}</trackid><name>n1</name><bndbox><xmax>{x + 10}</xmax><xmin>{x}</xmin>"
            f"<ymax>20</ymax><ymin>4</ymin></bndbox></object>"
            for track, x in objects
        )
        place = "VID/train/ILSVRC2015_VID_train_0000/video_a"
        text(root / "vid" / "Annotations" / place / f"{number:06d}.xml", f"<annotation>{boxes}</annotation>")
        image(root / "vid" / "Data" / place / f"{number:06d}.JPEG")

    for number, objects in enumerate([[(0, 1)], [(0, 2), (1, 30)], [(1, 31)], [(0, 4), (1, 32)]]):
        write(number, objects)


def test_got10k_and_its_splits(tmp_path):
    got10k(tmp_path)
    for name in ("got10k_train", "GOT10K_train_full"):
        sequences = benchmarks.load(name, tmp_path)
        assert [len(sequence.frames()) for sequence in sequences] == [3, 3, 3]
        assert sequences[0].dataset == "got10k_train" and sequences[0].visible.tolist() == [True, False, False]
    with pytest.raises(UserError, match=r"list of its sequences is missing; looked for .*got10k_vot_train_split\.txt"):
        benchmarks.load("GOT10K_vottrain", tmp_path)
    text(tmp_path / "data_specs" / "got10k_vot_train_split.txt", "2\n0\n")
    chosen = [sequence.name for sequence in benchmarks.load("GOT10K_vottrain", tmp_path)]
    assert chosen == ["GOT-10k_Train_000003", "GOT-10k_Train_000001"], "0-based lines of list.txt"
    text(tmp_path / "got10k" / "got10k_vot_val_split.txt", "1\n7\n")
    with pytest.raises(UserError, match=r"got10k_vot_val_split\.txt:2: 7: none of the 3 sequences"):
        benchmarks.load("GOT10K_votval", tmp_path)
    with pytest.raises(UserError, match=r"got10k/val: no such folder\. It should hold the validation split"):
        benchmarks.load("GOT10K_official_val", tmp_path)
    got10k(tmp_path, "val", ("GOT-10k_Val_000001",))
    assert len(benchmarks.load("got10k_val", tmp_path)) == 1


def test_lasot_needs_its_list(tmp_path):
    lasot(tmp_path)
    with pytest.raises(UserError, match=r"lasot_train_split\.txt.*training_set\.txt"):
        benchmarks.load("LASOT", tmp_path)
    text(tmp_path / "lasot" / "training_set.txt", "kite-7\nairplane-1\n")
    sequences = benchmarks.load("LASOT", tmp_path)
    assert [sequence.name for sequence in sequences] == ["kite-7", "airplane-1"]
    assert sequences[0].visible.tolist() == [True, False, False] and len(sequences[0].frames()) == 3
    with pytest.raises(UserError, match="did you mean lasot_train"):
        benchmarks.load("lasot", tmp_path)


def test_trackingnet_sorts_its_frames_by_number(tmp_path):
    trackingnet(tmp_path)
    sequences = benchmarks.load("TRACKINGNET", tmp_path)
    assert sorted(sequence.name for sequence in sequences) == ["-xyz_1", "abc_0"]
    names = sequences[0].frames().names
    assert [name.rpartition("/")[2] for name in names] == ["9.jpg", "10.jpg", "11.jpg"]


@pytest.mark.parametrize(
    ("name", "folder", "annotations", "pictures"),
    [
        ("COCO17", "coco", "annotations/instances_train2017.json", "images/train2017"),
        ("BDD100K_NIGHT", "bdd100k_night", "annotations/bdd100k_night.json", "images"),
        ("ExDark", "ExDark", "annotations/annotations.json", "images"),
    ],
)
def test_coco_and_its_kind(tmp_path, name, folder, annotations, pictures):
    coco(tmp_path / folder, annotations, pictures)
    sequences = pickle.loads(pickle.dumps(benchmarks.load(name, tmp_path)))
    assert [sequence.name for sequence in sequences] == ["000000000001_0", "000000000001_1", "000000000003_0"]
    assert sequences[1].boxes_xywh.tolist() == [[5, 5, 9.25, 8]] and len(sequences[-1].frames()) == 1
    assert [sequence.name for sequence in sequences[1:]] == [sequence.name for sequence in list(sequences)[1:]]
    (tmp_path / folder / pictures / "000000000003.jpg").unlink()
    with pytest.raises(UserError, match=r"\.json: 1 of its 2 images are missing, such as images/.*003\.jpg"):
        benchmarks.load(name, tmp_path)
    text(tmp_path / folder / annotations, '{"images": [],\n "annotations": [}')
    with pytest.raises(UserError, match=r"\.json:2: not JSON"):
        benchmarks.load(name, tmp_path)
    for wrong in ({"images": []}, [1], {"images": [{"id": 1}], "annotations": []}, {"images": 3, "annotations": []}):
        text(tmp_path / folder / annotations, wrong)
        with pytest.raises(UserError, match=r"\.json: (not annotations as COCO's|expected a JSON object)"):
            benchmarks.load(name, tmp_path)
    (tmp_path / folder / annotations).unlink()
    with pytest.raises(UserError, match="no sequences here; looked for annotations/"):
        benchmarks.load(name, tmp_path)


def test_imagenet_vid_has_a_sequence_for_each_track(tmp_path):
    vid(tmp_path)
    first, second = benchmarks.load("VID", tmp_path)
    assert (first.name, second.name) == ("video_a_0", "video_a_1")
    assert first.visible.tolist() == [True, True, False, True] and second.visible.tolist() == [True] * 3
    assert second.boxes_xywh[0].tolist() == [30, 4, 10, 16] and second.frames().names[0].endswith("000001.JPEG")
    file = next((tmp_path / "vid").glob("Annotations/VID/train/*/*/000002.xml"))
    for wrong, message in (
        ("<annotation>", "not XML"),
        ("<a><object><trackid>0</trackid></object></a>", "without a bndbox"),
        (
            "<a><object><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></a>",
            "trackid",
        ),
    ):
        file.write_text(wrong)
        with pytest.raises(UserError, match=rf"000002\.xml: .*{message}"):
            benchmarks.load("VID", tmp_path)


def test_shift_night(tmp_path):
    def corners(x, side):
        return {"x1": x, "y1": 5, "x2": x + side, "y2": 5 + side}

    images(tmp_path / "shift_night" / "v1")
    files = [f"{number:08d}.jpg" for number in (1, 3)]
    clip = {"frame": files, "box2d": [corners(3, 60), corners(4, 50)], "category": "car"}
    text(tmp_path / "shift_night" / "shift_info_1fps.json", {"v1/12": clip})
    (sequence,) = benchmarks.load("SHIFT_NIGHT", tmp_path)
    assert sequence.name == "v1_12" and sequence.visible.tolist() == [True, False]
    assert sequence.boxes_xywh[0].tolist() == [3, 5, 60, 60] and len(sequence.frames()) == 2
    for wrong in ({"frame": files, "box2d": [corners(3, 60)]}, {"frame": files}, {"frame": [], "box2d": []}):
        text(tmp_path / "shift_night" / "shift_info_1fps.json", {"v1/12": wrong})
        with pytest.raises(UserError, match=r"shift_info_1fps\.json: v1/12: "):
            benchmarks.load("SHIFT_NIGHT", tmp_path)


def test_latot_and_lunar(tmp_path):
    for folder in ("latot/train/a", "lunar/train/b"):
        images(tmp_path / folder / "img")
    text(tmp_path / "latot" / "train" / "a" / "a.txt", BOXES)
    text(tmp_path / "lunar" / "train" / "b" / "groundtruth.txt", BOXES)
    assert [sequence.name for sequence in benchmarks.load("latot_train", tmp_path)] == ["a"]
    assert [sequence.name for sequence in benchmarks.load("lunar_train", tmp_path)] == ["b"]


@pytest.mark.parametrize("folder", ["img", "images", "."])
def test_stills_of_a_user(tmp_path, folder):
    image(tmp_path / folder / "a 1.jpg")
    image(tmp_path / folder / "b.jpg")
    text(tmp_path / "boxes.json", {"b.jpg": [[1, 2, 3, 4], [5, 6, 7, 8.5], [0, 0, 0, 9]], "a 1.jpg": [[2, 2, 3, 3]]})
    sequences = benchmarks.load(tmp_path)
    assert [sequence.name for sequence in sequences] == ["a 1_0", "b_0", "b_1"]
    assert sequences[2].first_box.tolist() == [5, 6, 7, 8.5] and sequences[2].attributes == ()
    with pytest.raises(IndexError):
        sequences[3]
    for wrong in ([[1, 2, 3]], [[1, 2, 3, None]], 5, [[1, 2, 3, float("nan")]], [["a"] * 4]):
        text(tmp_path / "boxes.json", {"b.jpg": wrong})
        with pytest.raises(UserError, match=r"boxes\.json: b\.jpg: expected rows of four finite numbers"):
            benchmarks.load(tmp_path)
    text(tmp_path / "boxes.json", {"c.jpg": [[1, 2, 3, 4]]})
    with pytest.raises(UserError, match=r"boxes\.json: 1 of its 1 images are missing, such as .*c\.jpg"):
        benchmarks.load(tmp_path)


def test_photographs_have_the_same_patches_always(tmp_path):
    for name in ("a", "b"):
        image(tmp_path / "photos" / f"{name}.jpg")
    first, again = benchmarks.load(tmp_path), benchmarks.load(tmp_path)
    assert len(first) == 8 and np.array_equal(first.boxes_xywh, again.boxes_xywh)
    assert not np.array_equal(first.boxes_of(0), first.boxes_of(1))
    assert (first.boxes_xywh[:, :2] >= 0).all() and (
        first.boxes_xywh[:, :2] + first.boxes_xywh[:, 2:] <= (64, 48)
    ).all()
    assert first[0].attributes == ("photo",)
    (tmp_path / "photos" / "b.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match=r"photos/b\.jpg: damaged JPEG"):
        benchmarks.load(tmp_path)


def test_real_stills(shared_data):
    sequences = benchmarks.load(shared_data / "stills")
    table = json.loads((shared_data / "stills" / "boxes.json").read_text())
    assert len(sequences) == sum(map(len, table.values())) + 2000
    assert all(sequence.visible.all() for sequence in sequences[::50])
