"""How a view of the API is declared: its parameters and its answer are its own annotations, and nothing else."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar, get_type_hints

import msgspec
from flask import Blueprint, Response, request

from schema.errors import BusyError, UsageError
from schema.people import Role, Scope
from web.api.problems import problem
from web.people.needs import READER, Need, need_of, needs

T = TypeVar("T")
View = Callable[..., Any]

api = Blueprint("api", "web", url_prefix="/api/v1")

_MOST_BODY = 2 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some of a list. next: the cursor of those that follow, "" at the end."""

    items: list[T]
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A view as it was declared.

    rule: as Flask has it, below the prefix; query, body: the dataclass that the parameters or the JSON become
    answer: what it returns as JSON; None for plain text; status: of a good answer
    """

    method: str
    rule: str
    view: View
    query: type[Any] | None
    body: type[Any] | None
    answer: Any
    status: HTTPStatus

    @property
    def need(self) -> Need:
        """What it needs of who asks."""
        found = need_of(self.view)
        assert found is not None  # noqa: S101 - ``endpoint`` declares it
        return found

    @property
    def name(self) -> str:
        """Of the operation."""
        return self.view.__name__


ENDPOINTS: Final[list[Endpoint]] = []


def get(rule: str) -> Callable[[View], View]:
    """Declare a view that shows something: to whom the pages show it, too."""
    return functools.partial(endpoint, "GET", rule, role=READER)


def endpoint(
    method: str,
    rule: str,
    view: View,
    *,
    role: Role | str | None,
    scope: Scope = Scope.READ,
    status: HTTPStatus = HTTPStatus.OK,
) -> View:
    """Add a view: its parameter ``query`` or ``body`` is made of what was sent, and is of the type that it says."""
    hints = get_type_hints(view, include_extras=True)
    made = Endpoint(
        method=method,
        rule=rule,
        view=view,
        query=hints.get("query"),
        body=hints.get("body"),
        answer=None if hints["return"] is Response else hints["return"],
        status=status,
    )
    ENDPOINTS.append(made)
    needs(role, scope=scope)(view)

    @needs(role, scope=scope)
    @functools.wraps(view)
    def answer(**path: Any) -> Response:  # noqa: ANN401 - as the rule's converters make them
        try:
            found = view(**path, **_sent(made))
        except UsageError as err:
            return problem(HTTPStatus.BAD_REQUEST, str(err))
        except BusyError as err:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(err), {"Retry-After": "10"})
        if isinstance(found, Response):
            return found
        return Response(msgspec.json.encode(found), status, content_type="application/json")

    api.add_url_rule(rule, endpoint=view.__name__, view_func=answer, methods=[method])
    return view


def _sent(made: Endpoint) -> dict[str, Any]:
    """What the view asks for beside its path; raise UsageError that names what is wrong."""
    found: dict[str, Any] = {}
    if made.query is not None:
        found["query"] = _query(made.query)
    elif request.args:
        raise UsageError(f"unknown parameter {next(iter(request.args))[:40]!r}")
    if made.body is not None:
        found["body"] = _body(made.body)
    return found


def _query(wanted: type[T]) -> T:
    allowed = {item.name for item in fields(wanted)}  # type: ignore[arg-type]
    for name in request.args:
        if name not in allowed:
            raise UsageError(f"unknown parameter {name[:40]!r}", advice=f"there are {', '.join(sorted(allowed))}")
        if len(request.args.getlist(name)) > 1:
            raise UsageError(f"the parameter {name} stands there twice")
    return _made(dict(request.args), wanted, strict=False)


def _body(wanted: type[T]) -> T:
    request.max_content_length = _MOST_BODY
    if request.mimetype != "application/json":
        raise UsageError("the body must be JSON", advice="Content-Type: application/json")
    try:
        data = msgspec.json.decode(request.get_data())
    except (msgspec.DecodeError, RecursionError) as err:
        raise UsageError(f"the body is not JSON: {err}") from err
    if not isinstance(data, Mapping):
        raise UsageError("the body must be an object")
    if unknown := sorted(set(data) - {item.name for item in fields(wanted)}):  # type: ignore[arg-type]
        raise UsageError(f"unknown key {unknown[0][:40]!r}")
    return _made(data, wanted, strict=True)


def _made(data: Mapping[str, Any], wanted: type[T], *, strict: bool) -> T:
    try:
        return msgspec.convert(data, wanted, strict=strict)
    except msgspec.ValidationError as err:
        raise UsageError(str(err)) from err


def signature(view: View) -> list[str]:
    """The names of the path's parameters."""
    return [name for name in inspect.signature(view).parameters if name not in {"query", "body"}]
