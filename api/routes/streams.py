"""One stream: where it stands, and what was decided on it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.auth import needs
from api.errors import Refused
from api.problems import Kind, Problem
from api.routes.decisions import DecisionQuery, seal_place
from api.schemas import DecisionOut, StreamOut, StreamStateOut
from api.services import ServicesDep
from api.sessions import SessionDep
from store import decisions, streams
from store.keys import Scope

router = APIRouter(
    prefix="/v1/streams", tags=["streams"], dependencies=[needs(Scope.DECISIONS_READ)]
)


@router.get(
    "/{stream_id:path}", responses={404: {"model": Problem, "description": "No such stream."}}
)
def read_stream(
    stream_id: Annotated[str, Path(min_length=1, max_length=256)],
    session: SessionDep,
    services: ServicesDep,
) -> StreamOut:
    """Return a stream's state under each detector and its newest decisions.

    The id may hold slashes, plain or as %2F.
    """
    states = streams.states(session, stream_id)
    query = DecisionQuery(stream_id=stream_id)
    page = decisions.page(session, query.selection(), limit=query.limit)
    if not states and not page.rows:
        raise Refused(
            Kind.NOT_FOUND,
            "No record of this stream was processed yet; ids count to the letter.",
        )
    return StreamOut(
        stream_id=stream_id,
        states=[StreamStateOut.model_validate(state) for state in states],
        decisions=[DecisionOut.model_validate(row) for row in page.rows],
        next_cursor=seal_place(page.next, query, services),
    )
