"""Problem documents (RFC 9457): the one form of every error answer."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import Scope as AsgiScope

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:tocsin:problem:"
REQUEST_ID = "tocsin.request_id"
"""Where the request's id stands in the ASGI scope."""


class _Kind(NamedTuple):
    slug: str
    status: int
    title: str


class Kind(Enum):
    """Every problem that this API knows; the slug is stable, for machines."""

    BAD_REQUEST = _Kind("bad-request", 400, "The request cannot be read")
    BAD_CURSOR = _Kind("bad-cursor", 400, "The cursor does not belong to this query")
    UNAUTHENTICATED = _Kind("unauthenticated", 401, "A valid API key is needed")
    FORBIDDEN = _Kind("forbidden", 403, "This API key may not do that")
    NOT_FOUND = _Kind("not-found", 404, "There is nothing here")
    METHOD = _Kind("method-not-allowed", 405, "This method is not offered here")
    TOO_SLOW = _Kind("too-slow", 408, "The request came too slowly")
    TOO_LARGE = _Kind("too-large", 413, "The request is too large")
    MEDIA = _Kind("unsupported-media-type", 415, "The request body is of another type")
    INVALID = _Kind("invalid", 422, "The request does not fit the schema")
    EVENTS_REJECTED = _Kind("events-rejected", 422, "No event was accepted")
    LABELS_REJECTED = _Kind("labels-rejected", 422, "No label was accepted")
    INTERNAL = _Kind("internal", 500, "A fault of ours")
    UNAVAILABLE = _Kind("unavailable", 503, "This cannot be served now")
    NOT_READY = _Kind("not-ready", 503, "The service is not ready")
    OTHER = _Kind("http", 400, "The request failed")


class ProblemItem(BaseModel):
    """One of several things that are wrong."""

    location: str | None = Field(
        default=None, description="Where in the request, e.g. `query.limit`."
    )
    index: int | None = Field(default=None, description="Which item of a batch, counted from 0.")
    event_id: str | None = Field(
        default=None, description="Use it again when you send the event again."
    )
    status: str | None = Field(
        default=None, description="`rejected` (never send it again) or `failed`."
    )
    reason: str | None = Field(default=None, description="Machine-readable.")
    detail: str


class Problem(BaseModel):
    """What every error answer looks like, as `application/problem+json`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:tocsin:problem:not-found",
                    "title": "There is nothing here",
                    "status": 404,
                    "detail": "No decision has this id.",
                    "instance": "/v1/decisions/0d9dcb54-3c2c-5b51-9e57-7d2a3a0b8f11",
                    "request_id": "6f1c0a52c0d54a4f8d0a4f0f6b1f2d11",
                    "errors": [],
                }
            ]
        }
    )

    type: str = Field(description="`urn:tocsin:problem:` and a stable slug.")
    title: str
    status: int
    detail: str = Field(description="What was got, what was wanted, what to do.")
    instance: str = Field(description="The path asked for.")
    request_id: str = Field(description="As in the header `X-Request-ID`; name it to operators.")
    errors: list[ProblemItem] = []


def render(
    scope: AsgiScope,
    kind: Kind,
    detail: str,
    *,
    status: int | None = None,
    errors: tuple[ProblemItem, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the problem document for the request that `scope` describes."""
    problem = Problem(
        type=TYPE_PREFIX + kind.value.slug,
        title=kind.value.title,
        status=status or kind.value.status,
        detail=detail,
        instance=quote(scope["path"].encode("utf-8", "replace")),
        request_id=scope.get(REQUEST_ID, ""),
        errors=list(errors),
    )
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, problem.status, dict(headers or {}), MEDIA_TYPE)
