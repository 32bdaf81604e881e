"""Three detectors of three modalities on two topics, under faults: as `tocsin evaluate` says."""

from __future__ import annotations

import random
import time

import pytest
from sqlalchemy import text

from detectors import datasets
from store.ledger import SqlLedger
from streams import topics
from streams.drivers.kafka_fetch import KafkaFetcher
from tests.drills.rig import PARTITIONS, Rig, leave
from tests.drills.three import CHATS, SETS
from tests.drills.three import three as three  # a fixture
from tests.pendigits import corrupt_one_threshold, differences, expected_rows

pytestmark = [pytest.mark.drill, pytest.mark.kafka, pytest.mark.postgres]

SEED = 20261122
RATES = {"pen": 110, "sepsis": 550, "scam": 28}
"""Records a second of each: all three are sent for some two minutes."""


class TwoTopics(Rig):
    """A rig whose workers read the service's own topic and somebody else's."""

    def __init__(self, broker, store_url, folder, three):
        super().__init__(broker, store_url, folder, three.folder("pen"))
        # Recorded times are years ago: the clock is that of the ticks among the records.
        self.environment["TOCSIN_TICK_S"] = "0"
        self.three = three
        topics.create(broker.servers, CHATS, partitions=PARTITIONS, replication=1)
        at = topics.find(broker.servers, CHATS)
        self.chats = SqlLedger(
            self.engine, f"{self.group}.{CHATS}", CHATS, at.topic_id, at.n_partitions
        )
        self.chat_records = KafkaFetcher(broker.servers, CHATS)

    def crew(self, topic):
        """Start a worker of the detectors that listen to one topic."""
        names = ("pen", "sepsis", "scam")
        named = [word for name in names for word in ("--detector", self.three.folder(name))]
        return self.start("-m", "cli.main", "worker", "--topic", topic, *named, name="worker")

    def send(self, name):
        """Start the producer of one detector's recorded streams."""
        if name == "scam":
            return self.start(
                "-m", "tests.drills.three", self.broker.servers, RATES[name], name="chats"
            )
        return self.start(
            "-m", "cli.main", "produce", SETS[name], "--detector", self.three.folder(name),
            "--json", "--rate", RATES[name], name="produce",
        )  # fmt: skip

    def behind(self):
        """Return how many records of both topics are not committed."""
        end = sum(self.chat_records.end(partition) for partition in range(PARTITIONS))
        passed = sum(claim.next_offset for claim in self.chats.positions().values())
        return self.lag(), end - passed

    def work_left(self, topic, seconds=8):
        """Wait a while for a moment with records not committed yet; return how many there are."""
        deadline = time.monotonic() + seconds
        while True:
            left = dict(zip((self.topic, CHATS), self.behind(), strict=True))[topic]
            if left or time.monotonic() > deadline:
                return left
            time.sleep(0.01)

    def decided(self, name):
        query = text(
            "SELECT id, stream_id, episode, label, halt_step, probability, reason, explanation "
            "FROM decisions WHERE detector = :name"
        )
        with self.engine.connect() as connection:
            return [row._asdict() for row in connection.execute(query, {"name": name})]

    def close(self):
        self.chat_records.close()
        super().close()


@pytest.fixture
def two_topics(broker, postgres_engine, postgres_url, tmp_path, three):
    running = TwoTopics(broker, postgres_url, tmp_path, three)
    yield running
    running.close()


def test_kills_and_rebalances_change_no_decision_of_any_detector(two_topics, tmp_path):
    rig, three = two_topics, two_topics.three
    chance = random.Random(SEED)
    producers = [rig.send(name) for name in SETS]
    workers = {topic: [rig.crew(topic) for _ in range(2)] for topic in (rig.topic, CHATS)}
    for crew in workers.values():
        for worker in crew:
            worker.wait_for("assigned", 90)
    killed = dict.fromkeys(workers, 0)
    while min(killed.values()) < 2 and any(producer.running for producer in producers):
        topic = min(killed, key=killed.get)
        time.sleep(chance.uniform(1.0, 4.0))
        waiting = rig.work_left(topic)
        victim = workers[topic].pop(0)
        victim.kill()
        counts = waiting > 0 and any(producer.running for producer in producers)
        killed[topic] += counts
        print(f"SIGKILL {victim.name} of {topic}, lag {waiting}: {counts}")  # noqa: T201
        workers[topic].append(rig.crew(topic))
        workers[topic][-1].wait_for("assigned", 90)
    joined = rig.crew(rig.topic)
    joined.wait_for("assigned", 90)
    assert leave(workers[rig.topic].pop(0)) == 0
    assert min(killed.values()) >= 2

    for producer in producers:
        assert producer.process.wait(240) == 0, producer.log.read_text()
    rig.wait_until(lambda: rig.behind() == (0, 0), 120, "records were left")
    for name in SETS:
        found = rig.decided(name)
        assert differences(three.expected(name), found) == [], name
        assert len(found) == len(three.expected(name))
        assert {str(row["id"]) for row in found} == {
            row["id"] for row in three.expected(name).values()
        }
        for row in found:
            assert row["explanation"]["method"]
    evidence = {
        name: {key for row in rig.decided(name) for c in row["explanation"]["contributions"]
               for key in c["evidence"]}
        for name in SETS
    }  # fmt: skip
    assert evidence["pen"] == {"x", "y"}
    assert {"channel", "value"} <= evidence["sepsis"]
    assert "word" in evidence["scam"]
    corrupted = corrupt_one_threshold(three.folder("sepsis"), tmp_path / "corrupted")
    rows = expected_rows(corrupted, tmp_path / "corrupted.jsonl", SETS["sepsis"])
    assert differences(rows, rig.decided("sepsis")) != []


def test_the_sets_hold_what_the_drill_says():
    assert len(datasets.load(SETS["scam"]).parts["test"]) >= 100
