"""The OpenAPI document, made once an application."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.label_schemas import LabelIn, LabelsIn
from api.problems import MEDIA_TYPE
from api.schemas import EventIn, EventsIn

_REF = "#/components/schemas/{model}"
_BODIES = (EventIn, EventsIn, LabelIn, LabelsIn)
"""Described here, since the routes read the bytes themselves."""


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document: errors are problem documents, bodies are described."""
    found: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, bodies = models_json_schema([(body, "validation") for body in _BODIES], ref_template=_REF)
    found["components"]["schemas"] |= bodies["$defs"]
    for path in found["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    (described,) = response["content"].values()
                    response["content"] = {MEDIA_TYPE: described}
    return found
