"""``tocsin up``: everything in one process, with real streams running through it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import note, progress

if TYPE_CHECKING:
    from cli.embedded import Embedded
    from cli.settings import Settings
    from streams.demo import Demo

DEMO = "pendigits"
DEMO_DATA = "pendigits-parts"


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
            "demo detector."
        ),
    ] = None,
) -> None:
    """Run the embedded service: record log, engine, store and API in one process.

    The first start trains the demo detector on the bundled digits.
    """
    from api import server
    from cli import logs
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
        chosen = detector or [ensure_demo_detector(settings)]
        service = running.enter_context(embedded_service(settings, engine, chosen))
        player = demo_player(settings, service, speed) if demo else None
        talking: list[Teller | Demo] = [Teller(engine), *([player] if player else [])]
        for thread in talking:
            thread.start()
            running.callback(thread.stop)
        note(f"listening on {server.address(settings.host, listener)}")
        server.serve(service.app, listener, stop)
        if service.driver.failure:
            note(f"error: {service.driver.failure}; the log line before says why.")
            raise typer.Exit(code=1)


def ensure_demo_detector(settings: Settings) -> str:
    """Train the demo detector unless the registry has it; return its name."""
    from datetime import UTC, datetime

    from detectors import config, datasets
    from detectors.registry import Registry
    from detectors.train import train
    from streams.scoring import score

    registry = Registry(settings.resolved_registry())
    if any(entry.active or entry.retired for entry in registry.entries(DEMO)):
        return DEMO  # a retired one is somebody's decision: its error says what to do
    note("First start: training the demo detector on 7494 recorded digits, about a minute.")
    made_on = datetime.now(tz=UTC).date().isoformat()
    chosen = config.read(datasets.BUNDLED / f"{DEMO}.toml")
    run = train(chosen, datasets.load(DEMO_DATA), score, made_on=made_on, progress=progress)
    registry.add(run.detector)
    return DEMO


def demo_player(settings: Settings, service: Embedded, speed: float) -> Demo | None:
    """Return the replay of the bundled test streams, if the detector for them runs."""
    if DEMO not in service.detectors:
        note(f"No demo streams: they are for the detector {DEMO}, which does not run here.")
        return None
    from detectors import datasets
    from streams.demo import Demo

    streams = datasets.load(DEMO_DATA).parts["test"]
    note(f"Replaying {len(streams)} recorded drawings as live streams (--no-demo: none).")
    progress = settings.state_dir / "demo.json"
    return Demo(streams, DEMO, service.ingest, progress, speed=speed)


def register(app: typer.Typer) -> None:
    """Add ``tocsin up`` to the command line."""
    app.command()(up)
