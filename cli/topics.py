"""``tocsin topics``: create, describe, lag."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import kafka
from cli.output import JsonOption, emit, print_rows
from cli.settings import Settings

if TYPE_CHECKING:
    from streams.topics import PartitionPositions, Topic

topics = typer.Typer(name="topics", help="Kafka topics.", no_args_is_help=True)


@topics.command()
def create(
    partitions: Annotated[int, typer.Option(min=1, max=10_000, help="Of each topic.")] = 8,
    replication: Annotated[int, typer.Option(min=1, max=100, help="Copies of each record.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Create the topics of records, decisions and labels; topics that fit are left alone."""
    from streams import topics as admin
    from streams.records import MAX_RECORD_BYTES

    settings = Settings()
    servers = kafka.servers(settings)
    kafka.hush()
    # A record of the largest size that we take must fit, with its key and Kafka's own envelope.
    configs = {"max.message.bytes": str(2 * MAX_RECORD_BYTES)}
    rows: list[dict[str, Any]] = []
    for name in _names(settings):
        new = admin.create(
            servers, name, partitions=partitions, replication=replication, configs=configs
        )
        found = admin.find(servers, name)
        rows.append({**asdict(found), "created": new})
    emit({"topics": rows}, as_json, table=_topics_table)


@topics.command()
def describe(as_json: JsonOption = False) -> None:
    """Show partitions, offsets and replicas of the configured topics."""
    from streams import topics as admin

    settings = Settings()
    servers = kafka.servers(settings)
    kafka.hush()
    found = [admin.positions(servers, name) for name in _names(settings)]
    emit({"topics": [_described(topic, rows) for topic, rows in found]}, as_json, table=_details)


@topics.command()
def lag(as_json: JsonOption = False) -> None:
    """Show how far the group has read, by the ledger.

    The broker's own lag says little: workers acknowledge every delivery, counted or not.
    """
    from store.ledger import SqlLedger
    from store.session import connect, require_schema
    from streams import topics as admin

    settings = Settings()
    servers = kafka.servers(settings)
    kafka.hush()
    topic, held = admin.positions(servers, settings.topic)
    engine = connect(settings.resolved_store_url())
    try:
        require_schema(engine)
        ledger = SqlLedger(engine, settings.group, topic.name, topic.topic_id, topic.n_partitions)
        reached = ledger.open().positions()
    finally:
        engine.dispose()
    rows = admin.lag(held, {number: claim.next_offset for number, claim in reached.items()})
    document = {
        "topic": topic.name,
        "group": settings.group,
        "lag": sum(row.lag for row in rows),
        "partitions": [asdict(row) for row in rows],
    }
    emit(document, as_json, table=_lag_table)


def _names(settings: Settings) -> tuple[str, ...]:
    return settings.topic, settings.decisions_topic, settings.labels_topic


def _described(topic: Topic, rows: tuple[PartitionPositions, ...]) -> dict[str, Any]:
    return {**asdict(topic), "partitions": [asdict(row) for row in rows]}


def _topics_table(document: dict[str, Any]) -> None:
    columns = ["name", "n_partitions", "replication", "created"]
    print_rows(columns, [[str(row[name]) for name in columns] for row in document["topics"]])


def _details(document: dict[str, Any]) -> None:
    columns = ["partition", "begin", "end", "leader", "replicas", "in_sync"]
    rows = [
        [topic["name"], *(_cell(row[name]) for name in columns)]
        for topic in document["topics"]
        for row in topic["partitions"]
    ]
    print_rows(["topic", *columns], rows)


def _lag_table(document: dict[str, Any]) -> None:
    columns = ["partition", "next_offset", "end", "lag"]
    rows = [[_cell(row[name]) for name in columns] for row in document["partitions"]]
    print_rows(columns, [*rows, ["all", "", "", str(document["lag"])]])


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "never claimed" if value is None else str(value)


def register(app: typer.Typer) -> None:
    """Add ``tocsin topics`` to the command line."""
    app.add_typer(topics, name="topics")
