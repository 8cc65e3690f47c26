"""How fast videos are decoded to RGB, by OpenCV and by lib.data.frames.VideoFrames (PyAV), in frames a second.

python tests/perf/bench_video.py [FRAMES]

Of H.264 as a camera writes it (noise and a slow pan), the mean of three passes each, taken in turn. `counted` is what
asking for the length costs, `jumps` are single frames in any order.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import av  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402

from lib.data import video  # noqa: E402

SIZES = ((854, 480), (1920, 1080))


def record(path, width, height, count):
    """A pan over a blurred texture with the noise of a camera."""
    random = np.random.default_rng(0)
    texture = random.integers(0, 255, (height + count, width + count, 3), np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(texture, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            noise = random.integers(-4, 5, (height, width, 1))
            image = np.clip(texture[number:, number:][:height, :width] + noise, 0, 255).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(stream.encode(None))


def opencv(path):
    capture = cv2.VideoCapture(str(path))
    while True:
        read, frame = capture.read()
        if not read:
            return
        cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def pyav(path):
    for _ in video.VideoFrames(path):
        pass


def counted(path):
    video._survey.cache_clear()
    len(video.VideoFrames(path))


def jumps(path):
    frames = video.VideoFrames(path)
    for index in random.Random(0).sample(range(len(frames)), len(frames) // 10):
        frames[index]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", nargs="?", type=int, default=150)
    count = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as folder:
        for width, height in SIZES:
            path = Path(folder) / f"{height}.mp4"
            record(path, width, height, count)
            seconds = {work: [] for work in (opencv, pyav, counted, jumps)}
            for _ in range(3):
                for work, taken in seconds.items():
                    began = time.perf_counter()
                    work(path)
                    taken.append(time.perf_counter() - began)
            rates = {work.__name__: count / np.mean(taken) for work, taken in seconds.items()}
            rates["jumps"] /= 10
            print(f"{height}p", "  ".join(f"{name} {rate:.1f}" for name, rate in rates.items()), flush=True)


if __name__ == "__main__":
    main()
