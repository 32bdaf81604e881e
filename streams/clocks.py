"""What time it is in a partition: told by ticks, or by the records where nobody ticks."""

from __future__ import annotations

from bisect import bisect_right
from math import floor, inf, isnan, nan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streams.codec import decode_tick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from streams.inbox import Inbox, Item
    from streams.records import RawRecord

GRAIN_S = 10.0
"""Where the records are the clock, it moves in such steps."""
STRIDE_S = 3600.0
"""And by no more than this with one record: a single wrong stamp cannot end all streams."""


class Mark(NamedTuple):
    """A place in a partition at which its clock moves."""

    offset: int
    """Records from here on stand behind it."""
    tick_s: float
    is_record: bool
    """The tick stands in the topic, at `offset`."""


class Clocks:
    """What time it is at each record of some partitions.

    >>> clocks = Clocks({0: 5.0}, {0: [Mark(7, 9.0, True)]})
    >>> clocks.at(0, 6), clocks.at(0, 8)
    (5.0, 9.0)
    """

    def __init__(
        self, start: Mapping[int, float], marks: Mapping[int, Sequence[Mark]] | None = None
    ) -> None:
        self._start = start
        self._marks = {p: ([m.offset for m in some], some) for p, some in (marks or {}).items()}

    def at(self, partition: int, offset: int) -> float:
        """Return the clock at a record, seconds from 1970 UTC; NaN = not known."""
        if partition in self._marks:
            offsets, marks = self._marks[partition]
            before = bisect_right(offsets, offset)
            if before:
                return marks[before - 1].tick_s
        return self._start.get(partition, nan)

    def times_s(
        self, items: Sequence[Item], times: Sequence[datetime | None]
    ) -> NDArray[np.float64]:
        """Return when each record was taken: as it says, else by its partition's clock."""
        if not self._marks and all(map(isnan, self._start.values())) and not any(times):
            return np.full(len(items), nan)
        seconds = [
            self.at(item[0].partition, item[0].offset) if time is None else time.timestamp()
            for item, time in zip(items, times, strict=True)
        ]
        return np.array(seconds, dtype=np.float64)


def ticks(rows: Sequence[RawRecord]) -> list[Mark]:
    """Return the ticks among the records of a partition.

    >>> from streams.records import RawRecord
    >>> [mark.tick_s for mark in ticks([RawRecord(0, 7, b'{"tick": "1970-01-01T00:01:00Z"}')])]
    [60.0]
    """
    found = []
    for raw in rows:
        time = decode_tick(raw.value)
        if time is not None:
            found.append(Mark(raw.offset, time.timestamp(), is_record=True))
    return found


def rising(marks: Sequence[Mark], clock_s: float) -> list[Mark]:
    """Return the ticks that move a partition's clock: one below it changes nothing.

    >>> marks = [Mark(1, 5.0, True), Mark(2, 4.0, True), Mark(3, 6.0, True)]
    >>> [mark.offset for mark in rising(marks, float("nan"))]
    [1, 3]
    """
    found = []
    for mark in marks:
        if isnan(clock_s) or mark.tick_s > clock_s:
            found.append(mark)
            clock_s = mark.tick_s
    return found


def by_records(stamped: Sequence[tuple[int, float]], clock_s: float) -> list[Mark]:
    """Return where the records themselves move the clock: (offset, time) each, in offset order.

    The first record in a new span of `GRAIN_S` seconds does, just before itself. That depends on
    the records alone, not on how they are cut into batches.

    >>> found = by_records([(7, 12.0), (8, 19.0), (9, 25.0), (10, 1e9)], float("nan"))
    >>> [(mark.offset, mark.tick_s) for mark in found]
    [(7, 10.0), (9, 20.0), (10, 3620.0)]
    """
    found = []
    for offset, time_s in stamped:
        reached = time_s if isnan(clock_s) else min(time_s, clock_s + STRIDE_S)
        reached = floor(reached / GRAIN_S) * GRAIN_S
        if isnan(clock_s) or reached > clock_s:
            found.append(Mark(offset, reached, is_record=False))
            clock_s = reached
    return found


def stamps(inboxes: Mapping[str, Inbox]) -> dict[int, dict[int, float]]:
    """Return, by partition and offset, the times that records carry; NaN where they carry none."""
    found: dict[int, dict[int, float]] = {}
    for inbox in inboxes.values():
        for raw, event, _ in inbox.items:
            known = found.setdefault(raw.partition, {})
            if event.time is not None:
                known[raw.offset] = event.time.timestamp()
            else:
                known.setdefault(raw.offset, nan)
    return found


class Oldest:
    """The oldest time among the records of a partition from some offset on.

    A record without a time counts as taken at `clock_s`, at the earliest.
    """

    def __init__(self, stamped: Mapping[int, float], clock_s: float) -> None:
        self._offsets = sorted(stamped)
        times_s = np.array([stamped[offset] for offset in self._offsets], dtype=np.float64)
        times_s[np.isnan(times_s)] = -inf if isnan(clock_s) else clock_s
        self._suffix = np.minimum.accumulate(times_s[::-1])[::-1]

    def since(self, offset: int) -> float:
        """Return the oldest time; inf if there is no record."""
        at = bisect_right(self._offsets, offset - 1)
        return float(self._suffix[at]) if at < len(self._offsets) else inf
