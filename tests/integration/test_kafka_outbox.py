from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid5

import numpy as np
import pytest

from store.ledger import SqlLedger
from store.outbox import Outbox
from store.rows import NewDecision, PartitionCommit
from streams.errors import StreamError
from streams.outbox import BATCH, ENDING_S, OutboxPublisher
from tests.kafka_broker import new_broker

pytestmark = pytest.mark.kafka
SPACE = UUID(int=1)


def decision(i):
    return NewDecision(
        id=uuid5(SPACE, str(i)),
        detector="toy",
        version="v1",
        stream_id=f"s{i % 5}",
        episode=f"e{i}",
        label="high",
        probability=0.75,
        halt_step=3,
        reason="threshold",
        readiness=None,
        threshold=0.5,
        shadow=False,
        explanation={"method": "sum", "contributions": []},
        trajectory=[{"step": 1, "readiness": 0.25}],
        event_time=datetime(2026, 11, 22, tzinfo=UTC),
    )


def store_decisions(engine, numbers, group="g"):
    ledger = SqlLedger(engine, group, "records", "id", 1)
    claim = ledger.claim([0])[0]
    rows = tuple(decision(i) for i in numbers)
    commit = PartitionCommit(0, claim.epoch, claim.next_offset + len(rows), decisions=rows)
    assert ledger.commit([commit]) == {0}
    return rows


@pytest.fixture
def outbox(sqlite_engine):
    return Outbox(sqlite_engine, "g")


def test_every_decision_is_published_with_its_id_and_key_and_leaves_the_outbox(
    broker, sqlite_engine, outbox
):
    topic = broker.topic(partitions=4)
    rows = store_decisions(sqlite_engine, range(30))
    publisher = OutboxPublisher(outbox, outbox.lease("me", 15), broker.servers, topic)
    assert publisher.publish_some() == 30
    assert outbox.size() == 0
    messages = [m for held in broker.read(topic).values() for m in held]
    by_id = {dict(m.headers())["decision_id"].decode(): m for m in messages}
    assert len(messages) == len(by_id) == 30
    for row in rows:
        message = by_id[str(row.id)]
        assert message.key() == row.stream_id.encode()
        value = json.loads(message.value())
        assert (value["v"], value["episode"], value["probability"]) == (1, row.episode, 0.75)
        assert value["event_time"] == "2026-11-22T00:00:00Z"
        assert value["explanation"] == row.explanation


def test_without_the_lease_nothing_is_published(broker, sqlite_engine, outbox):
    topic = broker.topic(partitions=1)
    store_decisions(sqlite_engine, range(3))
    assert outbox.lease("somebody else", 60).take()
    publisher = OutboxPublisher(outbox, outbox.lease("me", 15), broker.servers, topic)
    assert publisher.publish_some() == 0
    assert outbox.size() == 3


def test_a_lease_that_ran_out_is_taken_over(broker, sqlite_engine, outbox):
    topic = broker.topic(partitions=1)
    store_decisions(sqlite_engine, range(3))
    assert outbox.lease("killed", 0.2).take()
    time.sleep(0.3)
    publisher = OutboxPublisher(outbox, outbox.lease("me", 15), broker.servers, topic)
    assert publisher.publish_some() == 3


def test_the_thread_publishes_what_comes_and_gives_the_lease_back(broker, sqlite_engine, outbox):
    topic = broker.topic(partitions=1)
    publisher = OutboxPublisher(outbox, outbox.lease("me", 60), broker.servers, topic)
    publisher.start()
    for first in range(0, 30, 10):
        store_decisions(sqlite_engine, range(first, first + 10))
        deadline = time.monotonic() + 20
        while outbox.size():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    publisher.stop()
    assert publisher.published == 30
    assert outbox.lease("the next", 15).take()


def test_a_stop_publishes_all_that_waits_however_many_batches_that_is(
    broker, sqlite_engine, outbox
):
    topic = broker.topic(partitions=1)
    n = 2 * BATCH + 3
    store_decisions(sqlite_engine, range(n))
    publisher = OutboxPublisher(outbox, outbox.lease("me", 60), broker.servers, topic)
    publisher.start()
    publisher.stop(within_s=30)
    assert publisher.published == n
    assert outbox.size() == 0
    assert outbox.lease("the next", 15).take()


def test_a_stop_ends_in_the_time_allowed_and_leaves_the_rest_to_the_next(
    broker, sqlite_engine, outbox, monkeypatch
):
    topic = broker.topic(partitions=1)
    store_decisions(sqlite_engine, range(3 * BATCH))
    publisher = OutboxPublisher(outbox, outbox.lease("me", 60), broker.servers, topic)
    publish_some = publisher.publish_some

    def slowly():
        time.sleep(0.5)
        return publish_some()

    monkeypatch.setattr(publisher, "publish_some", slowly)
    publisher.start()
    began = time.monotonic()
    publisher.stop(within_s=ENDING_S + 0.2)
    assert time.monotonic() - began < ENDING_S + 0.2
    assert BATCH <= outbox.size() <= 2 * BATCH
    assert outbox.lease("the next", 15).take()


def test_a_crash_between_acknowledgement_and_discard_publishes_again(
    broker, sqlite_engine, outbox, monkeypatch
):
    topic = broker.topic(partitions=1)
    store_decisions(sqlite_engine, range(4))

    class Killed(BaseException):
        pass

    def killed(_):
        raise Killed

    publisher = OutboxPublisher(outbox, outbox.lease("me", 15), broker.servers, topic)
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "discard", killed)
        with pytest.raises(Killed):
            publisher.publish_some()
    assert outbox.size() == 4
    again = OutboxPublisher(outbox, outbox.lease("me", 15), broker.servers, topic)
    assert again.publish_some() == 4
    assert outbox.size() == 0
    ids = [dict(m.headers())["decision_id"] for m in broker.read(topic)[0]]
    assert len(ids) == 8
    assert len(set(ids)) == 4


def test_a_decision_that_the_topic_refuses_stays_and_the_others_go(broker, sqlite_engine, outbox):
    topic = broker.topic(partitions=1, max_message_bytes=600_000)
    store_decisions(sqlite_engine, range(3))
    incompressible = np.random.default_rng(1).bytes(800_000).hex()
    large = replace(decision(99), explanation={"method": incompressible})
    ledger = SqlLedger(sqlite_engine, "g", "records", "id", 1)
    claim = ledger.claim([0])[0]
    ledger.commit([PartitionCommit(0, claim.epoch, claim.next_offset + 1, decisions=(large,))])
    store_decisions(sqlite_engine, range(3, 6))
    publisher = OutboxPublisher(outbox, outbox.lease("me", 15), broker.servers, topic)
    with pytest.raises(StreamError, match=topic):
        publisher.publish_some()
    assert [row.decision.episode for row in outbox.pending(10)] == ["e99"]


@pytest.mark.slow
def test_decisions_wait_out_a_broker_that_is_gone(tmp_path, sqlite_engine, outbox):
    broker = new_broker(tmp_path)
    try:
        topic = broker.topic(partitions=1)
        publisher = OutboxPublisher(outbox, outbox.lease("me", 60), broker.servers, topic)
        publisher.start()
        broker.crash()
        store_decisions(sqlite_engine, range(5))
        time.sleep(3)
        assert outbox.size() == 5
        broker.start()
        deadline = time.monotonic() + 60
        while outbox.size():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        publisher.stop()
        ids = {dict(m.headers())["decision_id"] for m in broker.read(topic)[0]}
        assert len(ids) == 5
    finally:
        broker.stop()
