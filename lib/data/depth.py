"""Pictures of more than 8 bits: one linear stretch for all frames of a sequence, so that brightness stays comparable.

Thermal cameras write 16 bits of which a scene fills a few hundred values; the upper 8 of the 16 would be one flat grey.
"""

import logging
import os
from dataclasses import dataclass

import numpy as np

from ..errors import UserError

log = logging.getLogger(__name__)

PERCENTILES = 0.1, 99.9  # of the first frame: they become black and white
VARIABLE = "LUNAR_RANGE"  # environment: "LOW,HIGH", the values that become black and white instead


@dataclass(frozen=True)
class Stretch:
    """Values from `low` to `high` become 0 to 255, those beyond are cut off there."""

    low: float
    high: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Stretch an array of any shape and type to uint8. NaN becomes 0."""
        scaled = (values.astype(np.float32) - self.low) * (255 / (self.high - self.low))
        return np.nan_to_num(np.clip(np.round(scaled), 0, 255)).astype(np.uint8)


def stretch_of(values: np.ndarray, place: object) -> Stretch:
    """The Stretch of a sequence, from its first frame or from LUNAR_RANGE. The log says which.

    Args:
        values: the first frame, of any shape and type.
        place: names it in the log.

    Raises:
        UserError: LUNAR_RANGE is not two numbers, the lower one first.
    """
    text = os.environ.get(VARIABLE)
    if text:
        low, high = _given(text)
        how = f"as {VARIABLE} says"
    else:
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        low, high = map(float, np.percentile(finite, PERCENTILES)) if finite.size else (0.0, 1.0)
        how = f"its percentiles {PERCENTILES[0]:g} and {PERCENTILES[1]:g}"
    if high <= low:  # a frame of one value
        high = low + 1
    log.info("%s: %s values, %g becomes black and %g white (%s) in all its frames", place, values.dtype, low, high, how)
    return Stretch(low, high)


def _given(text):
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = np.nan
    if not (np.isfinite([low, high]).all() and low < high):
        raise UserError(f"{VARIABLE}={text}: expected two numbers LOW,HIGH, such as 7000,8000")
    return low, high
