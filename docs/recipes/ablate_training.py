"""What each part of the training is worth: train without it, from nothing and on as many samples, track, compare.

Each training is one of tracking/train.py below SAVE_DIR/<row>, and goes on where it stopped when this is run again; the
tables are tracking/ablate.py's. Every further seed is a row: how far those lie from the whole is what chance does.
Example: python docs/recipes/ablate_training.py --train lunar_rendered=.8 collages.lmdb=.2 --dataset /my/videos \\
    --without "no collages: collages.lmdb" --set DATA.TRAIN.SAMPLE_PER_EPOCH=16000 TRAIN.EPOCH=2
"""

import argparse
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VIT = ["MODEL.BACKBONE.TYPE=vit_tiny", "MODEL.BACKBONE.STRIDE=16"]
ROWS = {
    "whole": [],
    "random trunk": ["MODEL.PRETRAIN_FILE=''", "TRAIN.FREEZE=[]"],
    "no turning": ["DATA.AUGMENT.TURN=0"],
    "no parts as negatives": ["DATA.AUGMENT.PARTS=0"],
    "no night": ["DATA.AUGMENT.NIGHT=0"],
    "no nights of a video camera": ["DATA.AUGMENT.NIGHT_VIDEO=0"],
    "no tiny targets": ["DATA.AUGMENT.TINY=0"],
    "no distractors": ["DATA.AUGMENT.DISTRACTORS=0"],
    "two templates": ["DATA.TEMPLATE.NUMBER=2"],
    "ViT one-way": VIT,
    "ViT joint": [*VIT, "MODEL.BACKBONE.ATTENTION=joint"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True, metavar="DATA=SHARE", help="as of train.py")
    parser.add_argument("--without", nargs="+", default=[], metavar='"ROW: DATA,..."', help="a row that lacks these")
    parser.add_argument("--dataset", required=True, help="to track, as of test.py")
    parser.add_argument("--config", default="tiny_pairs", help="of lunar (default: tiny_pairs)")
    parser.add_argument("--rows", metavar="ROW,...", help="only these, and the whole")
    parser.add_argument("--seeds", type=int, default=3, help="of the whole (default: 3)")
    parser.add_argument("--set", nargs="+", default=[], metavar="A.B=V", help="for all rows")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time, of one thread each on a CPU")
    parser.add_argument("--save_dir", default="output/ablate_training", help="default: output/ablate_training")
    args, more = parser.parse_known_args()  # the rest goes to ablate.py: --attributes, --markdown FILE ...
    data = dict(part.rpartition("=")[::2] for part in args.train)
    rows = {row: (data, sets, 42) for row, sets in ROWS.items()}
    lacking = {row: names.split(",") for row, _, names in (text.partition(": ") for text in args.without)}
    rows |= {row: ({k: v for k, v in data.items() if k not in names}, [], 42) for row, names in lacking.items()}
    rows |= {f"seed {seed}": (data, [], seed) for seed in range(43, 42 + args.seeds)}
    wanted = ["whole", *args.rows.split(",")] if args.rows else rows
    if not all(data.values()) or not set(sum(lacking.values(), [])) <= set(data) or not set(wanted) <= set(rows):
        parser.error(f"expected --train DATA=SHARE, --without of that DATA, --rows of {', '.join(rows)}")
    rows = {row: rows[row] for row in wanted}
    home = Path(args.save_dir).resolve()
    folders = {row: home / row.replace(" ", "_") for row in rows}

    def train(row):
        (shares, changes, seed), folder = rows[row], folders[row]
        words = ["--config", args.config, "--save_dir", folder, "--seed", seed]
        names, ratios = ",".join(f'"{name}"' for name in shares), ",".join(shares.values())
        data = [f"DATA.TRAIN.DATASETS_NAME=[{names}]", f"DATA.TRAIN.DATASETS_RATIO=[{ratios}]"]
        words += [word for change in (*data, *args.set, *changes) for word in ("--set", change)]
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "train.log", "a") as log:
            command = [sys.executable, ROOT / "tracking/train.py", *map(str, words)]
            code = subprocess.call(command, stdout=log, stderr=log, env={"OMP_NUM_THREADS": "1", **os.environ})
        print(f"{row}: trained, exit code {code}; {folder}/train.log", flush=True)
        return code

    with ThreadPoolExecutor(args.workers) as pool:
        codes = list(pool.map(train, rows))
    if any(codes):
        return max(map(abs, codes))
    final = f"checkpoints/train/lunar/{args.config}/Lunar_final.safetensors"
    words = ["lunar", args.config, "--dataset", args.dataset, "--rows", ",".join(rows)]
    words += ["--save_dir", home, "--checkpoint", folders["whole"] / final]
    words += [word for change in args.set for word in ("--set", change)]
    for row, (_, changes, _) in rows.items():
        if row != "whole":
            words += ["--row", f"{row}: {shlex.join([f'TEST.CHECKPOINT={folders[row] / final}', *changes])}"]
    return subprocess.call([sys.executable, ROOT / "tracking/ablate.py", *map(str, words), *more])


if __name__ == "__main__":
    sys.exit(main())
