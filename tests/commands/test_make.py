"""make_lmdb, make_crops and make_collages: what they write is a dataset; interrupted, they go on."""

import json

import numpy as np
import pytest

from lib.data import benchmarks
from lib.data.benchmarks import pack
from lib.data.image import encode_jpeg
from lib.errors import UserError
from lib.vis.video import VideoWriter

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 255, (120, 160, 3), np.uint8) for _ in range(6)]


@pytest.fixture
def folder(tmp_path):
    """Two sequences of images, one with an absent frame and attributes."""
    for name in ("a", "b"):
        (tmp_path / "set" / name / "img").mkdir(parents=True)
        for number, picture in enumerate(PICTURES):
            (tmp_path / "set" / name / "img" / f"{number}.jpg").write_bytes(encode_jpeg(picture))
        (tmp_path / "set" / name / "groundtruth.txt").write_text("30.1,40.123456789,8,9\n" * 5 + "nan,nan,nan,nan\n")
    (tmp_path / "set" / "a" / "absent.txt").write_text("0\n1\n0\n0\n0\n0\n")
    (tmp_path / "set" / "a" / "attributes.txt").write_text("TO,FM")
    return tmp_path / "set"


@pytest.fixture
def stills(tmp_path):
    place = tmp_path / "stills"
    for sub in ("img", "photos"):
        (place / sub).mkdir(parents=True)
    for number in range(2):
        (place / "img" / f"{number}.jpg").write_bytes(encode_jpeg(PICTURES[number]))
    (place / "photos" / "rough.jpg").write_bytes(encode_jpeg(PICTURES[2]))
    (place / "photos" / "smooth.jpg").write_bytes(encode_jpeg(np.full((120, 160, 3), 90, np.uint8)))
    boxes = {"0.jpg": [[30, 40, 8, 9], [2, 2, 6, 6]], "1.jpg": [[10, 10.25, 90, 80]]}
    (place / "boxes.json").write_text(json.dumps(boxes))
    return place


def same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert (one.name, one.attributes) == (other.name, other.attributes)
        assert np.array_equal(one.boxes_xywh, other.boxes_xywh, equal_nan=True)
        assert np.array_equal(one.visible, other.visible)
        assert np.array_equal(one.frames()[len(one) - 1], other.frames()[len(one) - 1])


@pytest.mark.parametrize("kind", ["folder", "stills"])
def test_an_lmdb_holds_the_same_dataset(kind, request, command, capsys, tmp_path):
    source = request.getfixturevalue(kind)
    assert command("make_lmdb.py", source) == 0
    assert "frames" in capsys.readouterr().out
    same(benchmarks.load(source), benchmarks.load(source, use_lmdb=True))
    same(benchmarks.load(source), benchmarks.load(f"{source}.lmdb"))
    assert benchmarks.load(f"{source}.lmdb")[0].dataset == source.name
    before = (tmp_path / f"{source.name}.lmdb" / "data.mdb").read_bytes()
    assert command("make_lmdb.py", source) == 0
    assert (tmp_path / f"{source.name}.lmdb" / "data.mdb").read_bytes() == before, "finished: nothing is written"


def test_benchmarks_are_read_from_their_lmdb(tmp_path, folder, command, capsys):
    (tmp_path / "lunar").mkdir()
    folder.rename(tmp_path / "lunar" / "train")
    with pytest.raises(
        UserError, match=r"lunar_train\.lmdb: no such LMDB; make it with: python tracking/make_lmdb\.py"
    ):
        benchmarks.load("lunar_train", tmp_path, use_lmdb=True)
    assert command("make_lmdb.py", "lunar_train", "--data_root", tmp_path) == 0
    assert benchmarks.lmdb_path("lunar_train", tmp_path) == tmp_path / "lunar_train.lmdb"
    sequences = benchmarks.load("lunar_train", tmp_path, use_lmdb=True)
    assert [sequence.dataset for sequence in sequences] == ["lunar_train"] * 2
    with pytest.raises(UserError, match=r"make it with: python tracking/make_crops\.py lunar_train"):
        benchmarks.load("lunar_train", tmp_path, cache=tmp_path / "crops")


