"""``tocsin labels``: what sources say is the truth about streams."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from cli.errors import CommandError
from cli.label_places import Labels, RestLabels, Row, StoreLabels
from cli.output import JsonOption, emit, note, print_rows

labels = typer.Typer(
    help="What sources say is the truth about streams: add, list.", no_args_is_help=True
)
UrlOption = Annotated[str | None, typer.Option(help="Use this API instead of the store.")]
BATCH = 250
"""Labels at a time; however large they are, an API takes so many in one request."""
SHOWN_REFUSALS = 20
_COLUMNS = (
    "received_at", "stream_id", "label", "source", "time", "detector", "episode", "matched",
)  # fmt: skip


class Line(NamedTuple):
    """A line of a file."""

    number: int
    value: bytes


@labels.command()
def add(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="JSONL file, or - for stdin.")],
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the labels in FILE, a JSON object a line; one that was sent before counts once.

    Lines that are no labels are reported by number, and the exit code is 1.
    """
    place = _place(url)
    counts: Counter[str] = Counter()
    with _lines(file) as lines:
        while batch := list(islice(lines, BATCH)):
            results = place.add([line.value for line in batch])
            for line, result in zip(batch, results, strict=True):
                counts[result["status"]] += 1
                counts["unmatched"] += result.get("matched") is False
                if result["status"] == "rejected":
                    _tell(counts["rejected"], line, result)
    names = ("stored", "repeated", "rejected", "unmatched")
    emit({name: counts[name] for name in names}, as_json)
    if counts["rejected"]:
        raise typer.Exit(code=1)


@labels.command(name="list")
def list_labels(
    stream: Annotated[str | None, typer.Option(help="Only about this stream.")] = None,
    detector: Annotated[str | None, typer.Option(help="Only those that name it.")] = None,
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    label: Annotated[str | None, typer.Option(help="Only this label.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List labels, the last received first: late and contradicting ones too."""
    named = {"stream_id": stream, "detector": detector, "source": source, "label": label}
    filters = {name: value for name, value in named.items() if value is not None}
    rows = list(islice(_place(url).read(filters), limit))
    emit({"labels": rows}, as_json, table=_table)


def _place(url: str | None) -> Labels:
    if url is not None:
        return RestLabels(url)
    from cli.settings import Settings
    from store.session import connect, require_schema

    engine = connect(Settings().resolved_store_url(), create=False)
    require_schema(engine)
    return StoreLabels(engine)


@contextmanager
def _lines(source: str) -> Iterator[Iterator[Line]]:
    """Open a file or stdin; gives its lines, numbered from 1, without empty ones."""
    try:
        file = sys.stdin.buffer if source == "-" else Path(source).open("rb")  # noqa: SIM115
    except OSError as error:
        message = f"{source} cannot be read: {error.strerror or error}."
        raise CommandError(message) from error
    with file:
        numbered = (Line(n, line.strip()) for n, line in enumerate(file, start=1))
        yield (line for line in numbered if line.value)


def _tell(nth: int, line: Line, result: Row) -> None:
    """Say which line is no label and why, never what it holds."""
    if nth <= SHOWN_REFUSALS:
        note(f"line {line.number}: {result['reason']}: {result['detail']}")
    elif nth == SHOWN_REFUSALS + 1:
        note("further refused lines are counted, not listed")


def _table(document: dict[str, list[Row]]) -> None:
    print_rows(
        [name.replace("_", " ") for name in _COLUMNS],
        [[_cell(row[name]) for name in _COLUMNS] for row in document["labels"]],
    )


def _cell(value: Any) -> str:  # noqa: ANN401  # whatever the API gives
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def register(app: typer.Typer) -> None:
    """Add ``tocsin labels`` to the command line."""
    app.add_typer(labels, name="labels")
