from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from cli import doctor


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(tmp_path / "state"))
    app = typer.Typer()
    doctor.register(app)

    def call(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(f"TOCSIN_{name.upper()}", str(value))
        result = CliRunner().invoke(app, ["--json"])
        document = json.loads(result.stdout)
        failed = [check["name"] for check in document["checks"] if not check["ok"]]
        return result.exit_code, failed, document

    return call


def test_a_fresh_machine_is_well_and_stays_untouched(run, tmp_path):
    code, failed, document = run()
    assert (code, failed) == (0, [])
    assert document["settings"]["store_url"].endswith("/state/tocsin.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_store_with_its_tables_is_well(run, sqlite_url):
    assert run(store_url=sqlite_url)[:2] == (0, [])


def test_each_thing_that_is_wrong_is_found(run, tmp_path):
    (tmp_path / "pepper").write_text("x" * 32)
    (tmp_path / "pepper").chmod(0o644)
    (tmp_path / "empty.sqlite").touch()
    code, failed, document = run(
        pepper_file=tmp_path / "pepper",
        store_url=f"sqlite:///{tmp_path}/empty.sqlite",
        registry=tmp_path / "nowhere",
        data_dir=tmp_path / "nowhere",
    )
    assert (code, failed) == (1, ["store", "registry", "data_dir", "pepper_file"])
    assert "tocsin db upgrade" in str(document["checks"])


def test_what_cannot_even_be_resolved_is_a_finding_of_its_own(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, failed, document = run(
        store_url="postgresql://someone@127.0.0.1:9/test",
        store_password_file=tmp_path / "gone",
        registry=tmp_path / "file",
        data_dir=tmp_path / "file",
        pepper_file=tmp_path / "file" / "pepper",
        state_dir=tmp_path / "file",
    )
    assert code == 1
    assert {"state_dir", "store", "registry", "data_dir"} <= set(failed)
    details = {check["name"]: check["detail"] for check in document["checks"]}
    assert str(tmp_path / "gone") in details["store"]
    assert "is not a folder" in details["registry"]


@pytest.mark.parametrize("url", ["mysql://x", "sqlite://", "postgresql://127.0.0.1:9/x"])
def test_a_store_that_cannot_be_used_is_found_and_the_rest_is_looked_at(run, url):
    code, failed, document = run(store_url=url)
    assert (code, failed) == (1, ["store"])
    assert len(document["checks"]) == 7


def test_an_empty_store_is_not_written_to(run, tmp_path):
    path = tmp_path / "empty.sqlite"
    path.touch()
    assert run(store_url=f"sqlite:///{path}")[1] == ["store"]
    assert path.stat().st_size == 0


@pytest.mark.slow
def test_a_broker_that_does_not_answer_is_found(run):
    code, failed, _ = run(kafka_servers="127.0.0.1:9")
    assert (code, failed) == (1, ["kafka"])


def test_no_secret_is_shown(run, tmp_path):
    (tmp_path / "password").write_text("hunter2-in-a-file")
    document = run(
        store_url="postgresql://someone@127.0.0.1:9/test",
        store_password_file=tmp_path / "password",
    )[2]
    assert "hunter2" not in json.dumps(document)
    assert "***" in document["settings"]["store_url"]