def test_videos_go_into_an_lmdb_too(tmp_path, command):
    (tmp_path / "clips").mkdir()
    with VideoWriter(tmp_path / "clips" / "v.mp4") as video:
        for number in range(4):
            video.write(np.full((48, 64, 3), 60 * number, np.uint8))
    (tmp_path / "clips" / "v.txt").write_text("1,2,3,4\n" * 4)
    assert command("make_lmdb.py", tmp_path / "clips", tmp_path / "out.lmdb") == 0
    (plain,), (packed,) = benchmarks.load(tmp_path / "clips"), benchmarks.load(tmp_path / "out.lmdb")
    for index in range(4):
        assert np.abs(plain.frames()[index].astype(int) - packed.frames()[index]).max() <= 3


def test_what_is_finished_is_not_written_again(folder, tmp_path, monkeypatch):
    sequences, out = benchmarks.load(folder), tmp_path / "out.lmdb"

    def stop(done, total):
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack.pack_frames(sequences, out, stop)
    with pytest.raises(UserError, match="unfinished"):
        benchmarks.load(out)
    read = []
    file = pack._file
    monkeypatch.setattr(pack, "_file", lambda frames, index: read.append(frames.names[index]) or file(frames, index))
    pack.pack_frames(sequences, out, lambda done, total: None)
    assert len(read) == 6 and all(name.startswith("b/") for name in read)
    same(sequences, benchmarks.load(out))


def test_a_folder_may_be_called_as_a_benchmark_is(folder, tmp_path, command):
    own = folder.rename(tmp_path / "uav")  # short for UAV123
    assert command("make_crops.py", own, tmp_path / "crops", "--size", 32, "--context", 4) == 0
    assert [len(crop) for crop in benchmarks.load(own, cache=tmp_path / "crops")] == [1, 1]


def test_crops_show_the_target_where_the_box_says(folder, tmp_path, command, capsys):
    assert command("make_crops.py", folder, tmp_path / "crops", "--every", 2, "--size", 64, "--context", 4) == 0
    assert "set.lmdb: 5 crops" in capsys.readouterr().out, "frames 0, 3 of a; 0, 2, 4 of b"
    crops = benchmarks.load(folder, cache=tmp_path / "crops")
    assert [(crop.name, crop.dataset, len(crop)) for crop in crops] == [("a", "set", 2), ("b", "set", 3)]
    assert crops[0].attributes == ("TO", "FM") and crops[0].frames().names[1].endswith("00000004.jpg")
    source = benchmarks.load(folder)[1].frames()[4]
    crop, (x, y, w, h) = crops[1].frames()[2], crops[1].boxes_xywh[2]
    assert crop.shape == (64, 64, 3) and (w, h) == pytest.approx((8, 9))
    dx, dy = x - 30.1, y - 40.123456789
    assert dx == pytest.approx(round(dx)) and dy == pytest.approx(round(dy)), "whole pixels"
    left, top = round(x), round(y)
    expected = source[top - round(dy) : top - round(dy) + 9, left - round(dx) : left - round(dx) + 8]
    assert np.abs(crop[top : top + 9, left : left + 8].astype(int) - expected).mean() < 12, "only JPEG lies between"
    assert command("make_crops.py", folder, tmp_path / "crops", "--size", 32) == 2
    assert "was made from" in capsys.readouterr().err


