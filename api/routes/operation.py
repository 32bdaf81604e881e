"""For operators and tools: metrics, and the OpenAPI document."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api import openapi
from api.auth import authenticated, needs
from api.services import ServicesDep
from store.keys import Scope

router = APIRouter(tags=["operation"])
_TEXT = {"text/plain": {"example": 'tocsin_api_events_total{status="accepted"} 17.0\n'}}


@router.get(
    "/metrics",
    dependencies=[needs(Scope.METRICS_READ)],
    response_class=PlainTextResponse,
    responses={200: {"content": _TEXT}},
)
def metrics(services: ServicesDep) -> PlainTextResponse:
    """Return all metrics in Prometheus' text format."""
    return PlainTextResponse(generate_latest(services.metrics), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json", dependencies=[Depends(authenticated)], include_in_schema=False)
def openapi_document(request: Request) -> JSONResponse:
    """Return the OpenAPI document of this API."""
    return JSONResponse(openapi.document(request.app))
