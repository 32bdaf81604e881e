"""Three detectors on two topics: digits and sepsis on our own, chats on somebody else's."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from detectors import config as configs
from detectors import datasets
from streams.produce import Keyed, TopicProducer, paced
from streams.replay import events
from tests.pendigits import CONFIG, Trained, tocsin

CHATS = "somebodys.chats"
SOURCE = {
    "topic": CHATS,
    "fields": {
        "stream_id": "$.chat.id",
        "event_id": "$.meta.uid",
        "text": "$.body",
        "end": "$.closed",
    },
}
SETS = {"pen": "pendigits-parts", "sepsis": "sepsis-small", "scam": "shop-talk"}


@dataclass(frozen=True)
class Three:
    """Trained detectors by name, with what `tocsin evaluate` says that each decides."""

    trained: dict[str, Trained]

    def folder(self, name):
        return self.trained[name].folder

    def expected(self, name):
        return self.trained[name].expected


def config(name, folder):
    """Write the configuration of one detector; return the file."""
    if name == "pen":
        return CONFIG
    chosen = configs.read(datasets.BUNDLED / f"{name}.toml")
    if name == "scam":
        source = msgspec.convert(SOURCE, configs.SourceConfig)
        chosen = msgspec.structs.replace(chosen, source=source)
    path = folder / f"{name}.toml"
    path.write_text(configs.document(chosen))
    return path


@pytest.fixture(scope="session")
def three(tmp_path_factory):
    """Train the three detectors, once a test run."""
    root = tmp_path_factory.mktemp("three")
    trained = {}
    for name, dataset in SETS.items():
        folder, out = root / name, root / f"{name}.jsonl"
        tocsin("train", dataset, "--config", config(name, root), "--out", folder, "--json")
        tocsin("evaluate", folder, dataset, "--out", out, "--json")
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        trained[name] = Trained(folder, {row["stream_id"]: row for row in rows})
    return Three(trained)


def foreign(event):
    """Return a record of a chat as another system would write it."""
    return {
        "kind": "message",
        "chat": {"id": event.stream_id},
        "meta": {"uid": event.event_id},
        "body": event.text,
        "closed": event.end,
    }


def main(servers, rate):
    """Send the recorded conversations onto the other system's topic, so many records a second."""
    streams = datasets.load(SETS["scam"]).parts["test"]
    with TopicProducer(servers, CHATS) as producer:
        for event in paced(events(streams, seed=9, concurrent=60), float(rate)):
            record = foreign(event)
            producer.send(Keyed(event.stream_id.encode(), json.dumps(record).encode()))
        producer.finish()
    time.sleep(0.1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(*sys.argv[1:])
