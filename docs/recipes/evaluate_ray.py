"""Track a benchmark in N parts as tasks of Ray and score it: on this machine, or on a cluster that Ray runs on.

Flags that are not listed go to tracking/test.py. Ray starts a part again whose machine died; what is finished stays.
Example: python docs/recipes/evaluate_ray.py lunar tiny --dataset lasot --parts 16 --gpus 1 --address auto --batch 8
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for name in ("tracker_name", "tracker_param"):
        parser.add_argument(name, help="as of test.py")
    parser.add_argument("--dataset", required=True, help="name, folder, or a comma list of them")
    parser.add_argument("--runid", type=int, help="as of test.py")
    parser.add_argument("--enhancer", help="as of test.py")
    parser.add_argument("--save_dir", default="output", help="a folder that all machines see (default: output)")
    parser.add_argument("--parts", type=int, default=2, help="tasks (default: 2)")
    parser.add_argument("--address", help="of the cluster, or auto (default: a Ray of its own on this machine)")
    parser.add_argument("--gpus", type=float, default=0, help="of each task, 0.5 for two on one (default: 0)")
    parser.add_argument("--cpus", type=int, default=1, help="of each task (default: 1)")
    args, more = parser.parse_known_args()
    if args.parts < 1:
        parser.error("--parts: expected at least 1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        parser.exit(3, "lunar: error: ray is missing: pip install ray\n")
    ray.init(address=args.address, **({} if args.address else {"include_dashboard": False}))
    words = [args.tracker_name, args.tracker_param, "--dataset", args.dataset, "--save_dir", args.save_dir, *more]
    words += [f"--{name}={getattr(args, name)}" for name in ("runid", "enhancer") if getattr(args, name) is not None]
    shards = [f"{part}/{args.parts}" for part in range(1, args.parts + 1)]
    track = ray.remote(num_cpus=args.cpus, num_gpus=args.gpus, max_retries=3)(subprocess.call)
    commands = [[sys.executable, str(ROOT / "tracking/test.py"), *words, "--shard", shard] for shard in shards]
    codes = ray.get([track.remote(command, cwd=os.getcwd()) for command in commands])
    ray.shutdown()
    for shard, code in zip(shards, codes, strict=True):
        print(f"part {shard}: exit code {code}")
    if any(codes):
        return max(map(abs, codes))
    sys.path.insert(0, str(ROOT))
    from lib.test.evaluation.results import run_name

    tracker = f"{args.tracker_name}:{run_name(args.tracker_param, args.runid, args.enhancer)}"
    words = ["--trackers", tracker, "--dataset", args.dataset, "--results", args.save_dir]
    return subprocess.call([sys.executable, ROOT / "tracking/analysis_results.py", *words])


if __name__ == "__main__":
    sys.exit(main())
