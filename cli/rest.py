"""A running service over REST, with the key from the file that TOCSIN_API_KEY_FILE names."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from cli.errors import CommandError, WrongUseError
from cli.output import note, plain

TIMEOUT_S = 30
SHOWN_CHARACTERS = 300
"""Of what a server says of its refusal."""


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would carry the key elsewhere."""

    def redirect_request(self, *_: object) -> None:
        return None


class Rest:
    """Calls to one API.

    Parameters
    ----------
    url
        Where the API answers, ``http://127.0.0.1:8600``. The key travels in clear unless it is
        https; that is said on stderr if the host is another machine.
    option
        The option that the URL comes from, for messages.

    Raises
    ------
    CommandError
        From every method: no API there, no answer, or one that says no; in the API's own words.
        WrongUseError if the URL cannot be one.
    """

    def __init__(self, url: str, option: str = "--url") -> None:
        parts = _parts(url, option)
        self.url = url.rstrip("/")
        self._key = _key()
        self._opener = build_opener(_NoRedirects)
        if parts.scheme == "http" and not _is_here(str(parts.hostname)):
            note(
                f"warning: the key goes to {parts.hostname} in clear, for anyone on the way to "
                "read; use https there."
            )

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the JSON object that GET answers."""
        return self._ask(f"{path}?{urlencode(query)}", None)

    def post(self, path: str, body: bytes) -> dict[str, Any]:
        """Return the JSON object that POST answers to a JSON body."""
        return self._ask(path, body)

    def not_tocsin(self, trouble: str) -> CommandError:
        """Return the error for an answer that a Tocsin API would not give."""
        message = (
            f"{self.url} does not answer as a Tocsin API does: {plain(trouble)}. Check the URL."
        )
        return CommandError(message)

    def _ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = self.url + path
        request = Request(url, data=body, headers=headers)  # noqa: S310  # scheme checked above
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                answer = json.load(response)
        except HTTPError as error:
            with error:
                message = f"{self.url} answered {error.code}: {_detail(error)}"
            raise CommandError(message) from error
        except (URLError, OSError, HTTPException, ValueError, RecursionError) as error:
            message = f"{self.url} gave no answer that can be read: {plain(str(error))}"
            raise CommandError(message) from error
        if not isinstance(answer, dict):
            trouble = "the answer is no JSON object"
            raise self.not_tocsin(trouble)
        return answer


def _parts(url: str, option: str) -> SplitResult:
    message = f"{option} {url!r} is not the URL of an API, for example http://127.0.0.1:8600"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError as error:  # brackets or a port that are none
        raise WrongUseError(message) from error
    if not usable or not url.isprintable() or " " in url:
        raise WrongUseError(message)
    if parts.username is not None or parts.query or parts.fragment:
        message = f"{option}: give no user, password, query or fragment with the URL of an API"
        raise WrongUseError(message)
    return parts


def _is_here(host: str) -> bool:
    """Return whether a host name or address stands for this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _key() -> str:
    from cli.settings import Settings

    path = Settings().api_key_file
    if path is None or path == Path():  # an empty variable
        message = (
            "an API key is needed: put one into a file (`tocsin keys create` makes one) and name "
            "the file in TOCSIN_API_KEY_FILE."
        )
        raise CommandError(message)
    try:
        key = path.read_text(encoding="ascii").strip()
    except OSError as error:
        message = f"TOCSIN_API_KEY_FILE names {path}, which cannot be read: {error.strerror}"
        raise CommandError(message) from error
    except UnicodeError:
        key = ""  # the error would quote what is in the file
    if not key.isprintable() or not key:
        message = f"TOCSIN_API_KEY_FILE names {path}, which holds no key in one line."
        raise CommandError(message)
    return key


def _detail(error: HTTPError) -> str:
    try:
        detail = str(json.load(error)["detail"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError, RecursionError):
        detail = str(error.reason)
    return plain(detail[:SHOWN_CHARACTERS])
