"""docker-compose.yml put to work: its commands and environment, as processes, on real services."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import stat
import time
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from detectors import artefact
from detectors.registry import Registry
from streams import topics
from tests.integration.compose_processes import (
    STOOD_IN,
    Stack,
    broker_properties,
    make_secrets,
    seconds,
)
from tests.kafka_broker import free_ports, started
from tests.pendigits import differences
from tests.unit.deploy.compose_file import read

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
def database():
    """URL of a new database on the tests' server, without tables: `migrate` makes them."""
    server = os.environ.get("TOCSIN_TEST_POSTGRES")
    if not server:
        pytest.skip("TOCSIN_TEST_POSTGRES is not set: no PostgreSQL to test on")
    name = f"tocsin_test_{uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        yield make_url(server).set(database=name)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()


@pytest.fixture
def servers(tmp_path):
    """Address of a broker that runs on the settings that the file gives to Kafka's image."""
    script = os.environ.get("TOCSIN_TEST_KAFKA")
    if not script:
        pytest.skip("TOCSIN_TEST_KAFKA is not set: no Kafka to test on")
    port, folder = free_ports(), tmp_path / "kafka"
    folder.mkdir()
    properties = broker_properties(read()["services"]["kafka"]["environment"], port, folder)
    with (tmp_path / "kafka.log").open("wb") as out:
        process = started([script, "run", str(folder), str(port), *properties], port, out)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait(60)


@pytest.fixture
def stack(tmp_path, servers, database, pendigits):
    make_secrets(tmp_path, database.password)
    url = database.set(password=None).render_as_string(hide_password=False)
    running = Stack(tmp_path, servers, url, "pen", free_ports())
    registry = Registry(Path(running.environment("worker")["TOCSIN_REGISTRY"]))
    registry.add(artefact.load(pendigits.folder))
    yield running
    running.kill()


class Api:
    """The published port, with the admin key that the API left on its volume."""

    def __init__(self, stack):
        self.port = stack.port
        self.key_file = Path(stack.environment("api")["TOCSIN_ADMIN_KEY_FILE"])

    def ask(self, method, path, body=None):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(client):
            headers = {"Authorization": f"Bearer {self.key_file.read_text().strip()}"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            client.request(method, path, body and json.dumps(body), headers)
            answer = client.getresponse()
            return answer.status, json.load(answer)

    def decisions(self):
        found, query = [], "?limit=500"
        while True:
            status, page = self.ask("GET", "/v1/decisions" + query)
            assert status == 200, page
            found += page["decisions"]
            if page["next_cursor"] is None:
                return found
            query = "?limit=500&cursor=" + page["next_cursor"]


def wait_until(holds, limit_s, what):
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


def owned(worker):
    reports = worker.lines("progress")
    return reports[-1]["partitions"] if reports else []


def shared(first, second):
    """Whether both workers have partitions, and all of them between the two."""
    parts = sorted([*owned(first), *owned(second)])
    return owned(first) and owned(second) and parts == list(range(8))


def files(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*")}


def test_the_stack_comes_up_decides_scales_and_stops(stack, servers, pendigits):
    registry = stack.environment("worker")["TOCSIN_REGISTRY"]
    before = files(registry)
    assert stack.check("worker")[0] == 1
    assert stack.check("api")[0] == 1

    stack.up()
    for name in ("tocsin.events", "tocsin.decisions"):
        assert topics.find(servers, name).n_partitions == 8
    api = Api(stack)
    assert stat.S_IMODE(api.key_file.stat().st_mode) == 0o600
    first = next(process for name, process in stack.running if name == "worker")
    wait_until(lambda: len(owned(first)) == 8, 60, first.log.read_text)

    demo = stack.start("demo-pendigits")  # the others want their own detectors
    wait_until(api.decisions, 60, first.log.read_text)
    event = {"stream_id": "mine", "frames": [[47, 100], [27, 81], [57, 37]], "end": True}
    status, answer = api.ask("POST", "/v1/events", event)
    assert status in {200, 202}, answer

    second = stack.start("worker")  # docker compose up --scale worker=2
    stack.wait_healthy("worker", second)
    wait_until(lambda: shared(first, second), 90, second.log.read_text)

    assert demo.process.wait(120) == 0, demo.log.read_text()
    stack.running.remove(("demo-pendigits", demo))
    expected = len(pendigits.expected) + 1
    wait_until(lambda: len(api.decisions()) >= expected, 120, first.log.read_text)
    found = api.decisions()
    assert [row["detector"] for row in found if row["stream_id"] == "mine"] == ["pen"]
    others = [row for row in found if row["stream_id"] != "mine"]
    assert differences(pendigits.expected, others) == []
    status, stream = api.ask("GET", "/v1/streams/mine")
    assert (status, len(stream["decisions"])) == (200, 1)

    codes = stack.stop()
    assert len(codes) == 3
    assert set(codes.values()) == {0}, codes
    assert files(registry) == before  # the worker has that volume read-only
    assert stack.check("api")[0] == 1
    code, said = stack.check("worker")
    assert (code, "beat within" in said) == (1, True)

    stack.up()  # jobs run again and change nothing; the key of the first start is still good
    assert len(api.decisions()) == expected
    assert set(stack.stop().values()) == {0}


def test_what_is_stood_in_is_what_has_no_command_of_ours_or_trains():
    services = read()["services"]
    foreign = {name for name, service in services.items() if "build" not in service}
    assert set(STOOD_IN) == foreign | {"detectors"}
    assert services["detectors"]["command"] == ["tocsin", "detectors", "bundled"]


def test_durations_are_read():
    assert [seconds(text) for text in ("5s", "1m", "1m30s")] == [5, 60, 90]
