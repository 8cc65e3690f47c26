"""Scores of a network that is being trained: it tracks the first frames of videos as tracking/test.py would."""

from collections.abc import Sequence as Many
from typing import Any

import numpy as np

from ... import registry
from ...data.sequence import Sequence
from ..analysis import metrics

SCORES = {"AUC": "auc", "P@5": "p5", "NP": "np_auc"}  # as they are logged: as analysis.metrics calls them


def validate(script: str, network: Any, config: Any, sequences: Many[Sequence]) -> dict[str, float]:
    """Track the first TRAIN.VAL_FRAMES frames of each sequence, in which the target is visible at first.

    Args:
        script: the family of the network.
        network: it is left without gradients and in evaluation mode.
        config: its configuration.
        sequences: what is tracked.

    Returns:
        Means over the sequences, all in [0, 1]: success AUC, precision at 5 px, area under normalised precision. Empty
        where nothing can be tracked.
    """
    tracker = registry.tracker(script)(config, device=next(network.parameters()).device, network=network)
    scores = []
    for sequence in sequences:
        count = min(len(sequence), config.TRAIN.VAL_FRAMES)
        if count < 2 or not sequence.visible[0]:
            continue
        frames = sequence.frames()
        tracker.initialize(frames[0], sequence.first_box)
        boxes = [sequence.first_box, *(tracker.track(frames[index]).box for index in range(1, count))]
        scores.append(metrics.score(np.array(boxes), sequence.boxes_xywh[:count], sequence.visible[:count]))
    if not scores:
        return {}
    summary = metrics.summary(scores)
    return {name: float(summary[key]) for name, key in SCORES.items()}
