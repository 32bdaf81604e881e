"""A worker that lives through outages, and drains backlogs in slices: what every driver needs.

All methods are called from one thread at a time (the driver's lane). Only outages are lived
through; any other exception comes out and ends the process.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from store.errors import StoreUnavailableError
from streams.errors import BrokerError, TopicError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streams.drivers.topic_watch import TopicWatch
    from streams.records import RawRecord
    from streams.worker import Worker

SLICE = 5_000
"""Records read directly in one go: what a rebalance may have to wait for."""
LONGEST_PAUSE_TICKS = 8
BEAT_TICKS = 5
OVERDUE_S = 15.0
"""So long without a beat, the group hears of a worker before the worker does anything else."""
CUT_TICKS = 3
"""Ticks in a row with a partition that ends below its next offset: it was cut, or made anew."""

log = structlog.get_logger("tocsin.worker")


@dataclass(frozen=True, slots=True)
class Condition:
    """How a worker stands at the end of a tick."""

    owned: tuple[int, ...]
    lag: int
    """Records behind over all owned partitions, by the ledger; 0 if that could not be asked."""
    position: int
    """Sum of the next offsets and number of commits (a tick may take many): it grows as long as
    work goes on."""
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
        Called every `BEAT_TICKS`, and before a claim, to tell the group that the worker lives;
        raises if the group has moved on without it.
    watch
        Notices that the topic was made anew.
    clock
        Seconds; for `OVERDUE_S` only.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        session_ticks: int,
        drain_lag: int,
        beat: Callable[[], None] | None = None,
        watch: TopicWatch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.worker = worker
        self.assigned: frozenset[int] = frozenset()
        self._session_ticks, self._drain_lag = session_ticks, drain_lag
        self._beat, self._beat_in = beat, BEAT_TICKS
        self._clock = clock
        self._beaten_at = clock()
        self._watch = watch
        self._cut: Counter[int] = Counter()
        """Ticks in a row in which a partition ended below its next offset."""
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
        if self._watch is not None:
            self._watch.hurry()
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
            self._be_known()
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
            self._be_known()
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
        """Do what is due once a second; say how things stand.

        Raises
        ------
        TopicChangedError, TopicError
            The topic is not the one that the worker began with.
        OtherDetectorsError
            The group took the worker for dead, and runs other detectors now.
        """
        if self._watch is not None:
            self._watch.tick()
        try:
            if self._claim_in is not None:
                # A process that was stopped must first hear from the broker whose is what.
                self._claim_in = self._session_ticks + 2 if overslept else self._claim_in - 1
                if self._claim_in <= 0:
                    self._claim()
            self._live(overslept)
            self.worker.tend(self.assigned, overslept=overslept)
            lag = self._lag()
        except (StoreUnavailableError, BrokerError) as error:
            self._endure(error)
            return self._condition(lag=0, outage=True)
        return self._condition(lag=lag, outage=self._claim_in is not None)

    def _live(self, overslept: bool) -> None:
        self._beat_in -= 1
        if overslept or self._beat_in <= 0:
            self._beat_now()

    def _be_known(self) -> None:
        """Beat if that is long overdue: whoever woke late may find other detectors at work.

        The clock makes a worker more careful here, never less.
        """
        if self.worker.owned and self._clock() - self._beaten_at > OVERDUE_S:
            self._beat_now()

    def _beat_now(self) -> None:
        if self._beat is not None:
            self._beat()
        self._beat_in, self._beaten_at = BEAT_TICKS, self._clock()

    def _lag(self) -> int:
        """Return how many records wait; TopicError if a partition ends before its next one."""
        lags = self.worker.lag()
        # Not at the first look: a broker that lost its leadership may still tell an old end.
        self._cut = Counter({p: self._cut[p] + 1 for p, behind in lags.items() if behind < 0})
        for partition, ticks in self._cut.items():
            if self._watch is not None:
                self._watch.hurry()
            if ticks >= CUT_TICKS:
                expected = self.worker.owned[partition].next_offset
                message = (
                    f"partition {partition} ends at {expected + lags[partition]}, but the next "
                    f"record to read is {expected}: the topic was cut or made anew. Either bring "
                    "the old topic back, or stop all workers of this group and start them under "
                    "a new group name (TOCSIN_GROUP)."
                )
                raise TopicError(message)
        return sum(behind for behind in lags.values() if behind > 0)

    def _claim(self) -> None:
        try:
            # First of all: after a sleep the group may have gone over to other detectors.
            self._beat_now()
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
            self._beat_in = max(self._beat_in, self._pause)
        log.warning("outage", trouble=str(error), again_in_ticks=self._claim_in or 1)

    def _condition(self, *, lag: int, outage: bool) -> Condition:
        owned = self.worker.owned
        return Condition(
            owned=tuple(sorted(owned)),
            lag=lag,
            position=sum(held.next_offset for held in owned.values()) + self.worker.counts.commits,
            outage=outage,
        )
