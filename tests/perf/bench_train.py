"""Where a training step's time goes: data, forward, backward and update, at the tiny recipe.

python tests/perf/bench_train.py [STEPS [WORKERS [BATCH [SAMPLES_FOLDER_OR_NAME ...]]]]
"""

import logging
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib import config
from lib.data import benchmarks
from lib.train.run_training import Job, run
from lib.train.trainers.trainer import Trainer


def main(steps=20, workers=2, batch=8, *names):
    steps, workers, batch = int(steps), int(workers), int(batch)
    overrides = [
        f"DATA.TRAIN.SAMPLE_PER_EPOCH={steps * batch}",
        f"TRAIN.BATCH_SIZE={batch}",
        f"TRAIN.NUM_WORKER={workers}",
        f"TRAIN.PRINT_INTERVAL={steps}",
        "TRAIN.EPOCH=1",
    ]
    settings = config.load("lunar", "tiny_pairs", overrides)
    forward, update, whole = [], [], []

    def wait():
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return perf_counter()

    step = Trainer._update

    def timed(self, group):
        began = wait()
        marks = []
        handle = self.plain_actor.register_forward_hook(lambda *_: marks.append(wait()))
        step(self, group)
        handle.remove()
        end = wait()
        forward.append(marks[0] - began)
        update.append(end - marks[0])
        whole.append(end)

    Trainer._update = timed
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    train = {name: benchmarks.load(name) for name in names or ("lunar_demo",)}
    with TemporaryDirectory() as folder:
        run(Job("lunar", "tiny", settings, train, {}, Path(folder), resume="never"))
    skip = min(3, steps - 2)  # warm-up
    period = (whole[-1] - whole[skip]) / (len(whole) - 1 - skip)
    parts = {"forward": mean(forward[skip + 1 :]), "backward and update": mean(update[skip + 1 :])}
    parts = {"data and the rest": period - sum(parts.values()), **parts}
    print(f"lunar tiny, {settings.TRAIN.PRECISION}, batch {batch}, {workers} workers, {steps} steps")
    for name, seconds in parts.items():
        print(f"{name:20} {1e3 * seconds:8.1f} ms  {100 * seconds / period:5.1f} %")
    print(f"{'step':20} {1e3 * period:8.1f} ms  {batch / period:.1f} samples/s")


if __name__ == "__main__":
    from words import words

    main(*words(__doc__))
