"""How commands speak: tables or one JSON document on stdout, progress and errors on stderr.

Text that people or machines elsewhere wrote reaches the terminal through `plain` only, so that
it can neither command the terminal nor pass for text of ours.
"""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TextIO

import typer

from cli.errors import CommandError

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_UNLIMITED = 1_000_000
"""Columns of a stdout that is no terminal: nothing is wrapped or cut."""


def plain(text: str) -> str:
    r"""Return `text` as one line in which what a terminal would obey is spelled out.

    Those are control characters, and those that turn, join or hide text.

    >>> plain("caf\u00e9 \x1b[2J \u202e")
    'café \\x1b[2J \\u202e'
    """
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _obeyed(c) else c for c in text)


def _obeyed(c: str) -> bool:
    return not c.isprintable() and unicodedata.category(c) != "Zs"


def emit(
    document: Mapping[str, Any] | Sequence[Any],
    as_json: bool,
    *,
    table: Callable[[Any], None] | None = None,
) -> None:
    """Print `document`: as JSON, or through `table`, or as a plain two-column listing.

    Raises CommandError if stdout is closed or cannot be written.
    """
    if as_json:
        import msgspec

        say(_harmless(msgspec.json.encode(document, order="deterministic").decode()))
    elif table is not None:
        table(document)
    else:
        named = document if isinstance(document, Mapping) else dict(enumerate(document, start=1))
        print_mapping(named)


def say(line: str) -> None:
    """Print a line on stdout at once."""
    with stdout() as out:
        out.write(line + "\n")


@contextmanager
def stdout() -> Iterator[TextIO]:
    """Give stdout, flushed at the end of the block; CommandError if it takes nothing."""
    if sys.stdout is None:
        message = "stdout is closed, so the answer has nowhere to go; leave it open."
        raise CommandError(message)
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever read has seen enough
    except OSError as error:
        message = (
            f"the answer cannot be written to stdout: {error.strerror or error}. Send it to a "
            "file or terminal that takes it, and run the command again."
        )
        raise CommandError(message) from error


def terminal_width() -> int | None:
    """Return the columns of the terminal on stdout, None if it is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def print_mapping(document: Mapping[Any, Any]) -> None:
    """Print names and values, one a line."""
    print_rows(["", "value"], [[str(name), str(value)] for name, value in document.items()])


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; cell text is never read as markup, and never cut.

    On a terminal too narrow for the longest words, each row becomes a block of lines.
    """
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    width = terminal_width()
    table = Table()
    for column in columns:
        table.add_column(Text(plain(column)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    with stdout() as out:
        console = Console(file=out, width=width or _UNLIMITED)
        needed = Measurement.get(console, console.options.update(width=_UNLIMITED), table).minimum
        if needed > console.width:
            print_blocks(columns, rows)
        else:
            console.print(table)


def print_blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print each row as lines of name and value, with an empty line between rows."""
    with stdout() as out:
        for nth, row in enumerate(rows):
            if nth > 0:
                out.write("\n")
            for name, cell in zip(columns, row, strict=True):
                out.write(f"{plain(name)}: {plain(cell)}\n" if name else f"{plain(cell)}\n")


def note(message: str) -> None:
    """Say something on stderr; its line breaks are kept."""
    typer.echo("\n".join(plain(line) for line in message.split("\n")), err=True)


def _harmless(document: str) -> str:
    r"""Return a JSON text with every character that a terminal would obey as its \u escape."""
    if document.isprintable():
        return document
    return "".join(json.dumps(c)[1:-1] if _obeyed(c) else c for c in document)


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr while the block runs; yields `advance(n)`.

    Silent when stderr is not a terminal.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task(title, total=total)
        yield lambda n: bar.advance(task, n)
