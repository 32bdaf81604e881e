"""Early warning of sepsis as a problem on streams, said precisely.

The PhysioNet/CinC Challenge 2019 publishes hourly rows of intensive-care stays with a label for
each hour: 1 from six hours before the clinical onset of sepsis on. Here that becomes:

* A **stream** is a stay: its hourly rows up to 48 hours or its end, whichever is first. Nothing is
  known of the calendar; the first row of every stay is set to midnight of 2019-01-01, UTC.
* It is **positive** if a row of the stream has label 1; the first such row is when an alarm is
  due. A stay that turns positive after 48 hours is a negative stream.
* A stay that is positive in its very first row is **left out**, and counted: no prediction is
  asked there, the label is given with the admission.
* The **late prediction** of a rule that always waits is whether it has raised the alarm by the
  stream's last row.
* The **patient** is what is exchangeable: one stay a patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.scoring import rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOURS = 48
"""Rows of a stream, at most; a row an hour."""
EPOCH_S = 1_546_300_800.0
"""2019-01-01T00:00:00Z, when every stay is said to begin."""
HOUR_S = 3600.0
NEVER = -1


@dataclass(frozen=True)
class Stays:
    """Stays as streams."""

    stays: NDArray[np.int64]
    """Which of the stays they are, ascending, [n]."""
    rows: NDArray[np.int64]
    """Which rows of the data their steps are, [sum of lengths]."""
    offsets: NDArray[np.int64]
    """[n + 1]: the steps of stream i are `rows` from ``offsets[i]`` to ``offsets[i + 1]``."""
    first_positive: NDArray[np.int64]
    """Row within the stream at which the label first is 1; `NEVER` = not in the stream, [n]."""
    step_labels: NDArray[np.int64]
    """[sum of lengths]."""
    times_s: NDArray[np.float64]
    """[sum of lengths]."""

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Whether the alarm is right for each stream, [n]."""
        positive: NDArray[np.bool_] = self.first_positive != NEVER
        return positive


def first_positive_rows(
    offsets: NDArray[np.int64], hourly: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Return the row within each stay at which the hourly label first is 1; `NEVER` = at none.

    >>> first_positive_rows(np.array([0, 3, 5]), np.array([0, 1, 1, 0, 0])).tolist()
    [1, -1]
    """
    n = len(offsets) - 1
    found = np.full(n, NEVER, np.int64)
    at = np.flatnonzero(hourly)
    stay = np.searchsorted(offsets, at, side="right") - 1
    found[stay[::-1]] = (at - offsets[stay])[::-1]  # of several the first is written last
    return found


def as_streams(
    offsets: NDArray[np.int64],
    hourly: NDArray[np.integer],
    *,
    hours: int | None = HOURS,
    from_the_start: bool = False,
) -> Stays:
    """Return stays as streams.

    Parameters
    ----------
    offsets
        Rows of stay i are ``offsets[i]`` to ``offsets[i + 1]``, [n + 1].
    hourly
        Label of each row, 0 or 1.
    hours
        Rows after which a stream ends; None = whole stays.
    from_the_start
        Keep those that are positive in their first row.

    Examples
    --------
    Three stays; the first turns positive in its second row, the last is positive from the start:

    >>> stays = as_streams(np.array([0, 3, 5, 7]), np.array([0, 1, 1, 0, 0, 1, 1]), hours=2)
    >>> stays.stays.tolist(), stays.positive.tolist(), stays.rows.tolist()
    ([0, 1], [True, False], [0, 1, 3, 4])
    """
    first = first_positive_rows(offsets, hourly)
    kept = np.arange(len(first)) if from_the_start else np.flatnonzero(first != 0)
    rows, ends = rows_of(offsets, kept)
    place = np.arange(len(rows)) - np.repeat(ends[:-1], np.diff(ends))
    lengths = np.diff(ends)
    if hours is not None:
        rows, place = rows[place < hours], place[place < hours]
        lengths = np.minimum(lengths, hours)
    return Stays(
        stays=kept,
        rows=rows,
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        first_positive=np.where(first[kept] < lengths, first[kept], NEVER),
        step_labels=hourly[rows].astype(np.int64),
        times_s=(EPOCH_S + HOUR_S * place).astype(np.float64),
    )
