"""The embedded service: record log, engine, ledger and API in one process on one SQLite file."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import CommandError
from cli.keys import first_admin_key
from cli.serving import announce, course, follower, load_roster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastapi import FastAPI
    from sqlalchemy.engine import Engine

    from cli.settings import Settings
    from store.session import Transact
    from streams.drivers.embedded import EmbeddedDriver, LogIngest
    from streams.roster import Roster

TOPIC = "embedded-log"
N_PARTITIONS = 1
"""One reader reads them all, and larger batches are cheaper: there is nothing to divide."""


@dataclass(frozen=True)
class Embedded:
    """A running embedded service, still without its listener."""

    app: FastAPI
    engine: Engine
    ingest: LogIngest
    driver: EmbeddedDriver
    detectors: tuple[str, ...]
    """Names of the detectors that run."""


@contextmanager
def locked_store(settings: Settings) -> Iterator[Engine]:
    """Open the store, which no other process may meanwhile; all that it takes is private.

    At the end of the block the file is whole by itself: nothing of it stands in a log beside it.
    """
    from sqlalchemy.engine import make_url

    from store.lock import SingleProcess
    from store.session import connect, sqlite_path

    url = settings.resolved_store_url()
    if make_url(url).get_backend_name() != "sqlite":
        message = (
            "the embedded service keeps its log in SQLite, but TOCSIN_STORE_URL names another "
            "database. Unset it, or run `tocsin worker` and `tocsin api` with Kafka."
        )
        raise CommandError(message)
    make_state_dir(settings.state_dir)
    with ExitStack() as running:
        engine = connect(url)
        running.callback(engine.dispose)
        path = sqlite_path(engine)
        if path is not None:
            running.enter_context(SingleProcess(path))
        running.callback(_close, engine)
        yield engine


def make_state_dir(folder: Path) -> None:
    """Make the folder for its owner only, and so whatever this process makes from now on."""
    os.umask(0o077)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = (
            f"the state folder {folder} cannot be made: {error.strerror}. Name another with "
            "--data-dir or TOCSIN_STATE_DIR."
        )
        raise CommandError(message) from error


def _close(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")  # a checkpoint cannot run inside a transaction
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


@contextmanager
def embedded_service(
    settings: Settings, engine: Engine, detectors: Sequence[str]
) -> Iterator[Embedded]:
    """Start everything but the listener; stop it all, in order, at the end of the block."""
    import migrations
    from store.writer import Writer

    with ExitStack() as running:
        migrations.upgrade(engine)
        writer = running.enter_context(Writer(engine))
        yield _start(settings, detectors, engine, writer.transact, running)


def _start(
    settings: Settings,
    detectors: Sequence[str],
    engine: Engine,
    transact: Transact,
    running: ExitStack,
) -> Embedded:
    from prometheus_client import CollectorRegistry

    from api.app import create_app
    from api.known import KnownDetectors
    from api.secret_files import load_pepper
    from api.services import Services
    from store.ledger import SqlLedger
    from store.log import RecordLog
    from store.outbox import Outbox
    from streams.drivers.embedded import GROUP, EmbeddedDriver, LogFetcher, LogIngest
    from streams.metrics import WorkerMetrics
    from streams.ticks import Ticker
    from streams.worker import Worker

    pepper = load_pepper(settings.resolved_pepper_file())
    roster = load_roster(settings, detectors)
    announce(roster, engine, transact, GROUP)
    log = RecordLog(engine, N_PARTITIONS, transact=transact)
    ledger = SqlLedger(engine, GROUP, TOPIC, log.log_id, N_PARTITIONS, transact=transact).open()
    worker = Worker(
        roster,
        ledger,
        LogFetcher(log),
        topic_id=log.log_id,
        cache_streams=settings.cache_streams,
        records_tick=settings.tick_s == 0,
    )
    outbox = Outbox(engine, GROUP, transact=transact)
    follow = follower(settings, roster, transact)
    # nothing is published from here
    driver = EmbeddedDriver(worker, log, tidy=outbox.clear, follow=follow)
    ingest = LogIngest(log, driver.wake)
    metrics = CollectorRegistry()
    metrics.register(WorkerMetrics(worker))
    services = Services(
        engine=engine,
        transact=transact,
        pepper=pepper,
        ingest=ingest,
        detectors=KnownDetectors(engine),
        checks=[lambda: driver.failure],
        metrics=metrics,
        profile=settings.profile,
    )
    first_admin_key(transact, settings, pepper)  # last: a start that fails shows no key
    driver.start()
    running.callback(driver.stop)
    if settings.tick_s:
        ticker = Ticker(ingest.append_everywhere, settings.tick_s)
        ticker.start()
        running.callback(ticker.stop)
    _learn(settings, engine, roster, running)
    return Embedded(create_app(services), engine, ingest, driver, roster.names)


def _learn(settings: Settings, engine: Engine, roster: Roster, running: ExitStack) -> None:
    """Learn from labels, if a detector that runs here does and its new versions are taken up."""
    from detectors.learning import learns
    from streams.drivers.learner import LearnerThread

    every = settings.learn_every
    names = [d.name for d in roster.detectors if learns(d) and d.name in roster.following]
    if every and names:
        learner = LearnerThread(
            {name: partial(course, settings, engine, name, every=every) for name in names}
        )
        learner.start()
        running.callback(learner.stop)
