"""A batch's records laid out as rounds: the k-th step of every stream forms the k-th round."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.state import REMEMBERED_EVENTS, Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from models.inputs import Inputs

Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The valid records of one batch for one detector, in the order they came."""

    row: Index
    """[m] which stream of the batch."""
    event_ids: Sequence[str]
    hashes: NDArray[np.uint64]
    """[m] `event_hash` of each id."""
    n_steps: Index
    """[m]"""
    ends: NDArray[np.bool_]
    """[m] an end marker follows the record's steps."""
    inputs: Inputs
    """[sum of n_steps], as `models.inputs` holds them."""
    times: Sequence[datetime | None]
    """As the records carry them."""
    times_s: NDArray[np.float64]
    """[m] seconds from 1970 UTC; a record that carries none has its partition's clock, NaN where
    that is not known either."""


class Round(NamedTuple):
    """At most one item of each stream: a step to score or an end marker."""

    row: Index
    record: Index
    step: Index
    """Row of `Arrivals.inputs`; meaningless for an end marker."""
    is_end: NDArray[np.bool_]

    def only(self, which: NDArray[np.bool_]) -> Round:
        """Return some of the items."""
        return Round(self.row[which], self.record[which], self.step[which], self.is_end[which])


def no_arrivals() -> Arrivals:
    """Return a batch without records."""
    none = np.empty(0, dtype=np.intp)
    return Arrivals(
        row=none, event_ids=(), hashes=none.astype(np.uint64), n_steps=none,
        ends=none.astype(np.bool_), inputs=none, times=(), times_s=none.astype(np.float64),
    )  # fmt: skip


def event_hash(event_id: str) -> int:
    """Return 64 bits that name an event id; an adversary cannot make two ids collide at will.

    >>> event_hash("pen-17/3") == event_hash("pen-17/3")
    True
    """
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "little")


def event_hashes(event_ids: Iterable[str]) -> NDArray[np.uint64]:
    """Return `event_hash` of each id.

    >>> event_hashes(["a", "b"]).tolist() == [event_hash("a"), event_hash("b")]
    True
    """
    digests = [blake2b(event_id.encode(), digest_size=8).digest() for event_id in event_ids]
    return np.frombuffer(b"".join(digests), dtype="<u8")


def occurrence(row: Index) -> Index:
    """Return how many earlier entries have the same value.

    >>> occurrence(np.array([4, 2, 4, 4, 2])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(row, kind="stable")
    ordered = row[order]
    is_first = np.ones(len(row), dtype=np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    first = np.flatnonzero(is_first)
    rank = np.empty(len(row), dtype=np.intp)
    rank[order] = np.arange(len(row)) - np.repeat(first, np.diff(first, append=len(row)))
    return rank


def first_deliveries(rows: Rows, arrivals: Arrivals) -> NDArray[np.bool_]:
    """Return which records do not repeat one of their stream's last 64 event ids; [m].

    Exact whatever the batches: whether a record counts depends on its stream's past alone.
    """
    row, hashes = arrivals.row, arrivals.hashes
    filled = np.minimum(rows["n_records"], REMEMBERED_EVENTS)[row]
    known = rows["recent"][row] == hashes[:, None]
    known &= np.arange(REMEMBERED_EVENTS) < filled[:, None]
    suspicious = known.any(axis=1)
    order = np.lexsort((hashes, row))
    twin = (row[order][1:] == row[order][:-1]) & (hashes[order][1:] == hashes[order][:-1])
    suspicious[order[1:][twin]] = True
    keep = np.ones(len(row), dtype=np.bool_)
    # Only a stream with a possible repeat is walked through record by record.
    for stream in np.unique(row[suspicious]):
        at = np.flatnonzero(row == stream)
        keep[at] = _walk(rows[stream], hashes[at].tolist())
    return keep


def _walk(state: np.void, hashes: Sequence[int]) -> list[bool]:
    seen = int(state["n_records"])
    start = max(0, seen - REMEMBERED_EVENTS)
    window = deque(
        (int(state["recent"][k % REMEMBERED_EVENTS]) for k in range(start, seen)),
        maxlen=REMEMBERED_EVENTS,
    )
    keep = []
    for value in hashes:
        keep.append(value not in window)
        if keep[-1]:
            window.append(value)
    return keep


def latest_times(
    start: NDArray[np.float64], row: Index, times_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each stream's clock before and after each of its records, [m] both; NaN = unknown.

    `start` are the clocks of the streams before all of them. A clock never goes backwards.

    >>> times_s = np.array([5.0, np.nan, 3.0, 1.0, 7.0])
    >>> before, after = latest_times(np.array([4.0, np.nan]), np.array([0, 1, 0, 1, 0]), times_s)
    >>> before.tolist(), after.tolist()
    ([4.0, nan, 5.0, nan, 5.0], [5.0, nan, 5.0, 1.0, 7.0])
    """
    order = np.argsort(row, kind="stable")
    streams, known = row[order], np.fmax(times_s, start[row])[order]
    # A running maximum in every stream at once, over ranks: they are whole numbers, so that a
    # stream's can be lifted above all those of the stream before.
    values, rank = np.unique(known, return_inverse=True)
    rank[np.isnan(known)] = -1
    lift = streams * (len(values) + 1)
    rank = np.maximum.accumulate(rank + 1 + lift) - lift
    latest = np.concatenate(([np.nan], values))[rank]
    before = start[streams]
    same = streams[1:] == streams[:-1]
    before[1:][same] = latest[:-1][same]
    back = np.empty(len(order), dtype=np.intp)
    back[order] = np.arange(len(order))
    return before[back], latest[back]


