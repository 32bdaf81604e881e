from __future__ import annotations

import time

import pytest

from streams import topics
from streams.drivers.kafka_fetch import FETCH_BYTES, RESTING_ROUNDS, KafkaFetcher
from streams.errors import BrokerError, RecordsLostError, TopicError

pytestmark = pytest.mark.kafka


@pytest.fixture
def fetcher_on(broker):
    opened = []

    def open_(topic):
        opened.append(KafkaFetcher(broker.servers, topic))
        return opened[-1]

    yield open_
    for fetcher in opened:
        fetcher.close()


def numbered(n):
    return [b"%d" % i for i in range(n)]


def drain(fetcher, partition, start, stop, limit):
    """Read a range as the worker does: on and on until nothing is left."""
    found = []
    while start < stop and (rows := fetcher.fetch(partition, start, stop, limit)):
        found += rows
        start = rows[-1].offset + 1
    return found


def test_any_range_comes_back_in_order_and_nothing_beside_it(broker, fetcher_on):
    topic = broker.topic(partitions=2)
    broker.put(topic, numbered(1000), partition=1)
    fetcher = fetcher_on(topic)
    for start, stop in [(0, 1000), (10, 20), (999, 1000), (15, 16), (300, 700), (0, 5)]:
        rows = fetcher.fetch(1, start, stop, 5000)
        assert [(r.partition, r.offset, r.value) for r in rows] == [
            (1, i, b"%d" % i) for i in range(start, stop)
        ]


