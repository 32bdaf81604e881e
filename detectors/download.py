"""Getting one public file: https only, limited in size and time, whole or not at all."""

from __future__ import annotations

import http.client
import ipaddress
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from detectors.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import IO

SILENCE_S = 60.0
"""Longest wait for the next bytes."""
LONGEST_S = 3600.0
"""Longest whole transfer."""
_CHUNK = 1 << 18
_AGENT = "tocsin-datasets"


def download(
    url: str,
    target: Path,
    most_bytes: int,
    *,
    loopback_http: bool = False,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Write what stands at `url` into the new file `target`.

    Parameters
    ----------
    url
        An ``https`` address; so must be every address that it refers to.
    target
        Taken away again if the transfer fails.
    most_bytes
        Nothing larger is taken.
    loopback_http
        Whether plain ``http`` is allowed on this very machine; for tests.
    advance
        Called with the number of bytes since the last call.

    Raises
    ------
    DatasetError
        If the address is not allowed, does not answer, answers with an error, or sends too much
        or too little.
    """
    check = _Allowed(loopback_http)
    check.url(url)
    opener = urllib.request.build_opener(check)
    asked = urllib.request.Request(url, headers={"User-Agent": _AGENT})  # noqa: S310  # checked
    try:
        with opener.open(asked, timeout=SILENCE_S) as answer, target.open("xb") as file:
            announced = answer.headers.get("Content-Length")
            size = int(announced) if announced and announced.isdecimal() else None
            if size is not None and size > most_bytes:
                raise _too_large(url, most_bytes)
            received, until = 0, time.monotonic() + LONGEST_S
            while chunk := answer.read(_CHUNK):
                received += len(chunk)
                if received > most_bytes:
                    raise _too_large(url, most_bytes)
                if time.monotonic() > until:
                    raise _failed(url, f"it took more than {LONGEST_S:g} s")
                file.write(chunk)
                if advance is not None:
                    advance(len(chunk))
            if size is not None and received != size:
                raise _failed(url, f"it broke off after {received} of {size} bytes")
    except DatasetError:
        target.unlink(missing_ok=True)
        raise
    except urllib.error.HTTPError as error:
        target.unlink(missing_ok=True)
        with error:
            raise _failed(url, f"the server answered {error.code}") from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        target.unlink(missing_ok=True)
        raise _failed(url, str(getattr(error, "reason", error))) from error


class _Allowed(urllib.request.HTTPRedirectHandler):
    """Checks the address asked for, and every one that the answer refers to."""

    def __init__(self, loopback_http: bool) -> None:
        self._loopback_http = loopback_http

    def url(self, url: str) -> None:
        """Raise DatasetError unless `url` may be asked."""
        parts = urlsplit(url)
        secure = parts.scheme == "https" and bool(parts.hostname)
        if secure or (
            self._loopback_http and parts.scheme == "http" and _is_loopback(parts.hostname)
        ):
            return
        raise _failed(url, "it is not an https address")

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Follow only to what may be asked."""
        try:
            self.url(newurl)
        except DatasetError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_loopback(host: str | None) -> bool:
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _too_large(url: str, most_bytes: int) -> DatasetError:
    return _failed(url, f"it is larger than the {most_bytes} bytes expected at most")


def _failed(url: str, what: str) -> DatasetError:
    return DatasetError(f"{url} could not be fetched: {what}.")
