"""A constant-velocity Kalman filter of the target's centre, all lengths in units of its size.

Both axes move alike, so one 2 x 2 covariance serves them (spec tracker.md A.8.6). States are values: `predict` and
`update` return new ones.
"""

from dataclasses import dataclass, replace

import numpy as np

MEASUREMENT_STD = 0.1  # of a centre measured with confidence 1, in target sizes
ACCELERATION_STD = 0.15  # change of velocity from frame to frame, in target sizes
SURPRISE = 13.8  # squared Mahalanobis distance beyond which (1 in 1000) the motion model is wrong: start it anew


@dataclass(frozen=True)
class Motion:
    """centre, velocity: (2,) float, px and px a frame. covariance: (2, 2) of position and velocity, px."""

    centre: np.ndarray
    velocity: np.ndarray
    covariance: np.ndarray


def start(centre, size):
    """The state at a first centre (2,) px of a target of `size` = sqrt(w h) px, at rest as far as is known."""
    variance = np.diag([MEASUREMENT_STD**2, 1.0]) * size**2
    return Motion(np.asarray(centre, np.float64), np.zeros(2), variance)


def predict(motion, size):
    """One frame later."""
    step = np.array([[1.0, 1.0], [0.0, 1.0]])
    noise = np.array([[0.25, 0.5], [0.5, 1.0]]) * (ACCELERATION_STD * size) ** 2
    return Motion(motion.centre + motion.velocity, motion.velocity, step @ motion.covariance @ step.T + noise)


def update(motion, centre, size, confidence):
    """Take in a centre (2,) px measured with a confidence in (0, 1]; a low one moves the state little.

    A measurement that the prediction all but excludes restarts the filter there, at rest.
    """
    variance = (MEASUREMENT_STD * size) ** 2 / max(confidence, 1e-3) ** 2
    innovation = np.asarray(centre, np.float64) - motion.centre
    spread = motion.covariance[0, 0] + variance
    if innovation @ innovation > SURPRISE * spread:
        return start(centre, size)
    gain = motion.covariance[:, 0] / spread
    return replace(
        motion,
        centre=motion.centre + gain[0] * innovation,
        velocity=motion.velocity + gain[1] * innovation,
        covariance=motion.covariance - np.outer(gain, motion.covariance[0]),
    )
