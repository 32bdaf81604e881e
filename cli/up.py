"""``tocsin up``: everything in one process, with real streams running through it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import note, progress

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from cli.settings import Settings
    from streams.demo import Demo
    from streams.ports import Ingest

DEMO = "pendigits"
DEMO_DATA = "pendigits-parts"
SHOWN_IN_FULL = 3
"""Decisions printed with their reasons before only their number is."""
COUNT_EVERY = 500
"""Decisions between two lines that say how many there are."""


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
        list[str] | None, typer.Option(help="Detector to run: folder or name[@version].")
    ] = None,
) -> None:
    """Run the embedded service: record log, engine, store and API in one process.

    The first start trains the demo detector on the bundled digits.
    """
    from cli import logs
    from cli.api import serve
    from cli.embedded import embedded_service
    from cli.settings import Settings

    settings = Settings() if data_dir is None else Settings(state_dir=data_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    chosen = detector or [ensure_demo_detector(settings)]
    with embedded_service(settings, chosen) as service:
        player = demo_player(settings, service.ingest, speed) if demo else None
        threading.Thread(target=tell, args=[service.engine], name="teller", daemon=True).start()
        if player is not None:
            player.start()
        try:
            serve(service.app, settings.host, settings.port if port is None else port)
        finally:
            if player is not None:
                player.stop()
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
    if registry.entries(DEMO):
        return DEMO
    note("First start: training the demo detector on 7494 recorded digits, about a minute.")
    made_on = datetime.now(tz=UTC).date().isoformat()
    chosen = config.read(datasets.BUNDLED / f"{DEMO}.toml")
    run = train(chosen, datasets.load(DEMO_DATA), score, made_on=made_on, progress=progress)
    registry.add(run.detector)
    return DEMO


def demo_player(settings: Settings, ingest: Ingest, speed: float) -> Demo:
    """Return the replay of the bundled test streams."""
    from detectors import datasets
    from streams.demo import Demo

    streams = datasets.load(DEMO_DATA).parts["test"]
    note(f"Replaying {len(streams)} recorded drawings as live streams (--no-demo: none).")
    return Demo(streams, DEMO, ingest, settings.state_dir / "demo.json", speed=speed)


def tell(engine: Engine) -> None:
    """Print the first new decisions with their reasons, then their number now and then."""
    from datetime import UTC, datetime

    from cli.decision_pages import StorePages
    from cli.decisions import cells, followed

    since = {"since": datetime.now(tz=UTC)}
    for nth, row in enumerate(followed(StorePages(engine), since, SHOWN_IN_FULL), start=1):
        if nth <= SHOWN_IN_FULL:
            note("decision: " + "  ".join(cells(row)))
        if nth == SHOWN_IN_FULL:
            note("See them all: `tocsin decisions --follow`, or GET /v1/decisions.")
        if nth % COUNT_EVERY == 0:
            note(f"{nth} decisions since the start.")


def register(app: typer.Typer) -> None:
    """Add ``tocsin up`` to the command line."""
    app.command()(up)