@dataclass(frozen=True)
class RecordClocks:
    """What time it is in a stream at each record of a batch, [m]."""

    latest_s: NDArray[np.float64]
    """The stream's clock from the record on; NaN = not known."""
    late_s: NDArray[np.float64]
    """How much older the record is than what was scored already; <= 0 or NaN = it is not."""
    refuses: bool
    """Some record is to be refused as late."""

    @classmethod
    def of(
        cls, rows: Rows, arrivals: Arrivals, kept: Index, refuses_late: bool
    ) -> RecordClocks | None:
        """Return the clocks of a batch; None if no record says what time it is."""
        if np.isnan(arrivals.times_s).all():
            return None
        latest, late = np.full((2, len(arrivals.row)), np.nan)
        times_s = arrivals.times_s[kept]
        before, latest[kept] = latest_times(rows["last_s"], arrivals.row[kept], times_s)
        late[kept] = before - times_s
        if refuses_late:  # a record without a time of its own is not late
            late[[time is None for time in arrivals.times]] = np.nan
        return cls(latest, late, refuses_late and bool((late > 0).any()))


def remember(rows: Rows, row: Index, hashes: NDArray[np.uint64]) -> None:
    """Add the hashes of accepted records to their streams' rings, in place."""
    rank = occurrence(row)
    counts = np.bincount(row, minlength=len(rows))
    last = rank >= counts[row] - REMEMBERED_EVENTS  # earlier ones would be overwritten anyway
    position = (rows["n_records"][row] + rank) % REMEMBERED_EVENTS
    rows["recent"][row[last], position[last]] = hashes[last]
    rows["n_records"] += counts


def rounds(arrivals: Arrivals, kept: Index) -> Iterator[Round]:
    """Yield the rounds of the kept records, first items first."""
    n_items = arrivals.n_steps[kept] + arrivals.ends[kept]
    record = np.repeat(kept, n_items)
    # Which item of its record: counted from where the record's items begin.
    nth = np.arange(len(record)) - np.repeat(np.cumsum(n_items) - n_items, n_items)
    first_step = np.cumsum(arrivals.n_steps) - arrivals.n_steps
    is_end = nth == arrivals.n_steps[record]
    row = arrivals.row[record]
    rank = occurrence(row)
    order = np.argsort(rank, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(rank[order])) + 1):
        if len(at):
            yield Round(row[at], record[at], first_step[record[at]] + nth[at], is_end[at])
