"""What the parts of a tracker are worth: rows that each lack one, compared with the whole sequence by sequence."""

import hashlib
import json

import numpy as np

from ...errors import MachineError, UserError
from ...files import write_text
from ..evaluation.results import boxes_path
from .statistics import mean_and_error
from .tables import Table, number, percent, word

WHOLE = "whole"
COLUMNS = {"auc": "AUC", "p5": "P@5", "np_auc": "NP"}
CHANGES = ("auc", "p5")  # those of them whose change is shown
NOTE = "_ablation.json"  # beside a row's results: what they were made with
LEAST = 3  # sequences from which on an attribute is shown
EXPLAINED = "In percent; change to the whole ± standard error over videos, * above two of them."


def compare(report, labels):
    """Every row against the first, by the sequences that all rows have a score of.

    report: of scoring.evaluate, a tracker for each of `labels` (which give the order).
    Returns {"dataset", "sequences": [name], "attributes": {name: number of sequences, at least LEAST}, "rows": [{"row",
    "scores": {COLUMNS: mean}, "change": {CHANGES: {"mean", "error"}}, "auc_change_by_attribute": {attribute: the same},
    "sequences": {name: {COLUMNS}}}]}; shares in [0, 1], NaN where there is nothing to score, changes 0 in the first.
    """
    found = {
        tracker["label"]: {row["name"]: [row[name] for name in COLUMNS] for row in tracker["sequences"]}
        for tracker in report["trackers"]
    }
    facts = [
        fact
        for fact in report["sequences"]
        if not np.isnan([found[label].get(fact["name"], np.nan) for label in labels]).any()
    ]
    names = [fact["name"] for fact in facts]
    videos = np.array([fact["video"] for fact in facts])
    values = np.array([[found[label][name] for name in names] for label in labels])
    values = values.reshape(len(labels), len(names), len(COLUMNS))
    having = {
        attribute: [attribute in fact["attributes"] for fact in facts]
        for attribute in sorted({attribute for fact in facts for attribute in fact["attributes"]})
    }
    having = {attribute: np.array(has) for attribute, has in having.items() if sum(has) >= LEAST}
    rows = []
    for label, scores in zip(labels, values, strict=True):
        change = scores - values[0]
        rows.append(
            {
                "row": label,
                "scores": {name: mean_and_error(scores[:, i])[0] for i, name in enumerate(COLUMNS)},
                "change": {name: _change(change[:, i], videos) for i, name in enumerate(COLUMNS) if name in CHANGES},
                "auc_change_by_attribute": {name: _change(change[has, 0], videos[has]) for name, has in having.items()},
                "sequences": {
                    name: dict(zip(COLUMNS, row, strict=True)) for name, row in zip(names, scores.tolist(), strict=True)
                },
            }
        )
    attributes = {name: int(has.sum()) for name, has in having.items()}
    return {"dataset": report["dataset"], "sequences": names, "attributes": attributes, "rows": rows}


def score_table(compared, title):
    """A Table of scores in percent, and the change of each row but the first."""
    headers = ("row", *COLUMNS.values(), *(f"d{COLUMNS[name]}" for name in CHANGES))
    rows = []
    for row in compared["rows"]:
        changes = [cell(row["change"][name]) if rows else "-" for name in CHANGES]
        rows.append([*map(word, (row["row"], *(percent(row["scores"][name]) for name in COLUMNS), *changes))])
    return Table("ablation", title, headers, rows, note=EXPLAINED)


def attribute_table(compared, title):
    """A Table of the change of AUC of every row but the first, by attribute."""
    headers = [f"{name} ({count})" for name, count in compared["attributes"].items()]
    changes = [(row["row"], row["auc_change_by_attribute"].values()) for row in compared["rows"][1:]]
    rows = [[word(label), *(word(cell(change)) for change in by_attribute)] for label, by_attribute in changes]
    return Table("ablation_by_attribute", f"{title}, by attribute", ("dAUC", *headers), rows, note=EXPLAINED)


def cell(change):
    """A change in percent, marked where it is more than two standard errors."""
    mean, error = change["mean"], change["error"]
    sign = "+" if mean >= 0 else ""
    return f"{sign}{percent(mean)} ±{number(100 * error, 2)}{'*' if abs(mean) > 2 * error else ' '}"


def _change(values, videos):
    return dict(zip(("mean", "error"), mean_and_error(values, videos), strict=True))


# ---- what results were made with ------------------------------------------------------------------------------------


def folder_name(config, label):
    """The name that a row's results have in place of the configuration's."""
    return f"{config}+{'_'.join(label.split())}"


def digest(weights):
    """16 hexadecimal digits of the contents of a file or a folder of weights (Path), None for None."""
    if weights is None:
        return None
    whole = hashlib.sha256()
    try:
        for path in sorted(path for path in weights.rglob("*") if path.is_file()) if weights.is_dir() else [weights]:
            whole.update(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", error.filename) from error
    return whole.hexdigest()[:16]


def stale(run, dataset, made_with, overwrite=False):
    """The result files of a run that were made with anything else than `made_with`, {key: value}.

    Raises UserError for them unless `overwrite`, and always where the results are not an ablation's.
    """
    note = _note(run, dataset)
    files = sorted(note.parent.glob("*.txt"))
    if not files:
        return []
    try:
        old = json.loads(note.read_text())
    except FileNotFoundError:
        raise UserError("holds results of another command; call the row something else", note.parent) from None
    except ValueError:
        old = None
    old, new = old if isinstance(old, dict) else {}, json.loads(json.dumps(made_with))
    other = [key for key in {**old, **new} if old.get(key, note) != new.get(key, note)]
    if other and not overwrite:
        what = ", ".join(other[:3]) + (" ..." if len(other) > 3 else "")
        raise UserError(f"the results here differ in {what}; --overwrite tracks them again", note.parent)
    return files if other else []


def claim(run, dataset, made_with, overwrite=False):
    """Note what the results of a run are made with from now on; those of anything else go, as `stale` allows."""
    try:
        for file in stale(run, dataset, made_with, overwrite):  # all, or an interruption left some beside a new note
            file.unlink()
    except OSError as error:
        raise MachineError(f"cannot be removed: {error.strerror}", error.filename) from error
    write_text(_note(run, dataset), json.dumps(made_with, indent=1) + "\n")


def _note(run, dataset):
    return boxes_path(run, dataset, "x").with_name(NOTE)
