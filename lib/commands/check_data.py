"""Say which datasets are on disk, what is in them, and everything that is wrong with them: nothing is decoded."""

from .. import cli

EXAMPLES = """
python tracking/check_data.py
python tracking/check_data.py lasot otb uav123 --data_root /big/disk
python tracking/check_data.py 'lasot#bird-*'
python tracking/check_data.py /my/videos --limit 1000
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("names", nargs="*", metavar="NAME_OR_FOLDER", help="which (default: every known benchmark)")
    arguments.add_argument(
        "--data_root", metavar="DIR", help="where the benchmarks are (default: ./data, see local.yaml)"
    )
    arguments.add_argument("--limit", type=int, default=20, metavar="N", help="problems shown of each dataset")
    arguments.add_argument("--debug", nargs="?", type=int, const=1, default=0, help="show the traceback of an error")
    options = arguments.parse_args(argv)
    cli.at_least(options, limit=0)
    from ..data.benchmarks import check
    from ..data.benchmarks.entries import BENCHMARKS

    reports = []
    names = [name.strip() for text in options.names for name in text.split(",") if name.strip()]  # as test.py has them
    for name in names or BENCHMARKS:
        line = cli.ProgressLine("sequences")
        show = lambda done, total, line=line, name=name: line.show(done, total, f"{name}:")  # noqa: E731
        report = check.check(name, options.data_root, show)
        line.clear()
        reports.append(report)
        if not report.absent:
            _show(report, options.limit)
        elif names:
            print(f"{report.name}: not there: {report.absent}")
            if report.name in BENCHMARKS:
                print("\n".join(f"    {row}" for row in check.expected(report.name, options.data_root).splitlines()))
    absent = [report.name for report in reports if report.absent]
    if absent and not names:
        print(f"not there: {', '.join(absent)}; {cli.invocation('check_data')} NAME shows what is expected where")
    wrong = [report for report in reports if report.problems]
    problems = sum(len(report.problems) for report in wrong)
    fine = len(reports) - len(absent) - len(wrong)
    print(f"{len(reports)} checked: {fine} fine, {len(wrong)} with {problems} problems, {len(absent)} not there")
    return 2 if wrong or (absent and names) else 0


def _show(report, limit):
    like = f" like {report.pattern}" if report.pattern else ""
    facts = [f"{report.sequences} sequences{like}", f"{report.frames} frames", f"{report.labelled} with a box"]
    for counts, what in ((report.attributes, "attributes"), (report.tags, "attributes by frame")):
        if counts:
            facts.append(f"{what} {', '.join(f'{word} {count}' for word, count in sorted(counts.items()))}")
    if report.categories:
        facts.append(f"{len(report.categories)} class{'es' if len(report.categories) > 1 else ''}")
    if report.origin:
        facts.append(f"pixels counted from {report.origin:g}")
    print(f"{report.name}: {'; '.join(facts)}")
    print(f"    {report.place}" + (f", laid out as {report.layout}" if report.layout else ""))
    for problem in report.problems[:limit]:
        print(f"    {problem}")
    if len(report.problems) > limit:
        print(f"    ... and {len(report.problems) - limit} more; --limit N shows them")
