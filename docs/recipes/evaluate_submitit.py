"""Track a benchmark in N parts with submitit and score it: an array job on Slurm, or N processes on this machine.

Flags that are not listed go to tracking/test.py. Run it again after a failure: what is finished stays.
Example: python docs/recipes/evaluate_submitit.py lunar tiny --dataset lasot --parts 16 --gpus 1 --batch 8
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
    parser.add_argument("--parts", type=int, default=2, help="jobs (default: 2)")
    parser.add_argument("--cluster", choices=("slurm", "local"), help="default: Slurm where there is one")
    parser.add_argument("--partition", help="of Slurm")
    parser.add_argument("--gpus", type=int, default=0, help="of each job (default: 0)")
    parser.add_argument("--cpus", type=int, default=1, help="of each job (default: 1)")
    parser.add_argument("--minutes", type=int, default=240, help="a job may take (default: 240)")
    args, more = parser.parse_known_args()
    if args.parts < 1:
        parser.error("--parts: expected at least 1")
    try:
        import submitit
    except ImportError:
        parser.exit(3, "lunar: error: submitit is missing: pip install submitit\n")
    os.environ.setdefault("OMP_NUM_THREADS", str(args.cpus))  # on one machine the parts share its cores
    executor = submitit.AutoExecutor(Path(args.save_dir) / "jobs" / "%j", cluster=args.cluster)
    executor.update_parameters(timeout_min=args.minutes, gpus_per_node=args.gpus, cpus_per_task=args.cpus)
    executor.update_parameters(name="lunar", slurm_partition=args.partition)
    words = [args.tracker_name, args.tracker_param, "--dataset", args.dataset, "--save_dir", args.save_dir, *more]
    words += [f"--{name}={getattr(args, name)}" for name in ("runid", "enhancer") if getattr(args, name) is not None]
    shards = [f"{part}/{args.parts}" for part in range(1, args.parts + 1)]
    command = [sys.executable, ROOT / "tracking/test.py", *words, "--shard"]
    jobs = executor.map_array(subprocess.call, [[*command, shard] for shard in shards])
    codes = [1 if job.exception() else job.result() for job in jobs]  # waits; an exception: killed, or out of time
    for shard, job, code in zip(shards, jobs, codes, strict=True):
        print(f"part {shard}: exit code {code}; it printed {job.paths.stdout} and {job.paths.stderr}")
    if any(codes):
        return max(map(abs, codes))
    sys.path.insert(0, str(ROOT))
    from lib.test.evaluation.results import run_name

    tracker = f"{args.tracker_name}:{run_name(args.tracker_param, args.runid, args.enhancer)}"
    words = ["--trackers", tracker, "--dataset", args.dataset, "--results", args.save_dir]
    return subprocess.call([sys.executable, ROOT / "tracking/analysis_results.py", *words])


if __name__ == "__main__":
    sys.exit(main())
