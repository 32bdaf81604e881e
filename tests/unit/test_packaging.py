"""What a wheel would hold: every room of the house, and the data that stands in it."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def test_every_package_is_installed_and_nothing_else_is_named():
    rooms = SETTINGS["importlinter"]["root_packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for room in rooms
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert set(SETTINGS["setuptools"]["packages"]) == found


def test_every_data_file_is_of_a_kind_that_is_installed():
    kinds = {pattern.removeprefix("*") for pattern in SETTINGS["setuptools"]["package-data"]["*"]}
    rooms = SETTINGS["importlinter"]["root_packages"]
    others = {
        path.suffix
        for room in rooms
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert others <= kinds
