"""``tocsin gap``: what became of a detector's decisions, as far as labels have come."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.errors import CommandError
from cli.output import JsonOption, emit, plain, print_rows, say

Row = dict[str, Any]
_COLUMNS = ("measure", "value", "of", "interval", "promised", "p-value")


def gap(
    detector: Annotated[str, typer.Option(help="Name of the detector.")],
    version: Annotated[str | None, typer.Option(help="Only this version.")] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only decisions from then on, e.g. 2026-11-22T09:30:00Z."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Ask this API instead of the store.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare decisions with labels: accuracy, gap, alarms, each with its exact interval.

    A small p-value speaks against what was promised. The gap needs the late answer, which is known
    for shadow streams that have ended.
    """
    from cli.decisions import moment

    start = None if since is None else moment(since).isoformat()
    asked = {name: v for name, v in (("version", version), ("since", start)) if v is not None}
    document = _from_store(detector, asked) if url is None else _from_api(url, detector, asked)
    emit(document, as_json, table=_show)


def _from_api(url: str, detector: str, asked: dict[str, str]) -> Row:
    from pydantic import ValidationError

    from api.label_schemas import Realised
    from cli.rest import Rest

    rest = Rest(url)
    answer = rest.get(f"/v1/detectors/{quote(detector, safe='')}/realised", asked)
    try:
        return Realised.model_validate(answer).model_dump(mode="json")
    except ValidationError as error:
        trouble = f"{error.error_count()} fields are missing or of another type"
        raise rest.not_tocsin(trouble) from error


def _from_store(detector: str, asked: dict[str, str]) -> Row:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from api.realised import report
    from cli.settings import Settings
    from store.session import connect, require_schema

    engine = connect(Settings().resolved_store_url(), create=False)
    require_schema(engine)
    start = asked.get("since")
    since = None if start is None else datetime.fromisoformat(start)
    with Session(engine) as session:
        found = report(session, detector, version=asked.get("version"), since=since)
    if found is None:
        message = (
            f"no detector {detector!r}, or no such version of it, serves or has served with this "
            "store; GET /v1/detectors lists those that have."
        )
        raise CommandError(message)
    return found.model_dump(mode="json")


def _show(document: Row) -> None:
    if not document["versions"]:
        say(f"{plain(document['detector'])}: no decisions yet.")
    for version in document["versions"]:
        promised = f"{version['control']}, alpha {version['alpha']}"
        say(f"{plain(document['detector'])}@{plain(version['version'])} ({plain(promised)})")
        print_rows(_COLUMNS, [_cells(name, share) for name, share in _measures(version)])
        for remark in version["remarks"]:
            say(f"- {plain(remark)}")


def _measures(version: Row) -> list[tuple[str, Row]]:
    rows = [
        ("accuracy, all labelled", version["accuracy"]),
        ("accuracy of the late answer", version["late_accuracy"]),
        ("gap: late right, early wrong", version["gap"]),
    ]
    for name, words in (("halted", "decided"), ("stopped_early", "stopped early")):
        among = version["by_step"][name]
        if among["worst"] is not None:
            step = among["worst"]["step"]
            # the worst of many was picked, which its p-value must bear
            worst = {**among["worst"], "p_value": among["p_value"]}
            rows.append((f"gap among those {words} by step {step} (worst step)", worst))
    if version["alarms"] is not None:
        for name in ("false_alarm_rate", "precision", "sensitivity"):
            rows.append((name.replace("_", " "), version["alarms"][name]))
    rows += [(f"labelled, of {row['label']}", row) for row in version["labelled_by_decision"]]
    return rows


def _cells(name: str, share: Row) -> list[str]:
    interval = share["interval"]
    return [
        name,
        "" if share["share"] is None else f"{share['share']:.4f}",
        f"{share['k']} of {share['n']}",
        "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}",
        "" if share["level"] is None else f"{share['level']:g}",
        "" if share["p_value"] is None else f"{share['p_value']:.3g}",
    ]


def register(app: typer.Typer) -> None:
    """Add ``tocsin gap`` to the command line."""
    app.command()(gap)
