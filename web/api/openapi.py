"""The description of the API (OpenAPI 3.1), made from the declarations of its views; and a page of it to read."""

from __future__ import annotations

import inspect
import re
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final, get_type_hints

import msgspec
from flask import Response, jsonify, render_template

from web.api.endpoints import ENDPOINTS, Endpoint, api, signature
from web.api.problems import TYPE, Problem
from web.people.needs import READER, needs

_VARIABLE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_REFERENCE: Final = "#/components/schemas/{name}"
_PROBLEMS: Final = {
    HTTPStatus.BAD_REQUEST: "What was sent is not as it should be.",
    HTTPStatus.UNAUTHORIZED: "There is no token or session, or it does not hold.",
    HTTPStatus.FORBIDDEN: "The role or the token's scopes are not enough.",
    HTTPStatus.NOT_FOUND: "There is no such thing.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database does not answer, or too much waits to be done.",
}


@api.get("/openapi.json")
@needs(READER)
def openapi() -> Response:
    """The description itself."""
    return jsonify(document())


@api.get("/")
@needs(READER)
def reference() -> str:
    """The same to read."""
    described = document()
    operations = [
        {"path": path, "method": method.upper(), **operation}
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    return render_template("api.html", operations=operations, schemas=described["components"]["schemas"])


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for item in ENDPOINTS:
        paths.setdefault(_path(item), {})[item.method.lower()] = _operation(item)
    answers = [item.answer for item in ENDPOINTS if item.answer is not None]
    bodies = [item.body for item in ENDPOINTS if item.body is not None]
    _, schemas = msgspec.json.schema_components([*answers, *bodies, Problem], ref_template=_REFERENCE)
    for body in bodies:
        schemas[body.__name__]["additionalProperties"] = False
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wheelfarm",
            "version": version("wheelfarm"),
            "description": "What the pages of a wheel build farm show and do. Lists are paged: next is the cursor of"
            " what follows. What changes something is an order: the master does it soon, and /orders/{order} tells.",
        },
        "servers": [{"url": api.url_prefix}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "wf_…"}},
        },
    }


def _path(item: Endpoint) -> str:
    return _VARIABLE.sub(r"{\1}", item.rule)


def _operation(item: Endpoint) -> dict[str, Any]:
    told = inspect.getdoc(item.view) or ""
    found: dict[str, Any] = {
        "operationId": item.name,
        "summary": told.partition("\n")[0],
        "description": told,
        "parameters": [*_in_path(item), *_in_query(item)],
        "responses": {str(int(item.status)): _good(item), **_bad()},
        "security": _security(item),
    }
    if item.body is not None:
        schema = {"$ref": _REFERENCE.format(name=item.body.__name__)}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _good(item: Endpoint) -> dict[str, Any]:
    if item.answer is None:
        return {"description": "The text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    (schema,), _ = msgspec.json.schema_components([item.answer], ref_template=_REFERENCE)
    return {
        "description": "Done." if item.method == "GET" else "Taken.",
        "content": {"application/json": {"schema": schema}},
    }


def _bad() -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(name=Problem.__name__)}
    return {
        str(int(status)): {"description": told, "content": {TYPE: {"schema": schema}}}
        for status, told in _PROBLEMS.items()
    }


def _security(item: Endpoint) -> list[dict[str, list[str]]]:
    """A reader may need nothing: an empty requirement stands for that."""
    scope = str(item.need.scope)
    open_too: list[dict[str, list[str]]] = [{}] if item.need.role in {None, READER} else []
    return [*open_too, {"token": [scope]}]


def _in_path(item: Endpoint) -> list[dict[str, Any]]:
    hints = get_type_hints(item.view, include_extras=True)
    return [
        {"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(hints[name])}
        for name in signature(item.view)
    ]


def _in_query(item: Endpoint) -> list[dict[str, Any]]:
    if item.query is None:
        return []
    schema = msgspec.json.schema(item.query)["$defs"][item.query.__name__]
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": told}
        for name, told in schema["properties"].items()
    ]
