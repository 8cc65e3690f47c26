"""A sheet of night photographs to look at: the input, the result of each enhancer, and steps of the last one.

    python docs/recipes/enhanced_sheet.py /my/night sheet.jpg --enhancers /my/sci.pt,pretrained/enhancer.safetensors

A row is a photograph. They are spread over the folder, in the order of their names. An enhancer works on a whole
photograph, as tracking/enhance.py has it; only the sheet is smaller.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from lib.cli import command
from lib.data import image as images
from lib.data.frames import ImageFrames, open_frames
from lib.errors import UserError
from lib.models.enhancer import load_enhancer
from lib.test.tracker.enhanced import FrameEnhancer


def row(picture, enhancers, width):
    """The input, the result of each enhancer, and each step of the last one but its result: (H, columns width, 3)."""
    gates = [enhancer.gate(images.brightness(picture)) for enhancer in enhancers]
    shown = [picture, *(one.enhance(picture, gate)[0] for one, gate in zip(enhancers, gates, strict=True))]
    shown += enhancers[-1].steps(picture, gates[-1])[0][:-1] if gates[-1] else []
    height = round(width * picture.shape[0] / picture.shape[1])
    return [cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA) for each in shown]


def joined(rows):
    """Rows of pictures as one picture; a row that lacks a column ends in black."""
    columns = max(map(len, rows))
    black = [[np.zeros_like(each[0])] * (columns - len(each)) for each in rows]
    return np.vstack([np.hstack([*each, *more]) for each, more in zip(rows, black, strict=True)])


@command
def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="of night photographs")
    parser.add_argument("output", help=".jpg or .png")
    parser.add_argument("--enhancers", required=True, help="comma list of names and files")
    parser.add_argument("--pictures", type=int, default=10, help="number of photographs")
    parser.add_argument("--width", type=int, default=320, help="of each, px")
    arguments = parser.parse_args(argv)
    if min(arguments.pictures, arguments.width) < 1:
        raise UserError("--pictures, --width: expected at least 1")
    if Path(arguments.output).suffix not in (".jpg", ".png"):
        raise UserError("expected a name that ends in .jpg or .png", arguments.output)
    frames = open_frames(arguments.folder)
    if not isinstance(frames, ImageFrames):
        raise UserError("expected a folder of photographs", arguments.folder)
    enhancers = [FrameEnhancer(load_enhancer(name)) for name in filter(None, arguments.enhancers.split(","))]
    if not enhancers:
        raise UserError("--enhancers: expected at least one name or file")
    numbers = np.unique(np.linspace(0, len(frames) - 1, arguments.pictures).round().astype(int)).tolist()
    pictures = [frames.decode(number, frames.read(number)) for number in numbers]
    sheet = joined([row(picture, enhancers, arguments.width) for picture in pictures])
    if not cv2.imwrite(arguments.output, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise UserError("cannot be written", arguments.output)
    names = ", ".join(Path(frames.names[number]).name for number in numbers)
    print(f"{len(numbers)} photographs of {len(frames)}: {names}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
