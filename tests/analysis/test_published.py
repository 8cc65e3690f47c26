"""Numbers that others have published or compute: raw results scored here, and other toolkits on the same files."""

import importlib.util
import json

import numpy as np
import pytest

from lib.data.textfile import read_boxes, read_numbers
from lib.test.analysis import metrics, vot

DTB70 = {  # success AUC, precision at 20 px, as published with the raw results
    "NanoTrack": (0.532, 0.727),
    "NanoTrackV3": (0.628, 0.815),
    "LightTrack": (0.591, 0.766),
    "SiamTPN": (0.572, 0.728),
}
INDEPENDENT = {  # the same of another evaluator, by STARK's rules
    "NanoTrack": (0.5322, 0.7251),
    "NanoTrackV3": (0.6287, 0.8126),
    "LightTrack": (0.5908, 0.7637),
    "SiamTPN": (0.5722, 0.7254),
}
VOT2018 = {"NanoTrack": 0.311, "NanoTrackV3": 0.449, "LightTrack": 0.418, "SiamTPN": 0.191}  # EAO
FAILURES = {"NanoTrack": 70, "NanoTrackV3": 35, "LightTrack": 38, "SiamTPN": 152}  # rows `2` in the files


def random_boxes(generator, count):
    return np.concatenate([generator.uniform(0, 200, (count, 2)), generator.uniform(2, 40, (count, 2))], axis=1)


@pytest.mark.parametrize("tracker", DTB70)
def test_dtb70_is_reproduced(shared_data, tracker):
    """Within 0.003 of what is published.

    Our precision is 0.001 to 0.003 below the published one for all four, and equals the independent evaluator's: the
    published evaluator seems to round. With the threshold at 20.5 px, where a distance rounded to whole pixels is 20,
    the differences have both signs and are below 0.002.
    """
    folder = shared_data / "raw_results" / "DTB70"
    truths = {path.name: read_boxes(path) for path in sorted((folder / "gt").glob("*.txt"))}
    assert len(truths) == 70
    results = {name: read_boxes(folder / "results" / tracker / name)[: len(truth)] for name, truth in truths.items()}
    totals = {}
    for protocol in ("clean", "stark"):
        scores = [
            metrics.score(results[name], truth, np.isfinite(truth).all(axis=1), protocol)
            for name, truth in truths.items()
        ]
        totals[protocol] = metrics.summary(scores)
        assert (totals[protocol]["auc"], totals[protocol]["p20"]) == pytest.approx(DTB70[tracker], abs=0.003)
        wider = np.mean([np.mean(one.error <= 20.5) for one in scores])
        assert wider == pytest.approx(DTB70[tracker][1], abs=0.002)
    assert (totals["stark"]["auc"], totals["stark"]["p20"]) == pytest.approx(INDEPENDENT[tracker], abs=0.0002)


@pytest.fixture(scope="module")
def vot2018(shared_data):
    folder = shared_data / "raw_results" / "VOT2018"
    sequences = vot.read_truth(folder / "VOT2018.json")
    assert len(sequences) == 60 and sum(len(one.corners) for one in sequences) == 21356
    return folder, sequences


@pytest.mark.parametrize("tracker", VOT2018)
def test_vot2018_is_reproduced(vot2018, tracker):
    folder, sequences = vot2018
    found = vot.evaluate(folder / tracker / "baseline", sequences, vot.EAO_INTERVALS["vot2018"])
    assert found["eao"] == pytest.approx(VOT2018[tracker], abs=0.001)
    assert found["failures"] == FAILURES[tracker]
    assert found["robustness"] == pytest.approx(100 * FAILURES[tracker] / 21356)


def test_latot_perfect_tracker():
    """LaTOT's curves: 21 overlaps, of which 1 cannot be exceeded; the first frame counts."""
    truth = random_boxes(np.random.default_rng(0), 50)
    total = metrics.summary([metrics.score(truth, truth, np.ones(50, bool))])
    assert (total["auc"], total["p5"], total["np_auc"]) == pytest.approx((0.952, 1, 1), abs=0.0005)


def test_lasot_counts_absent_frames_as_misses():
    """Its toolkit: hits among the frames with a target, divided by all frames; here 3 of 5, two of them absent."""
    truth = np.array([[10.0, 10, 8, 8]] * 5)
    visible = np.array([True, True, False, True, False])
    total = metrics.summary([metrics.score(truth, truth, visible, "stark", "lasot")])
    assert (total["auc"], total["p20"], total["np_auc"]) == pytest.approx((20 / 21 * 0.6, 0.6, 0.6))


