"""The test sets in the layouts they are published in, each as a tree of a few files with the quirks of the whole."""

import logging
import pickle
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from lib.data import benchmarks
from lib.data.benchmarks import facts
from lib.data.benchmarks.entries import BENCHMARKS
from lib.data.image import encode_jpeg
from lib.errors import UserError
from lib.vis.video import VideoWriter

JPEG = encode_jpeg(np.full((48, 64, 3), 90, np.uint8))
ROWS = ((11, 12, 13, 14), (11.5, 12, 13, 14), (12, 12, 13, 14))


def images(folder, name="{:08d}.jpg", first=1, count=3):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        (folder / name.format(number)).write_bytes(JPEG)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def rows(boxes=ROWS, separator=","):
    return "".join(separator.join(map(str, row)) + "\n" for row in boxes)


@dataclass
class Miniature:
    """What a tree must be read as. names: in order. origin: subtracted. of: {name: facts of that sequence}."""

    names: list
    origin: float = 0.0
    task: str = "box"
    of: dict = field(default_factory=dict)


def folder_of_user(root, folder, names=("b", "a 10", "a 2")):
    for name in names:
        images(root / folder / name / "img")
        text(root / folder / name / "groundtruth.txt", rows())
    return Miniature(["a 2", "a 10", "b"])


def lunar(root):
    text(root / "lunar" / "b" / "attributes.txt", "TO, FM")
    mini = folder_of_user(root, "lunar")
    mini.of = {"b": {"attributes": ("TO", "FM")}}
    return mini


def latot(root, names=("ant4", "car33-2", "poker_box")):
    for name in names:
        images(root / "latot" / name / "img")
        text(root / "latot" / name / f"{name}.txt", rows())
    text(root / "latot" / "att" / "car33-2.txt", "1,0,0,0,0,0,1,0,0,0,0,1\n")
    seen = {"attributes": ("SV", "BC", "LI"), "category": "car"}
    return Miniature([*names], of={"car33-2": seen, "poker_box": {"attributes": (), "category": "poker_box"}})


def latot_test(root):
    mini = latot(root, (*facts.LATOT_TEST, "ant5"))  # and one to train from
    mini.names.remove("ant5")
    return mini


def nt_vot211(root):
    for name in ("xju_avenue_1_1.mp4", "badminton_ doubles_in_9_PM"):
        images(root / "nt_vot211" / "sequences" / name, "img_{:05d}.jpg")
        text(root / "nt_vot211" / "GT" / f"{name}.txt", rows(separator=" "))
    return Miniature(["badminton_ doubles_in_9_PM", "xju_avenue_1_1.mp4"])


def uav_at_night(dataset, annotations="anno", frames="data_seq", name="{:06d}.jpg"):
    def build(root):
        for sequence in ("N01001", "N10001", "N02001"):
            images(root / dataset / frames / sequence, name)
            text(root / dataset / annotations / f"{sequence}.txt", rows())
        return Miniature(["N01001", "N02001", "N10001"])

    return build


def uavdark135(root):
    mini = uav_at_night("uavdark135", "anno_revise", "Sequences", "{:05d}.jpg")(root)
    text(root / "uavdark135" / "anno" / "N01001.txt", rows([(1, 1, 1, 1)] * 3))  # what was revised
    return mini


def lasot(root, folder="lasot", names=(*facts.LASOT_TEST, "airplane-2")):
    for name in names:
        place = root / folder / name.rpartition("-")[0] / name
        images(place / "img")
        text(place / "groundtruth.txt", rows())
    place = root / folder / "kite" / "kite-10"
    text(place / "full_occlusion.txt", "0,0,1\n")
    text(place / "out_of_view.txt", "0,1,0\n")
    text(root / folder / "att" / "kite-10.txt", "0,1,0,0,0,0,0,0,0,0,0,0,0,1\n")
    seen = {"attributes": ("POC", "ARC"), "category": "kite", "visible": [True, False, False]}
    return Miniature(list(facts.LASOT_TEST), 1.0, of={"kite-10": seen, "rubicCube-1": {"category": "rubicCube"}})


