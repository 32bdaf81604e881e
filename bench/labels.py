"""What labels cost: storing them, storing them again, and the realised numbers over them.

    python -m bench.labels [--url postgresql://...] [--streams 20000] [--repeat 3]

One decision and one label a stream, one stream in twenty a shadow that has ended. Without a URL
the store is an SQLite file in a temporary folder. The tables must be empty; they are left so.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

import migrations
from api.realised import report
from store import detectors
from store.labels import NewLabel, keep
from store.session import connect, direct, writing
from store.tables import (
    DecisionTable,
    DetectorClassRow,
    DetectorVersionRow,
    LabelTable,
    OutcomeTable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

DETECTOR = "bench"
CLASSES = ("a", "b")
AT_ONCE = 500
NOW = datetime(2026, 11, 22, tzinfo=UTC)
TABLES = (LabelTable, OutcomeTable, DecisionTable, DetectorVersionRow, DetectorClassRow)


def decide(engine: Engine, n: int) -> None:
    """Store the decisions, and the late answers of the shadow streams."""
    with writing(engine) as connection:
        detectors.register(
            connection, name=DETECTOR, version="v1", card={}, now=NOW, classes=CLASSES,
            certificate={"alpha": 0.1, "control": "conditional"},
        )  # fmt: skip
        for start in range(0, n, 5000):
            rows: list[dict[str, Any]] = [
                {
                    "id": UUID(int=i), "detector": DETECTOR, "version": "v1",
                    "stream_id": f"stream-{i}", "episode": "1", "label": CLASSES[i % 2],
                    "probability": 0.9, "halt_step": 1 + i % 20, "reason": "threshold",
                    "readiness": 0.9, "threshold": 0.9, "shadow": i % 20 == 0, "explanation": {},
                    "trajectory": [], "event_time": None, "decided_at": NOW,
                }
                for i in range(start, min(start + 5000, n))
            ]  # fmt: skip
            connection.execute(insert(DecisionTable), rows)
            late = [
                {
                    "detector": DETECTOR, "stream_id": row["stream_id"], "episode": "1",
                    "late_label": "a", "late_probability": 0.9, "length": 30, "ended_at": NOW,
                }
                for row in rows
                if row["shadow"]
            ]  # fmt: skip
            connection.execute(insert(OutcomeTable), late)


def label(engine: Engine, n: int) -> None:
    """Store a label of each stream, `AT_ONCE` in a transaction, as the topic's reader does."""
    transact = direct(engine)
    for start in range(0, n, AT_ONCE):
        keep(
            transact,
            [
                NewLabel(
                    source="bench", label_id=str(i), stream_id=f"stream-{i}", via="topic",
                    label=CLASSES[i % 3 % 2],
                )
                for i in range(start, min(start + AT_ONCE, n))
            ],
        )  # fmt: skip


def look(engine: Engine, n: int) -> None:
    """Make the report, and check that every label counted."""
    with Session(engine) as session:
        found = report(session, DETECTOR)
    if found is None or found.versions[0].labelled != n:
        message = "not every label counted"
        raise RuntimeError(message)


def empty(engine: Engine) -> None:
    """Delete everything that was stored here."""
    with writing(engine) as connection:
        for table in TABLES:
            connection.execute(delete(table))


def timed(call: Callable[[Engine, int], None], engine: Engine, n: int) -> float:
    """Return how long a call took, in seconds."""
    began = time.perf_counter()
    call(engine, n)
    return time.perf_counter() - began


def measure(engine: Engine, n: int, repeat: int) -> None:
    """Print each median with its least and largest."""
    found: dict[str, list[float]] = {"stored": [], "sent again": [], "report": []}
    with Session(engine) as session:
        report(session, "nobody")  # what the first report loads is not its cost
    for _ in range(repeat):
        decide(engine, n)
        found["stored"].append(n / timed(label, engine, n))
        found["sent again"].append(n / timed(label, engine, n))
        found["report"].append(timed(look, engine, n))
        empty(engine)
    for name, unit in (("stored", "labels/s"), ("sent again", "labels/s"), ("report", "s")):
        values = found[name]
        spread = f"{min(values):,.2f} to {max(values):,.2f}"
        print(f"{name}: {statistics.median(values):,.2f} {unit} ({spread})")


def main() -> None:
    """Measure one store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="An empty store; default: an SQLite file of its own.")
    parser.add_argument("--streams", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(options.url or f"sqlite:///{Path(folder) / 'labels.sqlite'}")
        migrations.upgrade(engine)
        with engine.connect() as connection:
            if connection.execute(select(func.count()).select_from(DecisionTable)).scalar():
                parser.error("the store is not empty; its decisions would be deleted")
        measure(engine, options.streams, options.repeat)
        engine.dispose()


if __name__ == "__main__":
    main()
