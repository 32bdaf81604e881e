"""Detectors: which versions serve, and what they promise."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import JsonValue

from api.auth import needs
from api.errors import Refused
from api.fields import Name
from api.problems import Kind, Problem
from api.schemas import DetectorDetail, DetectorList, DetectorOut
from api.sessions import SessionDep
from store import detectors
from store.keys import Scope
from store.tables import DetectorVersionRow

router = APIRouter(
    prefix="/v1/detectors", tags=["detectors"], dependencies=[needs(Scope.DECISIONS_READ)]
)
_PROMISE = ("control", "mode", "loss", "alpha", "delta", "n", "vacuous")
_LONG = 32
"""A list with more entries than this is no summary."""


@router.get("")
def list_detectors(session: SessionDep) -> DetectorList:
    """List all versions with the summary of their cards and what they guarantee."""
    return DetectorList(detectors=[_shown(row) for row in detectors.versions(session)])


@router.get(
    "/{name}/{version}", responses={404: {"model": Problem, "description": "No such version."}}
)
def read_detector(name: Name, version: Name, session: SessionDep) -> DetectorDetail:
    """Return one version with its whole model card and certificate."""
    row = session.get(DetectorVersionRow, (name, version))
    if row is None:
        raise Refused(
            Kind.NOT_FOUND, "No detector version of this name serves or has served here."
        )
    return DetectorDetail(
        name=row.name,
        version=row.version,
        status=row.status,
        registered_at=row.registered_at,
        card=row.card,
        certificate=row.certificate,
    )


def _shown(row: DetectorVersionRow) -> DetectorOut:
    card: dict[str, JsonValue] = row.card
    promised = card.get("guarantee")
    if not isinstance(promised, dict):
        promised = {name: row.certificate[name] for name in _PROMISE if name in row.certificate}
    return DetectorOut(
        name=row.name,
        version=row.version,
        status=row.status,
        registered_at=row.registered_at,
        guarantee=promised,
        summary={name: _short(value) for name, value in card.items() if name != "guarantee"},
    )


def _short(value: JsonValue) -> JsonValue:
    """Return `value` with the length in place of each long list, at any depth."""
    if isinstance(value, dict):
        return {name: _short(part) for name, part in value.items()}
    if isinstance(value, list):
        return f"{len(value)} values" if len(value) > _LONG else [_short(part) for part in value]
    return value
