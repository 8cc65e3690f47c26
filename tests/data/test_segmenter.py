"""Outlines found by a network in an ONNX file; here the network is a graph that answers the pixels' brightness."""

import cv2
import numpy as np
import pytest

from lib.data.render import collage, segmenter
from lib.data.render.segmenter import SIDE, Segmenter
from lib.errors import MachineError, UserError

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
BOX = np.array([100.0, 60.0, 120.0, 90.0])


@pytest.fixture
def brightness(tmp_path, save_network):
    return save_network(tmp_path / "brightness.onnx")


def triangle(box=BOX):
    """An image with a bright triangle whose extent is the box, on dark noise."""
    image = np.random.default_rng(0).integers(0, 60, (240, 320, 3)).astype(np.uint8)
    x, y, w, h = box.astype(int)
    corners = np.array([(x, y + h - 1), (x + w // 2, y), (x + w - 1, y + h - 1)])
    cv2.fillConvexPoly(image, corners, (250, 240, 245))
    return image


def test_a_cutout_has_the_outline_that_the_network_finds(brightness):
    for texels in (collage.TEXELS, collage.FINE_TEXELS):
        cutout = collage.cut_out(np.random.default_rng(0), triangle(), BOX, texels, Segmenter(brightness))
        np.testing.assert_allclose(np.ptp(cutout.outline, axis=0), BOX[2:] * texels / (1.5 * 120), atol=2.5)
        cover = cutout.levels[0][..., 3]
        share = cover.sum() / np.ptp(cutout.outline, axis=0).prod()
        assert cover.shape == (texels, texels) and 0.44 < share < 0.56  # a triangle is half of its box
        assert ((cover > 0.1) & (cover < 0.9)).any()  # its edge is soft


def test_what_does_not_fit_the_box_is_not_believed(brightness):
    network = Segmenter(brightness)
    assert network.cover(triangle(), BOX) is not None
    narrow, large = BOX - (0, 0, 60, 0), BOX + (-60, -50, 120, 100)
    assert network.cover(triangle(), narrow) is None  # the object reaches far out of the box
    assert network.cover(triangle(), large) is None  # or far from reaching its sides
    assert network.cover(np.full((240, 320, 3), 90, np.uint8), BOX) is None


def test_an_answer_is_kept_and_not_computed_again(brightness, tmp_path, monkeypatch):
    first = Segmenter(brightness, tmp_path / "masks").cover(triangle(), BOX)
    assert len(list((tmp_path / "masks").iterdir())) == 1
    again = Segmenter(brightness, tmp_path / "masks")
    monkeypatch.setattr(again, "_run", lambda batch: pytest.fail("computed again"))
    np.testing.assert_array_equal(again.cover(triangle(), BOX), first)
    np.testing.assert_array_equal(Segmenter(brightness).cover(triangle(), BOX), first)
    (kept,) = (tmp_path / "masks").iterdir()
    kept.write_bytes(kept.read_bytes()[:50])  # a damaged one is
    np.testing.assert_array_equal(Segmenter(brightness, tmp_path / "masks").cover(triangle(), BOX), first)


def test_a_network_that_answers_the_same_everywhere_finds_nothing(tmp_path, save_network):
    network = Segmenter(save_network(tmp_path / "flat.onnx", scale=0.0))
    assert not network.saliency(triangle(BOX)[:SIDE, :SIDE].repeat(2, axis=0)[:SIDE]).any()


def test_a_file_that_is_no_such_network_is_a_user_error(tmp_path, save_network):
    (tmp_path / "text.onnx").write_text("not a network")
    wrong_input = save_network(tmp_path / "input.onnx", shape=(1, 1, 64, 64))
    wrong_output = save_network(tmp_path / "output.onnx", axis=2)
    for path, words in (
        (tmp_path / "none.onnx", "no segmenter"),
        (tmp_path, "no segmenter"),
        (tmp_path / "text.onnx", "not a network that segments"),
        (wrong_input, "not a network that segments"),
        (wrong_output, "expected a first output of"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            Segmenter(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_without_onnxruntime_the_error_says_what_to_install(brightness, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MachineError, match="pip install onnxruntime"):
        Segmenter(brightness)


def test_the_object_is_cut_at_a_little_more_than_the_box():
    saliency = np.zeros((SIDE, SIDE), np.uint8)
    saliency[85:235, 85:235] = 255
    saliency[150:156, 235:300] = 255  # a thin thing that reaches out of the box
    cover = segmenter.fitting(saliency, np.array([80.0, 80.0, 160.0, 160.0]))
    columns = np.flatnonzero(cover.any(axis=0))
    assert columns[0] == 85 and columns[-1] <= 240 + segmenter.OUTSIDE * 160 + 3
