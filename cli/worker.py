"""``tocsin worker``: the Kafka worker."""

from __future__ import annotations

import logging
import os
import socket
import threading
from contextlib import ExitStack
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from cli import kafka
from cli.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine import Engine

    from streams.drivers.faust import Deliver, FaustSettings
    from streams.drivers.topic_watch import TopicWatch
    from streams.roster import Roster
    from streams.topics import Topic
    from streams.worker import Worker

ALIVE_S = 30
"""How long after its last word a worker of the group counts as alive."""


class Driver(StrEnum):
    """How records are read from Kafka."""

    FAUST = "faust"


def worker(
    detector: Annotated[
        list[str], typer.Option(help="Detector to run: folder or name[@version]; may be repeated.")
    ],
    topic: Annotated[
        str | None,
        typer.Option(help="Run the detectors of this topic only; default: a process for each."),
    ] = None,
    driver: Annotated[Driver, typer.Option(help="How records are read.")] = Driver.FAUST,
) -> None:
    """Read records from Kafka, decide, and store decisions, until told to stop.

    Start several to share the partitions; all of a group (TOCSIN_GROUP) run the same detectors.
    Which topic a detector listens to stands under [source] in its configuration; without that it
    is TOCSIN_TOPIC. Another topic than that is read by a group of its own, GROUP.TOPIC.
    """
    from cli import crew, logs

    settings = Settings()
    logs.configure(settings.log_level)
    if settings.log_level != "debug":
        kafka.hush()
    kafka.servers(settings)  # says first what is missing first
    topics = crew.by_topic(settings, detector)
    if topic is not None:
        if topic not in topics:
            message = f"none of the detectors listens to {topic}; they do to {', '.join(topics)}"
            raise typer.BadParameter(message, param_hint="--topic")
        topics = {topic: topics[topic]}
    if len(topics) > 1:
        raise SystemExit(crew.serve_all(topics))
    ((only, references),) = topics.items()
    leave(serve(crew.settings_for(settings, only), references))


def leave(code: int) -> None:
    """End the process, even if a thread of Faust's does not.

    Its consumer thread outlives a stop that did not come to an end (a broker that is away), and
    would keep the process alive: a member of the group that does nothing.
    """
    logging.shutdown()
    others = [t for t in threading.enumerate() if t is not threading.main_thread()]
    if any(not thread.daemon for thread in others):
        os._exit(code)
    raise SystemExit(code)


def serve(settings: Settings, references: Sequence[str], *, deliver: Deliver | None = None) -> int:
    """Run a worker; return its exit code.

    `deliver` stands between Faust and the worker, for tests that lose deliveries.
    """
    from cli.serving import announce, follower, load_roster, shared_store
    from store.session import direct
    from streams import topics
    from streams.drivers.faust import run

    servers = kafka.servers(settings)
    with ExitStack() as running:
        engine = shared_store(settings)
        running.callback(engine.dispose)
        topic = topics.find(servers, settings.topic)
        topics.find(servers, settings.decisions_topic)
        roster = load_roster(settings, references)
        watch = _watch(settings, topic)
        work = _worker(settings, engine, roster, topic, watch, running)
        beat = _enter(settings, engine, roster, running)
        announce(roster, engine, direct(engine), settings.group)  # not before the group takes it
        follow = follower(settings, roster, direct(engine))
        _read_labels(settings, engine, running)
        if _may_tick(settings, roster):
            _tick(settings, engine, topic, running)
        driver = _driver_settings(settings, servers)
        steps = partial(_in_turn, beat, follow)
        return run(driver, work, beat=steps, watch=watch, deliver=deliver)


def _in_turn(*calls: Callable[[], None]) -> None:
    for call in calls:
        call()


def _watch(settings: Settings, topic: Topic) -> TopicWatch:
    from streams.drivers.topic_watch import Life, TopicWatch, asking

    known = Life(topic.topic_id, topic.n_partitions)
    return TopicWatch(
        settings.group, topic.name, known, asking(kafka.servers(settings), topic.name)
    )