def test_crops_of_stills(stills, tmp_path, command, capsys):
    assert command("make_crops.py", stills, tmp_path / "crops", "--size", 32, "--context", 4) == 0
    crops = benchmarks.load(tmp_path / "crops" / "stills.lmdb")
    names = [crop.name for crop in crops]
    assert sum(name.startswith(("0_", "1_")) for name in names) == 3
    assert sum(name.startswith("photos_rough") for name in names) == 4, "the smooth photograph shows no target"
    assert len(names) == 7 and all(crop.frames()[0].shape == (32, 32, 3) for crop in crops)
    large = next(crop for crop in crops if crop.name.startswith("1_0"))
    side = min(4 * np.sqrt(90 * 80), 1.5 * 160)
    assert large.first_box[2:] == pytest.approx(np.array([90, 80]) * 32 / side), "shrunk with its surroundings"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing",), "no benchmark or folder 'nothing'"),
        (("lunar_demo", "--every", "0"), "--every 0: expected 1"),
        (("lunar_demo", "--size", "9999"), "--size 9999"),
    ],
)
def test_wrong_words_end_in_one_line(tmp_path, command, capsys, words, message):
    assert command("make_crops.py", words[0], tmp_path, *words[1:]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_nothing_visible_is_an_error(tmp_path, folder, command, capsys):
    for name in ("a", "b"):
        (folder / name / "absent.txt").write_text("1\n" * 6)
    assert command("make_crops.py", folder, tmp_path / "crops") == 2
    assert "no visible target to crop" in capsys.readouterr().err


def test_collages_are_a_dataset_to_train_from(command, tmp_path, capsys):
    out, crops = tmp_path / "collages.lmdb", tmp_path / "crops"
    assert command("make_collages.py", "lunar_day", out, "--clips", 2) == 0
    written = (out / "data.mdb").read_bytes()
    assert command("make_collages.py", "lunar_day", out, "--clips", 2) == 0
    assert (out / "data.mdb").read_bytes() == written
    sequences = benchmarks.load(out)
    assert [len(sequence) for sequence in sequences] == [32, 32]
    assert command("make_crops.py", out, crops, "--every", 1) == 0
    cropped = benchmarks.load(out, cache=crops)
    assert len(cropped) == 2 and cropped[0].windows is not None
    assert command("make_collages.py", "lunar_day", out, "--clips", 2, "--seed", 1) == 2
    assert "seed 0" in capsys.readouterr().err


def test_collages_with_a_segmenter(command, tmp_path, capsys, save_network):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    place = tmp_path / "stills"
    (place / "img").mkdir(parents=True)
    picture = RNG.integers(0, 60, (240, 320, 3)).astype(np.uint8)
    bright = np.abs(np.arange(80)[:, None] - 40) + np.abs(np.arange(100) - 50) * 0.8 < 40  # a rhombus
    picture[80:160, 100:200][bright] = 250 - picture[80:160, 100:200][bright]
    (place / "img" / "0.jpg").write_bytes(encode_jpeg(picture))
    (place / "boxes.json").write_text(json.dumps({"0.jpg": [[100, 80, 100, 80]]}))
    network, out = save_network(tmp_path / "brightness.onnx"), tmp_path / "out" / "collages.lmdb"
    options = "--clips", 2, "--lively", "--size", 416, 240
    assert command("make_collages.py", place, out, *options, "--segmenter", network) == 0
    assert len(list((tmp_path / "out" / "masks").glob("*.png"))) == 1
    assert benchmarks.load(out)[0].frames()[0].shape == (240, 416, 3)
    plain = tmp_path / "plain" / "collages.lmdb"
    assert command("make_collages.py", place, plain, *options) == 0
    first, other = (np.concatenate([one.boxes_xywh for one in benchmarks.load(path)]) for path in (out, plain))
    assert not np.array_equal(first, other, equal_nan=True)
    capsys.readouterr()
    assert command("make_collages.py", place, out, *options) == 2  # the same LMDB without the segmenter
    assert "segmenter brightness.onnx" in capsys.readouterr().err


@pytest.mark.parametrize("name, text", [("none.onnx", None), ("text.onnx", "not a network")])
def test_a_wrong_segmenter_or_size_is_one_line(command, tmp_path, capsys, name, text):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    if text:
        (tmp_path / name).write_text(text)
    out = tmp_path / "collages.lmdb"
    assert command("make_collages.py", "lunar_day", out, "--segmenter", tmp_path / name) == 2
    error = capsys.readouterr().err
    assert name in error and "segment" in error and error.count("\n") == 1 and not out.exists()
    assert command("make_collages.py", "lunar_day", out, "--size", 10, 240) == 2
    error = capsys.readouterr().err
    assert "--size 10 240" in error and error.count("\n") == 1
