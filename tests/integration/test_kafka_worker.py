"""`tocsin worker` as a process of its own, on a toy detector where that is enough."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from store import workers
from streams import topics
from streams.codec import decode_tick, encode
from streams.drivers.steady import OVERDUE_S
from streams.errors import TopicError
from streams.records import MAX_RECORD_BYTES, Event

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

ENTRY = """
import logging, os, sys
import cli.crew
import cli.serving
from cli import kafka, logs
from cli.errors import CommandError
from cli.main import main
from cli.settings import Settings
from streams.roster import Roster
from tests.toys import toy_detector

def load_roster(settings, references):
    width = int(os.environ.get("TOY_WIDTH", "2"))
    time = {"idle_s": float(os.environ["TOY_IDLE_S"])} if "TOY_IDLE_S" in os.environ else {}
    return Roster(
        [toy_detector(name=r, version=f"v{width}", width=width, **time) for r in references]
    )

cli.serving.load_roster = load_roster
cli.crew.by_topic = lambda settings, references: {settings.topic: references}
if os.environ.get("TOY_BREAKS"):
    import streams.worker
    def broken(self, records):
        raise ZeroDivisionError("the toy is broken")
    streams.worker.Worker.process = broken
    streams.worker.Worker.drain = broken
main()
"""


class ToyWorker:
    """A worker process whose detectors are toys."""

    def __init__(self, environment, folder, *detectors):
        self.log = folder / f"worker-{uuid4().hex[:6]}.log"
        arguments = [part for name in detectors or ("toy",) for part in ("--detector", name)]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", ENTRY, "worker", *arguments],
                env=environment, stdout=out, stderr=out, cwd=folder,
            )  # fmt: skip

    def lines(self, event):
        rows = [
            json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")
        ]
        return [row for row in rows if row.get("event") == event]

    def wait_for(self, holds, seconds=60):
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        return found

    def end(self):
        """Return exit code and output of a worker that ends by itself."""
        return self.process.wait(60), self.log.read_text()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@pytest.fixture
def surroundings(broker, postgres_engine, postgres_url, tmp_path):
    unique = uuid4().hex[:8]
    names = {
        "TOCSIN_KAFKA_SERVERS": broker.servers,
        "TOCSIN_STORE_URL": postgres_url,
        "TOCSIN_STATE_DIR": str(tmp_path / "state"),
        "TOCSIN_TOPIC": f"records-{unique}",
        "TOCSIN_DECISIONS_TOPIC": f"decisions-{unique}",
        "TOCSIN_GROUP": f"group-{unique}",
        "TOCSIN_SESSION_TIMEOUT_S": "6",
        "TOCSIN_TICK_S": "0",  # the tests count offsets; one of them ticks
    }
    topics.create(broker.servers, names["TOCSIN_TOPIC"], partitions=2, replication=1)
    topics.create(broker.servers, names["TOCSIN_DECISIONS_TOPIC"], partitions=1, replication=1)
    root = str(Path(__file__).parents[2])
    return {**os.environ, **names, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def worker(surroundings, tmp_path):
    started = []

    def start(*detectors, **changes):
        started.append(ToyWorker({**surroundings, **changes}, tmp_path, *detectors))
        return started[-1]

    yield start
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait()


def step(stream, at, value=0.1, *, end=False):
    return encode(Event(stream, event_id=f"{stream}/{at}", frames=[[value, value]], end=end))


def rows(engine, query):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def n_rows(engine, table):
    return rows(engine, f"SELECT count(*) FROM {table}")[0][0]


def make_anew(broker, topic):
    """Delete a topic of two partitions, and create one under its name."""
    with topics.admin(broker.servers) as client:
        client.delete_topics([topic])
    deadline = time.monotonic() + 20
    while True:
        try:
            if topics.create(broker.servers, topic, partitions=2, replication=1):
                return
        except TopicError:
            assert time.monotonic() < deadline
        time.sleep(0.02)


def listening_ports(pid):
    """Return the TCP ports on which a process listens."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found


