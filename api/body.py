"""Reading a request body, no further than its limit."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Depends, Request

from api.errors import Refused
from api.problems import Kind

MAX_BODY_BYTES = 8 * 1024 * 1024
BODY_S = 20.0
"""Time from the head of a request to the end of its body."""


async def _read(request: Request) -> bytes:
    media_type = request.headers.get("content-type", "application/json").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise Refused(Kind.MEDIA, "Send the body with `Content-Type: application/json`.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(Kind.MEDIA, "Send the body without a Content-Encoding.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
    except TimeoutError as error:
        raise Refused(
            Kind.TOO_SLOW,
            f"The body was not here within {BODY_S:g} s, and nothing of it was kept. Send it "
            "faster, or in smaller batches.",
            headers={"Connection": "close"},
        ) from error
    return bytes(body)


def _too_large() -> Refused:
    return Refused(
        Kind.TOO_LARGE,
        f"The body is larger than {MAX_BODY_BYTES} bytes; send the events in smaller batches.",
        headers={"Connection": "close"},
    )


JsonBody = Annotated[bytes, Depends(_read)]
