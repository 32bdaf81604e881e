"""The one place where readiness is rounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS_PER_UNIT = 2.0**16


def rounded(readiness: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return readiness as float64 multiples of 2^-16, halves to the even one; -inf stays.

    Scores differ in the last bits with the batch they were computed in. After rounding they
    are the same number nearly always, so that a threshold is reached at the same step whether a
    stream is calibrated, replayed or served.

    >>> rounded(np.array([0.3, 1e-9, -np.inf], np.float32)).tolist()
    [0.3000030517578125, 0.0, -inf]
    """
    # Adding zero turns -0.0 into 0.0.
    return np.rint(readiness.astype(np.float64) * STEPS_PER_UNIT) / STEPS_PER_UNIT + 0.0
