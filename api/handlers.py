"""What becomes of an exception: a problem document, whatever it was."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope as AsgiScope

from api.errors import Refused
from api.problems import REQUEST_ID, Kind, ProblemItem, render
from store.errors import StoreUnavailableError, WriterClosedError

RETRY_AFTER_S = 2
_log = logging.getLogger("tocsin.api")
_GONE = (
    StoreUnavailableError,
    WriterClosedError,
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
)
_BY_STATUS = {
    400: Kind.BAD_REQUEST,
    404: Kind.NOT_FOUND,
    405: Kind.METHOD,
    413: Kind.TOO_LARGE,
}


def install(app: FastAPI) -> None:
    """Make `app` answer every refusal of a request as a problem document."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


def unexpected(scope: AsgiScope, error: Exception) -> Response:
    """Return the answer to an exception that nobody caught: 503 if the store is gone, or 500.

    Neither the answer nor the log holds the exception's text, which may quote a record.
    """
    request_id = scope.get(REQUEST_ID, "")
    if _store_is_gone(error):
        _log.error("request %s: the store is gone (%s)", request_id, type(error).__name__)
        return render(
            scope,
            Kind.UNAVAILABLE,
            "The store does not answer. Nothing of this request was kept; try again later.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    frames = "".join(traceback.format_tb(error.__traceback__))
    _log.error("request %s failed with %s\n%s", request_id, type(error).__name__, frames)
    return render(
        scope, Kind.INTERNAL, f"Nothing you did wrong. Tell the operator request id {request_id}."
    )


def _store_is_gone(error: Exception) -> bool:
    return isinstance(error, _GONE) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101  # as installed
    return render(
        request.scope, error.kind, error.detail, errors=error.errors, headers=error.headers
    )


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # as installed
    kind = _BY_STATUS.get(error.status_code, Kind.OTHER)
    details = {
        Kind.NOT_FOUND: "No route has this path. GET /openapi.json lists those there are.",
        Kind.METHOD: f"{request.method} is not offered on this path; see the header Allow.",
    }
    detail = details.get(kind, str(error.detail))
    return render(request.scope, kind, detail, status=error.status_code, headers=error.headers)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # as installed
    items = tuple(
        ProblemItem(location=_location(item["loc"]), reason=item["type"], detail=item["msg"])
        for item in error.errors()
    )
    return render(request.scope, Kind.INVALID, "See `errors` for what does not fit.", errors=items)


def _location(parts: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in parts)
