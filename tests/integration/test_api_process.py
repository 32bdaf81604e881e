"""The real thing: ``tocsin api`` as a process of its own, on PostgreSQL, over a socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import quote
from uuid import UUID

import pytest
from sqlalchemy import insert

from cli.decision_pages import RestPages
from cli.errors import CommandError
from store.session import writing
from store.tables import DecisionTable

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 11, 22, tzinfo=UTC)
PROGRAM = "import typer, cli.api; app = typer.Typer(); cli.api.register(app); app(['--port', '0'])"


def start(environment):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def port_of(process):
    for line in process.stderr:
        if line.startswith("listening on http://127.0.0.1:"):
            return int(line.rsplit(":", 1)[1])
    raise AssertionError(process.wait())


@pytest.fixture
def environment(postgres_engine, postgres_url, tmp_path):
    return {
        "TOCSIN_STATE_DIR": str(tmp_path),
        "TOCSIN_STORE_URL": postgres_url,
        "TOCSIN_ADMIN_KEY_FILE": str(tmp_path / "admin.key"),
    }


@pytest.fixture
def port(environment):
    process = start(environment)
    try:
        yield port_of(process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.stderr.close()
        assert process.wait(15) == 0


def ask(port, method, path, key=None, body=None):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        client.request(method, path, body, headers)
        answer = client.getresponse()
        return answer, answer.read()


def decision(n, **changes):
    return {
        "id": UUID(int=n), "detector": "pendigits", "version": "v", "stream_id": "a%2Fb/c d",
        "episode": str(n), "label": "3", "probability": 0.5, "halt_step": 1, "reason": "end",
        "shadow": False, "trajectory": [], "decided_at": NOW,
        "explanation": {"method": "m", "contributions": [], "rest": 0.0},
    } | changes  # fmt: skip


def test_the_service_answers_with_the_key_it_wrote(port, postgres_engine, tmp_path, monkeypatch):
    path = tmp_path / "admin.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text().strip()
    with writing(postgres_engine) as connection:
        connection.execute(insert(DecisionTable), [decision(n) for n in range(7)])

    answer, _ = ask(port, "GET", "/readyz")
    assert (answer.status, answer.headers["Server"]) == (200, None)
    answer, body = ask(port, "GET", "/v1/decisions?limit=3", key)
    assert (answer.status, len(json.loads(body)["decisions"])) == (200, 3)
    for spelled in ("a%252Fb/c%20d", quote("a%2Fb/c d", safe="")):
        answer, body = ask(port, "GET", f"/v1/streams/{spelled}", key)
        assert (answer.status, json.loads(body)["stream_id"]) == (200, "a%2Fb/c d")
    answer, body = ask(port, "POST", "/v1/events", key, b'{"stream_id": "a", "end": true}')
    assert answer.status == 503
    assert "TOCSIN_KAFKA_SERVERS" in json.loads(body)["detail"]

    monkeypatch.setattr("cli.decision_pages.PAGE", 3)
    monkeypatch.setenv("TOCSIN_API_KEY_FILE", str(path))
    rows = list(RestPages(f"http://127.0.0.1:{port}").read({"stream_id": "a%2Fb/c d"}, None))
    assert [UUID(row["id"]).int for row in rows] == [6, 5, 4, 3, 2, 1, 0]
    assert list(islice(RestPages(f"http://127.0.0.1:{port}").read({}, 2), 9)) == rows[:2]
    (tmp_path / "wrong").write_text("tocsin_x_y")
    monkeypatch.setenv("TOCSIN_API_KEY_FILE", str(tmp_path / "wrong"))
    with pytest.raises(CommandError, match="answered 401: This API key is not known here"):
        list(RestPages(f"http://127.0.0.1:{port}").read({}, 2))


def test_raw_bytes_on_the_socket_never_cause_a_5xx(port):
    for request_line in (
        b"GET /v1/streams/\xff\xfe HTTP/1.1",
        b"GET /v1/streams/%00%ff HTTP/1.1",
        b"GET /v1/decisions?stream_id=%ed%a0%80 HTTP/1.1",
        b"GET http://elsewhere/v1/decisions HTTP/1.1",
        b"\x00\x01\x02",
        b"BREW /healthz HTTP/1.1",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
            status_line = connection.makefile("rb").readline()
        assert status_line.startswith(b"HTTP/1.1 4"), (request_line, status_line)


def test_two_starts_at_once_make_one_admin_key(environment, postgres_engine, tmp_path):
    from store.keys import listed

    processes = [start(environment) for _ in range(2)]
    try:
        for process in processes:
            port_of(process)
    finally:
        for process in processes:
            process.terminate()
            process.stderr.close()
            process.wait(15)
    with postgres_engine.connect() as connection:
        (key,) = listed(connection)
    assert (tmp_path / "admin.key").read_text().startswith(f"tocsin_{key.prefix}_")


def test_an_sqlite_store_is_refused_with_advice(environment, tmp_path):
    process = start(environment | {"TOCSIN_STORE_URL": f"sqlite:///{tmp_path}/x.sqlite"})
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "Use `tocsin up`" in errors
    assert not (tmp_path / "x.sqlite").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_with_exit_code_0(environment, number):
    process = start(environment)
    port_of(process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=15)
    assert (process.returncode, errors) == (0, "")


def test_logs_are_json_lines_without_what_libraries_remark(environment):
    process = start(environment | {"TOCSIN_LOG_LEVEL": "debug"})
    with socket.create_connection(("127.0.0.1", port_of(process)), timeout=10) as connection:
        connection.sendall(b"\x00\x01\r\n\r\n")
        connection.makefile("rb").read()
    process.terminate()
    _, errors = process.communicate(timeout=15)
    (line,) = [json.loads(line) for line in errors.splitlines()]
    assert (line["logger"], line["level"]) == ("uvicorn.error", "warning")


def test_a_kafka_that_is_away_is_said_and_reads_are_served(environment, tmp_path):
    process = start(environment | {"TOCSIN_KAFKA_SERVERS": "127.0.0.1:9"})
    try:
        said = ""
        while not (line := process.stderr.readline()).startswith("listening"):
            said += line
        port = int(line.rsplit(":", 1)[1])
        assert "127.0.0.1:9" in said
        assert "events are refused" in said
        key = (tmp_path / "admin.key").read_text().strip()
        assert ask(port, "GET", "/v1/decisions", key)[0].status == 200
        assert ask(port, "GET", "/readyz")[0].status == 503
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_another_pepper_is_refused_at_the_start(environment, tmp_path):
    process = start(environment)
    port_of(process)
    process.terminate()
    process.communicate(timeout=15)
    (tmp_path / "pepper").unlink()
    process = start(environment)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "TOCSIN_PEPPER_FILE" in errors


def test_two_lengths_on_the_socket_close_the_connection(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n"
        )
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
