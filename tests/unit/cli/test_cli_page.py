"""docs/cli.md says what there is: no more, no less."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from cli.main import app
from cli.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def rows(pattern):
    found = re.findall(rf"^\| `{pattern}` \|(.*?)\|", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(found) == len(dict(found)), "a row stands twice"
    return dict(found)


def test_every_setting_has_its_row_and_every_row_its_setting():
    named = {name.lower() for name in rows("TOCSIN_([A-Z_]+)")}
    assert named == set(Settings.model_fields)


def test_the_defaults_are_those_in_force():
    shown = {name.lower(): text.strip() for name, text in rows("TOCSIN_([A-Z_]+)").items()}
    for name, field in Settings.model_fields.items():
        if field.default is not None:
            assert shown[name] == f"`{field.default}`", name


def test_every_command_has_its_row():
    assert set(rows(r"tocsin ([a-z]+)")) == set(typer.main.get_command(app).commands)
