"""Records of a stream brought into the order of their times: held back until it is late enough.

A record is let go once its stream, or its partition's clock, has come `reorder_s` further than the
record's own time; then nothing older will come any more, or it is late.
"""

from __future__ import annotations

from bisect import insort
from math import inf, isnan, nan
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct

from streams.records import Event

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streams.rounds import Index

MOST_HELD = 256
"""Records held of one stream; beyond it the oldest is let go before its time."""


class HeldRecord(Struct, array_like=True, gc=False):
    """A record that waits."""

    time_s: float
    """When it counts as taken; NaN = not known, and it does not wait."""
    offset: int
    event: Event
    """With an `event_id`, whatever the record brought."""


def _order(record: HeldRecord) -> tuple[float, int]:
    return record.time_s, record.offset


class _Stored(Struct, array_like=True, gc=False):
    newest_s: float
    held: list[HeldRecord]


_decoder = msgspec.msgpack.Decoder(_Stored)
_encoder = msgspec.msgpack.Encoder()


class Buffer:
    """The held records of one stream, oldest first; records of the same time as they came.

    What is let go depends on the stream's records and on the clock at each of them only, not on
    how they are cut into batches.

    Parameters
    ----------
    pending
        As `encode` gave it; None = a stream of which nothing was seen.

    Examples
    --------
    >>> from math import nan
    >>> buffer = Buffer()
    >>> def take(time_s, offset):
    ...     event = Event("a", event_id=str(offset), end=True)
    ...     return buffer.take(HeldRecord(time_s, offset, event), nan, reorder_s=5.0)
    >>> take(12.0, 0), take(10.0, 1)
    ([], [])
    >>> [record.time_s for record in take(16.0, 2)]
    [10.0]
    """

    def __init__(self, pending: bytes | None = None) -> None:
        stored = _Stored(nan, []) if pending is None else _decoder.decode(pending)
        self.newest_s = stored.newest_s
        """Latest time seen in the stream; NaN = none was."""
        self.held = stored.held

    def encode(self) -> bytes | None:
        """Return what `Buffer` reads back; None if there is nothing to keep."""
        if isnan(self.newest_s) and not self.held:
            return None
        return _encoder.encode(_Stored(self.newest_s, self.held))

    def take(
        self, record: HeldRecord, clock_s: float, reorder_s: float
    ) -> list[HeldRecord] | None:
        """Put a record in; return those that are let go by it, in order. None: held already.

        A record without a time is taken to be as late as all that was seen before it.
        """
        if isnan(record.time_s):
            record.time_s = _later(clock_s, self.newest_s)
            if isnan(record.time_s):
                return [record]
        if any(other.event.event_id == record.event.event_id for other in self.held):
            return None
        self.newest_s = _later(self.newest_s, record.time_s)
        insort(self.held, record, key=_order)
        released = self.due(_later(self.newest_s, clock_s), reorder_s)
        while len(self.held) > MOST_HELD:
            released.append(self.held.pop(0))
        return released

    def due(self, now_s: float, reorder_s: float) -> list[HeldRecord]:
        """Let go of what nothing older will follow, by `now_s`."""
        n_due = sum(record.time_s + reorder_s <= now_s for record in self.held)
        released, self.held = self.held[:n_due], self.held[n_due:]
        return released

    def next_s(self, reorder_s: float) -> float:
        """Return the earliest tick that lets go of a record; inf = none is held."""
        return self.held[0].time_s + reorder_s if self.held else inf


def in_order(row: Index, times_s: NDArray[np.float64], reorder_s: float) -> Index | None:
    """Return in which order the records of some streams are let go; None: as they come.

    `row` says whose each is, a stream's one after the other; `times_s` when it was taken.

    >>> in_order(np.array([0, 0, 0, 1]), np.array([5.0, 4.0, 9.0, 1.0]), 2.0).tolist()
    [1, 0, 2, 3]
    """
    if not ((np.diff(times_s) < 0) & (np.diff(row) == 0)).any():
        return None
    order: list[int] = []
    buffer = Buffer()
    for at, time_s in enumerate(times_s.tolist()):
        if at and row[at] != row[at - 1]:
            order += [record.offset for record in buffer.due(inf, reorder_s)]
            buffer = Buffer()
        record = HeldRecord(time_s, at, Event("-", event_id=str(at)))
        order += [record.offset for record in buffer.take(record, nan, reorder_s) or ()]
    order += [record.offset for record in buffer.due(inf, reorder_s)]
    return np.array(order, dtype=np.intp)


def _later(one_s: float, other_s: float) -> float:
    """Return the later of two times, NaN = not known."""
    if isnan(one_s):
        return other_s
    return one_s if isnan(other_s) else max(one_s, other_s)
