"""What every serving process does with its detectors before the first record."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Engine

    from cli.settings import Settings
    from store.session import Transact
    from streams.roster import Roster


def shared_store(settings: Settings) -> Engine:
    """Connect to a store that several processes share, and check its schema.

    Raises
    ------
    CommandError
        If the store is SQLite.
    """
    from sqlalchemy.engine import make_url

    from store.session import connect, require_schema

    url = settings.resolved_store_url()
    if make_url(url).get_backend_name() == "sqlite":
        message = (
            "the store is SQLite, which serves one process at a time. Use `tocsin up`, which has "
            "worker and API in one process, or set TOCSIN_STORE_URL to a PostgreSQL database."
        )
        raise CommandError(message)
    engine = connect(url)
    require_schema(engine)
    return engine


def load_roster(settings: Settings, references: Sequence[str]) -> Roster:
    """Load detectors by folder or ``name[@version]``.

    A folder's detector is put into the registry too, without becoming the active one there: a
    stream ends under the version it began with, so that version must be found after the folder
    has been trained anew.
    """
    from detectors.registry import Registry
    from streams.roster import Roster

    registry = Registry(settings.resolved_registry())
    detectors = [registry.load(reference) for reference in references]
    names = [detector.name for detector in detectors]
    if twice := {name for name in names if names.count(name) > 1}:
        message = f"detector {min(twice)} is named twice; a worker runs one version of each."
        raise CommandError(message)
    for reference, detector in zip(references, detectors, strict=True):
        if Path(reference).is_dir():
            registry.add(detector, activate=False)
    return Roster(detectors, lambda name, version: registry.load(f"{name}@{version}"))


def announce(roster: Roster, engine: Engine, transact: Transact, group: str) -> None:
    """Check that streams under way can go on, and tell the store which versions serve."""
    from store.detectors import register
    from store.pinned import pinned_versions

    roster.require(pinned_versions(engine, group))
    now = datetime.now(tz=UTC)

    def job(connection: Connection) -> None:
        for detector in roster.detectors:
            register(
                connection, name=detector.name, version=detector.version, card=detector.card,
                certificate=detector.certificate, now=now,
            )  # fmt: skip

    transact(job)