def test_a_limit_cuts_a_fetch_and_the_next_goes_on(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    broker.put(topic, numbered(2500))
    fetcher = fetcher_on(topic)
    assert len(fetcher.fetch(0, 0, 2500, 700)) == 700
    assert [r.offset for r in drain(fetcher, 0, 700, 2500, 700)] == list(range(700, 2500))


def test_partitions_read_by_turns_do_not_mix(broker, fetcher_on):
    topic = broker.topic(partitions=12)  # more than there are readers
    for partition in range(12):
        broker.put(topic, [b"%d-%d" % (partition, i) for i in range(300)], partition)
    fetcher = fetcher_on(topic)
    seen = {p: [] for p in range(12)}
    for start in range(0, 300, 100):
        for p in range(12):
            seen[p] += drain(fetcher, p, start, start + 100, 60)
    assert all([r.value for r in seen[p]] == [b"%d-%d" % (p, i) for i in range(300)] for p in seen)


def test_the_end_is_where_the_next_committed_record_will_stand(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    fetcher = fetcher_on(topic)
    assert fetcher.end(0) == 0
    broker.put(topic, numbered(3))
    assert fetcher.end(0) == 3


def test_markers_and_aborted_records_are_holes_not_records(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    for i in range(20):
        broker.put_transaction(topic, [b"kept-%d" % i], commit=True)
        broker.put_transaction(topic, [b"aborted"] * 2, commit=False)
    fetcher = fetcher_on(topic)
    end = fetcher.end(0)
    assert end == 20 * (1 + 1 + 2 + 1)
    for limit in (1, 7, 1000):
        rows = drain(fetcher, 0, 0, end, limit)
        assert [r.value for r in rows] == [b"kept-%d" % i for i in range(20)]


def test_a_range_of_markers_only_is_empty_even_at_the_very_end(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    broker.put(topic, numbered(2))
    broker.put_transaction(topic, [b"a", b"b"], commit=False)
    fetcher = fetcher_on(topic)
    assert fetcher.end(0) == 5
    began = time.monotonic()
    assert fetcher.fetch(0, 2, 5, 100) == []
    assert fetcher.fetch(0, 4, 5, 100) == []
    assert time.monotonic() - began < 5


def test_a_hole_between_records_is_passed_without_waiting(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    for i in range(40):
        broker.put_transaction(topic, [b"%d" % i])
    fetcher = fetcher_on(topic)
    began = time.monotonic()
    for marker in range(1, 79, 2):  # as a driver meets them: one gap of one a record
        assert fetcher.fetch(0, marker, marker + 1, 10) == []
    assert time.monotonic() - began < 4


def test_an_empty_value_is_a_record_without_one(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    broker.put(topic, [None, b"", b"x"])
    values = [r.value for r in fetcher_on(topic).fetch(0, 0, 3, 10)]
    assert values[0] is None
    assert not values[1]
    assert values[2] == b"x"


def test_a_large_record_is_read_whole(broker, fetcher_on):
    topic = broker.topic(partitions=1, max_message_bytes=4_000_000)
    large = b"x" * 2_500_000
    broker.put(topic, [b"before", large, b"after"], **{"message.max.bytes": 3_000_000})
    rows = fetcher_on(topic).fetch(0, 0, 3, 10)
    assert [len(r.value) for r in rows] == [6, 2_500_000, 5]


def test_a_fetch_of_large_records_is_bounded_by_bytes_and_the_next_goes_on(broker, fetcher_on):
    topic = broker.topic(partitions=1, max_message_bytes=4_000_000)
    size = 1_000_000
    values = [b"%02d" % i + b"x" * size for i in range(40)]
    broker.put(topic, values, **{"message.max.bytes": 3_000_000})
    fetcher = fetcher_on(topic)
    rows = fetcher.fetch(0, 0, 40, 5000)
    assert FETCH_BYTES <= sum(len(r.value) for r in rows) <= FETCH_BYTES + size + 2
    rest = drain(fetcher, 0, rows[-1].offset + 1, 40, 5000)
    assert [r.value[:2] for r in [*rows, *rest]] == [v[:2] for v in values]


def test_one_record_comes_however_large_it_is(broker, fetcher_on, monkeypatch):
    monkeypatch.setattr("streams.drivers.kafka_fetch.FETCH_BYTES", 10)
    topic = broker.topic(partitions=1)
    broker.put(topic, [b"x" * 100, b"y" * 100, b"z"])
    rows = drain(fetcher_on(topic), 0, 0, 3, 5000)
    assert [r.value[:1] for r in rows] == [b"x", b"y", b"z"]


def test_records_deleted_unread_are_said_loudly(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    broker.put(topic, numbered(100))
    from kafka import KafkaAdminClient, TopicPartition

    client = KafkaAdminClient(bootstrap_servers=broker.servers)
    client.delete_records({TopicPartition(topic, 0): 60})
    client.close()
    fetcher = fetcher_on(topic)
    with pytest.raises(RecordsLostError, match="20 records were deleted unread"):
        fetcher.fetch(0, 40, 100, 10)
    assert [r.offset for r in fetcher.fetch(0, 0, 62, 10)] == [60, 61]  # nothing was read before
    assert [r.offset for r in fetcher.fetch(0, 60, 62, 10)] == [60, 61]


def test_a_position_past_the_end_is_refused_with_advice(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    broker.put(topic, numbered(3))
    with pytest.raises(TopicError, match="cut or made anew"):
        fetcher_on(topic).fetch(0, 500, 501, 10)


def test_a_topic_or_partition_that_is_not_there_is_named(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    with pytest.raises((TopicError, BrokerError), match=f"{topic}/7"):
        fetcher_on(topic).end(7)


def test_a_reader_that_nobody_asks_goes_to_rest_and_wakes_again(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    broker.put(topic, numbered(50))
    fetcher = fetcher_on(topic)
    fetcher.fetch(0, 0, 10, 100)
    for _ in range(RESTING_ROUNDS + 1):
        fetcher.end(0)
    assert [reader.partition for reader in fetcher._readers] == [None]
    assert [r.offset for r in fetcher.fetch(0, 10, 50, 100)] == list(range(10, 50))


def test_an_absent_broker_is_reported_within_ten_seconds():
    fetcher = KafkaFetcher("127.0.0.1:1", "anything")
    began = time.monotonic()
    with pytest.raises(BrokerError, match="does not answer"):
        fetcher.end(0)
    assert time.monotonic() - began < 10
    fetcher.close()


def test_reading_goes_on_while_records_are_appended(broker, fetcher_on):
    topic = broker.topic(partitions=1)
    fetcher = fetcher_on(topic)
    seen = []
    for round_ in range(5):
        broker.put(topic, [b"%d" % (round_ * 10 + i) for i in range(10)])
        seen += drain(fetcher, 0, len(seen), fetcher.end(0), 100)
    assert [r.value for r in seen] == numbered(50)
    assert topics.find(broker.servers, topic).n_partitions == 1
