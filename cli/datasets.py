"""`tocsin datasets`: which sets there are, and bringing public ones here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import WrongUseError
from cli.output import JsonOption, emit, note, print_mapping, print_rows, progress

if TYPE_CHECKING:
    from detectors.inventory import Listed

commands = typer.Typer(
    help="List data sets, and bring public ones here.",
    no_args_is_help=True,
)


@commands.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the bundled sets, those in TOCSIN_DATA_DIR, and those that can be fetched."""
    from cli.settings import Settings
    from detectors.inventory import listed

    emit([_row(one) for one in listed(Settings().data_dir)], as_json, table=_print)


@commands.command()
def fetch(
    name: Annotated[str, typer.Argument(show_default=False, help="As `datasets list` has it.")],
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, help="Default: TOCSIN_DATA_DIR."),
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", exists=True, help="Archive or folder downloaded by hand."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch the public set NAME, convert it, and compare its content with what is recorded."""
    from cli.settings import Settings
    from detectors import fetch as fetching

    folder = to or Settings().data_dir
    if folder is None:
        message = "say where to: name a folder with --to DIR, or let TOCSIN_DATA_DIR name one."
        raise WrongUseError(message)
    with progress(f"bytes of {name}") as advance:
        file = fetching.fetch(name, folder, given=given, advance=advance)
    entry = fetching.catalogue()[name]
    note(f"licence: {entry.licence}")
    document = {
        "name": name, "file": str(file), "modality": entry.modality, "streams": entry.streams,
        "licence": entry.licence, "content_sha256": entry.fingerprint,
    }  # fmt: skip
    emit(document, as_json, table=print_mapping)


def _row(one: Listed) -> dict[str, Any]:
    return {
        "name": one.name, "modality": one.modality, "streams": one.streams,
        "licence": one.licence, "where": one.where,
    }  # fmt: skip


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ["name", "modality", "streams", "licence", "where"]
    print_rows(columns, [[_cell(column, row[column]) for column in columns] for row in rows])


def _cell(column: str, value: object) -> str:
    """Return a cell of the table; of a licence its name, which stands before any remark on it."""
    if value is None:
        return "?"
    return re.split("[,;] ", str(value))[0] if column == "licence" else str(value)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="datasets")
