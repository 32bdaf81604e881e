"""The parts of `bench.path` on a real broker: bare consumer, empty Faust agent, Faust whole."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import uvloop
from confluent_kafka import Consumer, TopicPartition

from bench.path_local import WrongCountError
from bench.path_measured import Measured, Stopwatch
from bench.path_workload import PARTITIONS, detector
from store.ledger import SqlLedger
from store.outbox import Outbox
from store.session import connect
from streams import topics
from streams.codec import decode
from streams.drivers.faust import BATCH_RECORDS, BATCH_WITHIN_S, FaustSettings, build_app, run
from streams.drivers.kafka_fetch import KafkaFetcher
from streams.drivers.topic_watch import Life, TopicWatch, WatchedLedger, asking
from streams.outbox import LEASE_S, OutboxPublisher
from streams.records import Event
from streams.roster import Roster
from streams.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.path_part import Around
    from store.ledger import Ledger
    from store.rows import Claim, PartitionCommit, StateKey, StateRow

CONSUMED = 500
PATIENCE_S = 180.0
EMPTY_AGENT_BUFFER = 16384


def bare(around: Around) -> Measured:
    """Read and decode all records: what no way to decisions can be faster than."""
    consumer = Consumer(
        {
            "bootstrap.servers": around.servers,
            "group.id": f"bench-{uuid4().hex[:8]}",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(around.topic, p, 0) for p in range(PARTITIONS)])
    watch, done, events = Stopwatch(), 0, 0
    while done < around.n_records:
        messages = consumer.consume(CONSUMED, 10.0)
        if not messages:
            raise WrongCountError(done, around.n_records)
        for message in messages:
            events += isinstance(decode(message.value()), Event)
        done += len(messages)
        watch.mark(done)
    consumer.close()
    if events != around.n_records:
        raise WrongCountError(events, around.n_records)
    return watch.measured()


def empty_agent(around: Around) -> Measured:
    """Let Faust deliver everything to an agent that only acknowledges."""
    watch = Stopwatch()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_acknowledge_all(around, watch))
    return watch.measured()


async def _acknowledge_all(around: Around, watch: Stopwatch) -> None:
    # The agent at its best: with the small buffer of the driver it was a tenth slower.
    app = build_app(replace(_settings(around), buffer_records=EMPTY_AGENT_BUFFER))
    topic = app.topic(
        around.topic,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
    )
    over = asyncio.Event()

    async def take(deliveries: Any) -> None:  # noqa: ANN401  # Faust's stream
        done = 0
        async for events in deliveries.noack_take(BATCH_RECORDS, within=BATCH_WITHIN_S):
            for event in events:
                await deliveries.ack(event)
            done += len(events)
            watch.mark(done)
            if done >= around.n_records:
                over.set()

    app.agent(topic)(take)
    await app.start()
    await asyncio.wait_for(over.wait(), PATIENCE_S)
    await app.stop()


def whole(around: Around) -> Measured:
    """Let the Faust driver drain the backlog into PostgreSQL and publish the decisions.

    Measured from the first commit to the last: joining the group takes the broker's own time.
    """
    began, watch = time.perf_counter(), Stopwatch()
    with ExitStack() as running:
        store = connect(around.database)
        running.callback(store.dispose)
        topic = topics.find(around.servers, around.topic)
        group = _settings(around).group
        known = Life(topic.topic_id, topic.n_partitions)
        alike = TopicWatch(group, topic.name, known, asking(around.servers, topic.name))
        ledger = SqlLedger(store, group, topic.name, topic.topic_id, topic.n_partitions)
        book = CountingLedger(
            WatchedLedger(ledger.open(), alike),
            around.n_records,
            watch,
        )
        fetcher = running.enter_context(KafkaFetcher(around.servers, topic.name))
        work = Worker(Roster([detector("sum")]), book, fetcher, topic_id=topic.topic_id)
        outbox = Outbox(store, group)
        lease = outbox.lease("bench", LEASE_S)
        publisher = OutboxPublisher(outbox, lease, around.servers, around.decisions_topic)
        publisher.start()
        running.callback(publisher.stop)
        code = run(_settings(around), work, watch=alike)
    if code or work.counts.decisions != around.n_streams:
        raise WrongCountError(work.counts.decisions, around.n_streams)
    counts = work.counts
    return watch.measured(
        start_to_last_commit_s=book.ended - began, commits=counts.commits, skipped=counts.skipped
    )


class CountingLedger:
    """A ledger that notes how far it has come, and asks the process to stop at the end."""

    def __init__(self, ledger: Ledger, n_records: int, watch: Stopwatch) -> None:
        self._ledger, self._n_records, self._watch = ledger, n_records, watch
        self._reached: dict[int, int] = {}
        self.ended = 0.0

    def claim(self, partitions: Sequence[int]) -> dict[int, Claim]:
        """Claim."""
        return self._ledger.claim(partitions)

    def load(self, partition: int, keys: Sequence[StateKey]) -> dict[StateKey, StateRow]:
        """Load."""
        return self._ledger.load(partition, keys)

    def positions(self) -> dict[int, Claim]:
        """Return positions."""
        return self._ledger.positions()

    def commit(self, commits: Sequence[PartitionCommit]) -> frozenset[int]:
        """Commit, and note the time."""
        stored = self._ledger.commit(commits)
        for commit in commits:
            if commit.partition in stored:
                self._reached[commit.partition] = commit.next_offset
        done = sum(self._reached.values())
        self._watch.mark(done)
        if done >= self._n_records and not self.ended:
            self.ended = time.perf_counter()
            os.kill(os.getpid(), signal.SIGTERM)
        return stored


def _settings(around: Around) -> FaustSettings:
    folder = Path(around.folder)
    return FaustSettings(
        servers=around.servers,
        topic=around.topic,
        group=f"bench-{folder.name}",
        session_timeout_s=30,
        work_dir=folder / "faust",
    )
