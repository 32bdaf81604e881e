from __future__ import annotations

import json
import zipfile

import pytest
import typer
from typer.testing import CliRunner

from cli import datasets
from cli.errors import WrongUseError
from detectors import fetch
from detectors.errors import DatasetError


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    app = typer.Typer()
    datasets.register(app)

    def call(*arguments):
        return CliRunner().invoke(app, ["datasets", *arguments])

    return call


def test_the_list_has_what_is_bundled_mine_and_to_be_fetched(run):
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows["shop-talk"]["where"] == "bundled"
    assert rows["sms_spam"] == {
        "name": "sms_spam", "modality": "text", "streams": 5574,
        "licence": fetch.catalogue()["sms_spam"].licence,
        "where": "tocsin datasets fetch sms_spam",
    }  # fmt: skip
    table = run("list").stdout
    assert "shop-talk" in table
    assert "CC BY 4.0" in table
    assert "from memory" not in table


def test_a_file_downloaded_by_hand_that_is_another_is_refused(run, tmp_path):
    given = tmp_path / "mine.zip"
    with zipfile.ZipFile(given, "w") as archive:
        archive.writestr("SMSSpamCollection", "ham\thello\nspam\twin\n")
    result = run("fetch", "sms_spam", "--from", str(given))
    assert isinstance(result.exception, DatasetError)
    assert "Nothing was written" in str(result.exception)
    assert list((tmp_path / "data").iterdir()) == []


def test_what_was_brought_is_reported_and_listed(run, tmp_path, monkeypatch):
    seen = {}

    def put(name, folder, *, given, advance):
        seen.update(name=name, folder=folder, given=given)
        advance(3)
        return folder / name / f"{name}.npz"

    monkeypatch.setattr(fetch, "fetch", put)
    result = run("fetch", "fsdd", "--to", str(tmp_path / "other"), "--json")
    document = json.loads(result.stdout)
    assert seen == {"name": "fsdd", "folder": tmp_path / "other", "given": None}
    assert document["file"] == str(tmp_path / "other" / "fsdd" / "fsdd.npz")
    assert document["content_sha256"] == fetch.catalogue()["fsdd"].fingerprint
    assert "CC BY-SA 4.0" in result.stderr


def test_without_a_place_to_put_it_nothing_is_fetched(run, monkeypatch):
    monkeypatch.delenv("TOCSIN_DATA_DIR")
    result = run("fetch", "fsdd")
    assert isinstance(result.exception, WrongUseError)
    assert "--to DIR" in str(result.exception)


def test_wrong_use_is_exit_code_2(run, tmp_path):
    assert run("fetch").exit_code == 2
    assert run("fetch", "fsdd", "--from", str(tmp_path / "gone.zip")).exit_code == 2
    result = run("fetch", "nosuchset")
    assert isinstance(result.exception, DatasetError)
    assert "cinc2019_sepsis_setB" in str(result.exception)
