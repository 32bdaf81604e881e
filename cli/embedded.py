"""The embedded service: record log, engine, ledger and API in one process on one SQLite file."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.errors import CommandError
from cli.keys import first_admin_key
from cli.serving import announce, load_roster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastapi import FastAPI
    from sqlalchemy.engine import Engine

    from cli.settings import Settings
    from store.session import Transact
    from streams.drivers.embedded import EmbeddedDriver, LogIngest

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


@contextmanager
def embedded_service(settings: Settings, detectors: Sequence[str]) -> Iterator[Embedded]:
    """Start everything but the listener; stop it all, in order, at the end of the block."""
    from sqlalchemy.engine import make_url

    import migrations
    from store.lock import SingleProcess
    from store.session import connect, sqlite_path
    from store.writer import Writer

    url = settings.resolved_store_url()
    if make_url(url).get_backend_name() != "sqlite":
        message = (
            "the embedded service keeps its log in SQLite, but TOCSIN_STORE_URL names another "
            "database. Unset it, or run `tocsin worker` and `tocsin api` with Kafka."
        )
        raise CommandError(message)
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as running:
        engine = connect(url)
        running.callback(engine.dispose)
        path = sqlite_path(engine)
        if path is not None:
            running.enter_context(SingleProcess(path))
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
    from streams.drivers.embedded import GROUP, EmbeddedDriver, LogFetcher, LogIngest
    from streams.metrics import WorkerMetrics
    from streams.worker import Worker

    pepper = load_pepper(settings.resolved_pepper_file())
    first_admin_key(transact, settings, pepper)
    roster = load_roster(settings, detectors)
    announce(roster, engine, transact, GROUP)
    log = RecordLog(engine, N_PARTITIONS, transact=transact)
    ledger = SqlLedger(engine, GROUP, TOPIC, log.log_id, N_PARTITIONS, transact=transact).open()
    worker = Worker(
        roster, ledger, LogFetcher(log), topic_id=log.log_id, cache_streams=settings.cache_streams
    )
    driver = EmbeddedDriver(worker, log)
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
    driver.start()
    running.callback(driver.stop)
    return Embedded(create_app(services), engine, ingest, driver)
