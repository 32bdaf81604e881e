"""Made-up talk of two kinds, as a text set, and a detector that learns, trained on it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np

from detectors import config, datasets
from detectors.learning import Position
from detectors.registry import Registry
from detectors.train import train
from store.labels import NewLabel, keep
from store.ledger import SqlLedger
from store.session import direct
from streams.codec import encode
from streams.course import Course
from streams.learning import Lessons
from streams.records import Event
from streams.roster import Roster
from streams.scoring import score
from streams.worker import Worker
from tests.toys import FakeLog

SHARED = [f"s{a}{b}" for a in "abcde" for b in "xyz"]
OWN = {
    "no": [f"n{a}{b}" for a in "bcdfg" for b in "klm"],
    "yes": [f"y{a}{b}" for a in "bcdfg" for b in "klm"],
}
SIZES = {"train": 150, "calibration": 120, "test": 60}
CONFIG = """
schema = 1
name = "talk"
dataset = "{dataset}"
modality = "text"
signal = "max_probability"
horizon = 6
shadow_share = 0.0

[classifier]
kind = "river"
least_streams = 2

[rule]
control = "marginal"
alpha = 0.05
delta = 0.05
"""


def posts(random, label, n_posts):
    """Posts of five words; a third of them are said by one kind only."""
    return [
        " ".join(
            str(random.choice(OWN[label] if random.random() < 0.35 else SHARED)) for _ in range(5)
        )
        for _ in range(n_posts)
    ]


def write_talk(folder, seed=0):
    """Write the set as ``talk/talk.jsonl`` below `folder`; return its folder."""
    random = np.random.default_rng(seed)
    lines = []
    for part, size in SIZES.items():
        for n in range(size):
            label = ("no", "yes")[n % 2]
            said = posts(random, label, int(random.integers(2, 7)))
            events = [{"t": t, "text": post} for t, post in enumerate(said)]
            line = {"stream_id": f"{part}-{n}", "label": label, "split": part, "events": events}
            lines.append(json.dumps(line))
    place = folder / "talk"
    place.mkdir(parents=True)
    (place / "talk.jsonl").write_text("\n".join(lines) + "\n")
    return place


@contextmanager
def silent(title, total=None):
    yield lambda n: None


def train_talk(place, *changes):
    """Return a detector trained on the set in `place`.

    `changes`: pairs of what stands in the configuration and what shall stand there instead.
    """
    written = CONFIG.format(dataset=place)
    for before, after in changes:
        assert before in written
        written = written.replace(before, after)
    chosen = config.parse(written)
    dataset = datasets.load(chosen.dataset)
    return train(chosen, dataset, score, made_on="2026-11-22", progress=silent).detector


def registry_with(root, *detectors):
    """Return a registry that holds the detectors, the last one active."""
    registry = Registry(root)
    for detector in detectors:
        registry.add(detector)
    return registry


class Serving:
    """A worker on a real store, its registry, and labels put into that store."""

    def __init__(self, engine, root, talk):
        self.engine, self.registry, self.talk = engine, registry_with(root, talk), talk
        self.ledger = SqlLedger(engine, "g", "t", "t-1", 1).open()
        self.log = FakeLog()
        find = lambda name, version: self.registry.load(f"{name}@{version}")  # noqa: E731
        self.roster = Roster([talk], find, following=["talk"])
        self.worker = Worker(self.roster, self.ledger, self.log, topic_id="t-1")
        self.worker.assign([0])

    def say(self, stream, *posts, end=True):
        last = len(posts)
        made = [
            Event(stream, event_id=f"{stream}/{datetime.now(tz=UTC).timestamp()}/{n}", text=post,
                  end=end and n == last)
            for n, post in enumerate(posts, start=1)
        ]  # fmt: skip
        self.worker.process([self.log.append(0, encode(event)) for event in made])

    def label(self, stream, label, **more):
        new = NewLabel(source="nurse", label_id=f"{stream}/{label}/{more}", stream_id=stream,
                       label=label, via="api", **more)  # fmt: skip
        keep(direct(self.engine), [new])

    def course(self, every=10**6, load=datasets.load):
        return Course(
            self.engine, self.registry, "talk", load=load, today=lambda: "2026-11-23",
            every=every, settled_s=0.0,
        )  # fmt: skip

    def lessons(self):
        found = Lessons(
            self.engine, self.talk, lambda v: self.registry.load(f"talk@{v}"), settled_s=0.0
        )
        return found.after(Position())

    def teach(self, word, label, n, first=0):
        for k in range(first, first + n):
            self.say(f"{word}-{k}", f"{word} sax", f"sby {word}")
            self.label(f"{word}-{k}", label)

    def versions(self):
        return {entry.version for entry in self.registry.entries("talk")}

    def active(self):
        return next(e.version for e in self.registry.entries("talk") if e.active)
