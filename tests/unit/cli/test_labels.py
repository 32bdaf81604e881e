"""`tocsin labels` and `tocsin gap`, on the store and against a listening API: the same answers."""

from __future__ import annotations

import json
import socket
import threading
import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import typer
import uvicorn
from sqlalchemy import insert
from typer.testing import CliRunner

from cli import gap, labels
from cli.errors import CommandError
from cli.label_places import RestLabels, StoreLabels
from store import detectors, keys
from store.keys import Scope
from store.session import direct, writing
from store.tables import DecisionTable

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PEPPER = b"p" * 32


@pytest.fixture
def run(monkeypatch, sqlite_url):
    monkeypatch.setenv("TOCSIN_STORE_URL", sqlite_url)
    app = typer.Typer()
    labels.register(app)
    gap.register(app)
    return lambda *arguments, **more: CliRunner().invoke(app, list(map(str, arguments)), **more)


@pytest.fixture
def url(monkeypatch, sqlite_engine, tmp_path):
    """Where an API on the same store listens; the key is in its file."""
    from api.app import create_app
    from api.services import Services

    with writing(sqlite_engine) as connection:
        key = keys.create(connection, name="t", scopes=(Scope.ADMIN,), pepper=PEPPER, now=NOW)
    (tmp_path / "key").write_text(key.plaintext)
    monkeypatch.setenv("TOCSIN_API_KEY_FILE", str(tmp_path / "key"))
    services = Services(
        engine=sqlite_engine, transact=direct(sqlite_engine), pepper=PEPPER, clock=lambda: NOW
    )
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def where(request):
    """Options that choose the store or the API."""
    return ("--url", request.getfixturevalue("url")) if request.param == "api" else ()


both = pytest.mark.parametrize("where", ["store", "api"], indirect=True)


def serve(engine, *classes, name="pens", alarm=None):
    with writing(engine) as connection:
        detectors.register(
            connection, name=name, version="v1", card={}, now=NOW, classes=classes, alarm=alarm,
            certificate={"alpha": 0.1, "control": "conditional"},
        )  # fmt: skip


def decide(engine, *streams, label="3", name="pens"):
    rows = [
        {
            "id": uuid4(), "detector": name, "version": "v1", "stream_id": stream, "label": label,
            "episode": "e", "probability": 0.9, "halt_step": 4, "reason": "end", "shadow": False,
            "explanation": {}, "trajectory": [], "decided_at": NOW, "readiness": None,
            "threshold": None, "event_time": None,
        }
        for stream in streams
    ]  # fmt: skip
    with writing(engine) as connection:
        connection.execute(insert(DecisionTable), rows)


def line(stream="s1", label="3", **more):
    return json.dumps({"stream_id": stream, "label": label, "source": "nurse"} | more)


@both
def test_labels_are_kept_once_and_listed(run, sqlite_engine, where, tmp_path):
    serve(sqlite_engine, "3", "5")
    decide(sqlite_engine, "s1")
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join([line(label_id="a"), "", line("s2", "5", label_id="b")]) + "\n")
    done = run("labels", "add", path, *where, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"stored": 2, "repeated": 0, "rejected": 0, "unmatched": 1}
    again = run("labels", "add", "-", *where, "--json", input=path.read_bytes())
    assert json.loads(again.stdout)["repeated"] == 2
    rows = json.loads(run("labels", "list", *where, "--json").stdout)["labels"]
    assert [(row["stream_id"], row["label"], row["matched"]) for row in rows] == [
        ("s2", "5", False),
        ("s1", "3", True),
    ]
    assert {row["via"] for row in rows} == {"api" if where else "cli"}
    shown = run("labels", "list", *where, "--stream", "s1")
    assert "nurse" in shown.stdout
    assert "s2" not in shown.stdout


@both
def test_lines_that_are_no_labels_are_told_by_number_and_never_quoted(run, sqlite_engine, where):
    serve(sqlite_engine, "3", "5")
    lines = [
        line(label_id="x"),
        "{private",
        line(note="private"),
        line(label="private", detector="pens"),
        line(label="5", label_id="x"),
    ]
    done = run("labels", "add", "-", *where, "--json", input="\n".join(lines))
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"stored": 1, "repeated": 0, "rejected": 4, "unmatched": 1}
    for number, reason in ((2, "malformed_json"), (3, "schema"), (4, "unknown_label"),
                           (5, "label_id_conflict")):  # fmt: skip
        assert f"line {number}: {reason}: " in done.stderr
    assert "private" not in done.output


