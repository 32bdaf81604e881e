"""``tocsin produce``: records onto the topic, from JSONL or from a recorded set."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from cli import kafka
from cli.errors import CommandError
from cli.output import JsonOption, emit, note, progress
from cli.recorded import part
from cli.stamps import Stamps, TickedTopic, played, settle_s

if TYPE_CHECKING:
    from cli.settings import Settings
    from detectors.scoring import StreamSet
    from streams.produce import BadLine, Keyed
    from streams.records import Event

LINES = {".jsonl", ".ndjson", ".json"}
SHOWN_BAD_LINES = 20
PROGRESS_EVERY = 100


def produce(
    source: Annotated[
        str, typer.Argument(metavar="FILE|DATASET|-", help="JSONL file, data set, or - for stdin.")
    ],
    detector: Annotated[
        str | None,
        typer.Option(help="Whom the records are for: folder or name[@version]."),
    ] = None,
    split: Annotated[str, typer.Option(help="Part of the data set.")] = "test",
    rate: Annotated[float | None, typer.Option(min=0.001, help="Most records a second.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Stop after so many records.")] = None,
    concurrent: Annotated[
        int, typer.Option(min=1, help="Recorded streams under way at a time.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of recorded streams.")] = 0,
    time: Annotated[
        Stamps, typer.Option(help="Times of a recorded set: as recorded, or moved to begin now.")
    ] = Stamps.RECORDED,
    raw: Annotated[
        bool, typer.Option("--raw", help="Send lines as they are, good or bad.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send records to the topic and wait until all are durable.

    Lines that are no records are not sent; they are reported by number, and the exit code is 1.
    A set with recorded times is sent in their order, with ticks of that time among its records.
    """
    from cli.settings import Settings
    from streams.produce import TopicProducer, paced

    settings = Settings()
    servers = kafka.servers(settings)
    kafka.hush()
    name = None if detector is None else detector_name(settings, detector)
    bad: list[BadLine] = []

    def play(streams: StreamSet) -> Iterator[Event | datetime]:
        return played(
            streams, str(name), time, settle_s=settle_s(settings, str(detector)), seed=seed,
            concurrent=concurrent,
        )  # fmt: skip

    with _records(settings, source, name, split, play, raw) as (records, total):
        due = paced(_first(_good(records, bad), limit), rate)
        expected = min(x for x in (total, limit) if x is not None) if total or limit else None
        with (
            TopicProducer(servers, settings.topic) as producer,
            progress("produce", expected) as advance,
        ):
            _send(due, TickedTopic(servers, producer, settings.topic).send, advance)
            producer.finish()
    sent = producer.acknowledged
    emit({"sent": sent, "refused": len(bad), "topic": settings.topic}, as_json)
    if bad:
        raise typer.Exit(code=1)


def detector_name(settings: Settings, reference: str) -> str:
    """Return the name that a folder or ``name[@version]`` stands for, without loading it."""
    from detectors.registry import Registry

    folder = Registry(settings.resolved_registry()).resolve(reference)
    try:
        return str(tomllib.loads((folder / "detector.toml").read_text())["name"])
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        message = f"{folder} is not a detector: its detector.toml cannot be read ({error!r})."
        raise CommandError(message) from error


@contextmanager
def _records(
    settings: Settings,
    source: str,
    detector: str | None,
    split: str,
    play: Callable[[StreamSet], Iterator[Event | datetime]],
    raw: bool,
) -> Iterator[tuple[Iterable[Keyed | datetime | BadLine], int | None]]:
    """Open the source; gives its records, and how many there are if that is known."""
    from streams.produce import from_event, from_lines

    if source == "-" or Path(source).suffix in LINES:
        with _lines(source) as lines:
            yield from_lines(lines, detector=detector, raw=raw), None
        return
    if detector is None:
        message = "a recorded set needs --detector: whom its records are for."
        raise CommandError(message)
    streams = part(settings, source, split)
    keyed = (item if isinstance(item, datetime) else from_event(item) for item in play(streams))
    yield keyed, int(streams.lengths.sum())


@contextmanager
def _lines(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115  (closed below; the error is told apart)
    except OSError as error:
        message = f"{source} cannot be read: {error.strerror or error}."
        raise CommandError(message) from error
    with file:
        yield file


def _good(
    records: Iterable[Keyed | datetime | BadLine], bad: list[BadLine]
) -> Iterator[Keyed | datetime]:
    """Pass records on; note bad lines, and say which they are, never what they hold."""
    from streams.produce import BadLine

    for record in records:
        if not isinstance(record, BadLine):
            yield record
            continue
        bad.append(record)
        if len(bad) <= SHOWN_BAD_LINES:
            note(f"line {record.number}: {record.rejected.reason}: {record.rejected.detail}")
        elif len(bad) == SHOWN_BAD_LINES + 1:
            note("further bad lines are counted, not listed")


def _first(records: Iterable[Keyed | datetime], limit: int | None) -> Iterator[Keyed | datetime]:
    """Pass on so many records, and the ticks among them."""
    sent = 0
    for record in records:
        if limit is not None and sent >= limit:
            return
        yield record
        sent += not isinstance(record, datetime)


def _send(
    records: Iterable[Keyed | datetime],
    send: Callable[[Keyed | datetime], None],
    advance: Callable[[int], None],
) -> None:
    since = 0
    for record in records:
        send(record)
        since += not isinstance(record, datetime)
        if since == PROGRESS_EVERY:
            advance(since)
            since = 0
    advance(since)


def register(app: typer.Typer) -> None:
    """Add ``tocsin produce`` to the command line."""
    app.command()(produce)
