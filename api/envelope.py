"""What surrounds every request: its id, strict headers, counts, and an answer to any exception."""

from __future__ import annotations

import re
import time
from secrets import token_hex
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from api.handlers import unexpected
from api.metrics import RequestMetrics
from api.problems import REQUEST_ID, Kind, render

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PRODUCTION_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}


class Envelope:
    """The outermost ASGI layer: nothing that happens inside leaves without it."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics, *, production: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._headers = _HEADERS | (_PRODUCTION_HEADERS if production else {})

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        scope[REQUEST_ID] = _request_id(scope)
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = scope[REQUEST_ID]
                for name, value in self._headers.items():
                    headers[name] = value
            await send(message)

        try:
            if _ambiguous(scope):
                detail = "Send Content-Length or Transfer-Encoding, not both."
                close = {"Connection": "close"}
                answer = render(scope, Kind.BAD_REQUEST, detail, headers=close)
                await answer(scope, receive, send_on)
            elif _readable(scope):
                await self._app(scope, receive, send_on)
            else:
                detail = "Path and query must be UTF-8 without null bytes, percent-encoded."
                await render(scope, Kind.BAD_REQUEST, detail)(scope, receive, send_on)
        except ClientDisconnect:
            pass  # there is nobody to answer
        except Exception as error:  # the last place that can answer
            answer = unexpected(scope, error)
            if status:
                raise  # half an answer is out: the server must cut the connection
            await answer(scope, receive, send_on)
        finally:
            self._metrics.observe(scope, status, time.perf_counter() - started_s)


def _request_id(scope: AsgiScope) -> str:
    """Return the caller's id if it is short and plain, else a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _SANE_ID.fullmatch(given) else token_hex(16)


def _ambiguous(scope: AsgiScope) -> bool:
    """Return whether two lengths are given: a proxy may have believed the other one."""
    names = {name for name, _ in scope["headers"]}
    return {b"content-length", b"transfer-encoding"} <= names


def _readable(scope: AsgiScope) -> bool:
    """Return whether path and query are text that a database can be asked for."""
    try:
        parts = scope["path"].encode() + unquote_to_bytes(scope.get("raw_path") or b"")
        parts += b"&" + unquote_to_bytes(scope.get("query_string", b""))
        parts.decode()
    except UnicodeError:  # lone surrogates, cut or overlong sequences
        return False
    return b"\x00" not in parts
