"""An ablation, carried out: every row is tracked, compared with the whole, shown and written."""

from dataclasses import dataclass

from ... import cli, config
from ...files import write_text
from ..evaluation import results
from ..evaluation.runner import Experiment, evaluate
from ..tracker.weights import find_weights
from . import ablation, scoring, tables


@dataclass(frozen=True)
class Row:
    """made_with: {key: value} that decides the results."""

    label: str
    experiment: Experiment
    run: results.Run
    made_with: dict


class Study:
    """Rows of one configuration, and what their comparison has found so far.

    Args:
        options: of the command: tracker_name, tracker_param, overrides, checkpoint, device, threads, overwrite and
            attributes.
        changes: {label: overrides of the configuration}, the whole first.
        paths: of lib.config.paths.
    """

    def __init__(self, options, changes, paths):
        self.options, self._compared, self._shown = options, [], []
        self.rows = [self._row(label, overrides, paths) for label, overrides in changes.items()]

    def _row(self, label, overrides, paths):
        script, name = self.options.tracker_name, self.options.tracker_param
        named = any(text.startswith("TEST.CHECKPOINT=") for text in overrides)  # a row may have weights of its own
        overrides = (*self.options.overrides, *overrides)
        settings = config.load(script, name, overrides)
        weights = find_weights(script, name, settings, paths, None if named else self.options.checkpoint)
        made_with = {**config.given(script, name, overrides), "weights": ablation.digest(weights)}
        enhancer = settings.get("MODEL", {}).get("ENHANCER", {})
        if enhancer.get("ENABLE") and enhancer.WEIGHTS:
            made_with["weights of the enhancer"] = ablation.digest(paths.weights(enhancer.WEIGHTS))
        run = results.Run(results.results_root(paths.output), script, ablation.folder_name(name, label))
        return Row(label, Experiment(script, name, overrides, weights, device=self.options.device), run, made_with)

    def check(self, datasets):
        """Raise UserError where results are in the way that were made with anything else."""
        for row in self.rows:
            for dataset in datasets:
                ablation.stale(row.run, dataset, row.made_with, self.options.overwrite)

    def track(self, dataset, sequences, folder):
        """Track with every row what is not finished. Returns {configuration/dataset/sequence: why it failed}."""
        failed = {}
        for row in self.rows:
            reasons = self._track(row, dataset, sequences, folder)
            failed.update({f"{row.run.config}/{dataset}/{name}": reason for name, reason in reasons.items()})
        return failed

    def _track(self, row, dataset, sequences, folder):
        results.write_source(row.run, dataset, folder)
        ablation.claim(row.run, dataset, row.made_with, self.options.overwrite)
        line = cli.ProgressLine("frames")
        summary = evaluate(
            row.experiment,
            sequences,
            row.run,
            processes=self.options.threads,
            overwrite=self.options.overwrite,
            progress=lambda done, total, summary: line.show(
                done, total, f"{row.label} on {dataset}: {len(summary.done)} sequences,"
            ),
        )
        line.clear()
        there = f" ({len(summary.skipped)} were there already)" if summary.skipped else ""
        there += f", {len(summary.elsewhere)} meanwhile by others" if summary.elsewhere else ""
        print(f"{row.label} on {dataset}: {len(summary.done)} of {len(sequences)} sequences tracked{there}", flush=True)
        return summary.failed

    def compare(self, dataset, sequences):
        """Compare the rows on what all of them have finished, and print the tables."""
        whole = [one for one in sequences if all(results.finished(row.run, dataset, one.name) for row in self.rows)]
        if whole:
            report = scoring.evaluate({row.label: row.run for row in self.rows}, dataset, whole)
        else:
            nothing = [{"label": row.label, "sequences": []} for row in self.rows]
            report = {"dataset": dataset, "sequences": [], "trackers": nothing}
        compared = ablation.compare(report, [row.label for row in self.rows])
        for row, values in zip(self.rows, compared["rows"], strict=True):
            values["made_with"] = row.made_with
        self._compared.append(compared)
        title = f"{self.options.tracker_name} {self.options.tracker_param} on {dataset}: "
        title += f"{len(compared['sequences'])} of {len(sequences)} sequences"
        shown = [ablation.score_table(compared, title)]
        if self.options.attributes and compared["attributes"]:
            shown.append(ablation.attribute_table(compared, title))
        for one in shown:
            print(f"{one.title}\n{tables.render(one, 'text')}", flush=True)
        if self.options.attributes and not compared["attributes"]:
            print(f"no attribute that {ablation.LEAST} sequences have\n")
        self._shown += shown

    def write(self, json=None, markdown=None):
        """Write all numbers, and the tables, where a file is named for them."""
        if json:
            write_text(json, tables.to_json(self._compared))
        if markdown:
            write_text(markdown, "\n".join(tables.render(one, "markdown") for one in self._shown))
