"""Where ``tocsin decisions`` reads: the store itself, or an API by its URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from cli.rest import Rest

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


class RestPages:
    """Read an API; the key comes from the file that TOCSIN_API_KEY_FILE names."""

    def __init__(self, url: str) -> None:
        self._rest = Rest(url)

    def read(self, filters: Filters, limit: int | None) -> Iterator[Row]:
        """Give up to `limit` decisions that match; None = all."""
        asked = {name: v if isinstance(v, str) else v.isoformat() for name, v in filters.items()}
        left = limit
        while left is None or left > 0:
            asked["limit"] = str(PAGE if left is None else min(left, PAGE))
            answer = self._rest.get("/v1/decisions", asked)
            yield from answer["decisions"]
            left = None if left is None else left - len(answer["decisions"])
            if answer["next_cursor"] is None:
                return
            asked["cursor"] = answer["next_cursor"]
