"""``tocsin decisions``: list decisions, or follow them as they are made."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from cli.decision_pages import Filters, Pages, RestPages, Row, StorePages
from cli.output import JsonOption, emit, plain, print_blocks, print_rows, say, terminal_width

_POLL_S = 1.0
_OVERLAP = timedelta(seconds=10)
"""Looked at again on each poll: a transaction that began earlier may be stored later."""
_COLUMNS = ["decided", "stream", "detector", "label", "probability", "halt step", "reason", "why"]
_FIRST = ["label", "probability", "halt step", "reason", "stream", "decided", "detector", "why"]
"""Order of a block: what was decided, then where and why."""
_WIDE = 150
"""Columns from which a decision reads well in one row."""


def decisions(
    detector: Annotated[str | None, typer.Option(help="Only of this detector.")] = None,
    label: Annotated[str | None, typer.Option(help="Only with this label.")] = None,
    stream: Annotated[str | None, typer.Option(help="Only of this stream.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only from then on, e.g. 2026-11-22T09:30:00Z.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    url: Annotated[str | None, typer.Option(help="Ask this API instead of the store.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as decisions are made.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List decisions with their reasons, newest first; --follow: oldest first, a line each."""
    named = {"detector": detector, "label": label, "stream_id": stream}
    filters: dict[str, str | datetime] = {k: v for k, v in named.items() if v is not None}
    start = None if since is None else moment(since)
    pages: Pages = _store_pages() if url is None else RestPages(url)
    if not follow:
        bounded = filters if start is None else {**filters, "since": start}
        rows = list(pages.read(bounded, limit))
        emit({"decisions": rows}, as_json, table=_table)
        return
    try:
        for row in followed(pages, filters, limit, start):
            say(json.dumps(row) if as_json else "  ".join(cells(row)))
    except KeyboardInterrupt:
        return


def followed(
    pages: Pages, filters: Filters, limit: int, since: datetime | None = None
) -> Iterator[Row]:
    """Give the newest `limit` decisions, oldest first, then each new one once; never ends."""
    if since is not None:
        filters = {**filters, "since": since}
    fresh = list(pages.read(filters, limit))
    # older ones were left out by the limit: they are not late
    floor = _decided(fresh[-1]) if len(fresh) == limit else None
    shown: dict[str, datetime] = {}
    while True:
        for row in reversed(fresh):
            shown[row["id"]] = _decided(row)
            yield row
        time.sleep(_POLL_S)
        again: dict[str, str | datetime] = dict(filters)
        if shown:
            horizon = max(shown.values()) - _OVERLAP
            shown = {known: at for known, at in shown.items() if at >= horizon}
            again["since"] = max(horizon, floor or horizon, since or horizon)
        fresh = [row for row in pages.read(again, None) if row["id"] not in shown]


def _decided(row: Row) -> datetime:
    return datetime.fromisoformat(row["decided_at"])


def cells(row: Row) -> list[str]:
    """Return what the table shows of a decision.

    Text from streams is foreign: what a terminal would obey is spelled out.
    """
    reasons = "; ".join(_reason(item) for item in row["top_reasons"])
    values = [
        row["decided_at"][:19].replace("T", " "),
        row["stream_id"],
        row["detector"],
        row["label"],
        f"{row['probability']:.3f}",
        str(row["halt_step"]),
        row["reason"],
        reasons,
    ]
    return [plain(value) for value in values]


def _reason(item: dict[str, Any]) -> str:
    """Say one reason: the word, the channel with value and age, or the step with what it held."""
    found = item["evidence"]
    if set(found) <= {"word", "times"} and "word" in found:
        times = f" x{found['times']}" if found.get("times", 1) != 1 else ""
        return f'"{found["word"]}"{times} {item["weight"]:+.2f}'
    if "channel" in found and isinstance(found.get("value"), int | float):
        age = found.get("hours_ago")
        ago = f" {age:.1f} h ago" if isinstance(age, int | float) else ""
        return f"{found['channel']} {found['value']:g}{ago} {item['weight']:+.2f}"
    evidence = ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in item["evidence"].items()
    )
    return f"step {item['step']} ({evidence}) {item['weight']:+.2f}"


def _table(document: dict[str, list[Row]]) -> None:
    rows = [cells(row) for row in document["decisions"]]
    width = terminal_width()
    if width is None or width >= _WIDE:
        print_rows(_COLUMNS, rows)
        return
    named = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    print_blocks(_FIRST, [[row[name] for name in _FIRST] for row in named])


def moment(text: str) -> datetime:
    """Return the time that ``--since`` names; one without a zone is wrong use."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        message = f"{text!r}: give a time with its zone, as 2026-11-22T09:30:00Z"
        raise typer.BadParameter(message, param_hint="--since")
    return found


def _store_pages() -> StorePages:
    from cli.settings import Settings
    from store.session import connect, require_schema

    engine = connect(Settings().resolved_store_url(), create=False)
    require_schema(engine)
    return StorePages(engine)


def register(app: typer.Typer) -> None:
    """Add ``tocsin decisions`` to the command line."""
    app.command()(decisions)
