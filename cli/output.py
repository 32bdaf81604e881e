"""How commands speak: tables or one JSON document on stdout, progress and errors on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def emit(
    document: Mapping[str, Any] | Sequence[Any],
    as_json: bool,
    *,
    table: Callable[[Any], None] | None = None,
) -> None:
    """Print `document`: as JSON, or through `table`, or as a plain two-column listing."""
    if as_json:
        import msgspec

        sys.stdout.buffer.write(msgspec.json.encode(document, order="deterministic") + b"\n")
        sys.stdout.buffer.flush()
    elif table is not None:
        table(document)
    else:
        named = document if isinstance(document, Mapping) else dict(enumerate(document, start=1))
        print_mapping(named)


def print_mapping(document: Mapping[Any, Any]) -> None:
    """Print names and values, one a line."""
    print_rows(["", "value"], [[str(name), str(value)] for name, value in document.items()])


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; cell text is never read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def note(message: str) -> None:
    """Say something on stderr."""
    typer.echo(message, err=True)


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
