"""Where ``tocsin labels`` keeps and reads labels: the store itself, or an API by its URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypedDict
from urllib.error import HTTPError

from cli.errors import CommandError
from cli.rest import Rest

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

PAGE = 500
NOT_ONE_KEPT = 422
"""The status of an API that keeps none of the labels sent to it."""
Row = dict[str, Any]
"""A label, or what became of one, as the API gives it."""


class _Result(TypedDict):
    """What is read of what became of a label; an API of another version may give more."""

    status: str


class _Answer(TypedDict):
    results: list[_Result]


class _Page(TypedDict):
    labels: list[dict[str, Any]]
    next_cursor: str | None


class Labels(Protocol):
    """Labels, kept and read."""

    def add(self, lines: Sequence[bytes]) -> list[Row]:
        """Keep labels, each a JSON object; return what became of each, in order."""
        ...

    def read(self, filters: Mapping[str, str]) -> Iterator[Row]:
        """Give the labels that match, the last received first."""
        ...


class StoreLabels:
    """Use the store."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, lines: Sequence[bytes]) -> list[Row]:
        """Keep labels in one transaction."""
        from api.labelling import keep_items
        from store.session import direct

        results = keep_items(direct(self._engine), lines, "cli")
        return [result.model_dump(mode="json", exclude_none=True) for result in results]

    def read(self, filters: Mapping[str, str]) -> Iterator[Row]:
        """Give the labels that match."""
        from sqlalchemy.orm import Session

        from api.labelling import shown_label
        from store.labels import LabelFilter, page

        before: int | None = None
        while True:
            with Session(self._engine) as session:
                found = page(session, LabelFilter(**filters), before=before, limit=PAGE)
                rows = [shown_label(each).model_dump(mode="json") for each in found]
                before = found[-1].row.id if found else None
            yield from rows
            if len(rows) < PAGE:
                return


class RestLabels:
    """Use an API; the key comes from the file that TOCSIN_API_KEY_FILE names."""

    def __init__(self, at: str | Rest) -> None:
        self._rest = Rest(at) if isinstance(at, str) else at

    def add(self, lines: Sequence[bytes]) -> list[Row]:
        """Send those that are labels in one request; the others would spoil it."""
        from streams.labels import Unusable, decode_label

        decoded = [decode_label(line) for line in lines]
        good = [
            line
            for line, label in zip(lines, decoded, strict=True)
            if not isinstance(label, Unusable)
        ]
        answers = iter(self._send(good) if good else ())
        return [
            {"status": "rejected", "reason": str(label.reason), "detail": label.detail}
            if isinstance(label, Unusable)
            else next(answers)
            for label in decoded
        ]

    def read(self, filters: Mapping[str, str]) -> Iterator[Row]:
        """Give the labels that match.

        Raises CommandError if what answers is no Tocsin API, or one that never comes to an end.
        """
        import msgspec

        asked = {**filters, "limit": str(PAGE)}
        while True:
            answer = self._rest.get("/v1/labels", asked)
            try:
                page = msgspec.convert(answer, _Page)
            except msgspec.ValidationError as error:
                raise self._rest.not_tocsin(str(error)) from error
            yield from page["labels"]
            if page["next_cursor"] is None:
                return
            if not page["labels"] or page["next_cursor"] == asked.get("cursor"):
                trouble = "it says that there is more, and gives nothing"
                raise self._rest.not_tocsin(trouble)
            asked["cursor"] = page["next_cursor"]

    def _send(self, lines: Sequence[bytes]) -> list[Row]:
        import msgspec

        body = b'{"labels":[' + b",".join(lines) + b"]}"
        try:
            answer = self._rest.post("/v1/labels", body)
        except CommandError as error:
            cause = error.__cause__
            if not isinstance(cause, HTTPError) or cause.code != NOT_ONE_KEPT:
                raise
            refused = {"status": "rejected", "reason": "refused", "detail": str(error)}
            return [refused] * len(lines)
        try:
            n = len(msgspec.convert(answer, _Answer)["results"])
        except msgspec.ValidationError as error:
            raise self._rest.not_tocsin(str(error)) from error
        if n != len(lines):
            trouble = f"{n} answers to {len(lines)} labels"
            raise self._rest.not_tocsin(trouble)
        results: list[Row] = answer["results"]
        return results