def _worker(
    settings: Settings,
    engine: Engine,
    roster: Roster,
    topic: Topic,
    watch: TopicWatch,
    running: ExitStack,
) -> Worker:
    from store.ledger import SqlLedger
    from streams.drivers.kafka_fetch import KafkaFetcher
    from streams.drivers.topic_watch import WatchedLedger
    from streams.worker import Worker

    ledger = SqlLedger(engine, settings.group, topic.name, topic.topic_id, topic.n_partitions)
    fetcher = running.enter_context(KafkaFetcher(kafka.servers(settings), topic.name))
    return Worker(
        roster,
        WatchedLedger(ledger.open(), watch),
        fetcher,
        topic_id=topic.topic_id,
        session_ticks=settings.session_timeout_s,
        cache_streams=settings.cache_streams,
        records_tick=not _may_tick(settings, roster),
    )


def _enter(
    settings: Settings, engine: Engine, roster: Roster, running: ExitStack
) -> Callable[[], None]:
    """Enter the group and begin to publish; return what says that the worker lives."""
    from store import workers
    from store.outbox import Outbox
    from streams.outbox import LEASE_S, OutboxPublisher

    me = process_name()

    def enter() -> None:
        workers.register(engine, me, settings.group, roster.fingerprint, ALIVE_S)

    def beat() -> None:
        if not workers.beat(engine, me):
            enter()  # silent for too long: others may have come with other detectors since

    enter()
    running.callback(quietly, lambda: workers.forget(engine, me))
    outbox = Outbox(engine, settings.group)
    lease = outbox.lease(me, LEASE_S)
    publisher = OutboxPublisher(outbox, lease, kafka.servers(settings), settings.decisions_topic)
    publisher.start()
    running.callback(publisher.stop)
    return beat


def _read_labels(settings: Settings, engine: Engine, running: ExitStack) -> None:
    """Take part in reading the labels topic; one process of all on this store does it."""
    from streams.drivers.kafka_labels import label_reader

    reader = label_reader(engine, process_name(), kafka.servers(settings), settings.labels_topic)
    reader.start()
    running.callback(reader.stop)


def _may_tick(settings: Settings, roster: Roster) -> bool:
    """Whether the topic is ours to write ticks into: its records are of our own schema."""
    return settings.tick_s > 0 and all(source is None for source, _ in roster.sources)


def _tick(settings: Settings, engine: Engine, topic: Topic, running: ExitStack) -> None:
    """Take part in ticking; one process of all on this store does it for a topic."""
    from store.leases import Lease
    from streams.drivers.kafka_ticks import KafkaTicks
    from streams.ticks import Ticker

    lease = Lease(engine, f"ticks:{topic.name}"[:160], process_name(), 3.0 * settings.tick_s)
    ticks = KafkaTicks(kafka.servers(settings), topic.name, topic.n_partitions)
    ticker = Ticker(ticks.append, settings.tick_s, lease=lease)
    ticker.start()
    running.callback(ticker.stop)


def process_name() -> str:
    """Return a name that no other process has, for leases and lists."""
    return f"{socket.gethostname()[:30]}-{os.getpid()}-{uuid4().hex[:8]}"


def quietly(last: Callable[[], None]) -> None:
    """Do something on the way out that may as well be left to time."""
    from store.errors import StoreUnavailableError

    try:
        last()
    except StoreUnavailableError as error:
        logging.getLogger("tocsin.worker").warning("left without a word: %s", error)


def _driver_settings(settings: Settings, servers: str) -> FaustSettings:
    from streams.drivers.faust import FaustSettings

    return FaustSettings(
        servers=servers,
        topic=settings.topic,
        group=settings.group,
        session_timeout_s=settings.session_timeout_s,
        work_dir=settings.state_dir / "faust",
    )


def register(app: typer.Typer) -> None:
    """Add ``tocsin worker`` to the command line."""
    app.command()(worker)
