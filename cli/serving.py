"""What every serving process does with its detectors before the first record."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine import Connection, Engine

    from cli.follow import Follower
    from cli.settings import Settings
    from detectors.detector import Detector
    from store.session import Transact
    from streams.course import Course
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
    has been trained anew. One that is asked for by name alone is followed: its active version may
    change while the service runs.
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
    followed = {
        detector.name
        for reference, detector in zip(references, detectors, strict=True)
        if reference == detector.name and not Path(reference).is_dir()
    }
    return Roster(
        detectors, lambda name, version: registry.load(f"{name}@{version}"), following=followed
    )


def follower(settings: Settings, roster: Roster, transact: Transact) -> Follower:
    """Return what takes up new versions of the detectors that are followed."""
    from cli.follow import Follower
    from detectors.registry import Registry

    registry = Registry(settings.resolved_registry())
    return Follower(roster, registry, lambda detector: transact(_noting([detector])))


def course(
    settings: Settings, engine: Engine, detector: str, *, every: int, dataset: str | None = None
) -> Course:
    """Return what learns for a detector from the labels in the store, see `streams.course`.

    `dataset` says where the set that it was trained on is, if not where it was.
    """
    from detectors import datasets
    from detectors.registry import Registry
    from streams.course import Course

    return Course(
        engine, Registry(settings.resolved_registry()), detector, every=every,
        load=lambda named: datasets.load(dataset or named, settings.data_dir),
        today=lambda: datetime.now(tz=UTC).date().isoformat(),
    )  # fmt: skip


def announce(roster: Roster, engine: Engine, transact: Transact, group: str) -> None:
    """Check that streams under way can go on, and tell the store which versions serve."""
    from store.pinned import pinned_versions

    roster.require(pinned_versions(engine, group))
    transact(_noting(roster.detectors))


def _noting(detectors: Sequence[Detector]) -> Callable[[Connection], None]:
    """Return the job that notes that these versions serve."""
    from store.detectors import register

    now = datetime.now(tz=UTC)

    def job(connection: Connection) -> None:
        for detector in detectors:
            classes = detector.classifier.classes
            register(
                connection, name=detector.name, version=detector.version, card=detector.card,
                certificate=detector.certificate, now=now, classes=classes,
                alarm=None if detector.alarm is None else classes[detector.alarm],
            )  # fmt: skip

    return job
