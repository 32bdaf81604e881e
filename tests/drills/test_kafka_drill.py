"""Faults under load on real Kafka and PostgreSQL: the decisions are those of a clean replay."""

from __future__ import annotations

import json
import random
import signal
import socket
import time
import urllib.request

import pytest

from tests.drills.rig import SESSION_S, Rig, leave
from tests.kafka_broker import new_broker
from tests.pendigits import corrupt_one_threshold, differences, expected_rows

pytestmark = [pytest.mark.drill, pytest.mark.kafka, pytest.mark.postgres]

SEED = 20261122
N_RECORDS = 13_992
"""1 749 test streams of 8 steps."""


class Faults:
    """Does harm at random moments, and counts what was done while there was work."""

    def __init__(self, rig, producer, seed=SEED):
        self.rig, self.producer = rig, producer
        self.random = random.Random(seed)
        self.workers = []
        self.counted = {"SIGKILL": 0, "join": 0, "leave": 0}

    def start(self, n):
        self.workers += [self.rig.worker() for _ in range(n)]
        for worker in self.workers:
            worker.wait_for("assigned")

    def moment(self):
        """Wait until work goes on since the last fault, then a random while; say how it stands."""
        before = self.rig.reached()
        self.rig.wait_until(lambda: self.rig.reached() > before, 60, "work does not go on")
        time.sleep(self.random.uniform(0.2, 3.0))
        deadline = time.monotonic() + 10
        while (lag := self.rig.lag()) == 0 and time.monotonic() < deadline:
            time.sleep(0.005)
        return lag, self.rig.reached()

    def note(self, what, worker, lag, reached, had):
        """Count a fault that hit an owner, between first and last commit, with work waiting."""
        counts = lag > 0 and 0 < reached < N_RECORDS and self.producer.running and had
        self.counted[what] += bool(counts)
        print(  # noqa: T201  (the drill's own record)
            f"{what:8} {worker.name:10} with {had} partitions, lag {lag:5}, committed "
            f"{reached:5} of {N_RECORDS}: {'counts' if counts else 'does not count'}"
        )

    def victim(self):
        """Choose among the workers that own something, and take it out of the list."""
        self.rig.wait_until(lambda: any(map(owned, self.workers)), 60, "nobody owns anything")
        chosen = self.random.choice([worker for worker in self.workers if owned(worker)])
        self.workers.remove(chosen)
        return chosen

    def kill(self):
        victim = self.victim()
        lag, reached = self.moment()
        had = owned(victim)
        victim.kill()
        self.note("SIGKILL", victim, lag, reached, had)
        self.workers.append(self.rig.worker())

    def join(self):
        lag, reached = self.moment()
        joined = self.rig.worker()
        joined.wait_for("assigned")
        self.workers.append(joined)
        self.note("join", joined, lag, reached, len(joined.lines("assigned")[-1]["partitions"]))

    def leave(self):
        leaver = self.victim()
        lag, reached = self.moment()
        had = owned(leaver)
        code = leave(leaver)
        self.note("leave", leaver, lag, reached, had)
        assert code == 0, leaver.log.read_text()


def owned(worker):
    """Return how many partitions a worker last said it has."""
    return len(worker.count("partitions") or ())


def test_kills_joins_and_leaves_change_no_decision(rig, pendigits, tmp_path):
    producer = rig.produce("--rate", "150", "--seed", str(SEED))
    port = free_port()
    api = rig.api(port)
    faults = Faults(rig, producer)
    faults.start(2)
    rig.wait_until(lambda: rig.reached() > 0, 60, "nothing was committed")
    for what in ("kill", "join", "kill", "kill", "leave", "kill", "kill"):
        getattr(faults, what)()
    while faults.counted["SIGKILL"] < 5 and producer.running:
        faults.kill()
    assert producer.process.wait(150) == 0, producer.log.read_text()
    rig.wait_done(N_RECORDS)
    assert faults.counted["SIGKILL"] >= 5
    assert faults.counted["join"] >= 1
    assert faults.counted["leave"] >= 1

    found = rig.decisions()
    assert differences(pendigits.expected, found) == []
    assert len(found) == len(pendigits.expected)
    ids = {str(row["id"]) for row in found}
    assert ids == {row["id"] for row in pendigits.expected.values()}

    rig.wait_until(lambda: rig.outbox_size() == 0, 60, "decisions were not published")
    assert rig.published_ids() == ids
    assert api.running
    assert served_ids(rig, port) == ids

    corrupted = corrupt_one_threshold(pendigits.folder, tmp_path / "corrupted")
    assert differences(expected_rows(corrupted, tmp_path / "corrupted.jsonl"), found) != []


