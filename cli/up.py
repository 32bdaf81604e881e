"""``tocsin up``: everything in one process, with real streams running through it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import note

if TYPE_CHECKING:
    from streams.demo import Demo


def up(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 = any free one.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the store, keys and detectors [./var].")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Replay recorded streams into the service.")
    ] = True,
    speed: Annotated[
        float, typer.Option(min=0.01, max=1000, help="Steps a second of each replayed stream.")
    ] = 1.0,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="Detector to run: folder or name[@version]. Without it, with --no-demo too: the "
            "bundled ones."
        ),
    ] = None,
) -> None:
    """Run the embedded service: record log, engine, store and API in one process.

    The first start trains the bundled detectors: digits drawn with a pen, scams in conversations,
    sepsis in intensive care.
    """
    from api import server
    from cli import demos, logs
    from cli.embedded import embedded_service, locked_store
    from cli.settings import Settings
    from cli.teller import Teller

    settings = Settings() if data_dir is None else Settings(state_dir=data_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    with ExitStack() as running:
        stop = running.enter_context(server.orderly_stop())
        engine = running.enter_context(locked_store(settings))
        port = settings.port if port is None else port
        listener = running.enter_context(server.listen(settings.host, port))
        chosen = detector or demos.ensure(settings)
        service = running.enter_context(embedded_service(settings, engine, chosen))
        talking: list[Teller | Demo] = [Teller(engine)]
        if demo:
            talking += demos.players(settings, service.detectors, service.ingest, speed)
            note("(--no-demo: none of them.)")
        for thread in talking:
            thread.start()
            running.callback(thread.stop)
        note(f"listening on {server.address(settings.host, listener)}")
        server.serve(service.app, listener, stop)
        if service.driver.failure:
            note(f"error: {service.driver.failure}; the log line before says why.")
            raise typer.Exit(code=1)


def register(app: typer.Typer) -> None:
    """Add ``tocsin up`` to the command line."""
    app.command()(up)
