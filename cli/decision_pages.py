"""Where ``tocsin decisions`` reads: the store itself, or an API by its URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from cli.rest import Rest

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

PAGE = 500
Filters = Mapping[str, str | datetime]
Row = dict[str, Any]
"""A decision as the API gives it."""


class _Reason(TypedDict):
    step: int
    weight: float
    evidence: dict[str, Any]


class _Decision(TypedDict):
    """What is read of a `Row`; an API of another version may give more."""

    id: str
    decided_at: datetime
    stream_id: str
    detector: str
    label: str
    probability: float
    halt_step: int
    reason: str
    top_reasons: list[_Reason]


class _Page(TypedDict):
    decisions: list[_Decision]
    next_cursor: str | None


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

    def __init__(self, at: str | Rest) -> None:
        self._rest = Rest(at) if isinstance(at, str) else at

    def read(self, filters: Filters, limit: int | None) -> Iterator[Row]:
        """Give up to `limit` decisions that match; None = all.

        Raises CommandError if what answers is no Tocsin API, or one that never comes to an end.
        """
        asked = {name: v if isinstance(v, str) else v.isoformat() for name, v in filters.items()}
        left = limit
        while left is None or left > 0:
            asked["limit"] = str(PAGE if left is None else min(left, PAGE))
            rows, after = self._page(asked)
            yield from rows
            left = None if left is None else left - len(rows)
            if after is None:
                return
            if not rows or after == asked.get("cursor"):
                trouble = "it says that there is more, and gives nothing"
                raise self._rest.not_tocsin(trouble)
            asked["cursor"] = after

    def _page(self, asked: Mapping[str, str]) -> tuple[list[Row], str | None]:
        import msgspec

        answer = self._rest.get("/v1/decisions", asked)
        try:
            msgspec.convert(answer, _Page)
        except msgspec.ValidationError as error:
            raise self._rest.not_tocsin(str(error)) from error
        return answer["decisions"], answer["next_cursor"]
