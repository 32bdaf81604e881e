"""The labels topic into the store: each label once, whatever happens in between."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from store import dead_letters
from store.errors import StoreUnavailableError, TopicChangedError
from store.labels import keep
from store.leases import Lease
from store.ledger import SqlLedger
from store.session import direct
from streams.drivers.kafka_labels import GROUP, LabelReader, LabelTopic
from streams.errors import RecordsLostError, TopicError
from tests.toys import FakeLog


def value(label="3", **more):
    return json.dumps({"stream_id": "s", "label": label, "source": "nurse"} | more).encode()


class Rig:
    """A labels topic in memory on a real store."""

    def __init__(self, engine, n_partitions=2):
        self.engine, self.log = engine, FakeLog(n_partitions)
        self.n_partitions, self.opened, self.begin = n_partitions, 0, 0
        self.missing = None

    @contextmanager
    def connect(self):
        if self.missing:
            raise TopicError(self.missing)
        self.opened += 1
        ledger = SqlLedger(self.engine, GROUP, "labels", "topic-1", self.n_partitions).open()
        yield LabelTopic("topic-1", self.n_partitions, ledger, self.log, lambda _: self.begin)

    def reader(self, holder="me", file=None):
        lease = Lease(self.engine, "labels:labels", holder, 60)
        return LabelReader(
            self.connect, lease, file or (lambda labels: keep(direct(self.engine), labels))
        )

    def rows(self, query):
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def labels(self):
        return self.rows("SELECT label, via FROM labels ORDER BY id")


@pytest.fixture
def rig(store_engine):
    return Rig(store_engine)


def test_labels_of_all_partitions_are_stored_and_the_position_moves(rig):
    rig.log.append(0, value("3"))
    rig.log.append(1, value("5"))
    reader = rig.reader()
    assert reader.read_some() == 2
    assert rig.labels() == [("3", "topic"), ("5", "topic")]
    assert (reader.counts.stored, reader.counts.unmatched) == (2, 2)
    assert reader.read_some() == 0
    reader.close()
    rig.log.append(0, value("7"))
    assert rig.reader().read_some() == 1
    assert len(rig.labels()) == 3


def test_what_cannot_be_used_is_a_dead_letter_of_the_labels_topic(rig):
    for bad in (None, b"{", b"[]", value(label_id="x\x00")):
        rig.log.append(0, bad)
    rig.log.append(0, value("3", label_id="x"))
    rig.log.append(0, value("5", label_id="x"))
    reader = rig.reader()
    reader.read_some()
    assert rig.labels() == [("3", "topic")]
    assert reader.counts.rejected == 5
    assert rig.rows("SELECT record_offset, reason FROM dead_letters ORDER BY record_offset") == [
        (0, "empty"),
        (1, "malformed_json"),
        (2, "schema"),
        (3, "null_byte"),
        (5, "label_id_conflict"),
    ]


def test_dead_letters_of_labels_are_listed_with_their_topic(rig):
    rig.log.append(1, b"{")
    rig.reader().read_some()
    with Session(rig.engine) as session:
        (letter,) = dead_letters.page(session, limit=9)
    assert (letter.topic, letter.partition, letter.offset) == ("labels", 1, 0)


def test_a_crash_before_the_position_is_stored_reads_again_and_counts_once(rig):
    rig.log.append(0, value("3"))
    rig.log.append(0, value("5"))
    stored = []

    def file_and_die(labels):
        stored.extend(keep(direct(rig.engine), labels))
        raise StoreUnavailableError("here", "gone")

    with pytest.raises(StoreUnavailableError):
        rig.reader(file=file_and_die).read_some()
    assert len(stored) == 2
    again = rig.reader()
    assert again.read_some() == 2
    assert rig.labels() == [("3", "topic"), ("5", "topic")]
    assert (again.counts.stored, again.counts.repeated) == (0, 2)


def test_one_reads_at_a_time(rig):
    rig.log.append(0, value())
    first, second = rig.reader("first"), rig.reader("second")
    assert first.read_some() == 1
    rig.log.append(0, value())
    assert second.read_some() == 0
    assert rig.opened == 1
    assert first.read_some() == 1


def test_a_reader_that_was_thought_dead_moves_nothing(rig):
    reader = rig.reader()
    reader.read_some()
    other = SqlLedger(rig.engine, GROUP, "labels", "topic-1", 2).open()
    other.claim([0, 1])
    rig.log.append(0, value())
    reader.read_some()
    assert other.positions()[0].next_offset == 0
    assert reader.read_some() == 1  # it still has the lease, and claims anew
    assert len(rig.labels()) == 1


def test_labels_deleted_unread_are_given_up_and_the_rest_is_read(rig):
    for n in range(4):
        rig.log.append(0, value(label_id=str(n)))
    fetch = rig.log.fetch

    def gone(partition, start, stop, limit):
        if start < 2:
            raise RecordsLostError("labels", partition, start, 2)
        return fetch(partition, start, stop, limit)

    rig.log.fetch, rig.begin = gone, 2
    reader = rig.reader()
    assert reader.read_some() == 1
    assert reader.read_some() == 2
    assert rig.rows("SELECT label_id FROM labels ORDER BY id") == [("2",), ("3",)]


def test_a_topic_that_is_missing_is_looked_for_again(rig):
    rig.missing = "there is no such topic"
    rig.log.append(0, value())
    reader = rig.reader()
    with pytest.raises(TopicError):
        reader.read_some()
    rig.missing = None
    assert reader.read_some() == 1


def test_a_topic_made_anew_is_not_read_in_the_place_of_the_old_one(rig):
    rig.reader().read_some()
    ledger = SqlLedger(rig.engine, GROUP, "labels", "topic-2", 2)
    with pytest.raises(TopicChangedError):
        ledger.open()


def test_the_thread_reads_what_comes_and_gives_the_lease_back(rig):
    rig.log.append(0, value("3"))
    reader = rig.reader()
    reader.start()
    deadline = time.monotonic() + 20
    while not rig.labels() and time.monotonic() < deadline:
        time.sleep(0.02)
    reader.stop()
    assert rig.labels() == [("3", "topic")]
    assert rig.rows("SELECT name FROM leases") == []


def test_whatever_goes_wrong_the_thread_lives_on(rig):
    rig.log.append(0, value("3"))
    faults = [ZeroDivisionError(), StoreUnavailableError("here", "gone")]

    def file(labels):
        if faults:
            raise faults.pop()
        return keep(direct(rig.engine), labels)

    reader = rig.reader(file=file)
    for _ in range(2):
        assert reader._attempt() is None
    assert reader._attempt() == 1
    assert rig.labels() == [("3", "topic")]