def lasot_extension_subset(root):
    mini = lasot(root, "lasot_extension_subset", ("atv-2", "atv-10", "kite-10"))
    mini.names, mini.of = ["atv-2", "atv-10", "kite-10"], {"kite-10": mini.of["kite-10"]}
    return mini


def got10k(split, whole):
    def build(root):
        names = [f"GOT-10k_{split.capitalize()}_{number:06d}" for number in (1, 2)]
        for name in names:
            place = root / "got10k" / split / name
            images(place)
            text(place / "groundtruth.txt", rows(ROWS if whole else ROWS[:1]))
            text(place / "meta_info.ini", "[METAINFO]\nurl: x\nobject_class: JetLev-Flyer\nmotion_class: fly\n")
        text(root / "got10k" / split / "list.txt", "\n".join(names))
        if whole:
            text(root / "got10k" / split / names[0] / "absence.label", "0\n1\n0\n")
            text(root / "got10k" / split / names[0] / "cover.label", "8\n8\n0\n")
        seen = {"visible": [True, False, False], "category": "JetLev-Flyer"}
        return Miniature(names, of={names[0]: seen})

    return build


def trackingnet(root):
    for name in ("-xyz_1", "0abc_0"):
        images(root / "trackingnet" / "TEST" / "frames" / name, "{}.jpg", first=8)  # 8, 9, 10
        text(root / "trackingnet" / "TEST" / "anno" / f"{name}.txt", rows(ROWS[:1]))
    seen = {"visible": [True, False, False], "frames": ["8.jpg", "9.jpg", "10.jpg"]}
    return Miniature(["0abc_0", "-xyz_1"], of={"0abc_0": seen})


def otb(root):
    """Two targets in a folder, an empty annotation, parts of folders, blanks and tabs between numbers."""
    for name, fact in facts.OTB.items():
        folder, _, part = name.partition("_")
        place = root / "otb" / folder / "img"
        images(place, "{:04d}.jpg", first=fact.first or 1)
        separator = {"Human4_2": "\t", "Woman": " "}.get(name, ",")
        text(place.parent / f"groundtruth_rect{'.' + part if part else ''}.txt", rows(separator=separator))
    text(root / "otb" / "Human4" / "groundtruth_rect.1.txt", "")
    text(root / "otb" / "Tiger1" / "groundtruth_rect.txt", rows([(9, 9, 9, 9)] * 5 + [*ROWS]))
    images(root / "otb" / "Tiger1" / "img", "{:04d}.jpg", first=1, count=8)
    images(root / "otb" / "David" / "img", "{:04d}.jpg", first=298, count=5)
    seen = {"frames": ["0006.jpg", "0007.jpg", "0008.jpg"], "attributes": facts.OTB["Tiger1"].attributes}
    david = {"frames": ["0300.jpg", "0301.jpg", "0302.jpg"]}
    return Miniature(list(facts.OTB), 1.0, of={"Tiger1": seen, "David": david, "Jogging_2": {"category": ""}})


def uav123(root):
    """One folder of frames for several sequences, frames that belong to none, NaN, attributes, another set beside."""
    base = root / "uav"
    for name, fact in facts.UAV123.items():
        place = base / "data_seq" / "UAV123" / (fact.folder or name)
        images(place, "{:06d}.jpg", fact.first, 2)
        images(place, "{:06d}.jpg", fact.last, 1)
        text(base / "anno" / "UAV123" / f"{name}.txt", rows([ROWS[0], ["NaN"] * 4, ROWS[2]]))
        text(base / "anno" / "UAV123" / "att" / f"{name}.txt", "1,0,0,0,0,0,0,0,0,0,0,1\n")
    images(base / "data_seq" / "UAV123" / "uav1", "{:06d}.jpg", 2400, 5)
    text(base / "anno" / "UAV20L" / "bike1.txt", rows())
    seen = {"category": "car", "attributes": ("SV", "SOB"), "visible": [True, False, True]}
    return Miniature(
        [f"uav_{name}" for name in facts.UAV123],
        1.0,
        of={
            "uav_car1_2": {**seen, "frames": ["000751.jpg", "000752.jpg", "001627.jpg"]},
            "uav_car1_s": {**seen, "frames": ["000001.jpg", "000002.jpg", "001475.jpg"]},
            "uav_uav1_3": {"frames": ["002473.jpg", "002474.jpg", "003469.jpg"], "category": "uav"},
        },
    )


