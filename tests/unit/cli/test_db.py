from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

import migrations
from cli.db import register
from store.session import connect


@pytest.fixture
def tocsin(monkeypatch, tmp_path):
    """Run ``tocsin db ...`` on a new SQLite store; returns exit code and JSON."""
    monkeypatch.setenv("TOCSIN_STORE_URL", f"sqlite:///{tmp_path}/cli.sqlite")
    app = typer.Typer()
    register(app)

    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--json"])
        return result.exit_code, json.loads(result.stdout)

    return run


def test_current_fails_before_the_upgrade_and_succeeds_after_it(tocsin, tmp_path):
    (tmp_path / "cli.sqlite").touch()
    code, found = tocsin("db", "current")
    assert (code, found["revision"], found["ok"]) == (1, None, False)
    assert (tmp_path / "cli.sqlite").stat().st_size == 0, "looking does not write"
    code, found = tocsin("db", "upgrade")
    assert (code, found["before"], found["revision"]) == (0, None, migrations.head())
    code, found = tocsin("db", "current")
    assert (code, found["revision"], found["head"], found["ok"]) == (
        0,
        migrations.head(),
        migrations.head(),
        True,
    )


def test_upgrade_names_the_store_it_worked_on(tocsin, tmp_path):
    _, found = tocsin("db", "upgrade")
    assert found["store"] == f"{tmp_path}/cli.sqlite"
    engine = connect(f"sqlite:///{tmp_path}/cli.sqlite")
    assert migrations.current(engine) == migrations.head()
    engine.dispose()
