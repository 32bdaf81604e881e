"""The worker: the one lane that owns the ledger, the states in memory and the direct reads.

Drivers call it from one thread at a time. It trusts no driver: what counts is the ledger's
`next_offset`, and whatever a driver did not deliver is fetched directly.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from store.rows import PartitionCommit
from streams.batch import Changes, decide, needed_states, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from store.ledger import Ledger
    from store.rows import StateKey, StateRow
    from streams.ports import Fetcher
    from streams.records import RawRecord
    from streams.roster import Roster


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
    fenced: int = 0
    """Partition batches refused because another worker had claimed the partition."""


@dataclass
class Owned:
    """A partition this worker has claimed."""

    epoch: int
    next_offset: int
    states: dict[StateKey, StateRow] = field(default_factory=dict)
    """States known to be current, oldest use first; the epoch makes this safe."""


class Worker:
    """Process records of the partitions it owns, one ledger commit a batch.

    Parameters
    ----------
    roster
        The detectors.
    ledger, fetcher
        Where batches are committed, and where records can be read by position.
    topic_id
        The broker's id of the topic; names records that bring no `event_id`.
    session_ticks
        Seconds without a word from the broker after which it gives a partition to another.
    drain_lag
        Records behind at which a partition is read directly instead of through the driver.
    batch_records
        Most records of a batch read directly.
    cache_streams
        States kept in memory, over all partitions.
    """

    def __init__(
        self,
        roster: Roster,
        ledger: Ledger,
        fetcher: Fetcher,
        *,
        topic_id: str,
        session_ticks: int = 30,
        drain_lag: int = 3000,
        batch_records: int = 5000,
        cache_streams: int = 200_000,
    ) -> None:
        self.roster = roster
        self.counts = Counts()
        self._ledger, self._fetcher, self._topic_id = ledger, fetcher, topic_id
        self._session_ticks, self._drain_lag = session_ticks, drain_lag
        self._batch_records, self._cache_streams = batch_records, cache_streams
        self._owned: dict[int, Owned] = {}
        self._idle: dict[int, int] = {}
        """Ticks since a partition was claimed, or its next record was processed."""
        self._lost: dict[int, Owned] = {}
        """What was given up, in case nobody else claims it before it comes back."""

    @property
    def owned(self) -> Mapping[int, Owned]:
        """Partitions held, by number."""
        return self._owned

    def assign(self, partitions: Iterable[int]) -> None:
        """Take a new assignment: drop what is not in it and claim all of it."""
        wanted = set(partitions)
        self.revoke(set(self._owned) - wanted)
        self._idle.clear()
        self._claim(sorted(wanted))
        self._lost.clear()  # the rest is with others now

    def revoke(self, partitions: Iterable[int]) -> None:
        """Give partitions up. States stay at hand in case they come straight back."""
        for partition in partitions:
            held = self._owned.pop(partition, None)
            if held is not None:
                self._lost[partition] = held
        self._idle.clear()

    def process(self, records: Sequence[RawRecord]) -> int:
        """Process deliveries, in offset order within a partition; return how many counted.

        Records of partitions not owned are left to their owner, those below `next_offset` were
        committed before, and a gap before a record is read directly first.
        """
        fresh: list[RawRecord] = []
        for partition, rows in _by_partition(records).items():
            fresh += self._due(partition, rows)
        return self._run(fresh)

    def drain(self, partition: int, stop: int) -> int:
        """Read a partition directly up to offset `stop`; return how many records counted."""
        counted = 0
        while (held := self._owned.get(partition)) and held.next_offset < stop:
            rows = self._fetcher.fetch(partition, held.next_offset, stop, self._batch_records)
            if not rows:  # nothing exists up to `stop`: transaction markers, compaction
                held.next_offset = stop
                break
            self.counts.filled += len(rows)
            counted += self._run(rows)
        return counted

    def tend(self, assigned: AbstractSet[int], *, overslept: bool = False) -> None:
        """Once a second: claim again what was lost for too long, and read what lags directly.

        Ticks are counted, not clock time: a process that was stopped must first hear from the
        broker, not conclude from its clock that everybody else is gone.
        """
        if overslept:
            self._idle.clear()
        for partition in sorted(assigned | set(self._owned)):
            ticks = self._idle[partition] = self._idle.get(partition, -1) + 1
            held = self._owned.get(partition)
            if held is None:
                if ticks > self._session_ticks + 2:
                    self._claim([partition])
                continue
            end = self._fetcher.end(partition)
            behind = end - held.next_offset
            if behind > 0 and (ticks > 2 or behind > self._drain_lag):
                self.drain(partition, end)

    def lag(self) -> dict[int, int]:
        """Return how many records each owned partition is behind, by the ledger."""
        return {p: self._fetcher.end(p) - held.next_offset for p, held in self._owned.items()}

    def _claim(self, partitions: Sequence[int]) -> None:
        for partition, claim in self._ledger.claim(partitions).items():
            held = Owned(claim.epoch, claim.next_offset)
            lost = self._lost.pop(partition, None)
            before = self._owned.get(partition, lost)
            if before and (before.epoch + 1, before.next_offset) == claim:
                held.states = before.states  # nobody else came between
            self._owned[partition] = held
            self._idle[partition] = 0

    def _due(self, partition: int, rows: Sequence[RawRecord]) -> list[RawRecord]:
        """Return the deliveries that come next, after reading directly what is missing."""
        due: list[RawRecord] = []
        for raw in rows:
            held = self._owned.get(partition)
            if held is None:
                break
            expected = due[-1].offset + 1 if due else held.next_offset
            if raw.offset > expected:
                self._run(due)
                due = []
                self.drain(partition, raw.offset)
                held = self._owned.get(partition)
                if held is None or held.next_offset < raw.offset:
                    break
                expected = held.next_offset
            if raw.offset >= expected:
                due.append(raw)
            else:
                self.counts.skipped += 1
        return due if partition in self._owned else []

    def _run(self, records: Sequence[RawRecord]) -> int:
        """Decide and commit records that come next in their partitions; all or none of each."""
        if not records:
            return 0
        with _collector_paused():
            return self._commit(records)

    def _commit(self, records: Sequence[RawRecord]) -> int:
        changes: dict[int, Changes] = defaultdict(Changes)
        inboxes = read(records, self.roster, self._topic_id, changes)
        self._load(needed_states(inboxes))
        decide(self.roster, self._held, inboxes, changes)
        by_partition = _by_partition(records)
        commits = [
            PartitionCommit(
                partition=partition,
                epoch=self._owned[partition].epoch,
                next_offset=rows[-1].offset + 1,
                states=tuple(changes[partition].states.values()),
                decisions=tuple(changes[partition].decisions),
                outcomes=tuple(changes[partition].outcomes),
                dead_letters=tuple(changes[partition].dead_letters),
            )
            for partition, rows in by_partition.items()
        ]
        stored = self._store(commits)
        self.counts.commits += 1
        for commit in commits:
            if commit.partition in stored:
                self._keep(commit, changes[commit.partition], len(by_partition[commit.partition]))
            else:
                self.counts.fenced += 1
                self._owned.pop(commit.partition, None)
                self._idle[commit.partition] = 0
        self._forget_oldest()
        return sum(len(by_partition[partition]) for partition in stored)

    def _store(self, commits: Sequence[PartitionCommit]) -> frozenset[int]:
        """Commit; after an error own none of it, for nobody knows whether it was stored.

        A batch that was stored and is decided again would find, for its new streams, the states
        with the batch already in them. Only a claim tells where the ledger stands.
        """
        try:
            return self._ledger.commit(commits)
        except BaseException:
            for commit in commits:
                self._owned.pop(commit.partition, None)
            raise

    def _keep(self, commit: PartitionCommit, changes: Changes, n_records: int) -> None:
        held = self._owned[commit.partition]
        held.next_offset = commit.next_offset
        for key, state in changes.states.items():
            held.states.pop(key, None)  # to the end: the order is that of use
            held.states[key] = state
        self._idle[commit.partition] = 0
        counts = self.counts
        counts.records += n_records
        counts.steps += changes.n_steps
        counts.repeats += changes.n_repeats
        counts.decisions += len(commit.decisions)
        counts.dead_letters += len(commit.dead_letters)

    def _held(self, partition: int, key: StateKey) -> StateRow | None:
        return self._owned[partition].states.get(key)

    def _load(self, needed: Mapping[int, Sequence[StateKey]]) -> None:
        """Read the states that are not in memory."""
        for partition, keys in needed.items():
            held = self._owned[partition]
            unknown = [key for key in keys if key not in held.states]
            if unknown:
                held.states.update(self._ledger.load(partition, unknown))

    def _forget_oldest(self) -> None:
        share = max(1, self._cache_streams // max(1, len(self._owned)))
        for held in self._owned.values():
            for key in list(held.states)[: max(0, len(held.states) - share)]:
                del held.states[key]


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python's garbage collector from running within a batch.

    A batch makes tens of thousands of small objects and no cycles. Set off by their number, the
    collector would go through them, and now and then through all states in memory, and find
    nothing: that was a fifth of a worker's time. It comes to its right between the batches.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _by_partition(records: Iterable[RawRecord]) -> dict[int, list[RawRecord]]:
    grouped: dict[int, list[RawRecord]] = defaultdict(list)
    for raw in records:
        grouped[raw.partition].append(raw)
    return grouped
