"""Packing of training data for gpu_job.py: photographs as small WebP files, clips as small H.264 videos.

What is left out is what the crop cache of the job would drop anyway: the crops have SIZE px, and a target that fills
more than 1/CONTEXT of a crop is shrunk. Each folder of the pack is a dataset that lib/data/benchmarks reads as it is.
"""

import json
import math
import shutil
from pathlib import Path

import cv2
import numpy as np

from lib.cli import ProgressLine
from lib.data import benchmarks
from lib.data.benchmarks.annotated import StillSequences
from lib.data.image import decode
from lib.errors import MachineError, UserError
from lib.files import write_text

SIZE, CONTEXT = 288, 7.2  # of the job's crops, as of make_crops.py: a target of up to 40 px keeps its own pixels
MARGIN = 1 / 16  # make_crops.py moves a crop by up to this share of its side
CLIPS, PHOTOGRAPHS = 100, 250  # in a folder of the pack, at most: each folder has a process of its own in the job
PRESET = "faster"  # of x264
LEAST = 6  # px: smaller boxes of a shrunken photograph are left out
CRF_STEP, CRF_LAST = 4, 44  # the largest clips are encoded again, coarser by this, until the pack is small enough


def pack(out, shares, limit, photo_side, quality, frames, crf, extras):
    """Write the pack.

    Args:
        out: a new folder.
        shares: {folder or benchmark: share of the samples}. A rendered benchmark needs no files.
        limit: bytes of the whole pack.
        photo_side: the longest side of a photograph, px. quality: of WebP, 0..100.
        frames: of a longer clip so many are kept, evenly spaced. crf: of H.264.
        extras: {name in the pack: file}.

    Raises:
        UserError: out is there already, two datasets have one name, or the pack would be larger than the limit.
        MachineError: no PyAV.
    """
    out = Path(out)
    if out.exists():
        raise UserError("is there already: choose another folder", out)
    for file in extras.values():
        if not Path(file).is_file():
            raise UserError("no such file", file)
    try:
        import av  # noqa: F401 -- a missing package is reported before the work begins
    except ImportError as error:
        raise MachineError("packing clips needs PyAV: pip install av") from error
    loaded = {data: benchmarks.load(data) for data in shares}
    names = [sequences[0].dataset for sequences in loaded.values()]
    if len(set(names)) < len(names):
        raise UserError(f"two datasets have one name: {', '.join(sorted(names))}")
    datasets, clips = {}, []
    for (data, share), sequences in zip(shares.items(), loaded.values(), strict=True):
        name = sequences[0].dataset
        if benchmarks.canonical(data) in benchmarks.RENDERED:
            datasets[name] = share
            continue
        still = isinstance(sequences, StillSequences)
        things, most = (sequences.files, PHOTOGRAPHS) if still else (sequences, CLIPS)
        count = math.ceil(len(things) / most)
        for number in range(count):
            folder = name if count == 1 else f"{name}-{number + 1}"
            chosen = range(number, len(things), count)
            if still:
                told = _pack_stills(sequences, chosen, out / folder, photo_side, quality)
            else:
                packed = _pack_clips([sequences[one] for one in chosen], out / folder, frames, crf)
                clips += packed
                told = f"{len(packed)} clips, {sum(clip.count for clip in packed)} frames"
            datasets[folder] = share * len(chosen) / len(things)
            print(f"{folder}: {told}, {_size(out / folder) / 2**20:.1f} MiB", flush=True)
    for name, file in extras.items():
        shutil.copyfile(file, out / name)
        print(f"{name}: {_size(out / name) / 2**20:.1f} MiB", flush=True)
    write_text(out / "pack.json", json.dumps({"datasets": datasets, "size": SIZE, "context": CONTEXT}, indent=1))
    _shrink(out, clips, limit)
    print(f"{out}: {_size(out) / 2**20:.1f} MiB of {limit / 2**20:.0f}, {sum(1 for _ in out.rglob('*'))} files")


def _size(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) or path.stat().st_size


