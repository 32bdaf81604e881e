"""What became of a detector's decisions, as far as labels have come."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.auth import needs
from api.errors import Refused
from api.fields import Moment, Name
from api.label_schemas import Realised
from api.problems import Kind, Problem
from api.query import Unrepeated
from api.realised import report
from api.sessions import SessionDep
from store.keys import Scope

router = APIRouter(
    prefix="/v1/detectors",
    tags=["labels"],
    dependencies=[needs(Scope.DECISIONS_READ), Unrepeated],
)


class RealisedQuery(BaseModel):
    """Which decisions; a parameter that is not one of these is refused."""

    model_config = ConfigDict(extra="forbid")

    version: Name | None = None
    since: Moment | None = Field(
        default=None, description="Decided at or after, with a time zone."
    )


@router.get(
    "/{name}/realised", responses={404: {"model": Problem, "description": "No such detector."}}
)
def read_realised(
    name: Name, query: Annotated[RealisedQuery, Query()], session: SessionDep
) -> Realised:
    """Return accuracy, gap and alarms over the labelled decisions, with exact intervals.

    All labels about the detector's streams are read each time: no route to ask every second.
    """
    found = report(session, name, version=query.version, since=query.since)
    if found is None:
        raise Refused(
            Kind.NOT_FOUND, "No detector version of this name serves or has served here."
        )
    return found
