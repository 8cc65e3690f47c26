"""Run a tracker over benchmarks and write one result file a sequence."""

import logging
import math
import sys

from .. import cli, config, registry
from ..config.paths import paths as find_paths
from ..errors import IncompleteError, UserError

EXAMPLES = """
python tracking/test.py lunar baseline --dataset lunar
python tracking/test.py opencv mil --dataset lunar_demo --threads 2
python tracking/test.py lunar ostrack_256 --dataset /my/videos --checkpoint OSTrack_ep0300.pth.tar
python tracking/test.py lunar tiny --dataset lunar,/my/videos --set TEST.MIN_BOX=2 --runid 1
python tracking/test.py opencv mil --dataset lunar_demo --enhancer blur_gamma
"""


@cli.command
def main(argv=None):
    options = _parse(argv)
    logging.basicConfig(
        level=logging.DEBUG if options.debug > 1 else logging.INFO, format="%(message)s", stream=sys.stdout, force=True
    )
    # What is cheap to check comes first: a typing error is answered at once, before torch is imported.
    settings = config.load(options.tracker_name, options.tracker_param, options.overrides)
    paths = find_paths(options.data_root, options.save_dir)
    from ..data import benchmarks
    from ..test.evaluation import provenance, results
    from ..test.tracker.weights import find_weights

    datasets = benchmarks.load_all(options.dataset, options.data_root)
    weights = find_weights(
        options.tracker_name, options.tracker_param, settings, paths, options.checkpoint, options.runid
    )
    name = results.run_name(options.tracker_param, options.runid, options.enhancer)
    run = results.Run(results.results_root(paths.output), options.tracker_name, name)

    processes = options.threads or int(options.timeout is not None)
    cli.set_threads(processes)
    if options.enhancer is not None:
        from ..models.enhancer import load_enhancer

        load_enhancer(options.enhancer)  # a wrong one is answered here, and once, whatever is left to track
    from ..test.evaluation.debug import save_videos
    from ..test.evaluation.runner import Experiment, evaluate

    experiment = Experiment(
        options.tracker_name,
        options.tracker_param,
        tuple(options.overrides),
        weights,
        options.enhancer,
        options.device,
        options.num_gpus,
    )
    made = provenance.describe(f"{options.tracker_name} {options.tracker_param}", settings, weights, options.enhancer)
    failed = {}
    for dataset, (sequences, folder) in datasets.items():
        sequences = _select(sequences, options.sequence, options.shard)
        provenance.claim(run, dataset, sequences, made, folder, options.overwrite)
        results.write_source(run, dataset, folder)
        line = cli.ProgressLine("frames")
        summary = evaluate(
            experiment,
            sequences,
            run,
            processes=processes,
            batch=options.batch,
            overwrite=options.overwrite,
            timeout=options.timeout,
            progress=lambda done, total, summary, line=line, dataset=dataset: line.show(
                done, total, f"{dataset}: {len(summary.done)} sequences,"
            ),
        )
        line.clear()
        _report(summary, run, dataset, sequences)
        if options.debug:
            done = [sequence for sequence in sequences if sequence.name in summary.done]
            remembers = options.enhancer is None and settings.get("MODEL", {}).get("QUERY", {}).get("ENABLE", False)
            save_videos(done, run, paths.output, experiment if remembers else None)
        failed.update({f"{dataset}/{name}": reason for name, reason in summary.failed.items()})
    if failed:
        raise IncompleteError.of(failed, "sequences")
    return 0


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("tracker_name", help=f"one of {', '.join(registry.names())}")
    arguments.add_argument("tracker_param", help="configuration: experiments/<tracker_name>/<tracker_param>.yaml")
    arguments.add_argument("--dataset", "--dataset_name", default="lunar", help="name, folder, or a comma list of them")
    arguments.add_argument("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    arguments.add_argument("--sequence", help="only this one: its name, or its number from 0")
    arguments.add_argument("--shard", metavar="I/N", help="only the I-th of N parts, to split work over machines")
    arguments.add_argument("--checkpoint", help="weights: a file, `latest`, or the number of a trained epoch")
    arguments.add_argument(
        "--runid", type=int, help="suffix of the results' folder; also a trained epoch, if there is one"
    )
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    arguments.add_argument("--threads", type=int, default=0, metavar="N", help="processes; 0 tracks in this one")
    arguments.add_argument("--num_gpus", type=int, help="GPUs to spread the processes over (default: all visible)")
    arguments.add_argument("--batch", type=int, default=1, metavar="N", help="sequences a process tracks in lockstep")
    arguments.add_argument("--timeout", type=float, metavar="S", help="give up a sequence after S s without a frame")
    arguments.add_argument("--overwrite", action="store_true", help="track finished sequences again")
    cli.add_enhancer_flag(arguments)
    cli.add_config_flags(arguments)
    cli.add_backend_flag(arguments)
    cli.add_associate_flag(arguments)
    options = arguments.parse_args(argv)
    cli.at_least(options, threads=0, batch=1, runid=0, num_gpus=1, timeout=0)
    return options


def _select(sequences, wanted, shard):
    """The sequences that --sequence and --shard leave."""
    from ..data.sequence import named

    if wanted is not None:
        chosen = named(sequences, wanted)
        if not chosen:
            known = ", ".join(sequence.name for sequence in sequences[:5])
            raise UserError(f"--sequence {wanted}: none of the {len(sequences)} sequences ({known}, ...)")
        sequences = chosen
    if shard is not None:
        part, slash, parts = shard.partition("/")
        if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
            raise UserError(f"--shard {shard}: expected I/N, such as 1/4 to 4/4")
        sequences = sequences[int(part) - 1 :: int(parts)]
    return sequences


def _report(summary, run, dataset, sequences):
    there = f" ({len(summary.skipped)} were there already; --overwrite tracks them again)" if summary.skipped else ""
    there += f", {len(summary.elsewhere)} meanwhile by others" if summary.elsewhere else ""
    print(f"{run} on {dataset}: {len(summary.done)} of {len(sequences)} sequences tracked{there}")
    if summary.frames:
        whole = summary.tracking_seconds + summary.decoding_seconds
        print(
            f"FPS: {summary.frames / max(summary.tracking_seconds, 1e-9):.1f} of one process, "
            f"{summary.frames / max(whole, 1e-9):.1f} with decoding ({summary.frames} frames)"
        )
    if summary.look_ahead is not None:
        waits = "the whole video" if math.isinf(summary.look_ahead) else f"{summary.look_ahead} frames after it"
        print(f"look-ahead: a frame is answered when the tracker has seen {waits}")
    print(f"results in {run.folder / dataset}; score them with: {cli.invocation('analysis_results')}")
