"""What a frame costs beside the network: crop, normalisation, decoding of the box. Ours against the usual recipe.

    python tests/perf/bench_frame.py

The usual recipe is that of OSTrack's family, written anew: cut whole pixels, pad, resize, resize a mask along with it,
normalise, weight the score map by a window, read the box. Prints medians in ms of one thread; asserts nothing.
"""

import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import torch

from lib import config
from lib.models.lunar.model import TrackerOutput
from lib.test.tracker import lunar
from lib.test.tracker.window import hann
from tests.networks import make_lunar

SIZE, LOOPS = 256, 300
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def usual_crop(image, box):
    x, y, w, h = box
    side = int(np.ceil(np.sqrt(w * h) * 4))
    x1, y1 = round(x + w / 2 - side / 2), round(y + h / 2 - side / 2)
    x2, y2 = x1 + side, y1 + side
    left, top, right, bottom = (
        max(0, -x1),
        max(0, -y1),
        max(x2 - image.shape[1] + 1, 0),
        max(y2 - image.shape[0] + 1, 0),
    )
    part = image[y1 + top : y2 - bottom, x1 + left : x2 - right]
    padded = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT)
    mask = np.ones(padded.shape[:2])
    mask[top : padded.shape[0] - bottom, left : padded.shape[1] - right] = 0
    return cv2.resize(padded, (SIZE, SIZE)), cv2.resize(mask, (SIZE, SIZE)).astype(bool), SIZE / side


def usual_normalise(patch):
    return (torch.tensor(patch).float().permute(2, 0, 1).unsqueeze(0) / 255.0 - MEAN) / STD


def usual_decode(output, window):
    response = output.score_map * window
    _, index = torch.max(response.flatten(1), dim=1, keepdim=True)
    row, column = index // 16, index % 16
    where = index.unsqueeze(1).expand(1, 2, 1)
    size, offset = (values.flatten(2).gather(2, where).squeeze(-1) for values in (output.size_map, output.offset_map))
    box = torch.cat([(column + offset[:, :1]) / 16, (row + offset[:, 1:]) / 16, size], dim=1)
    return (box.view(-1, 4).mean(dim=0) * SIZE).tolist()


def milliseconds(work):
    times = []
    for _ in range(LOOPS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def main():
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    settings = config.load("lunar", "vit_small", ["MODEL.HEAD.STRIDE=16"])
    network = make_lunar(embed_dim=32, depth=1, num_heads=2, head_channels=32)
    tracker = lunar.LunarTracker(settings, network=network)
    maps = [torch.rand(1, channels, 16, 16, generator=generator) for channels in (1, 2, 2)]
    output = TrackerOutput(*maps)
    tracker.use({"track": lambda tensors: output})
    print(f"OpenCV {cv2.__version__}, torch {torch.__version__}, one thread, medians of {LOOPS}, ms")
    for width, height in ((640, 480), (1920, 1080)):
        image = rng.integers(0, 255, (height, width, 3), np.uint8)
        box = np.array([width * 0.4, height * 0.4, width * 0.09, height * 0.11])
        compare(tracker, network, output, image, box)


def compare(tracker, network, output, image, box):
    """Print the stages of one frame, the usual way and ours."""
    window = torch.from_numpy(hann(16, np.array([[8.0, 8.0]])))
    state = tracker.start(image, box)
    crop = tracker._search_crop(state, image)
    patch = torch.from_numpy(crop.extract(image)).permute(2, 0, 1)[None]
    usual = [
        milliseconds(lambda: usual_crop(image, box)),
        milliseconds(lambda: usual_normalise(patch[0].permute(1, 2, 0).numpy())),
        milliseconds(lambda: usual_decode(output, window)),
    ]
    ours = [
        milliseconds(lambda: crop.extract(image)),
        milliseconds(lambda: network.normalise(patch)),
        milliseconds(lambda: tracker.track_frames([state], [image])),  # crops as well
    ]
    ours[2] -= ours[0]
    print(f"\n{image.shape[1]} x {image.shape[0]}".ljust(20), "usual    ours")
    for name, *pair in zip(("crop", "normalise", "decode, state"), usual, ours, strict=True):
        print(f"{name:16s} {pair[0]:7.3f} {pair[1]:7.3f}")
    print(f"{'together':16s} {sum(usual):7.3f} {sum(ours):7.3f}")


if __name__ == "__main__":
    from words import words

    words(__doc__)
    main()