def test_an_api_that_keeps_not_one_label_of_a_batch_says_so_for_each(run, sqlite_engine, url):
    serve(sqlite_engine, "3")
    lines = "\n".join(line(label="dog", detector="pens") for _ in range(25))
    done = run("labels", "add", "-", "--url", url, "--json", input=lines)
    assert done.exit_code == 1
    assert json.loads(done.stdout)["rejected"] == 25
    assert "line 1: refused" in done.stderr
    assert "further refused lines are counted, not listed" in done.stderr


@both
def test_more_than_a_batch_and_more_than_a_page(run, where, monkeypatch):
    monkeypatch.setattr("cli.labels.BATCH", 3)
    monkeypatch.setattr("cli.label_places.PAGE", 2)
    lines = "\n".join(line(label_id=str(n)) for n in range(7))
    assert (
        json.loads(run("labels", "add", "-", *where, "--json", input=lines).stdout)["stored"] == 7
    )
    for limit, n in ((50, 7), (4, 4), (3, 3)):
        found = json.loads(run("labels", "list", *where, "--json", "--limit", limit).stdout)
        assert [row["label_id"] for row in found["labels"]] == [str(6 - k) for k in range(n)]


def test_a_file_that_is_not_there_is_one_message(run, tmp_path):
    done = run("labels", "add", tmp_path / "none.jsonl")
    assert isinstance(done.exception, CommandError)
    assert "cannot be read" in str(done.exception)


def test_a_listed_text_cannot_command_the_terminal(run):
    odd = json.dumps({"stream_id": "a\x1b[2J", "label": "\u202e3", "source": "[red]n"})
    run("labels", "add", "-", input=odd)
    shown = run("labels", "list").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]n" in shown


class Answering:
    """A `Rest` that gives what it is told to."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def get(self, path, query):
        return self.answers.pop(0)

    post = get

    def not_tocsin(self, trouble):
        return CommandError(trouble)


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        ({}, "results"),
        ({"results": 7}, "array"),
        ({"results": []}, "0 answers to 1 labels"),
        ({"results": [{}]}, "status"),
    ],
)
def test_an_answer_that_is_none_is_not_believed(answer, trouble):
    with pytest.raises(CommandError, match=trouble):
        RestLabels(Answering(answer)).add([line().encode()])


def test_a_list_that_never_ends_is_not_followed():
    row = {"labels": [{}], "next_cursor": "x"}
    with pytest.raises(CommandError, match="gives nothing"):
        list(RestLabels(Answering(row, row)).read({}))
    with pytest.raises(CommandError, match="labels"):
        list(RestLabels(Answering({})).read({}))


@both
def test_the_gap_is_told_version_by_version(run, sqlite_engine, where):
    serve(sqlite_engine, "3", "5")
    decide(sqlite_engine, "s1", "s2", "s3")
    StoreLabels(sqlite_engine).add([line("s1").encode(), line("s2", "5").encode()])
    document = json.loads(run("gap", "--detector", "pens", *where, "--json").stdout)
    (version,) = document["versions"]
    assert (version["version"], version["decisions"], version["labelled"]) == ("v1", 3, 2)
    assert version["accuracy"]["share"] == 0.5
    shown = run("gap", "--detector", "pens", *where).stdout
    assert "pens@v1 (conditional, alpha 0.1)" in shown
    assert "1 of 2" in shown
    assert "2 of 3 decisions are labelled." in shown
    later = run("gap", "--detector", "pens", *where, "--since", "2026-11-23T00:00:00Z")
    assert "no decisions yet" in later.stdout


def test_a_one_sided_detector_shows_its_alarms(run, sqlite_engine):
    serve(sqlite_engine, "3", "5", alarm="3")
    decide(sqlite_engine, "s1", "s2")
    StoreLabels(sqlite_engine).add([line("s1").encode(), line("s2", "5").encode()])
    shown = run("gap", "--detector", "pens").stdout
    for measure in ("false alarm rate", "precision", "sensitivity"):
        assert measure in shown


@both
def test_a_detector_or_version_that_never_served_is_an_error(run, sqlite_engine, where):
    serve(sqlite_engine, "3")
    for arguments in (("--detector", "ears"), ("--detector", "pens", "--version", "v9")):
        done = run("gap", *arguments, *where)
        assert isinstance(done.exception, CommandError)
    assert run("gap", "--detector", "pens", "--since", "yesterday", *where).exit_code == 2
