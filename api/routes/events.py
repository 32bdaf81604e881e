"""Events in: accepted only once they are durable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends

from api.auth import needs
from api.body import JsonBody
from api.errors import Refused
from api.handlers import RETRY_AFTER_S
from api.intake import Ready, examine, split
from api.metrics import MetricsDep
from api.problems import Kind, Problem, ProblemItem
from api.schemas import EventResult, EventsOut
from api.services import Services, ServicesDep
from store.errors import StoreError
from store.keys import Scope
from streams.ports import Ingest, IngestError, Position
from streams.records import Rejected

router = APIRouter(prefix="/v1/events", tags=["events"])
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/EventIn"},
                        {"$ref": "#/components/schemas/EventsIn"},
                    ]
                }
            }
        },
    }
}


def _ingest(services: ServicesDep) -> Ingest:
    if services.ingest is None:
        raise Refused(
            Kind.UNAVAILABLE,
            "No ingest is configured here, so events cannot be taken: set TOCSIN_KAFKA_SERVERS, "
            "or use `tocsin up`.",
        )
    return services.ingest


@router.post(
    "",
    status_code=202,
    dependencies=[needs(Scope.EVENTS_WRITE)],
    response_model_exclude_none=True,
    openapi_extra=_BODY,
    responses={
        400: {"model": Problem, "description": "The body is not JSON."},
        408: {"model": Problem, "description": "The body came too slowly."},
        413: {"model": Problem, "description": "Too many bytes or events."},
        415: {"model": Problem, "description": "The body is not `application/json`."},
    },
)
def add_events(
    ingest: Annotated[Ingest, Depends(_ingest)],
    services: ServicesDep,
    metrics: MetricsDep,
    body: JsonBody,
) -> EventsOut:
    """Append one event, or up to 1000 as `{"events": [...]}`, and say what became of each.

    202 if at least one event is durable; the others are in `results` with their reasons. If none
    is: 503 if sending some of them again may help, else 422; both list each event in `errors`.
    """
    results = _append(ingest, _examined(services, body))
    counts = {"accepted": 0, "rejected": 0, "failed": 0}
    for result in results:
        counts[result.status] += 1
    for status, n in counts.items():
        metrics.count_events(status, n)
    if not counts["accepted"]:
        raise _none_accepted(results, n_failed=counts["failed"])
    return EventsOut(**counts, results=results)


def _examined(services: Services, body: bytes) -> list[Ready | Rejected]:
    known = None if services.detectors is None else services.detectors()
    return [examine(item, known, lambda: str(uuid4())) for item in split(body)]


def _append(ingest: Ingest, items: Sequence[Ready | Rejected]) -> list[EventResult]:
    """Append what is ready, in one call; return what became of every item, in order."""
    ready = [(item.stream_id, item.value) for item in items if isinstance(item, Ready)]
    answers: Sequence[Position | IngestError] = ()
    if ready:
        try:
            answers = ingest.append(ready)
        except (IngestError, StoreError):
            answers = [IngestError()] * len(ready)
    left = iter(answers)
    return [_result(index, item, left) for index, item in enumerate(items)]


def _result(
    index: int, item: Ready | Rejected, answers: Iterator[Position | IngestError]
) -> EventResult:
    if isinstance(item, Rejected):
        return EventResult(index=index, status="rejected", reason=item.reason, detail=item.detail)
    answer = next(answers)
    if isinstance(answer, IngestError):
        return EventResult(
            index=index,
            status="failed",
            event_id=item.event_id,
            detail="could not be made durable now; send it again with this event_id",
        )
    return EventResult(
        index=index,
        status="accepted",
        event_id=item.event_id,
        partition=answer.partition,
        offset=answer.offset,
    )


def _none_accepted(results: Sequence[EventResult], *, n_failed: int) -> Refused:
    items = tuple(
        ProblemItem(
            index=result.index,
            event_id=result.event_id,
            status=result.status,
            reason=result.reason,
            detail=result.detail or "",
        )
        for result in results
    )
    if n_failed:
        return Refused(
            Kind.UNAVAILABLE,
            f"None of {len(results)} events was accepted: {n_failed} could not be made durable. "
            "Send those again, with the event_id given in `errors`.",
            errors=items,
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    return Refused(
        Kind.EVENTS_REJECTED,
        f"None of {len(results)} events can be used; `errors` says why. Do not send them again.",
        errors=items,
    )