def test_got10k_agrees():
    """The got10k package: OTB's curves with every frame, GOT-10k's AO and SR without the first of each sequence."""
    reference = pytest.importorskip("got10k.utils.metrics", reason="the got10k package is not installed")
    generator = np.random.default_rng(1)
    scores, ours, later = [], [], []
    for count in (40, 90, 3):
        truth = random_boxes(generator, count)
        predicted = truth + generator.normal(0, 4, truth.shape)
        predicted[:, 2:] = np.maximum(predicted[:, 2:], 1)
        scores.append(metrics.score(predicted, truth, np.ones(count, bool)))
        predicted[0] = truth[0]
        overlap, error = reference.rect_iou(predicted, truth), reference.center_error(predicted, truth)
        success = (overlap[:, None] > np.linspace(0, 1, 21)).mean(axis=0)
        precision = (error[:, None] <= np.arange(51)).mean(axis=0)
        np.testing.assert_allclose(scores[-1].success, success, atol=1e-12)
        np.testing.assert_allclose(scores[-1].precision[1:], precision[1:], atol=1e-12)
        ours.append(success.mean())
        later.append(overlap[1:])
    total, later = metrics.summary(scores), np.concatenate(later)
    assert total["auc"] == pytest.approx(np.mean(ours))
    assert total["ao"] == pytest.approx(later.mean())
    assert total["sr50"] == pytest.approx((later > 0.5).mean())
    assert total["sr75"] == pytest.approx((later > 0.75).mean())


def test_got10k_agrees_on_the_same_files(tmp_path, monkeypatch):
    """The package's whole report: of what files hold, clipped to the image, where the target is not covered."""
    pytest.importorskip("got10k", reason="the got10k package is not installed")
    package = importlib.import_module("got10k.experiments")
    monkeypatch.setattr(package.ExperimentGOT10k, "plot_curves", lambda *_: None)
    generator, scores = np.random.default_rng(2), []
    for name, count, size in (("a", 40, (180, 150)), ("b", 70, (240, 120))):
        place, results = tmp_path / "data" / "val" / name, tmp_path / "results" / "GOT-10k" / "t" / name
        place.mkdir(parents=True)
        results.mkdir(parents=True)
        truth = random_boxes(generator, count) - (15, 15, 0, 0)  # on every side some boxes leave the image
        predicted = truth + generator.normal(0, 4, truth.shape)
        predicted[:, 2:] = np.maximum(predicted[:, 2:], 1)
        cover = generator.integers(0, 3, count)
        for number in range(count):
            (place / f"{number + 1:08d}.jpg").touch()
        np.savetxt(place / "groundtruth.txt", truth, "%.4f", ",")
        np.savetxt(place / "cover.label", cover, "%d")
        for label in ("absence", "cut_by_image"):
            np.savetxt(place / f"{label}.label", np.zeros(count), "%d")
        (place / "meta_info.ini").write_text(f"[METAINFO]\nresolution: {size}\n")
        np.savetxt(results / f"{name}_001.txt", predicted, "%.3f", ",")
        np.savetxt(results / f"{name}_time.txt", np.full(count, 0.1))
        truth, predicted = read_boxes(place / "groundtruth.txt"), read_boxes(results / f"{name}_001.txt")
        visible = read_numbers(place / "cover.label") > 0
        scores.append(metrics.score(predicted, truth, visible, size=size))
    (tmp_path / "data" / "val" / "list.txt").write_text("a\nb\n")
    where = {"result_dir": str(tmp_path / "results"), "report_dir": str(tmp_path / "reports")}
    package.ExperimentGOT10k(str(tmp_path / "data"), subset="val", **where).report(["t"])
    report = json.loads(next((tmp_path / "reports").rglob("performance.json")).read_text())["t"]["overall"]
    total = metrics.summary(scores)
    assert (total["ao"], total["sr50"]) == pytest.approx((report["ao"], report["sr"]), abs=1e-12)
    assert total["sr75"] == pytest.approx(report["succ_curve"][75], abs=1e-12)
    unclipped = metrics.summary([one._replace(bounded=one.overlap) for one in scores])
    assert abs(unclipped["ao"] - total["ao"]) > 0.001  # here the clipping matters
