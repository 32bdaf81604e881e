from __future__ import annotations

import io
import time
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from cli.stamps import Stamps, TickedTopic, played
from detectors.scoring import StreamSet
from streams.codec import decode, decode_tick
from streams.errors import BrokerError, TopicError
from streams.produce import Keyed, TopicProducer, from_event, from_lines, send_all
from streams.replay import events

pytestmark = pytest.mark.kafka


def some_streams(n=40, steps=6):
    random = np.random.default_rng(5)
    lengths = random.integers(1, steps + 1, size=n)
    return StreamSet(
        name="drawn",
        split="test",
        modality="frames",
        ids=np.arange(n),
        inputs=random.normal(size=(lengths.sum(), 2)).astype(np.float32),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        labels=np.zeros(n, dtype=np.int64),
        subjects=np.arange(n),
        classes=("a", "b"),
        channels=("x", "y"),
    )


def test_recorded_streams_arrive_whole_in_order_and_in_one_partition_each(broker):
    topic = broker.topic(partitions=8)
    streams = some_streams()
    sent = send_all(
        broker.servers, topic, map(from_event, events(streams, "drawn", seed=3, concurrent=10))
    )
    assert sent == int(streams.lengths.sum())
    places, steps = {}, {}
    for partition, messages in broker.read(topic).items():
        for message in messages:
            event = decode(message.value())
            assert message.key() == event.stream_id.encode()
            places.setdefault(event.stream_id, set()).add(partition)
            steps.setdefault(event.stream_id, []).append((event.event_id, event.end))
    assert len(steps) == len(streams)
    assert all(len(where) == 1 for where in places.values())
    assert len(set().union(*places.values())) > 1
    for i in range(len(streams)):
        last = int(streams.lengths[i])
        assert steps[streams.stream_id(i)] == [
            (f"drawn/test/{i}/{step}", step == last) for step in range(1, last + 1)
        ]


def test_every_client_of_ours_puts_a_stream_into_the_same_partition(broker):
    from streams.drivers.kafka_ingest import KafkaIngest

    topic = broker.topic(partitions=8)
    names = [f"stream-{i}" for i in range(60)]
    send_all(broker.servers, topic, [Keyed(name.encode(), b"produced") for name in names])
    ingest = KafkaIngest(broker.servers, topic)
    positions = ingest.append([(name, b"ingested") for name in names])
    ingest.close()
    produced = {
        message.key().decode(): partition
        for partition, messages in broker.read(topic).items()
        for message in messages
        if message.value() == b"produced"
    }
    assert produced == {name: at.partition for name, at in zip(names, positions, strict=True)}


def test_raw_lines_arrive_byte_for_byte(broker):
    topic = broker.topic(partitions=1, max_message_bytes=4_000_000)
    lines = [b"\xff\xfe not json", b'{"stream_id": 7}', b"x" * 2_000_000]
    text = io.BytesIO(b"\n".join(lines) + b"\n")
    assert send_all(broker.servers, topic, from_lines(text, raw=True)) == 3
    assert [m.value() for m in broker.read(topic)[0]] == lines


def test_a_record_that_the_broker_refuses_is_an_error_that_counts_what_is_durable(broker):
    topic = broker.topic(partitions=1, max_message_bytes=1000)
    producer = TopicProducer(broker.servers, topic)
    for _ in range(2):
        producer.send(Keyed(b"k", b"small"))
    producer.finish()
    producer.send(Keyed(b"k", b"x" * 5000))
    with pytest.raises(BrokerError, match=r"did not take a record .* 2 are durable"):
        producer.finish()
    producer.close()


def test_an_unknown_topic_is_an_error_at_once(broker):
    with pytest.raises(TopicError, match="tocsin topics create"):
        TopicProducer(broker.servers, "nobody.made.this")


def test_an_absent_broker_is_reported_within_ten_seconds():
    began = time.monotonic()
    with pytest.raises(BrokerError, match="no Kafka answered"):
        TopicProducer("127.0.0.1:1", "anything")
    assert time.monotonic() - began < 10


def test_recorded_times_go_with_ticks_that_no_record_behind_them_belies(broker):
    streams = some_streams()
    gaps = np.random.default_rng(1).uniform(0, 40, int(streams.lengths.sum()))
    total = np.cumsum(gaps)  # all streams at about the same time, each in its own order
    first = np.repeat(total[streams.offsets[:-1]], streams.lengths)
    timed = replace(streams, times_s=(1e9 + total - first).round(3))
    topic = broker.topic(partitions=3)
    with TopicProducer(broker.servers, topic) as producer:
        ticked = TickedTopic(broker.servers, producer, topic)
        for item in played(timed, "drawn", Stamps.RECORDED, settle_s=5.0, seed=0, concurrent=9):
            ticked.send(item if isinstance(item, datetime) else from_event(item))
        producer.finish()
    told, n_records = [], 0
    for messages in broker.read(topic).values():
        clock, ticks = None, []
        for message in messages:
            tick = decode_tick(message.value())
            if tick is None:
                n_records += 1
                assert decode(message.value()).time >= clock
            else:
                clock = tick
                ticks.append(tick)
        told.append(ticks)
    assert n_records == len(gaps)
    assert told[0] == told[1] == told[2] == sorted(told[0])
    assert told[0][-1].timestamp() == timed.times_s.max() + 5.0
