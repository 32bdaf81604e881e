"""``tocsin api``: the REST service, against a shared store and Kafka."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cli.keys import first_admin_key
from cli.output import note
from cli.serving import shared_store

if TYPE_CHECKING:
    from fastapi import FastAPI
    from sqlalchemy.engine import Engine

    from cli.settings import Settings
    from streams.ports import Ingest


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 = any free one.")] = None,
) -> None:
    """Serve REST on the configured store; events go to Kafka (TOCSIN_KAFKA_SERVERS)."""
    from api import server
    from cli import logs
    from cli.settings import Settings

    settings = Settings()
    logs.configure(settings.log_level)
    os.umask(0o077)  # whatever is made here may hold secrets
    host = settings.host if host is None else host
    with contextlib.ExitStack() as running:
        stop = running.enter_context(server.orderly_stop())
        engine = shared_store(settings)
        running.callback(engine.dispose)
        port = settings.port if port is None else port
        listener = running.enter_context(server.listen(host, port))
        ingest = running.enter_context(_ingest(settings))
        app = _application(settings, engine, ingest)
        note(f"listening on {server.address(host, listener)}")
        server.serve(app, listener, stop)


@contextlib.contextmanager
def _ingest(settings: Settings) -> Iterator[Ingest | None]:
    if settings.kafka_servers is None:
        note("TOCSIN_KAFKA_SERVERS is not set: events posted here are refused.")
        yield None
        return
    from streams.drivers.kafka_ingest import KafkaIngest

    ingest = KafkaIngest(settings.kafka_servers, settings.topic)
    with contextlib.closing(ingest):
        if (trouble := ingest.ready()) is not None:
            note(f"Kafka: {trouble}. Reads are served; until it is there, events are refused.")
        yield ingest


def _application(settings: Settings, engine: Engine, ingest: Ingest | None) -> FastAPI:
    from api.app import create_app
    from api.known import KnownDetectors
    from api.secret_files import load_pepper
    from api.services import Services
    from store.session import direct

    transact = direct(engine)
    pepper = load_pepper(settings.resolved_pepper_file())
    first_admin_key(transact, settings, pepper)
    return create_app(
        Services(
            engine=engine,
            transact=transact,
            pepper=pepper,
            ingest=ingest,
            detectors=KnownDetectors(engine),
            profile=settings.profile,
        )
    )


def register(app: typer.Typer) -> None:
    """Add ``tocsin api`` to the command line."""
    app.command()(api)
