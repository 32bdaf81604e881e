"""``tocsin api``: the REST service, against a shared store and Kafka."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import CommandError
from cli.keys import first_admin_key
from cli.output import note
from cli.serving import shared_store
from cli.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from sqlalchemy.engine import Engine

    from streams.ports import Ingest

_GRACE_S = 10
"""Time that running requests get when the service is told to stop."""


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 = any free one.")] = None,
) -> None:
    """Serve REST on the configured store; events go to Kafka (TOCSIN_KAFKA_SERVERS)."""
    settings = Settings()
    engine = shared_store(settings)
    try:
        with _ingest(settings) as ingest:
            app = _application(settings, engine, ingest)
            serve(
                app,
                settings.host if host is None else host,
                settings.port if port is None else port,
            )
    finally:
        engine.dispose()


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; say the address on stderr once connections are taken."""
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        message = (
            f"cannot listen on {host} port {port}: {error.strerror or error}. Choose another with "
            "--host and --port."
        )
        raise CommandError(message) from error
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
    )
    shown = f"[{host}]" if ":" in host else host
    with listener:
        note(f"listening on http://{shown}:{listener.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _ingest(settings: Settings) -> Iterator[Ingest | None]:
    if settings.kafka_servers is None:
        note("TOCSIN_KAFKA_SERVERS is not set: events posted here are refused.")
        yield None
        return
    from streams.drivers.kafka_ingest import KafkaIngest

    ingest = KafkaIngest(settings.kafka_servers, settings.topic)
    with contextlib.closing(ingest):
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