def nfs(root):
    for name in ("bird_2", "Skydiving"):
        images(root / "nfs" / "sequences" / name, "{:05d}.jpg")
        text(root / "nfs" / "anno" / f"nfs_{name}.txt", rows(separator="\t"))
    return Miniature(["nfs_Skydiving", "nfs_bird_2"])


def tc128(root):
    for name, short in (("Yo_yos_ce3", "Yo-yos_ce3"), ("Hurdle_ce2", "Hurdle_ce2")):
        images(root / "tc128" / name / "img", "{:04d}.jpg", first=25, count=5)
        text(root / "tc128" / name / f"{short}_gt.txt", rows())
        text(root / "tc128" / name / f"{short}_frames.txt", "27,29\n")
    seen = {"frames": ["0027.jpg", "0028.jpg", "0029.jpg"]}
    return Miniature(["Hurdle_ce2", "Yo_yos_ce3"], 1.0, of={"Yo_yos_ce3": seen})


def tnl2k(root):
    for name in ("advSamp_Baseball_game_002", "Arrow_Video_ZZ04_done"):
        images(root / "tnl2k" / name / "imgs", "{:05d}.png")
        text(root / "tnl2k" / name / "groundtruth.txt", rows())
        text(root / "tnl2k" / name / "language.txt", "the baseball")
    return Miniature(["Arrow_Video_ZZ04_done", "advSamp_Baseball_game_002"])


def dtb70(root):
    for name in ("RcCar3", "Animal1"):
        images(root / "dtb70" / name / "img", "{:05d}.jpg")
        text(root / "dtb70" / name / "groundtruth_rect.txt", rows())
    return Miniature(["Animal1", "RcCar3"], of={"RcCar3": {"category": "RcCar"}})


def uavdt(root):
    for name in ("S1606", "S0101"):
        images(root / "uavdt" / "UAV-benchmark-S" / name, "img{:06d}.jpg")
        text(root / "uavdt" / "UAV-benchmark-SOT_v1.0" / "anno" / f"{name}_gt.txt", rows())
    return Miniature(["S0101", "S1606"])


def vot(root):
    """A rectangle and a polygon, flags by frame that end early, images in color/ or beside the text."""
    images(root / "vot" / "ball1" / "color")
    text(root / "vot" / "ball1" / "groundtruth.txt", rows())
    text(root / "vot" / "ball1" / "occlusion.tag", "0\n1\n")
    images(root / "vot" / "ants1")
    text(root / "vot" / "ants1" / "groundtruth.txt", "10,12,24,12,20,26,8,14\n" * 3)
    text(root / "vot" / "ants1" / "size_change.label", "1\n0\n1\n")
    text(root / "vot" / "list.txt", "ball1\nants1\n")
    return Miniature(
        ["ants1", "ball1"],
        of={
            "ball1": {"tags": {"occlusion": [False, True, False]}},
            "ants1": {"tags": {"size_change": [True, False, True]}, "boxes": [[8, 12, 16, 14]] * 3},
        },
    )


def avist(root):
    for name in ("plaice", "air_show"):
        images(root / "avist" / "sequences" / name, "img_{:05d}.jpg")
        text(root / "avist" / "anno" / f"{name}.txt", rows(separator=" "))
        text(root / "avist" / "full_occlusion" / f"{name}_full_occlusion.txt", "0,0,0\n")
        text(root / "avist" / "out_of_view" / f"{name}_out_of_view.txt", "0,0,1\n")
    return Miniature(["air_show", "plaice"], of={"plaice": {"visible": [True, True, False]}})


BALL = "Frame,Visibility,X,Y\n0,1,20,30\n1,0,0,0\n2,1,21.5,30\n"


