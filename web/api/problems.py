"""Errors of the API as problem details (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec
from flask import Response
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed

TYPE: Final = "application/problem+json"
_WHAT_TO_DO: Final = {
    HTTPStatus.FORBIDDEN: "your role, or the scopes of the token, are not enough; a session must send X-CSRF-Token",
    HTTPStatus.NOT_FOUND: "there is no such thing here; /api/v1/openapi.json tells what there is",
    HTTPStatus.INTERNAL_SERVER_ERROR: "this is a fault of the farm; its log tells more",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What went wrong. type: about:blank, since title and status say what kind it is; detail: what to do about it."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An answer that tells of it."""
    said = Problem(title=status.phrase, status=status, detail=detail)
    return Response(msgspec.json.encode(said), status, headers, content_type=TYPE)


def of_exception(err: HTTPException) -> Response:
    """The same for what Flask raises."""
    status = HTTPStatus(err.code or InternalServerError.code)
    headers = {}
    if isinstance(err, MethodNotAllowed) and err.valid_methods:
        headers["Allow"] = ", ".join(sorted(err.valid_methods))
    return problem(status, _WHAT_TO_DO.get(status, status.description), headers)
