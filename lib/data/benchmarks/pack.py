"""Writing a dataset as an LMDB that is again a dataset: its frames as they are, or only the crops around the targets.

Both continue where they were interrupted: what is in the LMDB is not written again.
"""

import json
import zlib

import cv2
import numpy as np

from ...errors import UserError
from ..crop import Crop, window_side
from ..frames import ImageFrames
from ..image import decode, encode_jpeg, image_size
from ..storage import LmdbWriter
from .annotated import PHOTO, StillSequences

FRAME_QUALITY, CROP_QUALITY = 95, 92  # of JPEG, where frames come from a video, and of crops
JITTER = 1 / 16  # the crop's centre moves by up to this share of its side, so that targets are not always in the middle
COUNT = "crops.txt"  # of a sequence of mined crops: their number
TEXTURE = 5.0  # grey levels per px: patches of photographs whose weaker gradient is below are no targets


def pack_frames(sequences, path, progress):
    """Write a dataset's frames (an image file's bytes as they are; a video's as JPEG) and ground truth to an LMDB.

    sequences: as benchmarks.load gives them. progress(done, total) is called after every frame or still image.
    Returns the number of frames, or still images, in the LMDB. Raises UserError and MachineError.
    """
    made_from = {"frames of": sequences[0].dataset, "sequences": len(sequences)}
    with LmdbWriter(path, made_from) as writer:
        pack = _pack_stills if isinstance(sequences, StillSequences) else _pack_videos
        count = pack(sequences, writer, progress)
        if not writer.finished:
            writer.finish()
    return count


def pack_crops(sequences, path, progress, every=1, size=320, context=10.0):
    """Write a dataset of crops around the visible targets of another one to an LMDB.

    every: of a sequence's visible frames only every so many-th. The crop's side is `context` times sqrt(w h) of the
    target but at least `size` px (then it shows the image's own pixels), and it is stored as size x size px.
    Photographs' patches without texture are left out. Returns the number of crops that there are now.
    Raises UserError, also where there is nothing to crop, and MachineError.
    """
    made_from = {
        "crops of": sequences[0].dataset, "sequences": len(sequences), "every": every, "size": size, "context": context
    }  # fmt: skip
    with LmdbWriter(path, made_from) as writer:
        if isinstance(sequences, StillSequences):
            count = _crop_stills(sequences, writer, progress, size, context)
        else:
            count = _crop_videos(sequences, writer, progress, every, size, context)
        if not count:
            raise UserError("no visible target to crop", sequences[0].place)
        if not writer.finished:
            writer.finish()
    return count


def pack_candidates(sequences, path, progress, mine, made_from):
    """Write the search crops of a tracker in which several objects look like the target to an LMDB.

    A crop with two or more candidates is kept, and one with a single candidate after such a crop.

    sequences: as benchmarks.load gives them. progress(done, total) is called after every frame.
    mine: called with the frames of a sequence, the number of the first one that shows the target, and its box (4,)
        xywh there. For every later frame it yields the crop's window (Crop), its pixels (S, S, 3) uint8, and its
        candidates (K, 5): row, column, score, and width and height of the frame.
    made_from: dict of plain types that says what `mine` does.
    Returns the number of crops that there are now. Raises UserError, also where there is nothing to keep, and
    MachineError.
    """
    made_from = {"candidates of": sequences[0].dataset, "sequences": len(sequences), **made_from}
    with LmdbWriter(path, made_from) as writer:
        done, total = 0, sum(map(len, sequences))
        for sequence in sequences:
            # The number of crops comes last: it marks the sequence as finished, also one that has none.
            if sequence.visible[:-1].any() and f"{sequence.name}/{COUNT}" not in writer:
                count = _mined(sequence, writer, mine, lambda index, done=done: progress(done + index, total))
                writer.put(f"{sequence.name}/{COUNT}", str(count).encode())
            done += len(sequence)
            progress(done, total)
        count = sum(int(writer.get(f"{one.name}/{COUNT}") or 0) for one in sequences)
        if not count:
            raise UserError("no frame in which several objects look like the target", sequences[0].place)
        if not writer.finished:
            writer.finish()
    return count


def _mined(sequence, writer, mine, progress):
    """Write the crops of a sequence, and return their number."""
    first, windows, boxes, visible, rows, before = int(sequence.visible.argmax()), [], [], [], [], 0
    mined = mine(sequence.frames(), first, sequence.boxes_xywh[first])
    for index, (crop, patch, candidates) in enumerate(mined, start=first + 1):
        if len(candidates) > 1 or (before > 1 and len(candidates)):
            rows += [(len(windows), *candidate) for candidate in candidates]
            windows.append((index, crop.cx, crop.cy, crop.side))
            boxes.append(crop.to_patch(sequence.boxes_xywh[index]))
            visible.append(sequence.visible[index])
            writer.put(f"{sequence.name}/img/{index + 1:08d}.jpg", encode_jpeg(patch, CROP_QUALITY))
        before = len(candidates)
        progress(index + 1)
    if windows:
        writer.put(f"{sequence.name}/windows.txt", _rows(windows))
        writer.put(f"{sequence.name}/candidates.txt", _rows(rows))
        _put_truth(writer, sequence.name, boxes, np.array(visible), sequence.attributes)
    return len(windows)


