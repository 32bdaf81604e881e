"""A running service over REST, with the key from the file that TOCSIN_API_KEY_FILE names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from cli.errors import CommandError

TIMEOUT_S = 30


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would carry the key elsewhere."""

    def redirect_request(self, *_: object) -> None:
        return None


class Rest:
    """Calls to one API.

    Raises
    ------
    CommandError
        From every method: no API there, no answer, or one that says no; in the API's own words.
    """

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            message = f"{url!r} is not the URL of an API, for example http://127.0.0.1:8600"
            raise CommandError(message)
        self._url = url.rstrip("/")
        self._key = _key()
        self._opener = build_opener(_NoRedirects)

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the JSON that GET answers."""
        return self._ask(f"{path}?{urlencode(query)}", None)

    def post(self, path: str, body: bytes) -> dict[str, Any]:
        """Return the JSON that POST answers to a JSON body."""
        return self._ask(path, body)

    def _ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = self._url + path
        request = Request(url, data=body, headers=headers)  # noqa: S310  # scheme checked above
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                answer: dict[str, Any] = json.load(response)
        except HTTPError as error:
            with error:
                message = f"{self._url} answered {error.code}: {_detail(error)}"
            raise CommandError(message) from error
        except (URLError, OSError, ValueError) as error:
            message = f"{self._url} gave no answer that can be read: {error}"
            raise CommandError(message) from error
        return answer


def _key() -> str:
    path = os.environ.get("TOCSIN_API_KEY_FILE")
    if not path:
        message = (
            "an API key is needed: put one into a file (`tocsin keys create` makes one) and name "
            "the file in TOCSIN_API_KEY_FILE."
        )
        raise CommandError(message)
    try:
        key = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        message = f"TOCSIN_API_KEY_FILE names {path}, which cannot be read: {error}"
        raise CommandError(message) from error
    if not key.isprintable() or not key:
        message = f"TOCSIN_API_KEY_FILE names {path}, which holds no key in one line."
        raise CommandError(message)
    return key


def _detail(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