def _pack_stills(stills, chosen, folder, photo_side, quality):
    """Write the files of these numbers as boxes.json, img/*.webp and photos/*.webp. Returns what that was, as text."""
    table, photographs, line = {}, 0, ProgressLine("photographs")
    for done, number in enumerate(chosen, 1):
        file, labelled = stills.files[number], number < stills.labelled
        image = decode(stills.storage.read(file), stills.storage.place(file))
        scale = min(1.0, photo_side / max(image.shape[:2]))
        width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
        boxes = stills.boxes_of(number) * (2 * (width / image.shape[1], height / image.shape[0]))
        boxes = boxes[(boxes[:, 2:] >= LEAST).all(axis=1)]
        line.show(done, len(chosen), folder.name)
        if labelled and not len(boxes):
            continue
        name = f"{number:05d}.webp"
        place = folder / ("img" if labelled else "photos") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        place.write_bytes(cv2.imencode(".webp", small[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes())
        photographs += 1
        if labelled:
            table[name] = np.round(boxes, 2).tolist()
    line.clear()
    if table:
        write_text(folder / "boxes.json", json.dumps(table))
    return f"{photographs} photographs, {sum(map(len, table.values()))} boxes"


def _pack_clips(sequences, folder, frames, crf):
    folder.mkdir(parents=True)
    clips, line = [], ProgressLine("clips")
    for sequence in sequences:
        if sequence.visible.any():
            clips.append(_Clip(sequence, folder, frames, crf))
        line.show(len(clips), len(sequences), folder.name)
    line.clear()
    return clips


class _Clip:
    """A sequence as <folder>/<name>.mp4 and .txt: every n-th frame, cut around the target's path, and shrunk."""

    def __init__(self, sequence, folder, frames, crf):
        self.sequence, self.crf = sequence, crf
        self.file = folder / f"{sequence.name}.mp4"
        self.kept = range(0, len(sequence), math.ceil(len(sequence) / frames))
        self.count = len(self.kept)
        seen = sequence.boxes_xywh[sequence.visible]
        sides = np.sqrt(seen[:, 2] * seen[:, 3])
        # A quarter of the boxes may be smaller than the crop cache would show them.
        self.scale = min(1.0, SIZE / CONTEXT / max(float(np.quantile(sides, 0.25)), 1.0))
        reach = np.maximum(SIZE / self.scale, CONTEXT * sides) * (0.5 + MARGIN)
        centres = seen[:, :2] + seen[:, 2:] / 2
        self.low, self.high = (centres - reach[:, None]).min(axis=0), (centres + reach[:, None]).max(axis=0)
        self.write()

    def write(self):
        """Encode the clip and its boxes."""
        import av

        frames, boxes = self.sequence.frames(), self.sequence.boxes_xywh[list(self.kept)]
        height, width = frames[0].shape[:2]
        x0, y0 = np.clip(np.floor(self.low), 0, (width - 2, height - 2)).astype(int)
        x1, y1 = np.clip(np.ceil(self.high), (x0 + 2, y0 + 2), (width, height)).astype(int)
        size = np.maximum(np.round(np.array([x1 - x0, y1 - y0]) * self.scale / 2).astype(int) * 2, 16)
        with av.open(str(self.file), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = int(size[0]), int(size[1]), "yuv420p"
            stream.options = {"crf": str(self.crf), "preset": PRESET}
            stream.codec_context.thread_count = 1
            for index in self.kept:
                part = cv2.resize(frames[index][y0:y1, x0:x1], size.tolist(), interpolation=cv2.INTER_AREA)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
            container.mux(stream.encode())
        rows = (boxes - (x0, y0, 0, 0)) * np.tile(size / (x1 - x0, y1 - y0), 2)
        rows[~self.sequence.visible[list(self.kept)]] = np.nan
        write_text(self.file.with_suffix(".txt"), "".join(",".join(f"{v:.2f}" for v in row) + "\n" for row in rows))

    @property
    def bytes(self):
        return self.file.stat().st_size


def _shrink(out, clips, limit):
    """Encode the largest clips again, coarser, until the pack is below its limit. Raises UserError where it is not."""
    total, again = _size(out), 0
    while total > limit:
        clip = max((clip for clip in clips if clip.crf + CRF_STEP <= CRF_LAST), key=lambda one: one.bytes, default=None)
        if clip is None:
            raise UserError(
                f"the pack has {total / 2**20:.1f} MiB, not {limit / 2**20:.1f}: lower --frames, --photo_side or "
                "--quality",
                out,
            )
        before, clip.crf = clip.bytes, clip.crf + CRF_STEP
        clip.write()
        total, again = total + clip.bytes - before, again + 1
    if again:
        coarsest = max(clip.crf for clip in clips)
        print(f"{again} times the largest clip was encoded again, up to crf {coarsest}", flush=True)
