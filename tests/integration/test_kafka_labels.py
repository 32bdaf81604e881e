"""The labels topic on real Kafka and PostgreSQL, read by real workers."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session

from api.realised import report
from streams import topics
from tests.integration.test_kafka_worker import ToyWorker, n_rows, rows, step

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest.fixture
def surroundings(broker, postgres_engine, postgres_url, tmp_path):
    unique = uuid4().hex[:8]
    names = {
        "TOCSIN_KAFKA_SERVERS": broker.servers,
        "TOCSIN_STORE_URL": postgres_url,
        "TOCSIN_STATE_DIR": str(tmp_path / "state"),
        "TOCSIN_TOPIC": f"records-{unique}",
        "TOCSIN_DECISIONS_TOPIC": f"decisions-{unique}",
        "TOCSIN_LABELS_TOPIC": f"labels-{unique}",
        "TOCSIN_GROUP": f"group-{unique}",
        "TOCSIN_SESSION_TIMEOUT_S": "6",
    }
    for name in ("TOCSIN_TOPIC", "TOCSIN_DECISIONS_TOPIC"):
        topics.create(broker.servers, names[name], partitions=2, replication=1)
    root = str(Path(__file__).parents[2])
    return {**os.environ, **names, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def labels_topic(broker, surroundings):
    name = surroundings["TOCSIN_LABELS_TOPIC"]
    topics.create(broker.servers, name, partitions=2, replication=1)
    return name


@pytest.fixture
def worker(surroundings, tmp_path):
    started = []

    def start(**changes):
        started.append(ToyWorker({**surroundings, **changes}, tmp_path))
        return started[-1]

    yield start
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait()


def label(stream, answer="low", **more):
    return json.dumps({"stream_id": stream, "label": answer, "source": "nurse"} | more).encode()


def n_lines(running, event):
    return len(running.lines(event))


def test_labels_before_and_after_their_decisions_come_to_the_realised_numbers(
    broker, surroundings, labels_topic, worker, postgres_engine
):
    streams = [f"s{n}" for n in range(20)]
    broker.put(labels_topic, [label(s, label_id=s) for s in streams[:10]])
    running = worker()
    running.wait_for(lambda: n_rows(postgres_engine, "labels") == 10)
    broker.put(
        surroundings["TOCSIN_TOPIC"], [step(s, k, end=k == 3) for k in (1, 2, 3) for s in streams]
    )
    running.wait_for(lambda: n_rows(postgres_engine, "decisions") == 20)
    late = [label(s, label_id=s) for s in streams[5:15]]
    broker.put(labels_topic, [*late, b"{", label("s0", "no such label", detector="toy")], 1)
    running.wait_for(lambda: n_rows(postgres_engine, "dead_letters") == 2)
    assert n_rows(postgres_engine, "labels") == 15
    assert rows(postgres_engine, "SELECT DISTINCT via, key_prefix FROM labels") == [
        ("topic", None)
    ]
    letters = rows(
        postgres_engine,
        "SELECT topic, reason FROM dead_letters JOIN partitions ON partition_id = partitions.id "
        "ORDER BY record_offset",
    )
    assert letters == [(labels_topic, "malformed_json"), (labels_topic, "unknown_label")]
    running.wait_for(lambda: running.lines("labels"))
    said = running.wait_for(
        lambda: (last := running.lines("labels")[-1]) and last["rejected"] == 2 and last
    )
    assert (said["stored"], said["repeated"], said["unmatched"]) == (15, 5, 10)
    with Session(postgres_engine) as session:
        (version,) = report(session, "toy").versions
    assert (version.decisions, version.labelled) == (20, 15)
    answers = dict(rows(postgres_engine, "SELECT stream_id, label FROM decisions"))
    right = sum(answers[s] == "low" for s in streams[:15])
    assert (version.accuracy.k, version.accuracy.n) == (right, 15)
    assert running.stop() == 0
    assert n_rows(postgres_engine, "leases") == 0


def test_one_of_two_workers_reads_and_the_other_takes_over_when_it_is_killed(
    broker, labels_topic, worker, postgres_engine
):
    first, second = worker(), worker()
    for running in (first, second):
        running.wait_for(lambda running=running: running.lines("assigned"))
    broker.put(labels_topic, [label("s", label_id=str(n)) for n in range(100)])
    first.wait_for(lambda: n_rows(postgres_engine, "labels") == 100)
    reading = [w for w in (first, second) if n_lines(w, "labels_assigned")]
    assert len(reading) == 1
    (other,) = {first, second} - set(reading)
    reading[0].process.send_signal(signal.SIGKILL)
    broker.put(labels_topic, [label("s", label_id=str(n)) for n in range(50, 200)], 1)
    other.wait_for(lambda: n_rows(postgres_engine, "labels") == 200)
    assert n_lines(other, "labels_assigned") == 1
    assert other.stop() == 0
    positions = rows(
        postgres_engine,
        "SELECT partition, next_offset FROM partitions WHERE group_id = 'labels' ORDER BY 1",
    )
    assert positions == [(0, 100), (1, 150)]


def test_killed_again_and_again_no_label_is_lost_or_doubled(
    broker, labels_topic, worker, postgres_engine
):
    """Labels without a name are told apart by where they stand in the topic."""
    n = 3000
    broker.put(labels_topic, [label(f"s{i}") for i in range(n)])
    deadline = time.monotonic() + 90
    while (found := n_rows(postgres_engine, "labels")) < n:
        assert time.monotonic() < deadline, found
        running = worker()
        before = found
        running.wait_for(lambda before=before: n_rows(postgres_engine, "labels") > before)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        with postgres_engine.begin() as connection:  # as if its lease had run out
            connection.exec_driver_sql("DELETE FROM leases")
    running = worker()
    running.wait_for(
        lambda: (
            (n,)
            in rows(
                postgres_engine, "SELECT next_offset FROM partitions WHERE group_id = 'labels'"
            )
        )
    )
    assert rows(postgres_engine, "SELECT count(*), count(DISTINCT stream_id) FROM labels") == [
        (n, n)
    ]
    running.wait_for(lambda: running.lines("assigned"))
    assert running.stop() == 0


def test_without_the_topic_the_worker_decides_and_reads_it_once_it_is_made(
    broker, surroundings, worker, postgres_engine
):
    running = worker()
    broker.put(surroundings["TOCSIN_TOPIC"], [step("s", 1, end=True)])
    running.wait_for(lambda: n_rows(postgres_engine, "decisions") == 1)
    (said,) = running.wait_for(lambda: running.lines("labels_outage"))
    assert "tocsin topics create" in said["trouble"]
    name = surroundings["TOCSIN_LABELS_TOPIC"]
    topics.create(broker.servers, name, partitions=1, replication=1)
    broker.put(name, [label("s")])
    running.wait_for(lambda: n_rows(postgres_engine, "labels") == 1)
    assert running.stop() == 0
