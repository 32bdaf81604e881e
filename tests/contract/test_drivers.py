"""One suite for every driver: whatever brings the records, the same decisions come out.

Each driver runs as its users run it, in processes of its own: the embedded service, and Faust on
a real Kafka with a real PostgreSQL.
"""

import signal

import numpy as np
import pytest

from detectors import datasets
from streams.codec import encode
from streams.records import Event
from streams.replay import events
from tests.drills.rig import Rig, leave
from tests.kafka_broker import broker
from tests.pendigits import DATA, differences
from tests.service import Service

__all__ = ["broker"]
pytestmark = pytest.mark.slow

N_STREAMS = 120
FRAME = [50.0, 50.0]


class Embedded:
    """`tocsin up`."""

    def __init__(self, folder, detector):
        self._start = lambda: Service(folder, detector)
        self._service = self._start()

    def send(self, rows):
        body = b'{"events":[' + b",".join(map(encode, rows)) + b"]}"
        results = self._service.ask("/v1/events", body)["results"]
        assert all(item["status"] == "accepted" for item in results)

    def decisions(self):
        return self._service.decisions()

    def dead_letters(self):
        return [row["reason"] for row in self._service.ask("/v1/dead-letters")["dead_letters"]]

    def restart(self, how):
        self._service.end(how)
        code = self._service.process.returncode
        self._service = self._start()
        return code

    def wait(self, holds, why):
        import time

        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, (why, self._service.lines)
            time.sleep(0.2)

    def close(self):
        self._service.end()


class Faust:
    """`tocsin worker` on Kafka, its decisions read from PostgreSQL."""

    def __init__(self, rig):
        from streams.produce import TopicProducer

        self._rig = rig
        self._producer = TopicProducer(rig.broker.servers, rig.topic)
        self._worker = rig.worker()

    def send(self, rows):
        from streams.produce import from_event

        for row in rows:
            self._producer.send(from_event(row))
        self._producer.finish()

    def decisions(self):
        return self._rig.decisions()

    def dead_letters(self):
        from sqlalchemy import text

        with self._rig.engine.connect() as connection:
            rows = connection.execute(text("SELECT reason FROM dead_letters ORDER BY id"))
            return [reason for (reason,) in rows]

    def restart(self, how):
        if how == signal.SIGKILL:
            self._worker.kill()
            code = -signal.SIGKILL
        else:
            code = leave(self._worker)
        self._worker = self._rig.worker()
        return code

    def wait(self, holds, why):
        self._rig.wait_until(holds, 90, why)

    def close(self):
        self._producer.__exit__(None, None, None)


@pytest.fixture
def faust(broker, postgres_engine, postgres_url, tmp_path, pendigits):
    rig = Rig(broker, postgres_url, tmp_path, pendigits.folder)
    yield Faust(rig)
    rig.close()


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("faust", marks=[pytest.mark.kafka, pytest.mark.postgres]),
    ]
)
def driver(request, tmp_path, pendigits):
    if request.param == "faust":
        running = request.getfixturevalue("faust")
    else:
        running = Embedded(tmp_path, pendigits.folder)
    yield running
    running.close()


def expected(pendigits, streams):
    ids = [streams.stream_id(i) for i in range(len(streams))]
    return {stream_id: pendigits.expected[stream_id] for stream_id in ids}


def wait_for(driver, n):
    driver.wait(lambda: len(driver.decisions()) >= n, f"fewer than {n} decisions")


def test_a_kill_and_a_stop_change_no_decision(driver, pendigits):
    streams = datasets.load(DATA).parts["test"].subset(np.arange(N_STREAMS))
    rows = list(events(streams, "pen", seed=9, concurrent=40))
    third = len(rows) // 3
    driver.send(rows[:third])
    driver.wait(driver.decisions, "no decision")
    driver.restart(signal.SIGKILL)
    driver.send(rows[third : 2 * third])
    assert driver.restart(signal.SIGTERM) in {0, -signal.SIGTERM}
    driver.send(rows[2 * third :])
    wait_for(driver, N_STREAMS)
    assert differences(expected(pendigits, streams), driver.decisions()) == []


def test_records_sent_twice_count_once(driver, pendigits):
    streams = datasets.load(DATA).parts["test"].subset(np.arange(20))
    rows = list(events(streams, "pen", seed=9))
    driver.send([row for row in rows for _ in range(2)])
    driver.send(rows)
    closing = Event("last", event_id="1", detector="pen", frames=[FRAME], end=True)
    driver.send([closing])
    wait_for(driver, 21)
    found = [row for row in driver.decisions() if row["stream_id"] != "last"]
    assert differences(expected(pendigits, streams), found) == []


def test_a_bad_record_costs_its_neighbours_nothing(driver):
    bad = Event("s", event_id="2", detector="pen", frames=[[1.0, 2.0, 3.0]])
    good = [
        Event("s", event_id="1", detector="pen", frames=[FRAME]),
        Event("s", event_id="3", detector="pen", frames=[FRAME] * 7, end=True),
    ]
    driver.send([good[0], bad, good[1]])
    wait_for(driver, 1)
    assert [row["stream_id"] for row in driver.decisions()] == ["s"]
    assert driver.dead_letters() == ["wrong_width"]


def test_a_record_after_the_end_opens_a_new_episode(driver):
    rows = [
        Event("s", event_id=str(k), detector="pen", frames=[FRAME], end=True) for k in (1, 2, 3)
    ]
    driver.send(rows)
    wait_for(driver, 3)
    assert sorted(row["episode"] for row in driver.decisions()) == ["1", "2", "3"]
