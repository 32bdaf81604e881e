from __future__ import annotations

import time

import pytest

from streams import topics
from streams.errors import BrokerError, TopicError

pytestmark = pytest.mark.kafka


def test_a_topic_is_created_once_and_then_left_alone(broker):
    name = "once.created"
    assert topics.create(broker.servers, name, partitions=3, replication=1) is True
    assert topics.create(broker.servers, name, partitions=3, replication=1) is False
    found = topics.find(broker.servers, name)
    assert (found.name, found.n_partitions, found.replication) == (name, 3, 1)


def test_another_number_of_partitions_is_refused(broker):
    name = broker.topic(partitions=3)
    with pytest.raises(TopicError, match="there already with 3 partitions, wanted 4"):
        topics.create(broker.servers, name, partitions=4, replication=1)


@pytest.mark.parametrize(
    ("name", "replication", "trouble"),
    [("too.many.copies", 3, "replication factor"), ("no blanks", 1, "Topic name is invalid")],
)
def test_a_topic_that_the_broker_refuses_says_why(broker, name, replication, trouble):
    with pytest.raises(TopicError, match=trouble):
        topics.create(broker.servers, name, partitions=1, replication=replication)


def test_a_topic_made_anew_has_another_id(broker):
    name = broker.topic(partitions=1)
    before = topics.find(broker.servers, name).topic_id
    with topics.admin(broker.servers) as client:
        client.delete_topics([name])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            topics.find(broker.servers, name)
        except TopicError:
            break
    topics.create(broker.servers, name, partitions=1, replication=1)
    assert topics.find(broker.servers, name).topic_id != before


def test_an_unknown_topic_is_named_with_advice(broker):
    with pytest.raises(TopicError, match="tocsin topics create"):
        topics.find(broker.servers, "nobody.made.this")


def test_positions_are_those_of_committed_records(broker):
    name = broker.topic(partitions=2)
    broker.put(name, [b"a", b"b", b"c"], partition=1)
    topic, rows = topics.positions(broker.servers, name)
    assert topic.n_partitions == 2
    assert [(row.partition, row.begin, row.end) for row in rows] == [(0, 0, 0), (1, 0, 3)]


@pytest.mark.parametrize(
    ("servers", "trouble"),
    [
        ("127.0.0.1:1", "refused"),
        ("no.such.host.invalid:9092", "no.such.host.invalid:9092: "),
        ("127.0.0.1", "not host:port"),
        ("127.0.0.1:1,127.0.0.1:2", "127.0.0.1:1: .*; 127.0.0.1:2: "),
    ],
)
def test_an_absent_broker_is_reported_at_once_and_with_the_reason(servers, trouble):
    began = time.monotonic()
    with pytest.raises(BrokerError, match=rf"no Kafka answered at .*{trouble}"):
        topics.find(servers, "anything")
    assert time.monotonic() - began < 10
