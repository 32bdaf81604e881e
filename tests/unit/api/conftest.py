"""An application on a fresh store, with an ingest in memory and a key for each scope."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import insert

from api.app import create_app
from api.services import Services
from store import keys
from store.keys import Scope
from store.session import direct, writing
from store.tables import DecisionTable
from streams.ports import Position

PEPPER = b"p" * 32
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@dataclass
class MemoryIngest:
    """Keeps what is appended; `answer` may say otherwise for an item."""

    records: list[tuple[str, bytes]] = field(default_factory=list)
    trouble: str | None = None
    answer: object = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, records):
        with self.lock:
            answers = []
            for stream_id, value in records:
                failed = self.answer(stream_id) if self.answer else None
                if failed is None:
                    answers.append(Position(0, len(self.records)))
                    self.records.append((stream_id, value))
                else:
                    answers.append(failed)
            return answers

    def ready(self):
        return self.trouble


@dataclass
class Api:
    """A client, and what the application was made of."""

    client: TestClient
    services: Services
    ingest: MemoryIngest

    def key(self, *scopes, **options):
        with writing(self.services.engine) as connection:
            return keys.create(
                connection, name="test", scopes=scopes, pepper=PEPPER, now=NOW, **options
            )

    def headers(self, *scopes):
        return {"Authorization": f"Bearer {self.key(*(scopes or (Scope.ADMIN,))).plaintext}"}

    def remade(self, **changes):
        services = replace(self.services, metrics=CollectorRegistry(), **changes)
        client = TestClient(create_app(services), raise_server_exceptions=True)
        return Api(client, services, self.ingest)


def make_api(engine):
    ingest = MemoryIngest()
    services = Services(
        engine=engine,
        transact=direct(engine),
        pepper=PEPPER,
        ingest=ingest,
        detectors=lambda: frozenset({"pendigits"}),
        clock=lambda: NOW,
    )
    return Api(TestClient(create_app(services)), services, ingest)


def decision(**changes):
    values = {
        "id": uuid4(),
        "detector": "pendigits",
        "version": "v1",
        "stream_id": "pen-1",
        "episode": uuid4().hex,
        "label": "3",
        "probability": 0.9,
        "halt_step": 4,
        "reason": "threshold",
        "readiness": 0.97,
        "threshold": 0.95,
        "shadow": False,
        "explanation": {
            "method": "log-odds",
            "contributions": [
                {"step": step, "weight": 2.0 - step / 10, "evidence": {"x": 1.5, "word": "née"}}
                for step in range(1, 6)
            ],
            "rest": 0.25,
        },
        "trajectory": [{"step": 1, "label": "3", "probability": 0.6, "readiness": None}],
        "event_time": None,
        "decided_at": NOW,
    }
    return values | changes


@pytest.fixture
def api(store_engine):
    """The application on each database."""
    return make_api(store_engine)


@pytest.fixture
def make_application():
    """Make the application on a given engine."""
    return make_api


@pytest.fixture
def add(api):
    """Store decisions."""

    def add_decisions(*rows):
        with writing(api.services.engine) as connection:
            connection.execute(insert(DecisionTable), list(rows))

    return add_decisions


@pytest.fixture
def make_decision():
    """Make the values of one decision."""
    return decision
