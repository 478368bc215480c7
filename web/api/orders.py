"""Orders: what the master is asked to do; each has an address of its own, and needs its own role and scope."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, abort, url_for

from schema import orders as known
from schema.db import orders as table
from schema.db.models import Order
from schema.printable import printable
from web.api.asked import Number, Numbered, paged
from web.api.endpoints import Page, endpoint, get
from web.api.shapes import an_object
from web.pages.asked import database
from web.people.guard import someone


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """What somebody asked the farm to do. outcome: done, refused or failed; None: the master has not come to it.

    arguments: what it was told; result: what came of it; both empty in lists, since they may be long
    """

    id: int
    who: str
    action: str
    arguments: dict[str, Any]
    asked_at: datetime
    done_at: datetime | None
    outcome: str | None
    told: str
    result: dict[str, Any]

    @classmethod
    def of(cls, row: Order, *, whole: bool = True) -> OrderRow:
        """From the row; not *whole*: without what may be long."""
        return cls(
            id=row.id,
            who=printable(row.who),
            action=row.action,
            arguments=an_object(row.arguments) if whole else {},
            asked_at=row.asked_at,
            done_at=row.done_at,
            outcome=row.outcome,
            told=printable(row.told),
            result=an_object(row.result) if whole else {},
        )


@get("/orders")
def orders(query: Numbered) -> Page[OrderRow]:
    """What was asked, the newest first; without arguments and results, which may be long."""
    with database().reading() as session:
        found = table.latest(session, limit=query.limit + 1, before=query.cursor)
    return paged(found, query.limit, lambda row: OrderRow.of(row, whole=False), lambda row: row.id)


@get("/orders/<int(max=2147483647):order>")
def order(order: Number) -> OrderRow:
    """One of them, with what came of it."""
    with database().reading() as session:
        row = session.get(Order, order)
    return OrderRow.of(row) if row is not None else abort(HTTPStatus.NOT_FOUND)


def _declare(action: str, kind: type[known.Order]) -> None:
    def ask(body: known.Order) -> Response:
        with database().writing() as session:
            row = table.ask(session, body, who=someone().who)
            made = OrderRow.of(row)
        headers = {"Location": url_for("api.order", order=made.id)}
        return Response(msgspec.json.encode(made), HTTPStatus.ACCEPTED, headers, content_type="application/json")

    ask.__name__, ask.__doc__ = f"order_{action.replace('-', '_')}", kind.__doc__
    ask.__annotations__ = {"body": kind, "return": OrderRow}
    endpoint("POST", f"/orders/{action}", ask, role=kind.role, scope=kind.scope, status=HTTPStatus.ACCEPTED)


for _action, _kind in known.ORDERS.items():
    _declare(_action, _kind)
