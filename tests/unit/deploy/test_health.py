"""deploy/health: when a container counts as well."""

from __future__ import annotations

import http.server
import importlib.util
import socket
import threading

import pytest
from sqlalchemy import insert

from store.instants import utc_now
from store.session import writing
from store.tables import WorkerRow
from tests.unit.deploy.compose_file import ROOT


def load(name):
    path = ROOT / "deploy/health" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker_alive, api_ready = load("worker_alive"), load("api_ready")


def enter(engine, worker, group="tocsin", silent_s=0):
    row = {"id": worker, "group_id": group, "fingerprint": "f" * 64, "seen_at": utc_now(-silent_s)}
    with writing(engine) as connection:
        connection.execute(insert(WorkerRow).values(**row))


def test_a_worker_is_known_by_its_host_and_lives_while_it_beats(store_engine):
    enter(store_engine, "box-1-aa")
    enter(store_engine, "box2-1-aa", group="other")
    enter(store_engine, "b_x-1-aa", group="third")
    assert worker_alive.groups(store_engine, "box") == {"tocsin": True}
    assert worker_alive.groups(store_engine, "b_x") == {"third": True}  # no wildcard
    assert worker_alive.groups(store_engine, "bo") == {}
    enter(store_engine, "old-1-aa", silent_s=worker_alive.ALIVE_S + 5)
    assert worker_alive.groups(store_engine, "old") == {"tocsin": False}


def test_of_several_topics_each_must_have_a_living_process(store_engine):
    long_ago = worker_alive.ALIVE_S + 5
    enter(store_engine, "box-1-aa")
    enter(store_engine, "box-1-old", silent_s=long_ago)  # killed before; its row is still there
    enter(store_engine, "box-2-bb", group="tocsin.vitals", silent_s=long_ago)
    assert worker_alive.groups(store_engine, "box") == {"tocsin": True, "tocsin.vitals": False}


def test_long_host_names_are_cut_as_the_worker_cuts_them(store_engine):
    enter(store_engine, f"{'h' * 30}-1-aa")
    assert worker_alive.groups(store_engine, "h" * 63) == {"tocsin": True}


def test_what_is_wrong_is_said(sqlite_engine, sqlite_url, monkeypatch, tmp_path):
    host = socket.gethostname()
    monkeypatch.setenv("TOCSIN_STORE_URL", sqlite_url)
    assert worker_alive.trouble() == f"no worker on {host} beat within 30 s"
    enter(sqlite_engine, f"{host[:30]}-1-aa")
    assert worker_alive.trouble() is None
    enter(sqlite_engine, f"{host[:30]}-2-bb", group="tocsin.vitals", silent_s=60)
    assert worker_alive.trouble() == f"no worker of tocsin.vitals on {host} beat within 30 s"
    monkeypatch.setenv("TOCSIN_STORE_URL", f"sqlite:///{tmp_path}/none.sqlite")
    assert "none.sqlite" in worker_alive.trouble()
    monkeypatch.setenv("TOCSIN_STORE_URL", "postgresql://tocsin@localhost/tocsin")
    monkeypatch.setenv("TOCSIN_STORE_PASSWORD_FILE", str(tmp_path / "none"))
    assert "TOCSIN_STORE_PASSWORD_FILE" in worker_alive.trouble()


@pytest.fixture
def answering():
    """A server whose /readyz answers with the status it is told."""

    class Answer(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self):
            self.send_response(self.status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(b"the store does not answer")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Answer, str(server.server_address[1])
        server.shutdown()
        thread.join()


def test_the_api_is_well_while_it_is_ready(answering):
    answer, port = answering
    assert api_ready.trouble(port) is None
    answer.status = 503
    assert api_ready.trouble(port) == "not ready: the store does not answer"


def test_an_api_that_is_not_there_is_not_well():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    assert "no answer on port" in api_ready.trouble(port)
