"""How far a worker gets through a batch of one partition before a tick may have work for it."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from streams.clocks import Mark, Oldest, by_records, rising, ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.records import RawRecord


class Leg:
    """A batch of one partition, worked through from tick to tick.

    Only a tick at which some stream may be due is stopped at; the others just move the clock.

    Parameters
    ----------
    rows
        The records in offset order, at least one; ticks among them.
    clock_s
        The partition's clock before them; NaN = not known.
    """

    def __init__(self, rows: Sequence[RawRecord], clock_s: float) -> None:
        self.clock_s = clock_s
        """The partition's clock where the leg stands."""
        self.ticks: list[Mark] = ticks(rows)
        self.marks: list[Mark] = []
        """Where the clock moves."""
        self.due: Mark | None = None
        """The tick at which streams may be due, and where the leg stands."""
        self.next_offset = rows[0].offset
        """Where it stands: what is before was worked through."""
        self.span = (self.next_offset, self.next_offset)
        """What the latest advance passed: from one offset to below another."""
        self._offsets = [raw.offset for raw in rows]
        self._tick_offsets = [mark.offset for mark in self.ticks]
        self._kept = self.next_offset
        self._ahead = 0
        self._oldest = Oldest({}, clock_s)

    def plan(self, stamped: Mapping[int, float], *, records_tick: bool) -> None:
        """Find out where the clock moves.

        `stamped` are the times that the records carry, by offset. With `records_tick` they are
        the clock, and a tick is like any of them.
        """
        self._oldest = Oldest(stamped, self.clock_s)
        if not records_tick:
            self.marks = rising(self.ticks, self.clock_s)
            return
        times_s = {offset: time_s for offset, time_s in stamped.items() if time_s == time_s}
        times_s |= {mark.offset: mark.tick_s for mark in self.ticks}
        self.marks = by_records(sorted(times_s.items()), self.clock_s)

    @property
    def is_over(self) -> bool:
        """Whether all of the batch was worked through."""
        return self.due is None and self.next_offset > self._offsets[-1]

    @property
    def is_whole(self) -> bool:
        """Whether the latest advance passed the batch in one go."""
        return self.span == (self._offsets[0], self._offsets[-1] + 1)

    @property
    def n_ticks(self) -> int:
        """Ticks passed since the latest commit."""
        return self._count(self._tick_offsets)

    @property
    def n_records(self) -> int:
        """Records passed since the latest commit, ticks not among them."""
        return self._count(self._offsets) - self.n_ticks

    @property
    def has_moved(self) -> bool:
        """Whether there is anything to commit."""
        return self.next_offset > self._kept

    def keep(self) -> None:
        """Take note that all up to here is committed."""
        self._kept = self.next_offset

    def advance(self, due_s: float, least_s: float) -> None:
        """Go on to the next tick at which a stream may be due, or to the end.

        Parameters
        ----------
        due_s
            No stream was due before, by what is committed.
        least_s
            How long after one of its records a stream may be due.
        """
        first = self.next_offset
        bound_s = min(due_s, self._oldest.since(first) + least_s)
        for mark in self.marks[self._ahead :]:
            if mark.tick_s >= bound_s:
                self.due, self.next_offset = mark, mark.offset
                break
            self.clock_s = mark.tick_s
            self._ahead += 1
        else:
            self.next_offset = self._offsets[-1] + 1
        self.span = (first, self.next_offset)

    def pass_tick(self) -> None:
        """Leave the tick at which the leg stands behind."""
        assert self.due is not None  # noqa: S101  # else it does not stand at one
        self.clock_s = self.due.tick_s
        self.next_offset += self.due.is_record
        self.due = None
        self._ahead += 1

    def _count(self, offsets: Sequence[int]) -> int:
        return bisect_left(offsets, self.next_offset) - bisect_left(offsets, self._kept)
