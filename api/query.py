"""Query parameters: each at most once."""

from __future__ import annotations

from collections import Counter

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

from api.errors import Refused
from api.problems import Kind, ProblemItem


def _unrepeated(request: Request) -> None:
    """Refuse a parameter given twice: the last would count, and nobody would say so."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    repeated = tuple(
        ProblemItem(location=f"query.{name}", reason="repeated", detail=f"given {n} times; once")
        for name, n in counts.items()
        if n > 1
    )
    if repeated:
        raise Refused(Kind.INVALID, "Give each parameter once; see `errors`.", errors=repeated)


Unrepeated: Dependency = Depends(_unrepeated)
