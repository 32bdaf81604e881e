"""What reaches the terminal: foreign text is harmless, and nothing is cut."""

from __future__ import annotations

import json

import pytest

from cli.output import emit, note, plain, print_rows

OBEYED = [
    *map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)),
    "\u00ad", "\u061c", "\u200b", "\u200e", "\u200f", "\u2028", "\u2029",
    *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2060, 0x2070)), "\ufeff", "\ud800",
    "\U000e0041",
]  # fmt: skip


@pytest.mark.parametrize("character", OBEYED, ids=ascii)
def test_what_a_terminal_would_obey_is_spelled_out(character):
    shown = plain(f"a{character}b")
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.startswith("a\\")


@pytest.mark.parametrize("text", ["née", "数字 の", "a\u00a0b", "\u3000", "مرحبا", "🙂", "[red]"])
def test_what_people_write_stays_as_it_is(text):
    assert plain(text) == text


def test_a_table_and_a_note_are_plain_and_keep_our_own_line_breaks(capsys):
    print_rows(["id\x1b"], [["a\x1b[2Jb\nc"], ["[red]x[/red]"]])
    note("first\nsecond \u202e\x07")
    out, err = capsys.readouterr()
    assert r"a\x1b[2Jb\nc" in out
    assert "[red]x[/red]" in out
    assert "\x1b" not in out
    assert err == "first\nsecond \\u202e\\x07\n"


def test_json_holds_no_such_character_and_still_says_the_same(capsys):
    document = {"née \u202e": "".join(c for c in OBEYED if c != "\ud800") + "🙂"}
    emit(document, as_json=True)
    out = capsys.readouterr().out
    assert out.removesuffix("\n").isprintable()
    assert "née" in out
    assert json.loads(out) == document


LONG = "x" * 500


@pytest.mark.parametrize("rows", [[[LONG, "b c " * 100]], [[LONG, LONG]]])
def test_without_a_terminal_a_row_is_one_line_however_long(capsys, monkeypatch, rows):
    monkeypatch.setenv("COLUMNS", "40")
    print_rows(["a", "b"], rows)
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if LONG in line]
    assert all(cell.strip() in line for cell in rows[0])


@pytest.mark.parametrize("width", [1, 20, 40, 80, 600])
def test_on_a_terminal_no_word_is_cut(capsys, monkeypatch, width):
    monkeypatch.setattr("cli.output.terminal_width", lambda: width)
    print_rows(["name", "state", "folder"], [["pendigits", "active", LONG], ["b", "c", "d"]])
    out = capsys.readouterr().out
    assert "…" not in out
    assert {"pendigits", "active", LONG} <= set(out.replace("│", " ").split())


def test_a_table_that_fits_after_wrapping_at_blanks_stays_a_table(capsys, monkeypatch):
    monkeypatch.setattr("cli.output.terminal_width", lambda: 40)
    print_rows(["name", "why"], [["a", "many short words " * 5]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("┏")
    assert max(map(len, lines)) <= 40
