"""Reports of scores, printed and written as the flags of analysis_results.py ask for."""

import sys
from pathlib import Path

from ...files import write_text
from . import tables


def print_tables(report, args):
    """Print the tables of a report that the flags attributes and per_sequence ask for."""
    frames = sum(fact["frames"] for fact in report["sequences"])
    print(f"{tables.title(report)}: {tables.count(report)}, {frames} frames")
    left_out = {
        *(() if args.attributes else ("by_attribute", "published_by_attribute", "by_frame_attribute")),
        *(() if args.per_sequence else ("per_sequence",)),
    }
    for one in tables.all_tables(report):
        if one.name in left_out:
            continue
        if one.name == "summary":  # as wide as a terminal; files have all of it
            ours, theirs = ("OP50", "OP75", "NP@.2"), ("NP@.2", "AO", "SR50", "SR75")
            shown = tables.without(one, ours if report["dataset"].startswith("got10k") else theirs)
        else:
            shown = one
            print(one.title)
        print(f"{tables.render(shown, 'text')}{one.note}\n", flush=True)
    for tracker in report["trackers"]:
        if tracker["notes"]:
            count = len(tracker["notes"])
            more = f" (and {count - 1} files more)" if count > 1 else ""
            print(f"lunar: {tracker['label']}: {tracker['notes'][0]}{more}", file=sys.stderr)


def write(evaluated, args):
    """Write what the flags tables, json, plots and html name. evaluated: [(report, its sequences, {label: run})]."""
    reports = [report for report, *_ in evaluated]
    for path in args.tables:
        tables.write(path, reports)
    if args.json:
        write_text(args.json, tables.to_json(reports))
    if args.plots:
        from . import plots  # matplotlib

        labels = list(dict.fromkeys(label for *_, runs in evaluated for label in runs))
        for report in reports:
            plots.save(plots.placed(report, labels), Path(args.plots))
    if args.html:
        from .report import html

        write_text(args.html, html(evaluated))
