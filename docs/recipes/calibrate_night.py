"""Compare real night pictures with simulated nights of day pictures: a table of numbers, and a sheet to look at.

    python docs/recipes/calibrate_night.py --day /my/photographs --real /my/night_stills /my/night_video.mp4
    python docs/recipes/calibrate_night.py --day lunar_day --pictures 6 --picture night.jpg

A source is a folder of images, a video file, or for --day also the name of a dataset. Columns of the table:

    V             largest of R, G, B in percent: mean, darkest and brightest hundredth of the pixels
    noise         standard deviation of luma in flat places, grey levels: of all blocks of 16 x 16 px, without their
                  slope, the flattest fifth
    lag 1, 2, 4   correlation of that noise between pixels so far apart in a row or column
    colour        standard deviation of Cb and Cr there, grey levels
    grid          differences across the most visible 8 px grid / those between other pixels; 1 = no blocks
    frames        correlation in flat places of two successive frames, of pictures of the same scene only
    temporal      the same without what frames a second apart share as well: what noise alone has in common
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from lib.cli import command
from lib.data import benchmarks
from lib.data.camera_night import record_crop, sample_camera_night
from lib.data.frames import open_frames
from lib.data.video_night import BLOCK, NIGHTS, night_frames
from lib.errors import UserError

SIDE = 16  # px of a block in which noise is measured
FAR = 30  # frames: so far apart a camera's filter has forgotten
SAME = 4.0  # grey levels: pictures whose blocks differ more (median) do not show the same scene
CROPS = "crops"  # the random nights of DATA.AUGMENT.NIGHT_VIDEO
TITLES = ("V", "dark", "bright", "noise", "lag 1", "lag 2", "lag 4", "colour", "grid", "frames", "temporal")


class Still:
    """A frame source that shows one picture again and again."""

    fps = 30.0

    def __init__(self, picture):
        self.picture = picture

    def __len__(self):
        return 2 * BLOCK

    def __getitem__(self, index):
        return self.picture


def triples(source, count):
    """Up to `count` triples (picture, the next one or None, one FAR frames later or None) of a source, spread over it.

    The pictures of a folder are taken for successive ones of a slow camera: the next one is given only as the third.
    """
    path = Path(source)
    if not path.exists():
        sequences = benchmarks.load(source)
        chosen = np.unique(np.linspace(0, len(sequences) - 1, count).astype(int))
        return [(sequences[i].frames()[0], None, None) for i in chosen]
    if path.is_dir():
        files = []
        for folder in (path, path / "img"):
            files = files or sorted(folder.glob("*.[jJpP][pPnN]*"))
        if not files:
            raise UserError("no .jpg or .png files here", path)
        chosen = np.unique(np.linspace(0, max(len(files) - 2, 0), count).astype(int))
        pairs = [(open_frames(files[i])[0], open_frames(files[min(i + 1, len(files) - 1)])[0]) for i in chosen]
        return [(first, None, after) for first, after in pairs]
    frames = open_frames(path)
    chosen = np.unique(np.linspace(0, max(len(frames) - FAR - 1, 0), count).astype(int))
    return [(frames[i], frames[i + 1], frames[i + FAR]) for i in chosen if i + FAR < len(frames)]


def night_triples(pictures, night):
    """The triples of a camera that looks at each day picture for two blocks of frames, by night; CROPS: single ones."""
    for number, picture in enumerate(pictures):
        if night == CROPS:
            rng = np.random.default_rng(number)
            yield record_crop(picture, sample_camera_night(rng), rng), None, None
            continue
        shown = night_frames(Still(picture), night, str(number))
        yield tuple(shown[i] for i in (BLOCK // 2, BLOCK // 2 + 1, BLOCK // 2 + FAR))


def halved(picture):
    return None if picture is None else cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def blocks(plane):
    """(N, SIDE * SIDE) float: the blocks of a plane."""
    rows, columns = (side // SIDE for side in plane.shape)
    cut = plane[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE)
    return cut.transpose(0, 2, 1, 3).reshape(-1, SIDE * SIDE).astype(np.float64)


def level(values):
    """Blocks (N, SIDE * SIDE) without their mean and slope."""
    y, x = np.mgrid[:SIDE, :SIDE].reshape(2, -1) - (SIDE - 1) / 2
    basis = np.stack([np.ones(SIDE * SIDE), y, x])
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    return values - values @ basis.T @ basis


def grid(plane):
    """Mean difference across the most visible 8 px grid / the median one, mean of both directions."""
    found = []
    for each in (plane, plane.T):
        steps = np.abs(np.diff(each.astype(np.float64), axis=1)).mean(axis=0)
        phases = [steps[k::8].mean() for k in range(8)]
        found.append(max(phases) / max(np.median(phases), 1e-6))
    return np.mean(found)


def planes(picture):
    return cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb))


def same_scene(first, second):
    """Whether two pictures of one size look alike but for noise and what moves: by the means of their blocks."""
    if first.shape != second.shape:
        return False
    a, b = (blocks(planes(each)[0]).mean(axis=1) for each in (first, second))
    return np.median(np.abs(a - b)) < SAME and np.corrcoef(a, b)[0, 1] > 0.7


def measure(triple):
    """The numbers of one triple under TITLES, NaN where they cannot be measured."""
    value = triple[0].max(axis=2) / 2.55
    luma, *colours = planes(triple[0])
    whole = blocks(luma)
    noise = level(whole)
    deviation = noise.std(axis=1)
    usable = (whole.mean(axis=1) > 6) & (whole.mean(axis=1) < 200) & (deviation > 0)
    if usable.sum() < 20:
        return [value.mean(), *np.percentile(value, (1, 99)), *[np.nan] * (len(TITLES) - 3)]
    flat = usable & (deviation <= np.quantile(deviation[usable], 0.2))
    kept = noise[flat].reshape(-1, SIDE, SIDE)
    variance = (kept**2).mean()
    lags = [
        ((kept[:, :, lag:] * kept[:, :, :-lag]).mean() + (kept[:, lag:] * kept[:, :-lag]).mean()) / 2 / variance
        for lag in (1, 2, 4)
    ]
    colour = np.mean([level(blocks(plane))[flat].std(axis=1) for plane in colours])
    shared = []
    for other in triple[1:]:
        if other is None or not same_scene(triple[0], other):
            shared.append(np.nan)
            continue
        after = level(blocks(planes(other)[0]))[flat]
        shared.append((noise[flat] * after).sum() / np.sqrt((noise[flat] ** 2).sum() * max((after**2).sum(), 1e-9)))
    near, far = shared
    frames = far if triple[1] is None else near
    temporal = (near - far) / (1 - far) if triple[1] is not None and far < 0.98 else np.nan
    numbers = [value.mean(), *np.percentile(value, (1, 99)), np.median(deviation[flat]), *lags]
    return [*numbers, colour, grid(luma), frames, temporal]


def line(name, found):
    # What only one or two pictures tell is not shown.
    least = min(3, len(found))
    middle = [np.nanmedian(each) if np.isfinite(each).sum() >= least else np.nan for each in np.array(found).T]
    cells = ["" if np.isnan(each) else f"{each:.1f}" if k < 3 else f"{each:.2f}" for k, each in enumerate(middle)]
    return f"| {name} | {len(found)} | " + " | ".join(cells) + " |"


def brightened(picture):
    factor = 0.35 / max(picture.max(axis=2).mean() / 255, 0.01)
    return cv2.convertScaleAbs(picture, alpha=max(factor, 1))


def sheet(rows, width=240, height=160):
    """One row of pictures a source, each twice: as it is, and brightened to a mean V of 0.35. Returns RGB."""
    lines, columns = [], min(6, max(len(pictures) for _, pictures in rows))
    for name, pictures in rows:
        for change, note in ((lambda each: each, ""), (brightened, ", brightened")):
            cells = [_fit(change(each), width, height) for each in pictures[:columns]]
            cells += [np.zeros((height, width, 3), np.uint8)] * (columns - len(cells))
            row = np.hstack(cells)
            for colour, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(row, f"{name}{note}", (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thick, cv2.LINE_AA)
            lines.append(row)
    return np.vstack(lines)


def _fit(picture, width, height):
    """The middle of a picture, a window of the cell's shape, scaled to the cell."""
    rows, columns = picture.shape[:2]
    scale = min(rows / height, columns / width)
    down, across = int(height * scale), int(width * scale)
    top, left = (rows - down) // 2, (columns - across) // 2
    part = picture[top : top + down, left : left + across]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)


