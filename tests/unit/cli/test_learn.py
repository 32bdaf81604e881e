"""`tocsin learn`: what it prints, what it refuses, and that one process at a time does it."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest
import typer
from sqlalchemy import select
from typer.testing import CliRunner

from cli import learn
from cli.errors import CommandError
from detectors import datasets
from detectors.errors import DatasetError, LearningError, RegistryError
from store.errors import NoStoreError
from store.leases import Lease
from store.lock import SingleProcess
from store.session import connect, sqlite_path
from store.tables import LeaseRow
from tests.talk import Serving, train_talk, write_talk


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_talk(tmp_path_factory.mktemp("talk"))


@pytest.fixture(scope="module")
def talk(place):
    return train_talk(place)


@pytest.fixture
def serving(store_engine, tmp_path, talk, monkeypatch):
    url = store_engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("TOCSIN_STORE_URL", url)
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("store.lessons.SETTLED_S", 0.0)
    made = Serving(store_engine, tmp_path / "detectors", talk)
    umask = os.umask(0o077)
    os.umask(umask)
    yield made
    os.umask(umask)


@pytest.fixture
def run():
    app = typer.Typer()
    learn.register(app)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def once(run, *more):
    done = run("--detector", "talk", "--once", "--json", *more)
    if done.exception is not None:
        raise done.exception
    return json.loads(done.stdout)


def test_once_makes_one_version_and_says_what_of(serving, run):
    serving.teach("quokka", "yes", 3)
    serving.label("nobody", "yes")
    serving.label("quokka-0", "no")
    told = once(run)
    assert told["version"] == serving.active() != serving.talk.version
    assert told["from_version"] == serving.talk.version
    assert (told["lessons"], told["lessons_in_all"]) == (3, 3)
    assert (told["skipped"], told["skipped_repeated"], told["waiting"]) == (1, 1, 1)
    assert told["guarantee"].startswith("With confidence 0.95")
    assert 0 <= told["late_accuracy"] <= 1


def test_once_with_nothing_new_makes_nothing_and_says_so(serving, run):
    done = run("--detector", "talk", "--once", "--json")
    assert "nothing new to learn from" in done.stderr
    told = json.loads(done.stdout)
    assert (told["version"], told["from_version"], told["lessons"]) == (
        serving.talk.version, None, 0,
    )  # fmt: skip
    assert serving.versions() == {serving.talk.version}


def test_once_again_goes_on_behind_what_was_learned(serving, run):
    serving.teach("quokka", "yes", 3)
    first = once(run)
    serving.teach("numbat", "no", 2)
    second = once(run)
    assert second["from_version"] == first["version"]
    assert (second["lessons"], second["lessons_in_all"]) == (2, 5)


def test_a_table_is_printed_for_people(serving, run):
    serving.teach("quokka", "yes", 2)
    done = run("--detector", "talk", "--once")
    assert done.exit_code == 0
    assert serving.active() in done.stdout
    assert "guarantee" in done.stdout


def test_it_goes_on_until_it_is_told_to_stop(serving, run, monkeypatch):
    """Each version is a line of its own; what is left over waits for more."""
    serving.teach("quokka", "yes", 5)
    begun = []

    def stop_soon(make):
        begun.append(make())
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return begun[-1]

    monkeypatch.setattr(learn, "_begun", stop_soon)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        done = run("--detector", "talk", "--every", 2, "--interval-s", 0.1, "--json")
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), handlers, strict=True):
            signal.signal(number, handler)
    assert done.exit_code == 0
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["lessons"] for row in told] == [2, 2]
    assert [row["lessons_in_all"] for row in told] == [2, 4]
    assert told[1]["from_version"] == told[0]["version"]
    assert serving.active() == told[1]["version"]
    assert begun[0].n_lessons == 1


@pytest.mark.postgres
def test_while_another_process_learns_it_is_refused_and_a_free_lease_is_given_back(
    postgres_engine, tmp_path, talk, monkeypatch, run
):
    url = postgres_engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("TOCSIN_STORE_URL", url)
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(tmp_path))
    serving = Serving(postgres_engine, tmp_path / "detectors", talk)
    other = Lease(postgres_engine, "learn:talk", "another", 60)
    assert other.take()
    with pytest.raises(CommandError, match="another process learns for talk"):
        once(run)
    other.release()
    assert once(run)["version"] == serving.talk.version
    with postgres_engine.connect() as connection:
        assert connection.execute(select(LeaseRow.name)).all() == []


def test_beside_a_running_service_on_a_file_it_says_who_learns_there(serving, run):
    path = sqlite_path(serving.engine)
    if path is None:
        assert once(run)["lessons"] == 0  # PostgreSQL: many processes may have it
        return
    with SingleProcess(path), pytest.raises(CommandError, match="`tocsin up` learns by itself"):
        once(run)


def test_a_version_cannot_be_named(run):
    done = run("--detector", "talk@0123", "--once")
    assert done.exit_code == 2
    assert "name it without a version: talk" in done.stderr


def test_a_detector_that_is_not_there_is_named_with_those_that_are(serving, run):
    done = run("--detector", "nobody", "--once")
    assert isinstance(done.exception, RegistryError)
    assert "talk@" in str(done.exception)


def test_a_detector_that_does_not_learn_is_refused_with_advice(serving, run, place):
    serving.registry.add(train_talk(place, ('"river"\nleast_streams = 2', '"ss3"')))
    done = run("--detector", "talk", "--once")
    assert isinstance(done.exception, LearningError)
    assert "of the kind ss3, which does not learn" in str(done.exception)


def test_the_set_may_have_moved_but_not_changed(serving, run, place, tmp_path):
    serving.teach("quokka", "yes", 2)
    moved, other = tmp_path / "moved", tmp_path / "other"
    moved.mkdir()
    file = moved / "talk.jsonl"
    file.write_bytes((place / "talk.jsonl").read_bytes())
    changed = write_talk(other, seed=5) / "talk.jsonl"
    with pytest.raises(LearningError, match="train the detector anew"):
        once(run, "--dataset", changed)
    with pytest.raises(DatasetError, match="there is no data set"):
        once(run, "--dataset", tmp_path / "gone.jsonl")
    assert once(run, "--dataset", file)["lessons"] == 2
    assert datasets.load(str(file)).sha256 == datasets.load(str(place)).sha256


def test_no_store_is_made_where_none_is(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TOCSIN_STORE_URL", f"sqlite:///{tmp_path}/none.sqlite")
    done = run("--detector", "talk", "--once")
    assert isinstance(done.exception, NoStoreError)
    assert list(tmp_path.iterdir()) == []


def test_the_store_can_be_opened_again_afterwards(serving, run):
    once(run)
    connect(serving.engine.url.render_as_string(hide_password=False), create=False).dispose()