def test_records_become_decisions_in_store_and_topic_and_a_stop_is_clean(
    broker, surroundings, worker, postgres_engine, tmp_path
):
    topic = surroundings["TOCSIN_TOPIC"]
    for partition in range(2):
        streams = [f"s{partition}{i}" for i in range(20)]
        broker.put(topic, [step(s, k, end=k == 3) for k in (1, 2, 3) for s in streams], partition)
    running = worker()
    running.wait_for(lambda: n_rows(postgres_engine, "decisions") == 40)
    running.wait_for(lambda: n_rows(postgres_engine, "outbox") == 0)
    assert running.process.poll() is None
    assert listening_ports(running.process.pid) == set()
    assert n_rows(postgres_engine, "workers") == 1
    assert running.stop() == 0
    assert n_rows(postgres_engine, "workers") == 0
    assert n_rows(postgres_engine, "leases") == 0
    published = broker.read(surroundings["TOCSIN_DECISIONS_TOPIC"])[0]
    assert len({dict(m.headers())["decision_id"] for m in published}) == 40
    known = {"state"}
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} <= known


def test_every_kind_of_bad_record_is_a_dead_letter_and_its_neighbours_count(
    broker, surroundings, worker, postgres_engine
):
    topic = surroundings["TOCSIN_TOPIC"]
    with topics.admin(broker.servers) as client:
        from kafka.admin import ConfigResource, ConfigResourceType

        client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "4000000"})]
        )
    secret = b"what-a-person-wrote"
    bad = {
        "empty": None,
        "malformed_json": secret + b"{",
        "schema": b'{"stream_id": 7, "event_id": "' + secret + b'"}',
        "too_large": b'{"stream_id": "' + b"x" * (2 * MAX_RECORD_BYTES) + b'"}',
        "null_byte": b'{"stream_id": "a\\u0000b", "end": true}',
        "unknown_detector": b'{"stream_id": "a", "detector": "nobody", "frames": [[1, 1]]}',
        "no_content": b'{"stream_id": "a"}',
        "wrong_width": b'{"stream_id": "a", "frames": [[1, 2, 3]]}',
        "not_finite": b'{"stream_id": "a", "frames": [[1e300, 1]]}',
    }
    values = []
    for at, value in enumerate(bad.values()):
        values += [step(f"good{at}", 1, end=True), value]
    broker.put(topic, [*values, step("last", 1, end=True)], **{"message.max.bytes": 4_000_000})
    running = worker()
    running.wait_for(lambda: n_rows(postgres_engine, "decisions") == len(bad) + 1)
    reasons = rows(postgres_engine, "SELECT reason FROM dead_letters ORDER BY record_offset")
    assert [reason for (reason,) in reasons] == list(bad)
    assert running.stop() == 0
    assert secret.decode() not in running.log.read_text()


def test_a_delivery_repeated_under_its_event_id_counts_once(
    broker, surroundings, worker, postgres_engine
):
    topic = surroundings["TOCSIN_TOPIC"]
    once = [step("s", k) for k in range(1, 4)]
    broker.put(topic, [*once, *once, step("s", 4, end=True)])
    running = worker()
    running.wait_for(lambda: n_rows(postgres_engine, "decisions") == 1)
    assert rows(postgres_engine, "SELECT halt_step FROM decisions") == [(4,)]
    running.wait_for(lambda: running.lines("progress")[-1]["repeats"] == 3)


def test_transactions_leave_no_gap_and_aborted_records_do_not_exist(
    broker, surroundings, worker, postgres_engine
):
    topic = surroundings["TOCSIN_TOPIC"]
    running = worker()
    running.wait_for(lambda: running.lines("assigned"))
    for i in range(15):
        broker.put_transaction(topic, [step(f"kept{i}", 1, end=True)])
        broker.put_transaction(topic, [step(f"aborted{i}", 1, end=True)], commit=False)
    running.wait_for(lambda: n_rows(postgres_engine, "decisions") >= 15)
    time.sleep(2)
    found = {s for (s,) in rows(postgres_engine, "SELECT stream_id FROM decisions")}
    assert found == {f"kept{i}" for i in range(15)}
    running.wait_for(lambda: running.lines("progress")[-1]["lag"] == 0)
    assert running.stop() == 0


def test_any_fault_of_ours_ends_the_process_with_a_code_and_a_reason(broker, surroundings, worker):
    broker.put(surroundings["TOCSIN_TOPIC"], [step("s", 1)])
    code, output = worker(TOY_BREAKS="1").end()
    assert code == 1
    assert '"worker_failed"' in output
    assert "ZeroDivisionError" in output


def test_a_topic_that_is_not_there_is_refused_with_advice(worker):
    code, output = worker(TOCSIN_TOPIC="nobody.made.this").end()
    assert code == 1
    assert "tocsin topics create" in output
    assert "Traceback" not in output


