"""Decisions out: listed newest first, or one with its reasons."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api import cursors
from api.auth import needs
from api.errors import Refused
from api.fields import Cursor, Limit, Moment, Name
from api.problems import Kind, Problem
from api.query import Unrepeated
from api.schemas import (
    DecisionDetail,
    DecisionList,
    DecisionOut,
    ExplanationOut,
    OutcomeOut,
    PointOut,
)
from api.services import Services, ServicesDep
from api.sessions import SessionDep
from store import decisions
from store.decisions import DecisionFilter, Place
from store.keys import Scope
from store.tables import DetectorVersionRow

router = APIRouter(
    prefix="/v1/decisions",
    tags=["decisions"],
    dependencies=[needs(Scope.DECISIONS_READ), Unrepeated],
)
_FOR_RECOUNT = ("screening_indices", "grid")
"""Long lists; `GET /v1/detectors/{name}/{version}` has the certificate whole."""
_IN_WORDS = ("statement", "promise_covers", "limits")
Share = Annotated[float, Field(ge=0, le=1)]


class DecisionQuery(BaseModel):
    """Which decisions; a parameter that is not one of these is refused."""

    model_config = ConfigDict(extra="forbid")

    detector: Name | None = None
    version: Name | None = None
    label: Name | None = None
    stream_id: Name | None = None
    reason: Literal["threshold", "horizon", "end", "idle"] | None = None
    since: Moment | None = Field(
        default=None, description="Decided at or after, with a time zone."
    )
    until: Moment | None = Field(default=None, description="Decided before, with a time zone.")
    min_probability: Share | None = None
    max_probability: Share | None = None
    cursor: Cursor = None
    limit: Limit = 50

    def filters(self) -> dict[str, str | float | None]:
        """Return what a cursor is bound to."""
        return self.model_dump(mode="json", exclude={"cursor", "limit"})

    def selection(self) -> DecisionFilter:
        """Return the same for the store."""
        return DecisionFilter(**self.model_dump(exclude={"cursor", "limit"}))


def seal_place(place: Place | None, query: DecisionQuery, services: Services) -> str | None:
    """Return the cursor that goes on after `place`."""
    if place is None:
        return None
    parts = [place.decided_at.isoformat(), place.id.hex]
    return cursors.seal(parts, "decisions", query.filters(), services.pepper)


def _place(query: DecisionQuery, services: Services) -> Place | None:
    if query.cursor is None:
        return None
    decided_at, identifier = cursors.unseal(
        query.cursor, "decisions", query.filters(), services.pepper
    )
    return Place(datetime.fromisoformat(str(decided_at)), UUID(str(identifier)))


@router.get("", responses={400: {"model": Problem, "description": "Not a cursor of this query."}})
def list_decisions(
    query: Annotated[DecisionQuery, Query()], session: SessionDep, services: ServicesDep
) -> DecisionList:
    """List decisions, newest first. Pages neither miss nor repeat what was there at the first."""
    after = _place(query, services)
    page = decisions.page(session, query.selection(), after=after, limit=query.limit)
    return DecisionList(
        decisions=[DecisionOut.model_validate(row) for row in page.rows],
        next_cursor=seal_place(page.next, query, services),
    )


@router.get(
    "/{decision_id}", responses={404: {"model": Problem, "description": "No such decision."}}
)
def read_decision(decision_id: UUID, session: SessionDep) -> DecisionDetail:
    """Return one decision with its explanation, trajectory, certificate and outcome."""
    found = decisions.get(session, decision_id)
    if found is None:
        raise Refused(
            Kind.NOT_FOUND,
            "No decision has this id. The stream may still be open: see GET /v1/streams/{id}.",
        )
    row = found.decision
    return DecisionDetail(
        decision=DecisionOut.model_validate(row),
        explanation=ExplanationOut.model_validate(row.explanation),
        trajectory=[PointOut.model_validate(point) for point in row.trajectory],
        certificate=None if found.version is None else _promise(found.version),
        outcome=None if found.outcome is None else OutcomeOut.model_validate(found.outcome),
    )


def _promise(version: DetectorVersionRow) -> dict[str, JsonValue]:
    """Return a version's certificate in words and counts, without what only a recount needs."""
    promise: dict[str, JsonValue] = {
        name: value for name, value in version.certificate.items() if name not in _FOR_RECOUNT
    }
    guarantee = version.card.get("guarantee", {})
    return promise | {name: guarantee[name] for name in _IN_WORDS if name in guarantee}
