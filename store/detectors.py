"""Detector versions that serve or have served, with their promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from store.tables import DetectorClassRow, DetectorVersionRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

ACTIVE = "active"
RETIRED = "retired"


def versions(session: Session) -> Sequence[DetectorVersionRow]:
    """Return all versions: by name, the newest first."""
    query = select(DetectorVersionRow).order_by(
        DetectorVersionRow.name,
        DetectorVersionRow.registered_at.desc(),
        DetectorVersionRow.version,
    )
    return session.scalars(query).all()


def active_names(session: Session) -> frozenset[str]:
    """Return the names of detectors with an active version."""
    query = select(DetectorVersionRow.name).where(DetectorVersionRow.status == ACTIVE).distinct()
    return frozenset(session.scalars(query))


def classes(connection: Connection) -> dict[str, frozenset[str]]:
    """Return, by detector, the labels that some version of it can answer."""
    found: dict[str, set[str]] = {}
    for name, label in connection.execute(
        select(DetectorClassRow.detector, DetectorClassRow.label)
    ):
        found.setdefault(name, set()).add(label)
    return {name: frozenset(labels) for name, labels in found.items()}


def register(
    connection: Connection,
    *,
    name: str,
    version: str,
    card: Mapping[str, Any],
    certificate: Mapping[str, Any],
    now: datetime,
    classes: Sequence[str] = (),
    alarm: str | None = None,
) -> None:
    """Note that a version serves: it becomes the active one of its name, others are retired.

    A version is what its artefact's content says, so card and certificate of a known one stay.
    `classes` are the labels it can answer, which those of its other versions stay beside; `alarm`
    is the one that a one-sided rule raises. Both are noted for a version known before, too.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = dialect.insert(DetectorVersionRow).values(
        name=name,
        version=version,
        status=ACTIVE,
        card=dict(card),
        certificate=dict(certificate),
        registered_at=now,
        alarm=alarm,
    )
    known = {"status": ACTIVE, "alarm": alarm}
    connection.execute(row.on_conflict_do_update(index_elements=["name", "version"], set_=known))
    if classes:
        connection.execute(
            dialect.insert(DetectorClassRow).on_conflict_do_nothing(),
            [{"detector": name, "label": label} for label in classes],
        )
    connection.execute(
        update(DetectorVersionRow)
        .where(DetectorVersionRow.name == name, DetectorVersionRow.version != version)
        .values(status=RETIRED)
    )