def shuttlecocks(dataset, width, part="test/"):
    """The frames of one rally as images and of the other as a video, both called alike in two matches."""

    def build(root):
        for match in ("match1", "match2"):
            place = root / dataset / part / match
            text(place / "csv" / "1_01_00_ball.csv", BALL)
        images(root / dataset / part / "match1" / "frame" / "1_01_00", "{}.png", first=0)
        (place / "video").mkdir()
        with VideoWriter(place / "video" / "1_01_00.mp4") as video:
            for _ in range(3):
                video.write(np.full((48, 64, 3), 90, np.uint8))
        side = 5 * width / 512
        boxes = [[20 - side / 2, 30 - side / 2, side, side], [np.nan] * 4, [21.5 - side / 2, 30 - side / 2, side, side]]
        seen = {"visible": [True, False, True], "boxes": boxes}
        return Miniature(["match1_1_01_00", "match2_1_01_00"], task="point", of={"match1_1_01_00": seen})

    return build


def tennis(root):
    head = "file name,visibility,x-coordinate,y-coordinate,status\n"
    for game in ("game1", "game10", "game2"):
        images(root / "tennis" / game / "Clip1", "{:04d}.jpg", first=0)
        text(
            root / "tennis" / game / "Clip1" / "Label.csv",
            head + "0000.jpg,1,20,30,0\n0001.jpg,0,,,\n0002.jpg,3,9,9,0\n",
        )
    seen = {"visible": [True, False, False], "boxes": [[13.75, 23.75, 12.5, 12.5], [np.nan] * 4, [np.nan] * 4]}
    return Miniature(["game1_Clip1", "game2_Clip1", "game10_Clip1"], task="point", of={"game2_Clip1": seen})


def tennis_v1(root):
    seen = {"visible": [True, False, True]}
    return replace(tennis(root), of={"game2_Clip1": seen})


def volleyball(root):
    text(root / "volleyball" / "volleyball_ball_annotation" / "3" / "101.txt", "20 30\n0 0\n21.5 30\n")
    images(root / "volleyball" / "videos" / "3" / "101", "{}.jpg", first=9)
    seen = {
        "visible": [True, False, True],
        "boxes": [[13.75, 23.75, 12.5, 12.5], [np.nan] * 4, [15.25, 23.75, 12.5, 12.5]],
    }
    return Miniature(["3_101"], task="point", of={"3_101": seen})


def cvat(place, rows):
    points = "".join(
        f'<points frame="{number}" outside="0" occluded="{hidden}" points="{x},{y}">'
        '<attribute name="used_in_game">1</attribute></points>'
        for number, (x, y, hidden) in enumerate(rows)
    )
    text(place, f'<annotations><track id="0" label="ball">{points}</track></annotations>')


def soccer(root):
    cvat(root / "soccer" / "annos" / "ID-1.xml", ((20, 30, 0), (20, 30, 1), (22, 30, 0)))
    images(root / "soccer" / "frames" / "ID-1", "{:05d}.png", first=0)
    return Miniature(["ID-1"], task="point", of={"ID-1": {"visible": [True, False, True]}})


def basketball(root):
    cvat(root / "basketball" / "ball-annos" / "g1" / "task_clip_7.xml", ((20, 30, 0), (20, 30, 1), (22, 30, 0)))
    images(root / "basketball" / "videos" / "g1" / "clip_7", "{:06d}.jpg", first=0)
    return Miniature(["g1_clip_7"], task="point", of={"g1_clip_7": {"visible": [True, False, True]}})


