from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from streams.drivers.kafka_ingest import KafkaIngest
from streams.ports import IngestError, Position
from tests.kafka_broker import new_broker

pytestmark = pytest.mark.kafka


@pytest.fixture
def ingest_on(broker):
    opened = []

    def open_(topic, servers=broker.servers, **settings):
        opened.append(KafkaIngest(servers, topic, **settings))
        return opened[-1]

    yield open_
    for ingest in opened:
        ingest.close()


def test_the_answer_names_where_each_record_stands(broker, ingest_on):
    topic = broker.topic(partitions=4)
    records = [(f"s{i % 7}", b"%d" % i) for i in range(50)]
    positions = ingest_on(topic).append(records)
    held = broker.read(topic)
    for (stream_id, value), at in zip(records, positions, strict=True):
        message = held[at.partition][at.offset]
        assert (message.key(), message.value()) == (stream_id.encode(), value)


def test_records_of_a_stream_keep_their_order_within_and_between_calls(broker, ingest_on):
    topic = broker.topic(partitions=4)
    ingest = ingest_on(topic)
    for first in range(0, 60, 20):
        ingest.append([("one", b"%d" % i) for i in range(first, first + 20)])
    (messages,) = [rows for rows in broker.read(topic).values() if rows]
    assert [int(m.value()) for m in messages] == list(range(60))


def test_many_threads_get_each_their_own_answers(broker, ingest_on):
    topic = broker.topic(partitions=4)
    ingest = ingest_on(topic)
    answers = {}

    def work(name):
        answers[name] = [
            ingest.append([(name, f"{name}-{round_}-{i}".encode()) for i in range(20)])
            for round_ in range(10)
        ]

    threads = [threading.Thread(target=work, args=[f"t{k}"]) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = broker.read(topic)
    for name, rounds in answers.items():
        for round_, positions in enumerate(rounds):
            for i, at in enumerate(positions):
                message = held[at.partition][at.offset]
                assert message.value() == f"{name}-{round_}-{i}".encode()


def test_one_bad_record_fails_alone(broker, ingest_on):
    topic = broker.topic(partitions=1, max_message_bytes=600_000)
    large = np.random.default_rng(1).bytes(800_000)  # so that no compression makes it fit
    first, bad, last = ingest_on(topic).append([("a", b"1"), ("a", large), ("a", b"2")])
    assert isinstance(first, Position)
    assert isinstance(bad, IngestError)
    assert isinstance(last, Position)
    assert [m.value() for m in broker.read(topic)[0]] == [b"1", b"2"]


def test_nothing_to_append_is_answered_at_once(broker, ingest_on):
    assert ingest_on(broker.topic(partitions=1)).append([]) == []


def test_ready_says_what_is_wrong(broker, ingest_on):
    assert ingest_on(broker.topic(partitions=1)).ready() is None
    assert "not on the Kafka" in ingest_on("nobody.made.this").ready()
    assert "does not answer" in ingest_on("anything", servers="127.0.0.1:1").ready()


def test_without_a_broker_every_record_fails_in_time(ingest_on):
    ingest = ingest_on("anything", servers="127.0.0.1:1", delivery_s=2.0)
    began = time.monotonic()
    outcomes = ingest.append([("a", b"1"), ("b", b"2")])
    assert all(isinstance(outcome, IngestError) for outcome in outcomes)
    assert time.monotonic() - began < 7


@pytest.mark.slow
def test_appending_goes_on_after_the_broker_was_gone(tmp_path):
    broker = new_broker(tmp_path)
    ingest = KafkaIngest(broker.servers, broker.topic(partitions=1), delivery_s=3.0)
    try:
        assert isinstance(ingest.append([("a", b"1")])[0], Position)
        broker.crash()
        assert isinstance(ingest.append([("a", b"2")])[0], IngestError)
        broker.start()
        deadline = time.monotonic() + 30
        while isinstance(ingest.append([("a", b"3")])[0], IngestError):
            assert time.monotonic() < deadline
        assert ingest.ready() is None
    finally:
        ingest.close()
        broker.stop()