def _pack_videos(sequences, writer, progress):
    done, total = 0, sum(map(len, sequences))
    for sequence in sequences:
        if f"{sequence.name}/groundtruth.txt" not in writer:
            frames = sequence.frames()
            for index in range(len(frames)):
                data, suffix = _file(frames, index)
                writer.put(f"{sequence.name}/img/{index + 1:08d}{suffix}", data)
                progress(done + index + 1, total)
            _put_truth(writer, sequence.name, sequence.boxes_xywh, sequence.visible, sequence.attributes)
        done += len(sequence)
        progress(done, total)
    return total


def _pack_stills(stills, writer, progress):
    boxes = {}
    for number, file in enumerate(stills.files):
        name = stills.short_name(number)
        # A photograph keeps its name and so its boxes, which are drawn from it.
        key = f"img/{name}" if number < stills.labelled else file
        if key not in writer:
            writer.put(key, stills.storage.read(file))
        if number < stills.labelled:
            boxes[name] = stills.boxes_of(number).tolist()
        progress(number + 1, len(stills.files))
    if boxes and not writer.finished:
        writer.put("boxes.json", json.dumps(boxes).encode())
    return len(stills.files)


def _crop_videos(sequences, writer, progress, every, size, context):
    count = done = 0
    total = sum(map(len, sequences))
    for sequence in sequences:
        chosen = np.flatnonzero(sequence.visible)[::every]
        if len(chosen) and f"{sequence.name}/groundtruth.txt" not in writer:
            frames, boxes, windows = sequence.frames(), [], []
            for index in chosen:
                image = frames[int(index)]
                crop = _window(sequence, index, image.shape[1::-1], size, context)
                writer.put(f"{sequence.name}/img/{index + 1:08d}.jpg", encode_jpeg(crop.extract(image), CROP_QUALITY))
                boxes.append(crop.to_patch(sequence.boxes_xywh[index]))
                windows.append((index, crop.cx, crop.cy, crop.side))
                progress(done + int(index) + 1, total)
            writer.put(f"{sequence.name}/windows.txt", _rows(windows))
            _put_truth(writer, sequence.name, boxes, np.ones(len(boxes), bool), sequence.attributes)
        count += len(chosen)
        done += len(sequence)
        progress(done, total)
    return count


def _crop_stills(stills, writer, progress, size, context):
    boxes, last, image = {}, None, None
    for number, sequence in enumerate(stills):
        key = f"img/{sequence.name}.jpg"
        frames = sequence.frames()
        data, name = frames.read(0), frames.names[0]
        crop = _window(sequence, 0, image_size(data, sequence.place), size, context)
        kept = key in writer
        if not kept:
            if name != last:  # the boxes of one image follow each other
                image, last = decode(data, sequence.place), name
            kept = PHOTO not in sequence.attributes or _texture(image, sequence.first_box) >= TEXTURE
            if kept:
                writer.put(key, encode_jpeg(crop.extract(image), CROP_QUALITY))
        if kept:
            boxes[f"{sequence.name}.jpg"] = [crop.to_patch(sequence.first_box).tolist()]
        progress(number + 1, len(stills))
    if boxes and not writer.finished:
        writer.put("boxes.json", json.dumps(boxes).encode())
    return len(boxes)


def _window(sequence, index, image_size, size, context):
    """The Crop around the target of a frame, moved a little, by chance but always the same."""
    x, y, w, h = sequence.boxes_xywh[index]
    side = max(size, window_side(w, h, context, size, image_size))
    random = np.random.default_rng(zlib.crc32(f"{sequence.dataset}/{sequence.name}/{index}".encode()))
    centre = np.array([x + w / 2, y + h / 2]) + random.uniform(-JITTER, JITTER, 2) * side
    if side == size:  # whole pixels: nothing is interpolated
        centre = np.round(centre - size / 2) + size / 2
    return Crop(*map(float, centre), float(side), size)


def _texture(image, box_xywh):
    """How much the grey level changes inside a box along the direction in which it changes least, levels per px."""
    x, y, w, h = np.round(box_xywh).astype(int)
    grey = cv2.cvtColor(image[max(y, 0) : y + max(h, 2), max(x, 0) : x + max(w, 2)], cv2.COLOR_RGB2GRAY)
    gradient = np.stack([cv2.Sobel(grey, cv2.CV_64F, *order, scale=1 / 8).ravel() for order in ((1, 0), (0, 1))])
    return np.sqrt(max(np.linalg.eigvalsh(gradient @ gradient.T / gradient.shape[1])[0], 0.0))


def _file(frames, index):
    """A frame as a file's bytes and the file's extension."""
    if isinstance(frames, ImageFrames):
        return frames.read(index), "." + frames.names[index].rpartition(".")[2].lower()
    return encode_jpeg(frames[index], FRAME_QUALITY), ".jpg"


def _put_truth(writer, name, boxes_xywh, visible, attributes):
    """Ground truth as FOLDER_LAYOUTS reads it. The boxes come last: they mark the sequence as finished."""
    if not visible.all():
        writer.put(f"{name}/absent.txt", "".join(f"{int(not flag)}\n" for flag in visible).encode())
    if attributes:
        writer.put(f"{name}/attributes.txt", ",".join(attributes).encode())
    writer.put(f"{name}/groundtruth.txt", _rows(boxes_xywh))


def _rows(numbers):
    """Rows of numbers as the text of a file."""
    return "".join(",".join(map(repr, map(float, row))) + "\n" for row in numbers).encode()
