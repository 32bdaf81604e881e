"""Dead letters: where and why, for who operates the service; never what they held."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from api import cursors
from api.auth import needs
from api.fields import Cursor, Limit, Name
from api.problems import Problem
from api.query import Unrepeated
from api.schemas import DeadLetterList, DeadLetterOut
from api.services import ServicesDep
from api.sessions import SessionDep
from store import dead_letters
from store.keys import Scope
from streams.labels import LabelReason
from streams.records import Reason

router = APIRouter(
    prefix="/v1/dead-letters", tags=["operation"], dependencies=[needs(Scope.ADMIN), Unrepeated]
)


class DeadLetterQuery(BaseModel):
    """Which dead letters; a parameter that is not one of these is refused."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | LabelReason | None = None
    detector: Name | None = None
    cursor: Cursor = None
    limit: Limit = 50


@router.get("", responses={400: {"model": Problem, "description": "Not a cursor of this query."}})
def list_dead_letters(
    query: Annotated[DeadLetterQuery, Query()], session: SessionDep, services: ServicesDep
) -> DeadLetterList:
    """List records that could not be used, newest first."""
    filters: dict[str, str | float | None] = {"reason": query.reason, "detector": query.detector}
    bound = ("dead_letters", filters, services.pepper)
    before = None if query.cursor is None else int(cursors.unseal(query.cursor, *bound)[0])
    found = dead_letters.page(
        session,
        reason=query.reason,
        detector=query.detector,
        before=before,
        limit=query.limit + 1,
    )
    shown = found[: query.limit]
    more = len(found) > query.limit
    return DeadLetterList(
        dead_letters=[DeadLetterOut.model_validate(letter) for letter in shown],
        next_cursor=cursors.seal([shown[-1].id], *bound) if more else None,
    )
