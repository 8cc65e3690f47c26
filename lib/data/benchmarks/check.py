"""What of a dataset is on disk, what is wrong with it, and what was expected.

Files are counted. Of the first frame of each sequence the size is read, of no other anything.
"""

from collections import Counter
from dataclasses import dataclass, field

from ...config.paths import paths
from ...errors import UserError
from .. import plausible
from ..attributes import frame_size
from . import RALLIES, RENDERED, NotThereError, canonical, find, load, split_name
from .annotated import StillSequences
from .entries import BENCHMARKS
from .layout import reader


@dataclass
class Report:
    """pattern: of the names of the sequences that were looked at, "" for all. absent: why it is not there, "" where it
    is. problems: one line each, the file and the line first.

    frames, labelled: number of frames, and of those with a box. attributes, tags: how many sequences have each word,
    for the whole and by frame. categories: how many sequences each class has. layout, origin: see Layout.
    """

    name: str
    pattern: str = ""
    absent: str = ""
    problems: list = field(default_factory=list)
    place: str = ""
    layout: str = ""
    sequences: int = 0
    frames: int = 0
    labelled: int = 0
    attributes: Counter = field(default_factory=Counter)
    tags: Counter = field(default_factory=Counter)
    categories: Counter = field(default_factory=Counter)
    origin: float = 0.0


def check(name_or_folder, data_root=None, progress=lambda done, total: None):
    """Read every annotation of a benchmark or folder and count its frames, past everything that is wrong: a Report.

    It may have the suffixes that benchmarks.load takes; of a `#PATTERN` nothing is missing. progress: called with the
    number of sequences read so far and of all. Raises UserError where the suffixes are wrong.
    """
    whole, pattern, _ = split_name(name_or_folder)
    report = Report(canonical(whole), pattern=pattern)
    try:
        if report.name in (*RENDERED, *RALLIES):
            report.place = "rendered in memory"
            _count(report, load(name_or_folder))
            return report
        found = find(whole, data_root)
        report.place, report.layout = str(found.storage.path), str(found.layout)
        if found.missing and not found.seen:
            report.absent = f"{report.place}: none of its {len(found.missing)} sequences, such as {found.missing[0]}"
            return report
        found = found.part(pattern)
    except NotThereError as error:
        report.absent = str(error)
        return report
    except UserError as error:
        report.problems.append(str(error))
        return report
    if not found.layout.by_text:
        _count(report, found.seen)
        return report
    if found.missing:
        some = ", ".join(found.missing[:5]) + (", ..." if len(found.missing) > 5 else "")
        of = len(found.missing) + len(found.seen)
        report.problems.append(f"{report.place}: {len(found.missing)} of the {of} sequences are missing: {some}")
    benchmark = BENCHMARKS.get(report.name)
    tracked = benchmark is None or not benchmark.to_train
    read = reader(found.storage, found.dataset)
    for number, (name, entry) in enumerate(found.seen.items(), 1):
        progress(number, len(found.seen))
        report.sequences += 1
        try:
            report.problems += _add(report, read(name, entry), tracked)
        except UserError as error:
            report.problems.append(str(error))
    return report


def _add(report, sequence, tracked):
    """Count what one sequence holds; returns what is strange about its boxes. Raises UserError.

    tracked: it must have a box to start from.
    """
    report.labelled += int(sequence.visible.sum())
    report.attributes.update(sequence.attributes)
    report.tags.update(sequence.frame_attributes.keys())
    report.categories.update(filter(None, [sequence.category]))
    report.origin = sequence.origin
    frames = sequence.frames()
    report.frames += len(frames)
    if tracked:
        sequence.first_box  # noqa: B018 -- raises where there is none
    return plausible.check(sequence, frame_size(frames))


def _count(report, sequences):
    """Count what was read and checked in one piece: a file of annotations, where each box is a sequence."""
    report.sequences = len(sequences)
    if isinstance(sequences, StillSequences):
        report.frames, report.labelled = len(sequences.files), len(sequences)
        return
    report.frames = sum(map(len, sequences))
    report.labelled = sum(int(sequence.visible.sum()) for sequence in sequences)


def expected(name, data_root=None):
    """A drawing of the folders and files that a benchmark is expected to have, and its other layouts."""
    benchmark = BENCHMARKS[name]
    root = paths(data=data_root).data
    lines = [f"{root / benchmark.folders[-1]}/", *_tree(benchmark.layouts[0].files())]
    lines += [f"or {layout}" for layout in benchmark.layouts[1:]]
    if benchmark.splits:
        lines.append(f"with {' or '.join(benchmark.splits)} in it, above it or in data_specs/")
    elif benchmark.official:
        lines.append(f"of which {len(benchmark.official)} belong to it, such as {benchmark.official[0]}")
    lines += [f"or {root / folder}/ with these alone" for folder in benchmark.whole]
    return "\n".join(lines)


def _tree(files):
    """Lines of a drawing of {path: remark}."""
    tree = {}
    for file, remark in files.items():
        node = tree
        *folders, last = file.split("/")
        for folder in folders:
            node = node.setdefault(f"{folder}/", {})
        node[last + (f"   ({remark})" if remark else "")] = {}
    return list(_branches(tree, ""))


def _branches(tree, indent):
    for number, (name, below) in enumerate(tree.items(), 1):
        last = number == len(tree)
        yield f"{indent}{'└── ' if last else '├── '}{name}"
        yield from _branches(below, indent + ("    " if last else "│   "))
