"""Outlines of labelled objects found by a salient-object network in an ONNX file (U2-Net, arXiv:2005.09007)."""

import hashlib
from pathlib import Path

import cv2
import numpy as np

from ...errors import MachineError, UserError
from ...files import atomic_path
from ..crop import Crop

SIDE, CONTEXT = 320, 1.5  # px, the network's input; side of its square crop / the longer side of the box
FILLED = (0.15, 0.97)  # share of the box that an object may fill
NEAR = 0.25  # of the box's side: the object must reach that near to each side of the box
OUTSIDE = 0.08  # of the box's side: what reaches farther out of the box is cut off
LEAK = 0.1  # an object of which a larger share lies farther out is a different, larger object
SHARPEN = 3.0  # the map's transition from 0 to 1 becomes that much narrower
MEAN, DEVIATION = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)  # of ImageNet


class Segmenter:
    """A salient-object network, run by onnxruntime on one thread.

    The network takes (1, 3, 320, 320) float32 and its first output is a map (1, 1, 320, 320).

    A run takes up to 1 s of one core, so the maps are kept as PNG files. A map's name is a hash of the network and of
    the pixels that it saw. There is at most one map for each labelled box.

    Args:
        path: the ONNX file.
        cache: the folder of the maps, or None to keep none.

    Raises:
        UserError: the file is missing or holds no such network.
        MachineError: onnxruntime is not installed.
    """

    def __init__(self, path, cache=None):
        try:
            import onnxruntime
        except ImportError as error:
            raise MachineError("a segmenter needs a package that is not installed: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = 1, 1, 4
        try:
            with open(path, "rb") as file:
                data = file.read()
        except (FileNotFoundError, IsADirectoryError) as error:
            raise UserError(f"no segmenter: {error.strerror}", path) from error
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            self._input, self._output = self._session.get_inputs()[0].name, self._session.get_outputs()[0].name
            shape = self._run(np.zeros((1, 3, SIDE, SIDE), np.float32)).shape
        except Exception as error:  # noqa: BLE001 -- onnxruntime has an exception of its own for every kind of fault
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise UserError(f"not a network that segments 1 x 3 x {SIDE} x {SIDE}: {reason}", path) from error
        if shape != (1, 1, SIDE, SIDE):
            raise UserError(f"expected a first output of 1 x 1 x {SIDE} x {SIDE}, got {shape}", path)
        self._cache, self._digest = cache and Path(cache), hashlib.sha256(data).digest()

    def _run(self, batch):
        return self._session.run([self._output], {self._input: batch})[0]

    def saliency(self, patch):
        """How much each pixel belongs to the most conspicuous object.

        Args:
            patch (320, 320, 3): uint8 RGB.

        Returns:
            (320, 320) uint8 from 0 to 255; all 0 if the network answers the same everywhere.
        """
        if self._cache is None:
            return self._saliency(patch)
        file = self._cache / f"{hashlib.sha256(self._digest + patch.tobytes()).hexdigest()[:32]}.png"
        known = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) if file.exists() else None
        if known is not None and known.shape == (SIDE, SIDE):
            return known
        found = self._saliency(patch)
        with atomic_path(file) as temporary:
            temporary.write_bytes(cv2.imencode(".png", found)[1].tobytes())
        return found

    def _saliency(self, patch):
        scaled = patch / np.float32(max(int(patch.max()), 1))
        batch = ((scaled - MEAN) / DEVIATION).transpose(2, 0, 1)[None]
        answer = self._run(np.ascontiguousarray(batch, np.float32))[0, 0]
        low, high = float(answer.min()), float(answer.max())
        if not np.isfinite(high - low) or high <= low:
            return np.zeros((SIDE, SIDE), np.uint8)
        return np.uint8(np.round((answer - low) / np.float32(high - low) * 255))

    def cover(self, image, box_xywh):
        """Which part of the crop around a labelled box shows the object.

        Args:
            image (H, W, 3): uint8 RGB.
            box_xywh (4,): the box, px.

        Returns:
            (320, 320) uint8 coverage from 0 to 255 of the crop that `crop_around` gives. None if the network finds no
            object that fits the box.
        """
        crop = crop_around(box_xywh, SIDE)
        return fitting(self.saliency(crop.extract(image)), crop.to_patch(box_xywh))


def crop_around(box_xywh, size):
    """The square Crop around a box (4,) px that both ways of finding an outline use, shown as size x size px."""
    x, y, w, h = box_xywh
    return Crop(x + w / 2, y + h / 2, CONTEXT * max(w, h), size)


def fitting(saliency, box_xywh):
    """The largest object of a saliency map, if it fits a box.

    Args:
        saliency (T, T): uint8 from 0 to 255.
        box_xywh (4,): the box, px of the map.

    Returns:
        (T, T) uint8 coverage from 0 to 255, or None.
    """
    sides = np.asarray(box_xywh[2:])
    low, high = np.asarray(box_xywh[:2]), np.asarray(box_xywh[:2]) + sides
    x0, y0 = np.maximum(np.floor(low - OUTSIDE * sides), 0).astype(int)
    x1, y1 = np.ceil(high + OUTSIDE * sides).astype(int)
    salient = (saliency > 127).astype(np.uint8)
    inside = np.zeros_like(salient)
    inside[y0:y1, x0:x1] = salient[y0:y1, x0:x1]
    found = _largest(inside)
    if found is None:
        return None
    area = found.sum()
    whole = _connected_with(salient, found)
    if not FILLED[0] <= area / sides.prod() <= FILLED[1] or whole.sum() - area > LEAK * whole.sum():
        return None
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    first, last = np.array([columns[0], rows[0]]), np.array([columns[-1] + 1, rows[-1] + 1])
    if (first > low + NEAR * sides).any() or (last < high - NEAR * sides).any():
        return None
    edge = cv2.dilate(found.astype(np.uint8), np.ones((5, 5), np.uint8))
    soft = np.clip((saliency / np.float32(255) - 0.5) * SHARPEN + 0.5, 0, 1) * edge
    return np.uint8(np.round(soft * 255))


def _largest(mask):
    """(T, T) bool, the largest connected part of a mask (T, T) uint8; None if the mask is empty."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if count > 1 else None


def _connected_with(mask, part):
    """(T, T) bool, everything in a mask (T, T) uint8 that is connected with a part (T, T) bool of it."""
    labels = cv2.connectedComponents(mask)[1]
    return labels == labels[part][0]
