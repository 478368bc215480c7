"""Orders by forms: what people ask the master for in a browser, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from schema import orders as known
from schema.db import orders as table
from schema.db.models import Order
from schema.errors import BusyError, UsageError
from web.pages.asked import database, number
from web.people.guard import FIELD, own_path, someone
from web.people.needs import needs

pages_orders = Blueprint("pages_orders", "web", url_prefix="/orders")

PAGE: Final = 50
_OURS: Final = frozenset({FIELD, "action", "next", "arguments"})


@pages_orders.get("/")
@needs("reader")
def orders() -> str:
    """What was asked, by whom, and what became of it."""
    with database().reading() as session:
        found = table.latest(session, limit=PAGE + 1, before=number("before"))
    shown = found[:PAGE]
    return render_template("orders.html", orders=shown, before=shown[-1].id if len(found) > PAGE else 0)


@pages_orders.get("/<int(max=2147483647):order_id>/")
@needs("reader")
def order(order_id: int) -> str:
    """One of them with all that is known of it."""
    with database().reading() as session:
        row = session.get(Order, order_id) or abort(HTTPStatus.NOT_FOUND)
    texts = {key: json.dumps(getattr(row, key), indent=2) for key in ("arguments", "result")}
    return render_template("order.html", order=row, **texts)


@pages_orders.post("/")
@needs("viewer")
def ask() -> AnyResponse | tuple[str, int]:
    """Take an order, and go back to where the form was.

    action: its name; arguments: all that it is told as JSON, or each as a field of its own, empty ones left out; next
    """
    person = someone()
    try:
        action = request.form.get("action", "")
        if not person.may(known.kind(action).role):
            abort(HTTPStatus.FORBIDDEN)
        wanted = known.read(action, _arguments(), strict=False)
        with database().writing() as session:
            made = table.ask(session, wanted, who=person.who).id
    except UsageError as err:
        return render_template("error.html", title="Not possible", text=str(err)), HTTPStatus.BAD_REQUEST
    except BusyError as err:
        return render_template("error.html", title="Too much to do", text=str(err)), HTTPStatus.SERVICE_UNAVAILABLE
    there = url_for("pages_orders.order", order_id=made)
    return redirect(own_path(request.form.get("next", ""), otherwise=there), HTTPStatus.SEE_OTHER)


def _arguments() -> dict[str, Any]:
    try:
        found = json.loads(request.form.get("arguments", "") or "{}")
    except (ValueError, RecursionError):
        raise UsageError("arguments: not JSON") from None
    if not isinstance(found, Mapping):
        raise UsageError("arguments: not an object")
    fields = {key: value for key, value in request.form.items() if key not in _OURS and value}
    return {**found, **{key: [value] if key == "platforms" else value for key, value in fields.items()}}
