"""What goes into the scoring of a batch, and what comes out of it: plain collections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from store.rows import NewDeadLetter, NewDecision, NewOutcome, StateKey, StateRow
from streams.records import Event, RawRecord, Rejected

KEPT_PAYLOAD_BYTES = 65_536
"""A dead letter keeps this much of its record."""


@dataclass
class Changes:
    """What the records of one partition change; grows while a batch is worked through."""

    states: dict[StateKey, StateRow] = field(default_factory=dict)
    decisions: list[NewDecision] = field(default_factory=list)
    outcomes: list[NewOutcome] = field(default_factory=list)
    dead_letters: list[NewDeadLetter] = field(default_factory=list)
    forgotten: set[StateKey] = field(default_factory=set)
    """States that go; none of them is among `states`."""
    n_repeats: int = 0
    """Records skipped because their event id was seen before."""
    n_steps: int = 0


Held = Callable[[int, StateKey], StateRow | None]
"""Looks up the state that a stream of a partition had before the batch."""
Home = tuple[int, str]
"""Partition and stream id: where a stream's state lives."""
Item = tuple[RawRecord, Event, str]
"""A decoded record, where it came from, and its event id. (A plain tuple: one is made for every
record, and a named one takes several times as long.)"""


class Inbox:
    """The records of a batch for one detector, and the streams that they belong to."""

    def __init__(
        self, detector: str, items: Sequence[Item], times_s: Sequence[float] | None = None
    ) -> None:
        self.items = items
        self.times_s = times_s
        """When each record counts as taken, where that was settled before; else its own time."""
        places: dict[Home, int] = {}
        self.row = np.array(
            [
                places.setdefault((raw.partition, event.stream_id), len(places))
                for raw, event, _ in items
            ],
            dtype=np.intp,
        )
        """Which stream each record belongs to: its place in `homes`."""
        self.homes: Sequence[Home] = list(places)
        self.keys = [StateKey(detector, stream_id) for _, stream_id in places]


def dead_letter(raw: RawRecord, why: Rejected, detector: str | None = None) -> NewDeadLetter:
    """Return the dead letter of a record."""
    payload = (raw.value or b"")[:KEPT_PAYLOAD_BYTES]
    return NewDeadLetter(raw.offset, why.reason, why.detail, detector, payload)