def test_a_topic_for_decisions_that_is_not_there_is_refused_too(worker):
    code, output = worker(TOCSIN_DECISIONS_TOPIC="nobody.made.this").end()
    assert (code, "nobody.made.this" in output) == (1, True)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"TOCSIN_KAFKA_SERVERS": "127.0.0.1:1"}, "no Kafka answered at 127.0.0.1:1"),
        ({"TOCSIN_KAFKA_SERVERS": ""}, "set TOCSIN_KAFKA_SERVERS"),
        (
            {"TOCSIN_STORE_URL": "postgresql+psycopg://postgres@127.0.0.1:1/test"},
            "Check that it runs",
        ),
        ({"TOCSIN_STORE_URL": "sqlite:////tmp/never-made.sqlite"}, "tocsin up"),
    ],
)
def test_surroundings_that_are_not_there_are_refused_at_once(worker, change, advice):
    began = time.monotonic()
    code, output = worker(**change).end()
    assert code == 1
    assert advice in output
    assert "Traceback" not in output
    assert time.monotonic() - began < 30


def test_a_database_without_tables_is_refused_with_the_command_that_makes_them(
    worker, postgres_url
):
    from sqlalchemy.engine import make_url

    bare = make_url(postgres_url).set(database="postgres").render_as_string(hide_password=False)
    code, output = worker(TOCSIN_STORE_URL=bare).end()
    assert code == 1
    assert "tocsin db upgrade" in output


def test_a_worker_with_other_detectors_is_refused_while_the_first_lives(
    surroundings, worker, postgres_engine
):
    running = worker()
    running.wait_for(lambda: running.lines("assigned"))
    code, output = worker("toy", "another").end()
    assert code == 1
    assert "runs other detectors" in output
    code, output = worker(TOY_WIDTH="3").end()
    assert code == 1
    assert "other versions of them" in output
    assert running.stop() == 0
    workers.register(postgres_engine, "x", surroundings["TOCSIN_GROUP"], "0" * 64, 30)


def test_a_topic_made_anew_or_of_another_size_is_refused(
    broker, surroundings, worker, postgres_engine
):
    topic = surroundings["TOCSIN_TOPIC"]
    broker.put(topic, [step("s", 1, end=True)])
    first = worker()
    first.wait_for(lambda: n_rows(postgres_engine, "decisions") == 1)
    assert first.stop() == 0
    with topics.admin(broker.servers) as client:
        client.create_partitions({topic: 3})
    grown_code, grown = worker().end()
    make_anew(broker, topic)
    anew_code, anew = worker().end()
    assert (grown_code, anew_code) == (1, 1)
    for output in (grown, anew):
        assert topic in output
        assert "TOCSIN_GROUP" in output
        assert "Traceback" not in output


def test_a_worker_that_waits_for_a_partition_is_not_ended_by_its_watchdog(worker):
    crowd = [worker() for _ in range(3)]  # of two partitions
    for one in crowd:
        one.wait_for(lambda one=one: one.lines("assigned"))
    time.sleep(3)
    assert all(one.process.poll() is None for one in crowd)
    assert all(one.stop() == 0 for one in crowd)


@pytest.mark.parametrize("asleep", [False, True])
def test_a_topic_made_anew_under_a_running_worker_ends_it_before_it_decides_a_record_of_it(
    broker, surroundings, worker, postgres_engine, asleep
):
    topic = surroundings["TOCSIN_TOPIC"]
    broker.put(topic, [step(f"old{i}", 1, end=True) for i in range(10)])
    running = worker()
    running.wait_for(lambda: n_rows(postgres_engine, "decisions") == 10)
    if asleep:  # it sees nothing of the change but a topic that has grown
        running.process.send_signal(signal.SIGSTOP)
    make_anew(broker, topic)
    for partition in range(2):
        broker.put(topic, [step(f"new{partition}-{i}", 1, end=True) for i in range(30)], partition)
    running.process.send_signal(signal.SIGCONT)
    code, output = running.end()
    assert code == 1
    assert '"worker_failed"' in output
    assert "TOCSIN_GROUP" in output
    found = {stream for (stream,) in rows(postgres_engine, "SELECT stream_id FROM decisions")}
    assert found == {f"old{i}" for i in range(10)}
    reached = rows(postgres_engine, "SELECT sum(next_offset) FROM partitions")
    assert reached == [(10,)]


