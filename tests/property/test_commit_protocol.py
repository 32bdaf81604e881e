"""The commit protocol as a state machine: crash, zombie, rebalance, repeated and lost delivery.

A miniature of a driver (`Worker`) reads a topic that repeats and loses deliveries at will. Its
state of a stream is the list of offsets that were counted, so any record that counts twice, not at
all or out of order is seen; a stream gets its decision at its second record. After each commit the
ledger must hold exactly what a single undisturbed reader would have made of the records below
`next_offset`.

The same machine runs on a ledger in memory, on SQLite and on PostgreSQL; and on broken ledgers
and drivers, in which it must find the fault.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import count
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import select, text

from store import ledger_postgres, ledger_sqlite
from store.ledger import SqlLedger
from store.rows import Claim, NewDecision, PartitionCommit, StateKey, StateRow
from store.tables import DecisionTable, OutboxRow, PartitionRow, StateTable

PARTITIONS = (0, 1)
WORKERS = (0, 1, 2)
DECIDES_AT = 2


class Record(NamedTuple):
    offset: int
    stream_id: str


class Seen(NamedTuple):
    """What a ledger holds, for comparison."""

    positions: dict[int, Claim]
    states: dict[str, list[int]]
    decisions: dict[str, str]
    outbox: Counter[str]


def expected(topic, positions):
    """What one undisturbed reader makes of the records below each `next_offset`."""
    states, decisions = {}, {}
    for partition, claim in positions.items():
        for record in topic[partition][: claim.next_offset]:
            offsets = states.setdefault(record.stream_id, [])
            offsets.append(record.offset)
            if len(offsets) == DECIDES_AT:
                decisions[record.stream_id] = str(offsets)
    return Seen(positions, states, decisions, Counter(decisions.keys()))


class ModelLedger:
    """A ledger in memory: the protocol in its fewest lines, and its mutants."""

    def __init__(self, *, checks_epoch=True, unique_decisions=True):
        self.checks_epoch = checks_epoch
        self.unique_decisions = unique_decisions
        self.rows = {}
        self.states = {}
        self.decisions = {}
        self.outbox = []

    def claim(self, partitions):
        for partition in partitions:
            before = self.rows.get(partition, Claim(0, 0))
            self.rows[partition] = before._replace(epoch=before.epoch + 1)
        return {partition: self.rows[partition] for partition in partitions}

    def load(self, partition, keys):
        found = {key: self.states.get((partition, key)) for key in keys}
        return {key: row for key, row in found.items() if row is not None}

    def commit(self, commits):
        done = set()
        for commit in commits:
            epoch = self.rows[commit.partition].epoch
            if self.checks_epoch and epoch != commit.epoch:
                continue
            self.rows[commit.partition] = Claim(epoch, commit.next_offset, commit.clock_s)
            for row in commit.states:
                self.states[commit.partition, StateKey(row.detector, row.stream_id)] = row
            for decision in commit.decisions:
                if decision.id not in self.decisions or not self.unique_decisions:
                    self.decisions[decision.id] = decision
                    self.outbox.append(decision.id)
            done.add(commit.partition)
        return frozenset(done)

    def positions(self):
        return dict(self.rows)


class InMemory:
    """Gives the machine a fresh model ledger for each example."""

    def __init__(self, **faults):
        self.faults = faults

    def begin(self):
        self.ledger = ModelLedger(**self.faults)
        self.detector = "counting"

    def open(self):
        return self.ledger

    def observe(self):
        ledger = self.ledger
        return Seen(
            ledger.positions(),
            {key.stream_id: json.loads(row.data) for (_, key), row in ledger.states.items()},
            {d.stream_id: d.label for d in ledger.decisions.values()},
            Counter(ledger.decisions[id_].stream_id for id_ in ledger.outbox),
        )


class InSql:
    """Gives the machine a group and a detector of its own in a real database for each example."""

    numbers = count()

    def __init__(self, engine):
        self.engine = engine

    def begin(self):
        self.group = f"group-{next(self.numbers)}"
        self.detector = f"counting-{self.group}"

    def open(self):
        return SqlLedger(self.engine, self.group, "events", "topic-id", len(PARTITIONS)).open()

    def observe(self):
        decision, state = DecisionTable, StateTable
        with self.engine.connect() as connection:
            positions = connection.execute(
                select(
                    PartitionRow.partition,
                    PartitionRow.epoch,
                    PartitionRow.next_offset,
                    PartitionRow.clock_s,
                ).where(PartitionRow.group_id == self.group)
            ).all()
            states = connection.execute(
                select(state.stream_id, state.data).where(state.detector == self.detector)
            ).all()
            decisions = connection.execute(
                select(decision.stream_id, decision.label).where(
                    decision.detector == self.detector
                )
            ).all()
            outbox = connection.execute(
                select(decision.stream_id)
                .join(OutboxRow, OutboxRow.decision_id == decision.id)
                .where(OutboxRow.group_id == self.group)
            ).scalars()
            return Seen(
                {partition: Claim(*claim) for partition, *claim in positions},
                {stream_id: json.loads(data) for stream_id, data in states},
                dict(tuple(row) for row in decisions),
                Counter(outbox),
            )


class Worker:
    """A driver and an engine in miniature: claim, skip, fill, fold, commit."""

    def __init__(self, ledger, topic, detector, *, skips=True, fills=True, drops_cache=True):
        self.ledger, self.topic, self.detector = ledger, topic, detector
        self.skips, self.fills, self.drops_cache = skips, fills, drops_cache
        self.epoch, self.next, self.cache = {}, {}, {}
        self.inflight = {}

    def claim(self, partition):
        claim = self.ledger.claim([partition])[partition]
        if self.drops_cache and claim.epoch != self.epoch.get(partition, -1) + 1:
            self.cache.pop(partition, None)  # someone else may have written since
        self.epoch[partition], self.next[partition] = claim.epoch, claim.next_offset
        self.inflight.pop(partition, None)

    def revoke(self, partition):
        for memory in (self.epoch, self.next, self.inflight):
            memory.pop(partition, None)
        if self.drops_cache:
            self.cache.pop(partition, None)

    def take(self, partition, records):
        """Fold delivered records; nothing is written yet."""
        if partition not in self.epoch or partition in self.inflight:
            return
        new, n = [], self.next[partition]
        for record in records:
            if record.offset > n and self.fills:
                new += self.topic[partition][n : record.offset]
                n = record.offset
            if record.offset >= n or not self.skips:
                new.append(record)
                n = max(n, record.offset + 1)
        if new:
            self.inflight[partition] = self._fold(partition, new, n)

    def _fold(self, partition, records, next_offset):
        cache = self.cache.setdefault(partition, {})
        missing = {r.stream_id for r in records} - cache.keys()
        keys = [StateKey(self.detector, stream_id) for stream_id in sorted(missing)]
        stored = {k.stream_id: row for k, row in self.ledger.load(partition, keys).items()}
        states, decisions = {}, []
        for offset, stream_id in records:
            before = states.get(stream_id, cache.get(stream_id))
            if before is None:
                before = json.loads(stored[stream_id].data) if stream_id in stored else []
            states[stream_id] = after = [*before, offset]
            if len(after) == DECIDES_AT:
                decisions.append(self._decide(stream_id, after))
        rows = tuple(
            StateRow(self.detector, s, "1", "e", "open", len(v), json.dumps(v).encode())
            for s, v in states.items()
        )
        # The clock of this miniature counts records: it must never leave the offset's side.
        return PartitionCommit(
            partition,
            self.epoch[partition],
            next_offset,
            rows,
            tuple(decisions),
            clock_s=float(next_offset),
        ), states

    def _decide(self, stream_id, offsets):
        return NewDecision(
            id=uuid5(NAMESPACE_URL, f"{self.detector}/{stream_id}"),
            detector=self.detector,
            version="1",
            stream_id=stream_id,
            episode="e",
            label=str(offsets),
            probability=1.0,
            halt_step=DECIDES_AT,
            reason="threshold",
            readiness=1.0,
            threshold=0.5,
            shadow=False,
            explanation={},
            trajectory=[],
            event_time=None,
        )

    def commit(self):
        """Commit what is in flight; return epochs used and partitions stored."""
        inflight, self.inflight = self.inflight, {}
        used = {partition: commit.epoch for partition, (commit, _) in inflight.items()}
        stored = self.ledger.commit([commit for commit, _ in inflight.values()])
        for partition, (commit, states) in inflight.items():
            if partition in stored:
                self.cache[partition].update(states)
                self.next[partition] = commit.next_offset
            else:
                self.revoke(partition)
        return used, stored

    def commit_unheard(self):
        """Commit, but the answer is lost on the way; what is in flight stays so."""
        self.ledger.commit([commit for commit, _ in self.inflight.values()])


a_worker, a_partition = st.sampled_from(WORKERS), st.sampled_from(PARTITIONS)


class CommitProtocol(RuleBasedStateMachine):
    """Bound to a store, and to workers with faults, by `machine`."""

    store: InMemory | InSql
    faults: dict[str, bool]

    @initialize()
    def begin(self):
        self.store.begin()
        self.topic = {partition: [] for partition in PARTITIONS}
        self.workers = [self.fresh() for _ in WORKERS]
        for partition in PARTITIONS:
            self.workers[0].claim(partition)

    def fresh(self):
        return Worker(self.store.open(), self.topic, self.store.detector, **self.faults)

    @rule(partition=a_partition, streams=st.lists(st.sampled_from("ab"), min_size=1))
    def produce(self, partition, streams):
        log = self.topic[partition]
        log += [Record(len(log) + i, f"{s}{partition}") for i, s in enumerate(streams)]

    @rule(owners=st.tuples(a_worker, a_worker), asleep=st.sets(a_worker))
    def rebalance(self, owners, asleep):
        """Who sleeps hears of nothing: he goes on under his old epoch when he wakes."""
        for partition, owner in zip(PARTITIONS, owners, strict=True):
            for i, worker in enumerate(self.workers):
                if i != owner and i not in asleep:
                    worker.revoke(partition)
            if owner not in asleep:
                self.workers[owner].claim(partition)

    @rule(worker=a_worker, partition=a_partition)
    def claim_late(self, worker, partition):
        """A stale claimer fences the owner."""
        self.workers[worker].claim(partition)

    @rule(
        worker=a_worker,
        partition=a_partition,
        shift=st.integers(-5, 4),
        n=st.integers(1, 6),
    )
    def deliver(self, worker, partition, shift, n):
        """Deliver a run that begins anywhere: repeated below, or with a gap above."""
        start = max(0, self.workers[worker].next.get(partition, 0) + shift)
        self.workers[worker].take(partition, self.topic[partition][start : start + n])

    @rule(
        worker=a_worker,
        partition=a_partition,
        shift=st.sampled_from([0, 0, -2, -1, 1, 2]),
        n=st.integers(1, 4),
        claims=st.booleans(),
        unheard=st.booleans(),
    )
    def serve(self, worker, partition, shift, n, claims, unheard):
        """The plain path in one step: what comes (about) next is delivered and committed."""
        server = self.workers[worker]
        if claims:
            server.claim(partition)
        start = max(0, server.next.get(partition, 0) + shift)
        server.take(partition, self.topic[partition][start : start + n])
        if unheard:
            server.commit_unheard()
        self.check_commit(server)

    @rule(worker=a_worker)
    def commit(self, worker):
        self.check_commit(self.workers[worker])

    @rule(worker=a_worker)
    def commit_and_crash(self, worker):
        """The records were never acknowledged, so they will be delivered again."""
        self.check_commit(self.workers[worker])
        self.workers[worker] = self.fresh()

    @rule(worker=a_worker)
    def commit_unheard_and_repeat(self, worker):
        """The database was lost after it stored the commit; the worker tries again."""
        self.workers[worker].commit_unheard()
        self.check_commit(self.workers[worker])

    @rule(worker=a_worker)
    def crash(self, worker):
        self.workers[worker] = self.fresh()

    def check_commit(self, worker):
        before = self.store.observe()
        used, stored = worker.commit()
        current = {p for p, epoch in used.items() if epoch == before.positions[p].epoch}
        assert stored == current, "a zombie wrote, or an owner was fenced"
        self.check(self.store.observe())
        if not current:
            assert self.store.observe() == before, "a fenced commit left something"

    def check(self, seen):
        wanted = expected(self.topic, seen.positions)
        assert seen.states == wanted.states, "a record counts twice, never, or late"
        assert seen.decisions == wanted.decisions
        assert seen.outbox == wanted.outbox
        for claim in seen.positions.values():
            assert claim.clock_s == (claim.next_offset or None), "the clock went another way"

    def teardown(self):
        """Whatever happened, a new worker finishes the topic and nothing is missing."""
        if not hasattr(self, "topic"):
            return
        last = self.fresh()
        for partition in PARTITIONS:
            last.claim(partition)
            last.take(partition, self.topic[partition])
        last.commit()
        seen = self.store.observe()
        ends = {p: len(log) for p, log in self.topic.items()}
        assert {p: claim.next_offset for p, claim in seen.positions.items()} == ends
        self.check(seen)


def machine(store, **faults):
    """Return the state machine on `store`, with workers that have the given `faults`."""
    return type("Bound", (CommitProtocol,), {"store": store, "faults": faults})


def run(machine_class, examples, steps=30, **options):
    run_state_machine_as_test(
        machine_class,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            **options,
        ),
    )


def test_the_protocol_counts_every_record_once_whatever_happens():
    run(machine(InMemory()), examples=150, steps=40)


def test_the_ledger_on_sqlite_keeps_the_protocol(sqlite_engine):
    run(machine(InSql(sqlite_engine)), examples=30)


@pytest.mark.postgres
def test_the_ledger_on_postgresql_keeps_the_protocol(postgres_engine):
    run(machine(InSql(postgres_engine)), examples=25)


def must_fail(broken):
    with pytest.raises(AssertionError):
        run(
            broken,
            examples=400,
            steps=40,
            phases=[Phase.generate],
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
        )


@pytest.mark.parametrize(
    ("store", "faults"),
    [
        pytest.param({"checks_epoch": False}, {}, id="ledger without the epoch check"),
        pytest.param({"unique_decisions": False}, {}, id="ledger that publishes twice"),
        pytest.param({}, {"skips": False}, id="worker that does not skip repeats"),
        pytest.param({}, {"fills": False}, id="worker that does not fill gaps"),
        pytest.param({}, {"drops_cache": False}, id="worker that keeps a stale cache"),
    ],
)
def test_the_machine_finds_the_fault_of_a(store, faults):
    must_fail(machine(InMemory(**store), **faults))


def a_zombie_wakes(store):
    """Play the shortest history in which only the epoch stands between a zombie and the states."""
    history = machine(store)()
    history.begin()
    history.produce(partition=0, streams=["a"])
    history.deliver(worker=0, partition=0, shift=0, n=1)
    history.claim_late(worker=1, partition=0)
    history.commit(worker=0)


def test_the_machine_sees_if_the_epoch_check_is_taken_out_of_sqlite(sqlite_engine, monkeypatch):
    a_zombie_wakes(InSql(sqlite_engine))
    unchecked = str(ledger_sqlite.MOVE).replace("AND epoch = :epoch ", "")
    monkeypatch.setattr(ledger_sqlite, "MOVE", text(unchecked))
    with pytest.raises(AssertionError, match="a zombie wrote"):
        a_zombie_wakes(InSql(sqlite_engine))


@pytest.mark.postgres
def test_the_machine_sees_if_the_epoch_check_is_taken_out_of_postgresql(
    postgres_engine, monkeypatch
):
    a_zombie_wakes(InSql(postgres_engine))
    unchecked = ledger_postgres.OWNED.replace("AND p.epoch = v.epoch ", "")
    monkeypatch.setattr(ledger_postgres, "OWNED", unchecked)
    ledger_postgres._statement.cache_clear()
    try:
        with pytest.raises(AssertionError, match="a zombie wrote"):
            a_zombie_wakes(InSql(postgres_engine))
    finally:
        ledger_postgres._statement.cache_clear()
