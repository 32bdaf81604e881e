"""Detector versions that serve or have served, with their promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from store.tables import DetectorVersionRow

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


def register(
    connection: Connection,
    *,
    name: str,
    version: str,
    card: Mapping[str, Any],
    certificate: Mapping[str, Any],
    now: datetime,
) -> None:
    """Note that a version serves: it becomes the active one of its name, others are retired.

    A version is what its artefact's content says, so card and certificate of a known one stay.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = dialect.insert(DetectorVersionRow).values(
        name=name,
        version=version,
        status=ACTIVE,
        card=dict(card),
        certificate=dict(certificate),
        registered_at=now,
    )
    connection.execute(
        row.on_conflict_do_update(index_elements=["name", "version"], set_={"status": ACTIVE})
    )
    connection.execute(
        update(DetectorVersionRow)
        .where(DetectorVersionRow.name == name, DetectorVersionRow.version != version)
        .values(status=RETIRED)
    )
