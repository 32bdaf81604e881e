"""A worker that lives through outages, and drains backlogs in slices: what every driver needs.

All methods are called from one thread at a time (the driver's lane). Only outages are lived
through; any other exception comes out and ends the process.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from store.errors import StoreUnavailableError
from streams.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streams.records import RawRecord
    from streams.worker import Worker

SLICE = 5_000
"""Records read directly in one go: what a rebalance may have to wait for."""
LONGEST_PAUSE_TICKS = 8
BEAT_TICKS = 5

log = structlog.get_logger("tocsin.worker")


@dataclass(frozen=True, slots=True)
class Condition:
    """How a worker stands at the end of a tick."""

    owned: tuple[int, ...]
    lag: int
    """Records behind over all owned partitions, by the ledger; 0 if that could not be asked."""
    position: int
    """Sum of the next offsets: it grows as long as work goes on."""
    outage: bool
    """Store or broker did not answer: nothing can be expected to move."""

    def stalled_since(self, before: Condition) -> bool:
        """Whether there was work, and none of it was done since `before`.

        >>> before = Condition((0, 1), lag=10, position=100, outage=False)
        >>> Condition((0, 1), lag=10, position=100, outage=False).stalled_since(before)
        True
        >>> Condition((0, 1), lag=10, position=101, outage=False).stalled_since(before)
        False
        """
        moved = (self.owned, self.position) != (before.owned, before.position)
        return self.lag > 0 and not moved and not self.outage


class SteadyWorker:
    """Keeps a `Worker` at work while store and broker come and go.

    Parameters
    ----------
    worker
        What does the work.
    session_ticks
        Ticks of one second after which the broker takes a silent process for dead.
    drain_lag
        A partition further behind than this is read directly, in slices.
    beat
        Called every `BEAT_TICKS`, to tell the group that the worker lives.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        session_ticks: int,
        drain_lag: int,
        beat: Callable[[], None] | None = None,
    ) -> None:
        self.worker = worker
        self.assigned: frozenset[int] = frozenset()
        self._session_ticks, self._drain_lag = session_ticks, drain_lag
        self._beat, self._beat_in = beat, BEAT_TICKS
        self._claim_in: int | None = None
        """Ticks until the assignment is claimed (again); None: nothing to claim."""
        self._pause = 0
        self._plan: deque[tuple[int, int]] = deque()
        """(partition, offset to read up to) still to be drained."""
        self._stale: set[int] = set()
        """Partitions whose latest delivery was old news: the driver is behind the ledger."""

    def assign(self, partitions: Iterable[int]) -> None:
        """Take a new assignment and claim it, as soon as the store answers."""
        self.assigned = frozenset(partitions)
        self._plan.clear()
        self._stale.clear()
        self._claim()

    def revoke(self, partitions: Iterable[int]) -> None:
        """Give partitions up."""
        gone = frozenset(partitions)
        self.assigned -= gone
        self._plan.clear()
        self._stale -= gone
        self.worker.revoke(gone)

    def process(self, records: Sequence[RawRecord]) -> None:
        """Process deliveries. What an outage keeps from counting is read directly later."""
        try:
            self.worker.process(records)
        except (StoreUnavailableError, BrokerError) as error:
            self._endure(error)
        for raw in records:
            held = self.worker.owned.get(raw.partition)
            if held is not None and raw.offset + 1 < held.next_offset:
                self._stale.add(raw.partition)
            else:
                self._stale.discard(raw.partition)

    def drain_slice(self) -> bool:
        """Read one slice of the backlog directly; False if there is no backlog (now).

        A partition counts as backlog beyond `drain_lag` records, or with any lag at all while
        the driver still delivers what the ledger has passed.
        """
        try:
            if not self._plan:
                self._plan.extend(self._backlog())
            if not self._plan:
                return False
            partition, stop = self._plan.popleft()
            held = self.worker.owned.get(partition)
            if held is not None:
                upto = min(stop, held.next_offset + SLICE)
                self.worker.drain(partition, upto)
                if upto < stop:
                    self._plan.append((partition, stop))
        except (StoreUnavailableError, BrokerError) as error:
            self._endure(error)
            return False
        return True

    def tick(self, *, overslept: bool) -> Condition:
        """Do what is due once a second; say how things stand."""
        try:
            if self._claim_in is not None:
                # A process that was stopped must first hear from the broker whose is what.
                self._claim_in = self._session_ticks + 2 if overslept else self._claim_in - 1
                if self._claim_in <= 0:
                    self._claim()
            self._live(overslept)
            self.worker.tend(self.assigned, overslept=overslept)
            lag = sum(self.worker.lag().values())
        except (StoreUnavailableError, BrokerError) as error:
            self._endure(error)
            return self._condition(lag=0, outage=True)
        return self._condition(lag=lag, outage=self._claim_in is not None)

    def _live(self, overslept: bool) -> None:
        self._beat_in -= 1
        if self._beat is not None and (overslept or self._beat_in <= 0):
            self._beat()
            self._beat_in = BEAT_TICKS

    def _claim(self) -> None:
        try:
            self.worker.assign(self.assigned)
        except StoreUnavailableError as error:
            self._endure(error)
        else:
            self._claim_in, self._pause = None, 0

    def _backlog(self) -> list[tuple[int, int]]:
        due: list[tuple[int, int]] = []
        for partition, behind in self.worker.lag().items():
            least = 0 if partition in self._stale else self._drain_lag
            if behind > least:
                due.append((partition, self.worker.owned[partition].next_offset + behind))
        return due

    def _endure(self, error: StoreUnavailableError | BrokerError) -> None:
        """Forget what is in doubt, and try again in a while."""
        self._plan.clear()
        if isinstance(error, StoreUnavailableError):
            # Whether the last commit was stored is not known: claim anew, and go on where the
            # ledger says.
            self.worker.revoke(tuple(self.worker.owned))
            self._pause = min(LONGEST_PAUSE_TICKS, max(1, self._pause * 2))
            self._claim_in = self._pause
        log.warning("outage", trouble=str(error), again_in_ticks=self._claim_in or 1)

    def _condition(self, *, lag: int, outage: bool) -> Condition:
        owned = self.worker.owned
        return Condition(
            owned=tuple(sorted(owned)),
            lag=lag,
            position=sum(held.next_offset for held in owned.values()),
            outage=outage,
        )
