"""Health: the only routes that answer without a key."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.errors import Refused
from api.handlers import RETRY_AFTER_S
from api.problems import Kind, Problem, ProblemItem
from api.schemas import Health
from api.services import Services, ServicesDep

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> Health:
    """Say that the process answers; looks at nothing else."""
    return Health()


@router.get("/readyz", responses={503: {"model": Problem, "description": "What is not ready."}})
def readyz(services: ServicesDep) -> Health:
    """Say whether store, ingest and everything else that serving needs is there."""
    wrong = tuple(_wrong(services))
    if wrong:
        raise Refused(
            Kind.NOT_READY,
            "See `errors` for what is missing.",
            errors=wrong,
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    return Health()


def _wrong(services: Services) -> Iterator[ProblemItem]:
    try:
        with services.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        # the message of the driver names hosts and users: not for those without a key
        yield ProblemItem(reason="store", detail=f"does not answer ({type(error).__name__})")
    if services.ingest is not None and (trouble := services.ingest.ready()) is not None:
        yield ProblemItem(reason="ingest", detail=trouble)
    for check in services.checks:
        if (trouble := check()) is not None:
            yield ProblemItem(reason="check", detail=trouble)
