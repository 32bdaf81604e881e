"""Types of single fields and parameters, that several routes share."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _to_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        message = "lies outside the years 1 to 9999 in UTC"
        raise ValueError(message) from error


def _is_rfc_3339(value: object) -> object:
    """Refuse what pydantic would take too: a bare number, as seconds since 1970."""
    if isinstance(value, str) and not _RFC_3339.fullmatch(value):
        message = "give a time of RFC 3339 with its zone, as 2026-11-22T09:30:00Z; a + as %2B"
        raise ValueError(message)
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_is_rfc_3339), AfterValidator(_to_utc)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Limit = Annotated[int, Field(ge=1, le=500, description="Rows on a page.")]
Cursor = Annotated[
    str | None, Field(max_length=512, description="`next_cursor` of the page before.")
]
