"""The worker: the one lane that owns the ledger, the states in memory and the direct reads.

Drivers call it from one thread at a time. It trusts no driver: what counts is the ledger's
`next_offset`, and whatever a driver did not deliver is fetched directly.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from contextlib import contextmanager
from math import nan
from typing import TYPE_CHECKING

from streams.batch import Changes, cut, decide, needed_states, read
from streams.clocks import Clocks, stamps
from streams.due import sweep
from streams.legs import Leg
from streams.owned import Counts, Owned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from store.ledger import Ledger
    from store.rows import PartitionCommit, StateKey, StateRow
    from streams.inbox import Inbox
    from streams.ports import Fetcher
    from streams.records import RawRecord
    from streams.roster import Roster

CHUNK_STREAMS = 2000
"""Streams that are due at a tick are looked at in commits of so many."""
CHUNKS_AT_ONCE = 10
"""So many of them in one go; the rest is left for the next, so that a rebalance gets its turn."""


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
    records_tick
        Nobody writes ticks into this topic: the times of its records are the clock.
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
        records_tick: bool = False,
    ) -> None:
        self.roster = roster
        self.counts = Counts()
        self._ledger, self._fetcher, self._topic_id = ledger, fetcher, topic_id
        self._session_ticks, self._drain_lag = session_ticks, drain_lag
        self._batch_records, self._cache_streams = batch_records, cache_streams
        self._records_tick = records_tick
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
            if held.next_offset <= rows[-1].offset:  # a tick that leaves much to do
                break
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
            clock_s = nan if claim.clock_s is None else claim.clock_s
            held = Owned(claim.epoch, claim.next_offset, clock_s=clock_s)
            lost = self._lost.pop(partition, None)
            before = self._owned.get(partition, lost)
            if before and (before.epoch + 1, before.next_offset) == claim[:2]:
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
        """Decide and commit records that come next in their partitions; return how many.

        All or none of those between two ticks, in each partition; fewer if a partition is lost,
        or a tick leaves much to do.
        """
        if not records:
            return 0
        with _collector_paused():
            return self._travel(records)

    def _travel(self, records: Sequence[RawRecord]) -> int:
        by_partition = _by_partition(records)
        legs = {p: Leg(rows, self._owned[p].clock_s) for p, rows in by_partition.items()}
        letters: dict[int, Changes] = defaultdict(Changes)
        told = {(p, mark.offset) for p, leg in legs.items() for mark in leg.ticks}
        plain = [raw for raw in records if raw[:2] not in told] if told else records
        inboxes = read(plain, self.roster, self._topic_id, letters)
        if told or self._records_tick:
            stamped = stamps(inboxes)
            for partition, leg in legs.items():
                leg.plan(stamped.get(partition, {}), records_tick=self._records_tick)
        clocks = Clocks(
            {partition: leg.clock_s for partition, leg in legs.items()},
            {partition: leg.marks for partition, leg in legs.items() if leg.marks},
        )
        counted, chunks = 0, CHUNKS_AT_ONCE
        while legs and chunks > 0:
            counted += self._advance(legs, inboxes, clocks, letters)
            chunks = self._sweep(legs, chunks)
        return counted

    def _advance(
        self,
        legs: dict[int, Leg],
        inboxes: Mapping[str, Inbox],
        clocks: Clocks,
        letters: Mapping[int, Changes],
    ) -> int:
        """Decide and commit what stands before the next ticks at which streams may be due.

        Drops the legs that are over, or lost; returns how many records and ticks counted.
        """
        least_s = self.roster.least_s
        for partition, leg in legs.items():
            leg.advance(self._owned[partition].due_s, least_s)
        if not all(leg.is_whole for leg in legs.values()):
            inboxes = cut(inboxes, {partition: leg.span for partition, leg in legs.items()})
        changes: dict[int, Changes] = defaultdict(Changes)
        for partition, leg in legs.items():
            changes[partition].dead_letters += [
                letter
                for letter in letters[partition].dead_letters
                if leg.span[0] <= letter.offset < leg.span[1]
            ]
        moved = [partition for partition, leg in legs.items() if leg.has_moved]
        if not moved:
            return 0
        self._load(needed_states(inboxes))
        decide(self.roster, self._held, inboxes, changes, clocks)
        return self._commit(legs, moved, changes)

    def _sweep(self, legs: dict[int, Leg], chunks: int) -> int:
        """Look at the streams that are due where the legs stand, at most `chunks` times.

        Drops the legs that are lost; returns how many chunks are left.
        """
        while chunks > 0:
            changes: dict[int, Changes] = defaultdict(Changes)
            swept, done = [], []
            for partition, leg in legs.items():
                if leg.due is None:
                    continue
                held, tick_s = self._owned[partition], leg.due.tick_s
                if held.due_s <= tick_s:
                    held.due_s = self._ledger.earliest(partition)
                if held.due_s > tick_s:
                    leg.pass_tick()
                    continue
                due = self._ledger.due(partition, tick_s, CHUNK_STREAMS)
                sweep(self.roster, partition, due, tick_s, changes[partition])
                swept.append(partition)
                if len(due) < CHUNK_STREAMS:
                    leg.pass_tick()
                    done.append(partition)
            if not swept:
                break
            self._commit(legs, swept, changes)
            for partition in done:
                if partition in legs:
                    self._owned[partition].due_s = self._ledger.earliest(partition)
            chunks -= 1
        return chunks

    def _commit(
        self, legs: dict[int, Leg], which: Sequence[int], changes: Mapping[int, Changes]
    ) -> int:
        """Commit what was decided up to where some legs stand; return how many records that is.

        Drops the legs that are over, or lost.
        """
        commits = [self._owned[p].commit(p, legs[p], changes[p]) for p in which]
        stored = self._store(commits)
        self.counts.commits += 1
        counted = 0
        for commit in commits:
            partition = commit.partition
            if partition in stored:
                counted += legs[partition].n_records + legs[partition].n_ticks
                self._keep(commit, changes[partition], legs[partition])
            else:
                self.counts.fenced += 1
                self._owned.pop(partition, None)
                self._idle[partition] = 0
            if partition not in stored or legs[partition].is_over:
                del legs[partition]
        self._forget_oldest()
        return counted

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

    def _keep(self, commit: PartitionCommit, changes: Changes, leg: Leg) -> None:
        held = self._owned[commit.partition]
        held.next_offset, held.clock_s = commit.next_offset, leg.clock_s
        for key in commit.forgotten:
            held.states.pop(key, None)
        for key, state in changes.states.items():
            held.states.pop(key, None)  # to the end: the order is that of use
            held.states[key] = state
            if state.deadline_s is not None and state.deadline_s < held.due_s:
                held.due_s = state.deadline_s
        self._idle[commit.partition] = 0
        counts = self.counts
        counts.records += leg.n_records
        counts.ticks += leg.n_ticks
        counts.steps += changes.n_steps
        counts.repeats += changes.n_repeats
        counts.decisions += len(commit.decisions)
        counts.dead_letters += len(commit.dead_letters)
        counts.forgotten += len(commit.forgotten)
        leg.keep()

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