def test_a_topic_deleted_under_its_workers_ends_them_all_with_advice(broker, surroundings, worker):
    crowd = [worker() for _ in range(3)]  # of two partitions
    for one in crowd:
        one.wait_for(lambda one=one: one.lines("assigned"))
    with topics.admin(broker.servers) as client:
        client.delete_topics([surroundings["TOCSIN_TOPIC"]])
    for code, output in [one.end() for one in crowd]:
        assert code == 1
        assert "TOCSIN_GROUP" in output


def test_partitions_added_under_running_workers_end_them_all_even_the_one_without_work(
    broker, surroundings, worker, postgres_engine
):
    crowd = [worker() for _ in range(3)]  # of two partitions
    for one in crowd:
        one.wait_for(lambda one=one: one.lines("assigned"))
    with topics.admin(broker.servers) as client:
        client.create_partitions({surroundings["TOCSIN_TOPIC"]: 3})
    broker.put(surroundings["TOCSIN_TOPIC"], [step("s", 1, end=True)], 2)
    for code, output in [one.end() for one in crowd]:
        assert code == 1
        assert "TOCSIN_GROUP" in output
    assert n_rows(postgres_engine, "decisions") == 0


@pytest.mark.slow
def test_a_worker_that_wakes_after_a_roll_out_ends_and_neither_claims_nor_decides(
    broker, surroundings, worker, postgres_engine
):
    topic, group = surroundings["TOCSIN_TOPIC"], surroundings["TOCSIN_GROUP"]
    broker.put(topic, [step("before", 1, end=True)])
    sleeper = worker()
    sleeper.wait_for(lambda: n_rows(postgres_engine, "decisions") == 1)
    sleeper.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    # The new version finds the old one's row stale and takes it out, but has claimed nothing yet.
    with postgres_engine.begin() as connection:
        connection.execute(text("DELETE FROM workers"))
    workers.register(postgres_engine, "new", group, "0" * 64, 300)
    epochs = rows(postgres_engine, "SELECT epoch FROM partitions ORDER BY partition")
    broker.put(topic, [step("after", 1, end=True)])
    time.sleep(OVERDUE_S + 2 - (time.monotonic() - began))
    sleeper.process.send_signal(signal.SIGCONT)
    code, output = sleeper.end()
    assert code == 1
    assert "runs other detectors" in output
    assert rows(postgres_engine, "SELECT epoch FROM partitions ORDER BY partition") == epochs
    assert rows(postgres_engine, "SELECT stream_id FROM decisions") == [("before",)]


def ticks(broker, topic):
    """Return the ticks that stand in each partition."""
    found = {}
    for partition, messages in broker.read(topic).items():
        times = [decode_tick(message.value()) for message in messages]
        found[partition] = [time.timestamp() for time in times if time is not None]
    return found


def test_one_of_two_workers_ticks_and_another_goes_on_when_it_dies(
    worker, surroundings, broker, postgres_engine
):
    topic = surroundings["TOCSIN_TOPIC"]
    began = time.time()
    pair = [worker(TOCSIN_TICK_S="0.5", TOY_IDLE_S="2") for _ in range(2)]
    pair[0].wait_for(lambda: all(len(x) >= 4 for x in ticks(broker, topic).values()) or None)
    broker.put(topic, [step("silent", 1)])

    def decided():
        with postgres_engine.connect() as connection:
            query = text("SELECT reason, event_time FROM decisions WHERE stream_id = 'silent'")
            return connection.execute(query).one_or_none()

    reason, event_time = pair[0].wait_for(decided)
    assert reason == "idle"
    # The record carries no time: it counts as taken at the tick before it.
    assert event_time.timestamp() in {x for some in ticks(broker, topic).values() for x in some}
    told = ticks(broker, topic)[0]
    assert told == sorted(told)
    assert len(told) <= (time.time() - began) / 0.5 + 2, "both of them tick"
    with postgres_engine.connect() as connection:
        query = text("SELECT holder FROM leases WHERE name = :name")
        holder = connection.execute(query, {"name": f"ticks:{topic}"}).scalar_one()
    ticker, other = sorted(pair, key=lambda p: f"-{p.process.pid}-" not in holder)
    ticker.process.kill()
    ticker.process.wait()
    n_told = len(ticks(broker, topic)[1])
    other.wait_for(lambda: len(ticks(broker, topic)[1]) > n_told + 2)
    assert other.stop() == 0