def test_a_worker_stopped_past_its_session_and_woken_writes_nothing(rig, pendigits):
    rig.produce("--rate", "400", "--seed", "5")
    sleeper, other = rig.worker(), rig.worker()
    for worker in (sleeper, other):
        worker.wait_for("assigned")
    rig.wait_until(lambda: sleeper.count("commits") > 2, 60, "the sleeper commits nothing")
    for _ in range(3):
        rig.wait_until(lambda: rig.lag() > 0, 20, "there is no lag to sleep on")
        sleeper.signal(signal.SIGSTOP)
        slept_from = rig.ledger.positions()
        # All of its partitions must pass to the other, under higher epochs, before it wakes.
        rig.wait_until(
            lambda before=slept_from: all(
                claim.epoch > before[partition].epoch
                for partition, claim in rig.ledger.positions().items()
            ),
            SESSION_S + 40,
            "its partitions were not taken over",
        )
        sleeper.signal(signal.SIGCONT)
        rig.wait_until(lambda: sleeper.lines("overslept"), 20, "it did not notice its sleep")
        time.sleep(2.5)
        if sleeper.count("fenced"):
            break
    assert sleeper.count("fenced") > 0, "it never tried to write: the drill shows nothing"
    rig.wait_done(N_RECORDS)
    assert differences(pendigits.expected, rig.decisions()) == []


def test_deliveries_that_get_lost_are_fetched_directly(rig, pendigits):
    rig.produce("--rate", "500", "--seed", "6")
    lossy = rig.start(
        "-m", "tests.drills.lossy_worker", rig.detector, name="worker", LOSSY_SEED="1"
    )
    lossy.wait_for("assigned")
    rig.wait_done(N_RECORDS)
    lost = sum(row["lost"] for row in lossy.lines("lost"))
    assert lost > 500
    assert lossy.count("filled") > lost / 2
    assert differences(pendigits.expected, rig.decisions()) == []


def test_a_database_that_is_gone_for_a_while_loses_nothing(rig, pendigits):
    producer = rig.produce("--rate", "500", "--seed", "7")
    worker = rig.worker()
    rig.wait_until(lambda: rig.reached() > 200, 60, "nothing was committed")
    outages = 0
    while producer.running and outages < 3:
        with shut_database(rig):
            time.sleep(4)
        outages += 1
        before = rig.reached()
        rig.wait_until(lambda n=before: rig.reached() > n, 60, "it did not come back")
    assert outages == 3
    assert producer.process.wait(120) == 0
    rig.wait_done(N_RECORDS)
    assert worker.running
    assert worker.lines("outage")
    assert differences(pendigits.expected, rig.decisions()) == []


def test_a_broker_that_crashes_and_comes_back_loses_nothing(
    pendigits, postgres_engine, postgres_url, tmp_path
):
    broker = new_broker(tmp_path)
    rig = Rig(broker, postgres_url, tmp_path, pendigits.folder)
    try:
        producer = rig.produce("--rate", "300", "--seed", "8")
        workers = [rig.worker(), rig.worker()]
        rig.wait_until(lambda: rig.reached() > 500, 60, "nothing was committed")
        broker.crash()
        time.sleep(5)
        broker.start()
        assert producer.process.wait(180) == 0, producer.log.read_text()
        rig.wait_done(N_RECORDS, 180)
        assert all(worker.running for worker in workers)
        assert differences(pendigits.expected, rig.decisions()) == []
        broker.crash()
        for worker in workers:  # a stop is a stop, whoever else is away
            assert leave(worker, seconds=60) == 0, worker.log.read_text()
    finally:
        rig.close()
        broker.stop()


class shut_database:  # noqa: N801  (used as a statement)
    """The database ends all connections and takes no new ones."""

    def __init__(self, rig):
        from sqlalchemy import create_engine, text
        from sqlalchemy.engine import make_url

        url = make_url(rig.store_url)
        self.text, self.name = text, url.database
        self.admin = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")

    def say(self, statement):
        with self.admin.connect() as connection:
            connection.execute(self.text(statement))

    def __enter__(self):
        self.say(f'ALTER DATABASE "{self.name}" WITH ALLOW_CONNECTIONS false')
        self.say(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'"
        )

    def __exit__(self, *_):
        self.say(f'ALTER DATABASE "{self.name}" WITH ALLOW_CONNECTIONS true')
        self.admin.dispose()


def served_ids(rig, port):
    """Return the ids of all decisions, page by page from the API."""
    key = (rig.folder / "admin-key").read_text().strip()
    found, cursor = set(), ""
    while True:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/decisions?limit=500{cursor}",
            headers={"Authorization": f"Bearer {key}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            page = json.load(answer)
        found |= {row["id"] for row in page["decisions"]}
        if not page.get("next_cursor"):
            return found
        cursor = f"&cursor={page['next_cursor']}"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
