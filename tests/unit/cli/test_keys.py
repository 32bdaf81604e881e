from __future__ import annotations

import json
import re
import stat

import pytest
import typer
from typer.testing import CliRunner

from cli import keys
from cli.errors import CommandError
from cli.settings import Settings
from store.errors import NoStoreError
from store.session import direct

PEPPER = b"p" * 32


@pytest.fixture
def run(monkeypatch, tmp_path, sqlite_url):
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TOCSIN_STORE_URL", sqlite_url)
    app = typer.Typer()
    keys.register(app)

    def call(*arguments):
        return CliRunner().invoke(app, ["keys", *arguments])

    return call


def test_a_key_is_made_listed_and_revoked(run):
    made = json.loads(
        run("create", "--name", "n", "--scope", "admin", "--expires-days", "1", "--json").stdout
    )
    assert made["key"].startswith(f"tocsin_{made['prefix']}_")
    assert (made["scopes"], made["status"]) == (["admin"], "active")
    assert json.loads(run("revoke", made["prefix"], "--json").stdout)["status"] == "revoked"
    listed = run("list", "--json").stdout
    assert [key["status"] for key in json.loads(listed)["keys"]] == ["revoked"]
    assert made["key"] not in listed
    assert run("list").exit_code == 0


def test_the_key_is_alone_on_stdout_and_whole_at_any_width(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    made = run("create", "--name", "n", "--scope", "admin", "--scope", "events:write")
    (key,) = made.stdout.splitlines()
    assert re.fullmatch(r"tocsin_[a-z0-9]{10}_[A-Za-z0-9_-]{43}", key)
    assert "scopes: admin events:write\n" in made.stderr
    assert "expires_at: never\n" in made.stderr
    assert key not in made.stderr


def test_a_key_that_could_not_be_shown_is_not_made(run, monkeypatch):
    def refuse(_line):
        message = "stdout is full"
        raise CommandError(message)

    monkeypatch.setattr("cli.keys.say", refuse)
    assert isinstance(run("create", "--name", "n", "--scope", "admin").exception, CommandError)
    assert json.loads(run("list", "--json").stdout) == {"keys": []}


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["revoke", "abcdefghij"], ["create", "--name", "n", "--scope", "admin"]],
)
def test_without_a_store_nothing_is_made(run, monkeypatch, tmp_path, arguments):
    monkeypatch.setenv("TOCSIN_STORE_URL", f"sqlite:///{tmp_path}/deep/new.sqlite")
    before = set(tmp_path.iterdir())
    result = run(*arguments)
    assert isinstance(result.exception, NoStoreError)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "--name", "n"],
        ["create", "--name", "n", "--scope", "everything"],
        ["create", "--name", " ", "--scope", "admin"],
        ["create", "--name", "a\x1b[2J", "--scope", "admin"],
        ["create", "--name", "n", "--scope", "admin", "--expires-days", "0"],
        ["revoke", "tocsin_a_b"],
    ],
)
def test_wrong_use_is_exit_code_2_and_makes_no_key(run, arguments):
    assert run(*arguments).exit_code == 2
    assert json.loads(run("list", "--json").stdout) == {"keys": []}


def test_revoking_what_is_not_there_fails_with_advice(run):
    result = run("revoke", "nosuchkey1")
    assert isinstance(result.exception, CommandError)
    assert "tocsin keys list" in str(result.exception)


def test_the_first_admin_key_is_shown_once(sqlite_engine, capsys):
    transact = direct(sqlite_engine)
    keys.first_admin_key(transact, Settings(), PEPPER)
    shown = capsys.readouterr()
    assert "tocsin_" in shown.err
    assert shown.out == ""
    keys.first_admin_key(transact, Settings(), PEPPER)
    assert capsys.readouterr().err == ""


def test_the_first_admin_key_stands_in_its_file_and_in_no_log(sqlite_engine, tmp_path, capsys):
    path = tmp_path / "admin.key"
    settings = Settings(admin_key_file=path)
    transact = direct(sqlite_engine)
    keys.first_admin_key(transact, settings, PEPPER)
    shown = capsys.readouterr()
    assert path.read_text().startswith("tocsin_")
    assert path.read_text().strip() not in shown.err
    assert str(path) in shown.err
    assert shown.out == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys.first_admin_key(transact, settings, PEPPER)
    assert capsys.readouterr().err == ""


def test_a_key_file_that_cannot_be_written_stops_the_start_and_the_next_start_makes_it(
    sqlite_engine, tmp_path, capsys
):
    from api.errors import SecretFileError

    path = tmp_path / "admin.key"
    path.write_text("precious")
    transact = direct(sqlite_engine)
    with pytest.raises(SecretFileError, match="No key was made"):
        keys.first_admin_key(transact, Settings(admin_key_file=path), PEPPER)
    path.unlink()
    keys.first_admin_key(transact, Settings(admin_key_file=path), PEPPER)
    assert path.read_text().startswith("tocsin_")
    assert str(path) in capsys.readouterr().err


def test_a_store_without_tables_says_what_to_do(run, monkeypatch, tmp_path):
    (tmp_path / "new.sqlite").touch()
    monkeypatch.setenv("TOCSIN_STORE_URL", f"sqlite:///{tmp_path}/new.sqlite")
    assert "tocsin db upgrade" in str(run("list").exception)


def test_the_scopes_offered_are_those_there_are():
    from store.keys import Scope

    assert set(keys._SCOPES) == set(Scope)