MINIATURES = {
    "lunar": lunar,
    "latot": latot,
    "latot_test": latot_test,
    "nt_vot211": nt_vot211,
    "uavdark135": uavdark135,
    "darktrack2021": uav_at_night("darktrack2021"),
    "nat2021": uav_at_night("nat2021"),
    "nat2021l": uav_at_night("nat2021l"),
    "llot": lambda root: folder_of_user(root, "llot"),
    "lasot": lasot,
    "lasot_extension_subset": lasot_extension_subset,
    "got10k_test": got10k("test", whole=False),
    "got10k_val": got10k("val", whole=True),
    "trackingnet": trackingnet,
    "otb": otb,
    "uav123": uav123,
    "nfs": nfs,
    "tc128": tc128,
    "tnl2k": tnl2k,
    "dtb70": dtb70,
    "uavdt": uavdt,
    "vot": vot,
    "avist": avist,
    "badminton100k": shuttlecocks("badminton100k", 1920),
    "shuttlecock": shuttlecocks("shuttlecock", 1280),
    "tennis": tennis,
    "tennis_v1": tennis_v1,
    "table_tennis": shuttlecocks("table_tennis", 1920, part=""),
    "volleyball": volleyball,
    "soccer": soccer,
    "basketball": basketball,
}
TO_TEST_ON = [name for name, benchmark in BENCHMARKS.items() if not benchmark.to_train]


@pytest.mark.parametrize("name", TO_TEST_ON)
def test_a_benchmark_in_its_published_layout(tmp_path, name):
    mini = MINIATURES[name](tmp_path)
    sequences = benchmarks.load(name, tmp_path)
    assert sorted(one.name for one in sequences) == sorted(mini.names)
    if not BENCHMARKS[name].official:
        assert [one.name for one in sequences] == mini.names
    by_name = {one.name: one for one in pickle.loads(pickle.dumps(sequences))}
    for one in by_name.values():
        assert (one.dataset, one.task, one.origin) == (name, mini.task, mini.origin)
        frames = one.frames()
        assert len(frames) == len(one) and one.visible[0]
        seen = mini.of.get(one.name, {})
        if mini.task == "box" and "boxes" not in seen:
            assert one.to_file(one.first_box).tolist() == list(ROWS[0]), "the very numbers of its own file"
            assert one.first_box.tolist() == [11 - mini.origin, 12 - mini.origin, 13, 14]
    for short, seen in mini.of.items():
        one = by_name[short]
        assert one.frames()[1].shape == (48, 64, 3)
        if "boxes" in seen:
            assert np.array_equal(one.boxes_xywh, seen["boxes"], equal_nan=True)
        if "frames" in seen:
            assert [file.rpartition("/")[2] for file in one.frames().names] == seen["frames"]
        if "visible" in seen:
            assert one.visible.tolist() == seen["visible"]
        assert one.attributes == seen.get("attributes", one.attributes)
        assert one.category == seen.get("category", one.category)
        assert {tag: flags.tolist() for tag, flags in one.frame_attributes.items()} == seen.get("tags", {})


def test_names_of_other_projects(tmp_path):
    uav123(tmp_path)
    assert {one.dataset for one in benchmarks.load("uav", tmp_path)} == {"uav123"}
    meaning = {"lasot": "lasot", "LASOT": "lasot_train", "LaSOT": "lasot", "trackingnet": "trackingnet"}
    meaning |= {
        "TRACKINGNET": "trackingnet_train",
        "OTB100": "otb",
        "ntvot211": "nt_vot211",
        "GOT10K_test": "got10k_test",
    }
    assert {name: benchmarks.canonical(name) for name in meaning} == meaning
    with pytest.raises(UserError, match=r"'nat' \(did you mean nat2021\?\)"):
        benchmarks.load("nat", tmp_path)
    for name, benchmark in BENCHMARKS.items():
        assert not benchmark.training or BENCHMARKS[benchmark.training].to_train, name
        assert benchmarks.canonical(name) == name and benchmark.source


def test_two_benchmarks_may_share_names_of_sequences(tmp_path):
    for name in ("nat2021", "nat2021l"):
        MINIATURES[name](tmp_path)
    datasets = benchmarks.load_all("nat2021,nat2021l", tmp_path)
    one, other = (sequences for sequences, _ in datasets.values())
    assert [a.name for a in one] == [b.name for b in other] and one[0].dataset != other[0].dataset
    assert one[0].place != other[0].place


