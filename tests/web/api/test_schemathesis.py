"""Schemathesis tries to break the API by its own description: no server error, nothing without the right to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck
from hypothesis import settings as limits
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from schema.people import Role, Scope
from tests.web.people_kit import Program

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

_CHECKS: list[Any] = [not_a_server_error, status_code_conformance, response_schema_conformance]
_EXAMPLES = 25


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", [None, *Role])
def test_no_request_breaks_the_api_and_none_gets_what_it_may_not(
    app: Flask,
    farm: dict[str, int],  # noqa: ARG001
    program: Callable[..., Program],
    role: Role | None,
) -> None:
    scopes = [] if role is None else [Scope.READ] if role is Role.VIEWER else [Scope.READ, Scope.JOBS, Scope.NODES]
    scopes += [Scope.ADMIN] if role is Role.ADMIN else []
    headers = program(role, *scopes).headers if role else {}
    described = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    tried = 0
    for found in described.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]

        def attempt(case: Any) -> None:
            nonlocal tried
            tried += 1
            answer = case.call(headers=headers)
            case.validate_response(answer, checks=_CHECKS, headers=headers)
            if case.method == "POST" and "coverage" not in case.path:
                may = role is not None and role.may(Role.OPERATOR)
                assert may or answer.status_code in {401, 403, 404, 405}

        generated = hypothesis.given(case=operation.as_strategy())(attempt)
        limits(
            max_examples=_EXAMPLES, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        )(generated)()  # fmt: skip
    assert tried > 200
