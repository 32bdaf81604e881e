"""Learning while serving, end to end: labels in, a new version out, later streams under it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import partial
from itertools import count
from uuid import uuid4
from zlib import crc32

import numpy as np
import pytest
from sqlalchemy import text

from detectors import config, datasets
from detectors.registry import Registry
from detectors.train import train
from streams import topics
from streams.scoring import score
from tests.service import running
from tests.talk import silent

pytestmark = pytest.mark.slow

CONFIG = """
schema = 1
name = "talk"
dataset = "shop-talk"
modality = "text"
horizon = 12
shadow_share = 0.0

[classifier]
kind = "river"
least_streams = 3

[rule]
control = "marginal"
alpha = 0.05
"""
NEW_WORD = "quokkacoin"
"""In none of the made-up conversations."""
SECONDS = 90


@pytest.fixture(scope="module")
def talk():
    chosen = config.parse(CONFIG)
    today = datetime.now(tz=UTC).date().isoformat()
    dataset = datasets.load(chosen.dataset)
    return train(chosen, dataset, score, made_on=today, progress=silent).detector


def until(told):
    deadline = time.monotonic() + SECONDS
    while not (found := told()):
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.3)
    return found


class Conversation:
    """What a service is told, by REST."""

    def __init__(self, service):
        self.service = service
        self.numbers = count()

    def say(self, stream, *posts, end=True):
        events = [
            {"stream_id": stream, "event_id": f"{stream}/{next(self.numbers)}", "text": post,
             "end": end and n == len(posts)}
            for n, post in enumerate(posts, start=1)
        ]  # fmt: skip
        self._post("/v1/events", {"events": events}, "accepted")

    def label(self, stream, label):
        told = {"stream_id": stream, "label": label, "source": "reviewer"}
        self._post("/v1/labels", {"labels": [told]}, "stored")

    def decision(self, stream):
        """Return the decision on a stream once it is there."""
        path = f"/v1/decisions?stream_id={stream}"
        rows = until(lambda: self.service.ask(path)["decisions"])
        detail = self.service.ask(f"/v1/decisions/{rows[0]['id']}")
        return {**detail["decision"], **detail}

    def versions(self):
        """Return the versions that the store knows, by status."""
        rows = self.service.ask("/v1/detectors")["detectors"]
        return {row["version"]: row["status"] for row in rows}

    def _post(self, path, body, status):
        results = self.service.ask(path, json.dumps(body).encode())["results"]
        assert [item["status"] for item in results] == [status] * len(results), results


@pytest.fixture
def served(talk, tmp_path, monkeypatch):
    """A running service that learns after every six labels."""
    monkeypatch.setenv("TOCSIN_LEARN_EVERY", "6")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TOCSIN_LOG_LEVEL", "info")
    Registry(tmp_path / "detectors").add(talk)
    with running(tmp_path, "talk") as service:
        yield Conversation(service)


def two_versions(served):
    return len(served.versions()) == 2


def share(decision, label):
    """Return the probability of a label where there are two."""
    found = decision["probability"]
    return found if decision["label"] == label else 1 - found


def test_a_word_that_was_taught_changes_the_answer_under_a_version_of_its_own(served, talk):
    question = f"we settle in {NEW_WORD} as always"
    served.say("before", question)
    before = served.decision("before")
    assert before["version"] == talk.version
    other = next(c for c in talk.classifier.classes if c != before["label"])

    served.say("under-way", "hello", end=False)  # begins under the first version
    for n in range(6):
        served.say(f"taught-{n}", f"pay me in {NEW_WORD} {NEW_WORD}", "ok")
        served.decision(f"taught-{n}")
        served.label(f"taught-{n}", other)
    versions = until(lambda: len(found := served.versions()) == 2 and found)
    assert versions.pop(talk.version) == "retired"
    ((learned, status),) = versions.items()
    assert status == "active"

    served.say("after", question)
    after = served.decision("after")
    assert after["version"] == learned
    assert after["certificate"]["alpha"] == 0.05
    assert share(after, other) > share(before, other) + 0.1
    said = [each["evidence"]["word"] for each in after["explanation"]["contributions"]]
    assert NEW_WORD in said

    served.say("under-way", question)
    assert served.decision("under-way")["version"] == talk.version


def test_the_service_says_from_what_a_version_learned_and_goes_on_after_a_restart(
    talk, tmp_path, monkeypatch
):
    monkeypatch.setenv("TOCSIN_LEARN_EVERY", "4")
    registry = Registry(tmp_path / "detectors")
    registry.add(talk)
    for round_ in range(2):
        with running(tmp_path, "talk") as service:
            served = Conversation(service)
            for n in range(3):  # three in each life: the fourth comes after the restart
                stream = f"taught-{round_}-{n}"
                served.say(stream, f"pay me in {NEW_WORD}")
                served.decision(stream)
                served.label(stream, talk.classifier.classes[0])
            if round_ == 0:
                time.sleep(6)  # it looks at the labels, and makes nothing of three
                assert served.versions() == {talk.version: "active"}
                continue
            until(partial(two_versions, served))
    (made,) = [e for e in registry.entries("talk") if e.active]
    learned = registry.load(made.reference).card["learned"]
    assert learned["from_version"] == talk.version
    assert learned["labels"] == 4


def test_a_pinned_detector_neither_learns_nor_changes(talk, tmp_path, monkeypatch):
    monkeypatch.setenv("TOCSIN_LEARN_EVERY", "1")
    registry = Registry(tmp_path / "detectors")
    registry.add(talk)
    with running(tmp_path, f"talk@{talk.version}") as service:
        served = Conversation(service)
        served.say("a", f"pay me in {NEW_WORD}")
        served.decision("a")
        served.label("a", talk.classifier.classes[0])
        time.sleep(8)
        assert served.versions() == {talk.version: "active"}
    assert [e.version for e in registry.entries("talk")] == [talk.version]


def test_records_keep_being_decided_while_a_version_is_made(served, talk):
    """Nothing is lost, doubled or left undecided on the way from one version to the next."""
    parts = datasets.load("shop-talk").parts["train"]
    n = 120
    for i in range(n):
        posts = parts.inputs[parts.offsets[i] : parts.offsets[i + 1]].tolist()
        served.say(f"live-{i}", *posts)
        if i % 10 == 0:
            served.decision(f"live-{i}")
            served.label(f"live-{i}", parts.classes[parts.labels[i]])
    found = until(lambda: len(rows := served.service.decisions()) >= n and rows)
    assert sorted(row["stream_id"] for row in found) == sorted(f"live-{i}" for i in range(n))
    known = until(lambda: len(served.versions()) >= 2 and served.versions())
    assert {row["version"] for row in found} <= known.keys()
    right = {f"live-{i}": parts.classes[parts.labels[i]] for i in range(n)}
    accuracy = np.mean([right[row["stream_id"]] == row["label"] for row in found])
    assert accuracy > 0.8, "the words of these very conversations are known"


class Process:
    """A command of ours as a process, with what it said in a file."""

    def __init__(self, environment, folder, *arguments):
        self.log = folder / f"{arguments[0]}-{uuid4().hex[:6]}.log"
        self.out = self.log.with_suffix(".out")
        with self.log.open("wb") as said, self.out.open("wb") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *map(str, arguments)],
                env=environment, stdout=told, stderr=said,
            )  # fmt: skip

    def alive(self):
        assert self.process.poll() is None, self.log.read_text()
        return True

    def told(self):
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture
def surroundings(broker, postgres_engine, postgres_url, tmp_path, talk):
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
    for name in ("TOCSIN_TOPIC", "TOCSIN_DECISIONS_TOPIC", "TOCSIN_LABELS_TOPIC"):
        topics.create(broker.servers, names[name], partitions=2, replication=1)
    Registry(tmp_path / "state" / "detectors").add(talk)
    return {**os.environ, **names, "OMP_NUM_THREADS": "1"}


@pytest.mark.kafka
@pytest.mark.postgres
def test_workers_on_kafka_take_up_what_a_learner_makes_of_the_labels_topic(
    broker, surroundings, postgres_engine, tmp_path, talk
):
    """Two workers and a learner, which is killed once; every stream is decided, under one of two
    versions, and a word that was taught changes the answer.
    """

    def say(*streams, post):
        values = [
            json.dumps({"stream_id": s, "event_id": f"{s}/1", "text": post, "end": True}).encode()
            for s in streams
        ]
        for stream, value in zip(streams, values, strict=True):
            broker.put(surroundings["TOCSIN_TOPIC"], [value], crc32(stream.encode()) % 2)

    def label(stream, label):
        told = {"stream_id": stream, "label": label, "source": "reviewer", "label_id": stream}
        broker.put(surroundings["TOCSIN_LABELS_TOPIC"], [json.dumps(told).encode()])

    def decided():
        with postgres_engine.connect() as connection:
            rows = connection.execute(
                text("SELECT stream_id, version, label, probability FROM decisions")
            )
            return {row.stream_id: row._asdict() for row in rows}

    started = [Process(surroundings, tmp_path, "worker", "--detector", "talk") for _ in range(2)]
    learn = ("learn", "--detector", "talk", "--every", 6, "--interval-s", 1, "--json")
    try:
        before = [f"before-{n}" for n in range(8)]
        say(*before, post=f"we settle in {NEW_WORD} as always")
        taught = [f"taught-{n}" for n in range(6)]
        say(*taught, post=f"pay me in {NEW_WORD} {NEW_WORD} ok")
        until(lambda: all(p.alive() for p in started) and len(decided()) == 14)
        first = decided()["before-0"]
        other = next(c for c in talk.classifier.classes if c != first["label"])
        for stream in taught[:3]:
            label(stream, other)
        started.append(Process(surroundings, tmp_path, *learn))
        time.sleep(8)
        started[-1].process.kill()  # after three lessons, which nobody has kept
        started.append(Process(surroundings, tmp_path, *learn))
        for stream in taught[3:]:
            label(stream, other)

        def versions():
            with postgres_engine.connect() as connection:
                query = "SELECT version, status FROM detector_versions WHERE name = 'talk'"
                return {row.version: row.status for row in connection.execute(text(query))}

        found = until(lambda: len(versions()) == 2 and versions())
        assert found.pop(talk.version) == "retired"
        ((learned, status),) = found.items()
        assert status == "active"
        (told,) = started[-1].told()
        assert (told["version"], told["lessons"]) == (learned, 6)
        time.sleep(8)  # each worker looks every five seconds
        after = [f"after-{n}" for n in range(8)]
        say(*after, post=f"we settle in {NEW_WORD} as always")
        until(lambda: len(decided()) == 22)
        now = decided()
        assert {now[s]["version"] for s in (*before, *taught)} == {talk.version}
        assert {now[s]["version"] for s in after} == {learned}
        assert share(now["after-0"], other) > share(first, other) + 0.1
        assert all(started[k].alive() for k in (0, 1, 3))
    finally:
        codes = [process.stop() for process in started]
    assert [code for code in codes if code != -signal.SIGKILL] == [0, 0, 0]
