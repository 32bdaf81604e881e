"""Labels in, as they come; and out again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from api import cursors
from api.auth import KeyDep, needs
from api.body import JsonBody
from api.errors import Refused
from api.fields import Cursor, Limit, Name
from api.handlers import RETRY_AFTER_S
from api.intake import split
from api.label_schemas import LabelList, LabelResult, LabelsOut
from api.labelling import keep_items, shown_label
from api.metrics import MetricsDep
from api.problems import Kind, Problem, ProblemItem
from api.query import Unrepeated
from api.services import ServicesDep
from api.sessions import SessionDep
from store import labels
from store.errors import StoreError
from store.keys import Scope
from store.labels import LabelFilter
from store.session import Transact

router = APIRouter(prefix="/v1/labels", tags=["labels"])
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/LabelIn"},
                        {"$ref": "#/components/schemas/LabelsIn"},
                    ]
                }
            }
        },
    }
}


@router.post(
    "",
    dependencies=[needs(Scope.LABELS_WRITE)],
    response_model_exclude_none=True,
    openapi_extra=_BODY,
    responses={
        400: {"model": Problem, "description": "The body is not JSON."},
        408: {"model": Problem, "description": "The body came too slowly."},
        413: {"model": Problem, "description": "Too many bytes or labels."},
        415: {"model": Problem, "description": "The body is not `application/json`."},
    },
)
def add_labels(
    services: ServicesDep,
    key: KeyDep,
    metrics: MetricsDep,
    body: JsonBody,
) -> LabelsOut:
    """Store one label, or up to 1000 as `{"labels": [...]}`, and say what became of each.

    200 if at least one is kept, now or from an earlier request; the others are in `results` with
    their reasons. 422 if none is; `errors` says why. A label about a stream that has no decision
    yet, or never will, is kept too: it is not `matched`.
    """
    results = _kept(services.transact, _items(body), key.prefix)
    counts = Counter(result.status for result in results)
    unmatched = sum(result.matched is False for result in results)
    for status, n in counts.items():
        metrics.count_labels(status, n)
    metrics.count_unmatched(unmatched)
    if counts["rejected"] == len(results):
        raise _none_kept(results)
    return LabelsOut(
        stored=counts["stored"],
        repeated=counts["repeated"],
        rejected=counts["rejected"],
        unmatched=unmatched,
        results=results,
    )


class LabelQuery(BaseModel):
    """Which labels; a parameter that is not one of these is refused."""

    model_config = ConfigDict(extra="forbid")

    stream_id: Name | None = None
    detector: Name | None = None
    source: Name | None = None
    label: Name | None = None
    cursor: Cursor = None
    limit: Limit = 50


@router.get(
    "",
    dependencies=[needs(Scope.DECISIONS_READ), Unrepeated],
    responses={400: {"model": Problem, "description": "Not a cursor of this query."}},
)
def list_labels(
    query: Annotated[LabelQuery, Query()], session: SessionDep, services: ServicesDep
) -> LabelList:
    """List labels, the last received first: late, repeated and contradicting ones, all of them."""
    filters: dict[str, str | None] = query.model_dump(exclude={"cursor", "limit"})
    bound = ("labels", filters, services.pepper)
    before = None if query.cursor is None else int(cursors.unseal(query.cursor, *bound)[0])
    found = labels.page(session, LabelFilter(**filters), before=before, limit=query.limit + 1)
    shown = found[: query.limit]
    more = len(found) > query.limit
    return LabelList(
        labels=[shown_label(each) for each in shown],
        next_cursor=cursors.seal([shown[-1].row.id], *bound) if more else None,
    )


def _items(body: bytes) -> list[bytes]:
    return [bytes(item) for item in split(body, "labels")]


def _kept(transact: Transact, items: list[bytes], key_prefix: str) -> list[LabelResult]:
    try:
        return keep_items(transact, items, "api", key_prefix)
    except StoreError as error:
        raise Refused(
            Kind.UNAVAILABLE,
            "The store does not answer, and it is not known whether the labels were stored. Send "
            "them again with the same label_id or time: they count once.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        ) from error


def _none_kept(results: Sequence[LabelResult]) -> Refused:
    items = tuple(
        ProblemItem(
            index=result.index,
            status=result.status,
            reason=result.reason,
            detail=result.detail or "",
        )
        for result in results
    )
    return Refused(
        Kind.LABELS_REJECTED,
        f"None of {len(results)} labels can be used; `errors` says why. Do not send them again.",
        errors=items,
    )
