"""What the clock does to a stream, as arrays: when it has ended, when it must be decided."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING

import numpy as np

from streams.state import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

    from detectors.config import TimeConfig
    from streams.state import Rows

    Times = NDArray[np.float64]
    Timed = Rows | Mapping[str, NDArray[Any]]
    """Streams by their fields ``phase``, ``first_s`` and ``last_s``."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A detector's times, in seconds; inf = no limit. All are told by records and ticks.

    A record says that a stream has come to its own time; a tick at tau that a record older than
    tau - `reorder_s` will not come any more. Every sum is written in one order only, so that
    what is due by its deadline is due by its limit too, to the last bit.
    """

    idle_s: float = inf
    horizon_s: float = inf
    reorder_s: float = 0.0
    forget_s: float = inf
    refuses_late: bool = False

    @classmethod
    def of(cls, config: TimeConfig) -> Limits:
        """Return the limits that a configuration sets."""
        return cls(
            idle_s=config.idle_s or inf,
            horizon_s=config.horizon_s or inf,
            reorder_s=config.reorder_s,
            forget_s=config.forget_s or inf,
            refuses_late=config.late_records == "refuse",
        )

    @property
    def any(self) -> bool:
        """Whether the clock does anything to a stream."""
        return isfinite(self.idle_s) or isfinite(self.horizon_s) or isfinite(self.forget_s)

    @property
    def least_s(self) -> float:
        """The soonest that a tick can do something to a stream, counted from a record of it."""
        reorder_s = self.reorder_s or inf
        return min(self.idle_s, self.horizon_s, self.forget_s, reorder_s)

    def over_s(self, rows: Timed) -> Times:
        """Return when each stream has been silent for so long that its episode has ended, [n].

        Without `idle_s` an episode that is decided ends when it would be forgotten, for its later
        records would only count; one that is not decided stays.
        """
        decided_s = self.idle_s if isfinite(self.idle_s) else self.forget_s
        silence_s = np.where(rows["phase"] == Phase.OPEN, self.idle_s, decided_s)
        over: Times = rows["last_s"] + silence_s
        return over

    def decided_s(self, rows: Timed) -> Times:
        """Return when each stream that is still scored comes to its clock horizon, [n]."""
        scored = (rows["phase"] == Phase.OPEN) | (rows["phase"] == Phase.SHADOW)
        return np.where(scored, rows["first_s"] + self.horizon_s, inf)

    def forgotten_s(self, rows: Timed) -> Times:
        """Return when each stream that has ended is forgotten, [n]; inf for those under way."""
        ended = rows["phase"] == Phase.ENDED
        return np.where(ended, rows["last_s"] + self.forget_s, inf)

    def deadlines(self, rows: Timed) -> Times:
        """Return the earliest tick that does something to each stream, [n].

        inf = none does. -inf where the stream's own clock is not known, and the first tick will
        set it.
        """
        phase = rows["phase"]
        live = (phase != Phase.UNKNOWN) & (phase != Phase.ENDED)
        over = np.where(live, self.over_s(rows) + self.reorder_s, inf)
        due = np.fmin(over, self.decided_s(rows) + self.reorder_s)
        due = np.fmin(due, self.forgotten_s(rows))
        if not np.isnan(rows["last_s"]).any():
            return due
        # A sum with an unknown time is NaN; with a limit of inf it would not matter when.
        limited = (phase == Phase.OPEN) & (isfinite(self.idle_s) or isfinite(self.horizon_s))
        limited |= live & (phase != Phase.OPEN) & self.any
        limited |= (phase == Phase.ENDED) & isfinite(self.forget_s)
        unknown = np.isnan(rows["last_s"])
        return np.where(unknown, np.where(limited, -inf, inf), due)
