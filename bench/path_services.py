"""The broker and the databases of `bench.path`: made for one run, and gone after it."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from confluent_kafka import Producer
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

import migrations
from bench.path_workload import PARTITIONS, events
from store.session import connect
from streams import topics
from streams.codec import encode
from tests.kafka_broker import started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class MissingServiceError(Exception):
    """A service that is measured is not at hand."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name} is not set: it must name {what}")


def setting(name: str, what: str) -> str:
    """Return an environment variable; MissingServiceError if it is not set."""
    value = os.environ.get(name)
    if not value:
        raise MissingServiceError(name, what)
    return value


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Run one Kafka node below `folder`; give its bootstrap server."""
    script = setting("TOCSIN_TEST_KAFKA", "the script that starts a Kafka node")
    port = _free_port()
    with (folder / "broker.out").open("wb") as out:
        arguments = [script, "run", str(folder / "kafka"), str(port)]
        process = started(arguments, port, out)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def database() -> Iterator[str]:
    """Make a PostgreSQL database with the newest schema; give its URL; drop it."""
    server = setting("TOCSIN_TEST_POSTGRES", "the URL of a PostgreSQL server")
    name = f"tocsin_bench_{uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        url = make_url(server).set(database=name).render_as_string(hide_password=False)
        migrate(url)
        yield url
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()


def migrate(url: str) -> None:
    """Give a store the newest schema."""
    engine = connect(url)
    migrations.upgrade(engine)
    engine.dispose()


def new_topic(servers: str, name: str) -> str:
    """Create a topic and return its name."""
    topics.create(servers, name, partitions=PARTITIONS, replication=1)
    return name


def fill(servers: str, topic: str, n_streams: int) -> None:
    """Write all records, key = stream id, each stream in its partition."""
    producer = Producer({"bootstrap.servers": servers, "acks": "all", "linger.ms": 20})
    for partition, event in events(n_streams):
        while True:
            try:
                producer.produce(
                    topic, encode(event), key=event.stream_id.encode(), partition=partition
                )
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(60):
        message = "the broker did not take all records"
        raise TimeoutError(message)


def _free_port() -> int:
    """Return a port such that it and the next, the controller's, are free now."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
