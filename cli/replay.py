"""``tocsin replay``: recorded streams as live events, to a service, a topic or the bare engine."""

from __future__ import annotations

import time
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.decision_pages import RestPages
from cli.errors import CommandError
from cli.output import JsonOption, emit, print_mapping, progress
from cli.recorded import part
from cli.rest import Rest
from cli.stamps import Stamps, TickedTopic, settle_s
from cli.stamps import played as stamped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.settings import Settings
    from detectors.scoring import StreamSet
    from streams.records import Event

BATCH = 500
"""Most events in one request."""
SETTLE_S = 30.0
"""How long decisions are waited for after the last event."""


def replay(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Recorded streams.")],
    detector: Annotated[str, typer.Option(help="Folder or name[@version].")],
    to: Annotated[str | None, typer.Option(metavar="URL", help="Post to this service.")] = None,
    kafka: Annotated[
        str | None, typer.Option(metavar="SERVERS", help="Produce to the topic.")
    ] = None,
    engine: Annotated[bool, typer.Option("--engine", help="Only the engine, in memory.")] = False,
    split: Annotated[str, typer.Option(help="Part of the data set.")] = "test",
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="Steps a second of each stream; default: no pause."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many streams.")] = None,
    concurrent: Annotated[int, typer.Option(min=1, help="Streams under way at a time.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the order.")] = 0,
    stamps: Annotated[
        Stamps,
        typer.Option("--time", help="Times of the set: as recorded, or moved to begin now."),
    ] = Stamps.RECORDED,
    as_json: JsonOption = False,
) -> None:
    """Play recorded streams as if they were live, and count the decisions."""
    if sum([to is not None, kafka is not None, engine]) != 1:
        message = "say where to: one of --to URL, --kafka SERVERS, --engine"
        raise typer.BadParameter(message)
    from cli.settings import Settings

    settings = Settings()
    rest = None if to is None else Rest(to, "--to")
    streams = part(settings, dataset, split, limit)
    began = time.monotonic()
    if engine:
        sent, decisions = _through_engine(settings, detector, streams)
    else:
        from cli.produce import detector_name

        name = detector_name(settings, detector)
        settled_s = settle_s(settings, detector)
        played = stamped(
            streams, name, stamps, settle_s=settled_s, seed=seed, concurrent=concurrent
        )
        rate = None if speed is None else speed * min(concurrent, len(streams))
        total = int(streams.lengths.sum())
        if rest is not None:
            # Nobody may tick through the API: the service has a ticker of its own.
            records = (item for item in played if not isinstance(item, datetime))
            sent, decisions = _to_service(rest, records, total, rate, name, streams)
        else:
            sent, decisions = _to_topic(str(kafka), settings.topic, played, total, rate), None
    seconds = round(time.monotonic() - began, 3)
    emit({"events": sent, "seconds": seconds, "decisions": decisions}, as_json, table=_table)


def _table(document: dict[str, Any]) -> None:
    counted = "not counted" if document["decisions"] is None else document["decisions"]
    print_mapping({**document, "decisions": counted})


def _through_engine(settings: Settings, detector: str, streams: StreamSet) -> tuple[int, int]:
    from detectors.registry import Registry
    from streams.scoring import score

    loaded = Registry(settings.resolved_registry()).load(detector)
    with progress("replay", len(streams)) as advance:
        scored = score(loaded, streams, advance)
    return int(streams.lengths.sum()), len(scored.decisions)


def _to_topic(
    servers: str, topic: str, played: Iterator[Event | datetime], total: int, rate: float | None
) -> int:
    from streams.produce import TopicProducer, from_event, paced

    with TopicProducer(servers, topic) as producer, progress("replay", total) as advance:
        ticked = TickedTopic(servers, producer, topic)
        for item in paced(played, rate):
            if isinstance(item, datetime):
                ticked.send(item)
            else:
                ticked.send(from_event(item))
                advance(1)
        producer.finish()
        return producer.acknowledged


def _to_service(
    rest: Rest,
    played: Iterator[Event],
    total: int,
    rate: float | None,
    name: str,
    streams: StreamSet,
) -> tuple[int, int]:
    """Post the events, then wait for the decisions; return the number of both."""
    size = BATCH if rate is None else max(1, min(BATCH, round(rate / 5)))
    with progress("replay", total) as advance:
        sent = _post(rest, played, size, rate, advance)
    return sent, _await_decisions(rest, name, streams)


def _post(
    rest: Rest,
    played: Iterator[Event],
    size: int,
    rate: float | None,
    advance: Callable[[int], None],
) -> int:
    from streams.codec import encode

    sent, began = 0, time.monotonic()
    while batch := list(islice(played, size)):
        answer = rest.post("/v1/events", b'{"events":[' + b",".join(map(encode, batch)) + b"]}")
        refused = _refused(rest, answer)
        if refused:
            message = f"{len(refused)} of {len(batch)} events were not taken: {refused[0]}"
            raise CommandError(message)
        sent += len(batch)
        advance(len(batch))
        if rate is not None and (early := began + sent / rate - time.monotonic()) > 0:
            time.sleep(early)
    return sent


def _refused(rest: Rest, answer: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        return [item for item in answer["results"] if item["status"] != "accepted"]
    except (KeyError, TypeError) as error:
        trouble = "its answer to events has no results"
        raise rest.not_tocsin(trouble) from error


def _await_decisions(rest: Rest, name: str, streams: StreamSet) -> int:
    """Return how many of the streams have a decision, once all have or nothing more comes."""
    wanted = {streams.stream_id(i) for i in range(len(streams))}
    pages, deadline = RestPages(rest), time.monotonic() + SETTLE_S
    while True:
        decided = wanted & {row["stream_id"] for row in pages.read({"detector": name}, None)}
        if len(decided) == len(wanted) or time.monotonic() > deadline:
            return len(decided)
        time.sleep(0.5)


def register(app: typer.Typer) -> None:
    """Add ``tocsin replay`` to the command line."""
    app.command()(replay)