def test_half_of_a_benchmark_is_not_the_benchmark(tmp_path):
    lasot(tmp_path, names=("kite-10", "airplane-2"))
    with pytest.raises(
        UserError, match=r"279 of the 280 sequences of lasot are missing, such as airplane-1 .*lasot_train"
    ):
        benchmarks.load("lasot", tmp_path)
    text(tmp_path / "lasot" / "training_set.txt", "airplane-2\n")
    assert [one.name for one in benchmarks.load("LASOT", tmp_path)] == ["airplane-2"]


def test_half_of_a_benchmark_is_taken_where_it_is_asked_for(tmp_path, caplog):
    lasot(tmp_path, names=("kite-10", "kite-6", "bird-2", "airplane-2"))
    with pytest.raises(UserError, match=r"277 of the 280 .*; --dataset 'lasot#\*' takes those that are there$"):
        benchmarks.load("lasot", tmp_path)
    whole = benchmarks.load("lasot#*", tmp_path)
    assert [one.name for one in whole] == ["bird-2", "kite-6", "kite-10"] and whole[2].attributes == ("POC", "ARC")
    with caplog.at_level(logging.INFO):
        some = benchmarks.load("lasot#kite-*@mild", tmp_path)
    assert [(one.dataset, one.name) for one in some] == [("lasot@mild", "kite-6"), ("lasot@mild", "kite-10")]
    assert "lasot#kite-*: 2 there, 2 that belong to it are not" in caplog.text
    with pytest.raises(UserError, match=r"lasot#kite-4: no sequence is called like that; there are bird-2, kite-6, "):
        benchmarks.load("lasot#kite-4", tmp_path)  # it belongs to the benchmark
    with pytest.raises(UserError, match="otb: no such folder"):
        benchmarks.load("otb#*", tmp_path)


def test_a_pattern_cannot_take_what_is_not_there_at_all(tmp_path):
    lasot(tmp_path, names=("kite-10", "airplane-2"))
    (tmp_path / "lasot" / "kite" / "kite-10" / "groundtruth.txt").unlink()  # what remains is to train from
    with pytest.raises(UserError, match=r"280 of the 280 .* \(did you mean lasot_train, the training set\?\)$"):
        benchmarks.load("lasot#*", tmp_path)


def test_what_does_not_belong_to_a_benchmark_is_not_read(tmp_path):
    mini = otb(tmp_path)
    text(tmp_path / "otb" / "Extra" / "groundtruth_rect.txt", "no numbers")
    assert len(benchmarks.load("otb", tmp_path)) == len(mini.names) == 100
    text(tmp_path / "otb" / "Woman" / "groundtruth_rect.txt", "no numbers")
    with pytest.raises(UserError, match=r"Woman/groundtruth_rect\.txt:1: expected a number"):
        benchmarks.load("otb", tmp_path)


def test_latot_with_its_lists_and_parts(tmp_path):
    latot(tmp_path)
    text(tmp_path / "latot" / "train.txt", "car33-2.txt\nant4.txt\n")  # as beside MKDNet: names of annotations
    assert [one.name for one in benchmarks.load("latot_train", tmp_path)] == ["car33-2", "ant4"]
    for part, name in (("train", "ant5"), ("test", "ant4")):
        images(tmp_path / "parts" / "latot" / part / name / "img")
        text(tmp_path / "parts" / "latot" / part / name / "groundtruth.txt", rows())
    for dataset, names in (("latot", ["ant4", "ant5"]), ("latot_test", ["ant4"]), ("latot_train", ["ant5"])):
        assert [one.name for one in benchmarks.load(dataset, tmp_path / "parts")] == names


@pytest.mark.parametrize("flags", ["1,0,1\n", "0,0,0,0,0,0,0,0,0,0,0,2\n"])
def test_attributes_of_another_number_are_refused(tmp_path, flags):
    latot(tmp_path)
    text(tmp_path / "latot" / "att" / "ant4.txt", flags)
    found = "3" if flags.startswith("1") else "other numbers"
    with pytest.raises(UserError, match=rf"att/ant4\.txt: expected 12 flags of 0 or 1 \(SV .* LI\), found {found}"):
        benchmarks.load("latot", tmp_path)


