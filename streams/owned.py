"""What a worker knows of the partitions it owns, and counts of what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isnan, nan
from typing import TYPE_CHECKING

from store.rows import PartitionCommit

if TYPE_CHECKING:
    from store.rows import StateKey, StateRow
    from streams.inbox import Changes
    from streams.legs import Leg


@dataclass
class Counts:
    """What a worker did since it started; for metrics and logs."""

    records: int = 0
    steps: int = 0
    decisions: int = 0
    dead_letters: int = 0
    commits: int = 0
    repeats: int = 0
    """Records skipped because their event id had been seen."""
    skipped: int = 0
    """Deliveries below `next_offset`."""
    filled: int = 0
    """Records fetched directly."""
    ticks: int = 0
    forgotten: int = 0
    """States of streams that ended long ago, deleted."""
    fenced: int = 0
    """Partition batches refused because another worker had claimed the partition."""


@dataclass
class Owned:
    """A partition this worker has claimed."""

    epoch: int
    next_offset: int
    states: dict[StateKey, StateRow] = field(default_factory=dict)
    """States known to be current, oldest use first; the epoch makes this safe."""
    clock_s: float = nan
    """The partition's clock; NaN = it is not known."""
    due_s: float = -inf
    """No stream is due before; -inf = that is not known."""

    def commit(self, partition: int, leg: Leg, changes: Changes) -> PartitionCommit:
        """Return what a batch changes, up to where its leg stands."""
        moved = not isnan(leg.clock_s) and leg.clock_s != self.clock_s
        return PartitionCommit(
            partition=partition,
            epoch=self.epoch,
            next_offset=leg.next_offset,
            states=tuple(changes.states.values()),
            decisions=tuple(changes.decisions),
            outcomes=tuple(changes.outcomes),
            dead_letters=tuple(changes.dead_letters),
            clock_s=leg.clock_s if moved else None,
            forgotten=tuple(changes.forgotten),
        )
