"""Times as the engine counts them: seconds from 1970, UTC, NaN where none is known."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite, nan
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def instant(time_s: float) -> datetime | None:
    """Return a time as a record holds it; None for NaN.

    >>> instant(0.5).isoformat()
    '1970-01-01T00:00:00.500000+00:00'
    """
    return datetime.fromtimestamp(time_s, tz=UTC) if isfinite(time_s) else None


def as_told(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return times as they come out of records, which tell microseconds and no less.

    >>> as_told(np.array([7.0, 0.12345678])).tolist()
    [7.0, 0.123457]
    """
    if (np.isnan(times_s) | (times_s == np.rint(times_s))).all():
        return times_s
    moments = map(instant, times_s.tolist())
    return np.array([nan if moment is None else moment.timestamp() for moment in moments])