def test_two_sequences_of_one_name(tmp_path):
    for part in ("TRAIN_0", "TRAIN_1"):
        images(tmp_path / "trackingnet" / part / "frames" / "a_0", "{}.jpg")
        text(tmp_path / "trackingnet" / part / "anno" / "a_0.txt", rows())
    with pytest.raises(UserError, match=r"TRAIN_0/anno/a_0\.txt: two sequences are called 'a_0'; .*TRAIN_1/anno"):
        benchmarks.load("TRACKINGNET", tmp_path)


def test_a_span_of_frames_that_is_none(tmp_path):
    tc128(tmp_path)
    text(tmp_path / "tc128" / "Hurdle_ce2" / "Hurdle_ce2_frames.txt", "9\n")
    with pytest.raises(UserError, match=r"Hurdle_ce2_frames\.txt: expected the first and the last frame's number"):
        benchmarks.load("tc128", tmp_path)
    text(tmp_path / "tc128" / "Hurdle_ce2" / "Hurdle_ce2_frames.txt", "900,902\n")
    with pytest.raises(UserError, match=r"no frames, numbered 900 to 902; looked for images as Hurdle_ce2/img/\*"):
        benchmarks.load("tc128", tmp_path)[0].frames()


HIDDEN_FIRST = "Frame,Visibility,X,Y\n0,0,0,0\n1,0,0,0\n2,1,20,30\n3,0,0,0\n4,1,24,30\n"


def test_a_rally_keeps_the_frames_before_the_shuttle_is_first_seen(tmp_path):
    for match in ("match1", "match2"):
        text(tmp_path / "shuttlecock" / match / "csv" / "1_ball.csv", HIDDEN_FIRST)
    images(tmp_path / "shuttlecock" / "match1" / "frame" / "1", "{}.png", first=0, count=5)
    (tmp_path / "shuttlecock" / "match2" / "video").mkdir()
    with VideoWriter(tmp_path / "shuttlecock" / "match2" / "video" / "1.mp4") as video:
        for number in range(5):
            video.write(np.full((48, 64, 3), 20 + 40 * number, np.uint8))
    for number in (0, 1):  # 20 and 60 in the frames before
        lighter = encode_jpeg(np.full((48, 64, 3), 20 + 40 * number, np.uint8))
        (tmp_path / "shuttlecock" / "match1" / "frame" / "1" / f"{number}.png").write_bytes(lighter)
    sequences = benchmarks.load("shuttlecock", tmp_path)
    assert [one.name for one in sequences] == ["match1_1", "match2_1"]
    for one in pickle.loads(pickle.dumps(sequences)):
        frames = one.frames()
        assert len(one) == len(frames) == 5 and one.visible.tolist() == [False, False, True, False, True]
        assert one.start == 2 and one.first_box.tolist() == [13.75, 23.75, 12.5, 12.5]
        assert one.points[2].tolist() == [20, 30] and np.isnan(one.points[3]).all()
        assert [round(frames[index].mean() / 10) * 10 for index in (0, 1)] == [20, 60] and frames.fps
        with pytest.raises(IndexError):
            frames[5]
    night = benchmarks.load("shuttlecock#match2_1@mild", tmp_path)[0].frames()
    assert len(night) == 5 and night[0].shape == (48, 64, 3)
    (tmp_path / "shuttlecock" / "match1" / "frame" / "1" / "4.png").unlink()
    with pytest.raises(UserError, match=r"1_ball\.csv: labels of frames 0 to 4, found 4 images"):
        benchmarks.load("shuttlecock", tmp_path)


def test_the_real_dtb70(shared_data, tmp_path):
    for file in (shared_data / "raw_results" / "DTB70" / "gt").glob("*.txt"):
        text(tmp_path / "dtb70" / file.stem / "groundtruth_rect.txt", file.read_text())
    sequences = benchmarks.load("dtb70", tmp_path)
    assert len(sequences) == 70 and sum(map(len, sequences)) == 15777, "as published"
    assert all(one.visible[0] for one in sequences)
    assert {one.name: one.category for one in sequences}["SpeedCar2"] == "SpeedCar"
