"""Puts into the OpenAPI document what holds for many operations at once."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from services.api import problems
from services.api.guards import DICOMWEB
from services.api.repeating import HEADER, KEY, READING
from services.api.versions import Edited

PREFIX = "/api/v1"
_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{KEY}$"},
    "description": "A name of your own for this request. Sent again with the same, it is not done "
    "again; the answer is the first one's. Remembered for a day.",
}
_VERSION = {
    "ETag": {
        "schema": {"type": "string"},
        "description": "Its version: send it as `If-Match` with a change.",
    }
}


def describe(app: FastAPI) -> None:
    """Complete the document of `app`, whose routes are all there."""
    schema = app.openapi()
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            if path.startswith(DICOMWEB):
                operation["responses"].pop("422", None)  # PS3.18 has 400, and no numbers in paths
    for route in app.routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        is_post = "POST" in (route.methods or ()) and route.path.startswith(PREFIX)
        if is_post and route.name not in READING:
            _describe_key(schema["paths"][route.path]["post"])
        if _is_edited(route.response_model):
            for method in route.methods or ():
                answers = schema["paths"][route.path][method.lower()]["responses"]
                answers[str(route.status_code or 200)]["headers"] = _VERSION
    _name_schemas(schema["components"]["schemas"])


def _describe_key(operation: dict[str, Any]) -> None:
    operation.setdefault("parameters", []).append(_KEY)
    for status, answer in problems.responses(409, 422).items():
        operation["responses"].setdefault(str(status), answer)


def _is_edited(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, Edited)


def _name_schemas(schemas: dict[str, Any]) -> None:
    """The problem's schema, which every operation refers to, in place of FastAPI's own."""
    for model in (problems.Problem, problems.FieldError):
        described = model.model_json_schema(ref_template="#/components/schemas/{model}")
        described.pop("$defs", None)
        schemas[model.__name__] = described
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