@command
def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", nargs="*", default=[], help="folders of night images, and night videos")
    parser.add_argument("--day", required=True, help="a folder of day images, a video, or a dataset, to make nights of")
    parser.add_argument(
        "--nights", default=",".join((*NIGHTS[1:], CROPS)), help=f"comma list of {', '.join(NIGHTS)}, {CROPS}"
    )
    parser.add_argument("--pictures", type=int, default=24, help="number of pictures of each source")
    parser.add_argument("--half", action="store_true", help="measure the simulated nights at half their size as well")
    parser.add_argument("--picture", help="write the sheet here, .jpg or .png")
    arguments = parser.parse_args(argv)
    if arguments.pictures < 1:
        raise UserError("--pictures: expected at least 1")
    if arguments.picture and Path(arguments.picture).suffix not in (".jpg", ".png"):
        raise UserError("--picture: expected a name that ends in .jpg or .png", arguments.picture)
    names = {CROPS: "training crops", **{night: f"`@{night}`" for night in NIGHTS}}
    chosen = list(filter(None, arguments.nights.split(",")))
    for night in chosen:
        if night not in names:
            raise UserError(f"--nights {night}: expected some of {', '.join((*NIGHTS, CROPS))}")
    rows = []
    print("| source | pictures | " + " | ".join(TITLES) + " |\n|" + " --- |" * (len(TITLES) + 2))
    for source in arguments.real:
        found = triples(source, arguments.pictures)
        print(line(Path(source).stem, [measure(each) for each in found]), flush=True)
        rows.append((Path(source).stem, [each[0] for each in found]))
    day = [picture for picture, *_ in triples(arguments.day, arguments.pictures)]
    for night in chosen:
        found = list(night_triples(day, night))
        print(line(names[night], [measure(each) for each in found]), flush=True)
        if arguments.half:
            smaller = [tuple(map(halved, each)) for each in found]
            print(line(f"{names[night]}, half size", [measure(each) for each in smaller]), flush=True)
        rows.append((names[night].strip("`"), [each[0] for each in found]))
    if arguments.picture:
        quality = [cv2.IMWRITE_JPEG_QUALITY, 80] if arguments.picture.endswith(".jpg") else []
        if not cv2.imwrite(arguments.picture, cv2.cvtColor(sheet(rows), cv2.COLOR_RGB2BGR), quality):
            raise UserError("cannot be written", arguments.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
