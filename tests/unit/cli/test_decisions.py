from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import pytest
import typer
from sqlalchemy import insert
from typer.testing import CliRunner

from cli import decisions
from cli.decision_pages import RestPages, StorePages
from cli.errors import CommandError
from store.session import writing
from store.tables import DecisionTable

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def add(engine, n, seconds=0, **changes):
    row = {
        "id": UUID(int=n), "detector": "pendigits", "version": "v", "stream_id": f"pen-{n}",
        "episode": str(n), "label": "3", "probability": 0.875, "halt_step": 4, "reason": "end",
        "shadow": False, "trajectory": [], "decided_at": NOW + timedelta(seconds=seconds),
        "explanation": {"method": "m", "rest": 0.0, "contributions": [
            {"step": 2, "weight": 1.25, "evidence": {"x": 81.0, "word": "née"}}]},
    } | changes  # fmt: skip
    with writing(engine) as connection:
        connection.execute(insert(DecisionTable).values(row))


@pytest.fixture
def run(monkeypatch, sqlite_url):
    monkeypatch.setenv("TOCSIN_STORE_URL", sqlite_url)
    app = typer.Typer()
    decisions.register(app)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_decisions_are_rows_as_the_api_gives_them(run, sqlite_engine):
    from api.schemas import DecisionOut

    add(sqlite_engine, 1)
    add(sqlite_engine, 2, seconds=1, label="8")
    rows = json.loads(run("--json").stdout)["decisions"]
    assert [row["label"] for row in rows] == ["8", "3"]
    assert set(rows[0]) == set(DecisionOut.model_fields)
    assert [r["label"] for r in json.loads(run("--json", "--limit", "1").stdout)["decisions"]] == [
        "8"
    ]


@pytest.mark.parametrize(
    ("arguments", "n"),
    [
        (["--label", "8"], 1),
        (["--stream", "pen-1"], 1),
        (["--detector", "ears"], 0),
        (["--since", "2026-11-22T09:30:01Z"], 1),
    ],
)
def test_filters_choose(run, sqlite_engine, arguments, n):
    add(sqlite_engine, 1)
    add(sqlite_engine, 2, seconds=1, label="8")
    assert len(json.loads(run("--json", *arguments).stdout)["decisions"]) == n


@pytest.mark.parametrize("since", ["yesterday", "2026-11-22T09:30:00"])
def test_a_time_without_a_zone_is_wrong_use(run, since):
    assert run("--since", since).exit_code == 2


def test_a_cell_says_why_and_no_terminal_obeys_it(sqlite_engine):
    add(sqlite_engine, 1, stream_id="a\x1b[2Jb\n[red]", label="\u202e3")
    (row,) = StorePages(sqlite_engine).read({}, 5)
    cells = decisions.cells(row)
    assert all(cell.isprintable() for cell in cells)
    assert cells[1] == r"a\x1b[2Jb\n[red]"
    assert cells[4:] == ["0.875", "4", "end", "step 2 (x=81, word=née) +1.25"]


def test_following_gives_each_decision_once_even_one_stored_late(sqlite_engine, monkeypatch):
    for n in range(4):
        add(sqlite_engine, n, seconds=n)
    arriving = iter([[(10, 4)], [], [(11, 3), (12, 9)], [(13, 30)], [(14, 25)]])
    monkeypatch.setattr(
        decisions.time,
        "sleep",
        lambda _: [add(sqlite_engine, n, seconds=s) for n, s in next(arriving)],
    )
    followed = decisions.followed(StorePages(sqlite_engine), {}, 2)
    shown = [UUID(row["id"]).int for row in islice(followed, 7)]
    assert shown == [2, 3, 10, 11, 12, 13, 14]


def test_following_begins_no_earlier_than_asked(sqlite_engine, monkeypatch):
    add(sqlite_engine, 1)
    arriving = iter([[(2, 5)], [(3, -3), (4, 6)]])
    monkeypatch.setattr(
        decisions.time,
        "sleep",
        lambda _: [add(sqlite_engine, n, seconds=s) for n, s in next(arriving)],
    )
    since = NOW + timedelta(seconds=1)
    followed = decisions.followed(StorePages(sqlite_engine), {}, 50, since)
    assert [UUID(row["id"]).int for row in islice(followed, 2)] == [2, 4]


def test_reading_more_than_a_page_gives_every_row(sqlite_engine, monkeypatch):
    monkeypatch.setattr("cli.decision_pages.PAGE", 2)
    for n in range(5):
        add(sqlite_engine, n, seconds=n)
    pages = StorePages(sqlite_engine)
    assert len(list(pages.read({}, None))) == 5
    assert len(list(pages.read({}, 3))) == 3


def test_a_key_for_rest_comes_from_its_file_only(monkeypatch, tmp_path):
    monkeypatch.setenv("TOCSIN_API_KEY_FILE", "")
    with pytest.raises(CommandError, match="an API key is needed"):
        RestPages("http://127.0.0.1:1")
    monkeypatch.delenv("TOCSIN_API_KEY_FILE", raising=False)
    with pytest.raises(CommandError, match="TOCSIN_API_KEY_FILE"):
        RestPages("http://127.0.0.1:1")
    monkeypatch.setenv("TOCSIN_API_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="cannot be read"):
        RestPages("http://127.0.0.1:1")
    (tmp_path / "key").write_text("two\nlines")
    monkeypatch.setenv("TOCSIN_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(CommandError, match="no key in one line"):
        RestPages("http://127.0.0.1:1")


LONG = "https://example.org/" + "path/" * 30
"""A stream id longer than a line."""


@pytest.mark.parametrize("width", [20, 40, 80, 149, 150, 200, None])
def test_neither_stream_nor_probability_is_cut_at_any_width(
    run, sqlite_engine, monkeypatch, width
):
    monkeypatch.setattr("cli.decisions.terminal_width", lambda: width)
    monkeypatch.setattr("cli.output.terminal_width", lambda: width)
    add(sqlite_engine, 1, stream_id=LONG)
    add(sqlite_engine, 2, seconds=1)
    shown = run().stdout
    assert LONG in shown
    assert shown.count("0.875") == 2
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown


def test_a_narrow_terminal_shows_a_decision_a_block_the_answer_first(
    run, sqlite_engine, monkeypatch
):
    monkeypatch.setattr("cli.decisions.terminal_width", lambda: 149)
    add(sqlite_engine, 1)
    add(sqlite_engine, 2, seconds=1)
    newest, older = run().stdout.split("\n\n")
    assert [line.partition(":")[0] for line in newest.splitlines()] == [
        "label", "probability", "halt step", "reason", "stream", "decided", "detector", "why"
    ]  # fmt: skip
    assert "stream: pen-2" in newest
    assert "stream: pen-1" in older


def test_an_api_that_is_not_there_is_one_message(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("k")
    monkeypatch.setenv("TOCSIN_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(CommandError, match="gave no answer"):
        list(RestPages("http://127.0.0.1:9").read({}, 1))
