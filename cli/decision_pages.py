"""Where ``tocsin decisions`` reads: the store itself, or an API by its URL."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from cli.errors import CommandError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Engine

PAGE = 500
Filters = Mapping[str, "str | datetime"]
Row = dict[str, Any]
"""A decision as the API gives it."""


class Pages(Protocol):
    """Decisions, newest first."""

    def read(self, filters: Filters, limit: int | None) -> Iterator[Row]:
        """Give up to `limit` decisions that match; None = all."""
        ...


class StorePages:
    """Read the store."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, filters: Filters, limit: int | None) -> Iterator[Row]:
        """Give up to `limit` decisions that match; None = all."""
        from sqlalchemy.orm import Session

        from api.schemas import DecisionOut
        from store.decisions import DecisionFilter, page

        which = DecisionFilter(**filters)  # type: ignore[arg-type]  # names and types as there
        after = None
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(left, PAGE)
            with Session(self._engine) as session:
                found = page(session, which, after=after, limit=size)
                rows = [
                    DecisionOut.model_validate(row).model_dump(mode="json") for row in found.rows
                ]
            yield from rows
            after, left = found.next, None if left is None else left - len(rows)
            if after is None:
                return


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would carry the key elsewhere."""

    def redirect_request(self, *_: object) -> None:
        return None


class RestPages:
    """Read an API; the key comes from the file that TOCSIN_API_KEY_FILE names."""

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            message = f"{url!r} is not the URL of an API, for example http://127.0.0.1:8600"
            raise CommandError(message)
        self._url = url.rstrip("/") + "/v1/decisions"
        self._key = _key()
        self._opener = build_opener(_NoRedirects)

    def read(self, filters: Filters, limit: int | None) -> Iterator[Row]:
        """Give up to `limit` decisions that match; None = all."""
        asked = {name: v if isinstance(v, str) else v.isoformat() for name, v in filters.items()}
        left = limit
        while left is None or left > 0:
            asked["limit"] = str(PAGE if left is None else min(left, PAGE))
            answer = self._get(asked)
            yield from answer["decisions"]
            left = None if left is None else left - len(answer["decisions"])
            if answer["next_cursor"] is None:
                return
            asked["cursor"] = answer["next_cursor"]

    def _get(self, asked: Mapping[str, str]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        request = Request(f"{self._url}?{urlencode(asked)}", headers=headers)  # noqa: S310  # scheme checked above
        try:
            with self._opener.open(request, timeout=30) as response:
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
            "--url needs an API key: put one with the scope decisions:read into a file and name "
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
