"""Webhooks by forms on the page of settings: they belong to administrators, who see a new one's secret once."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from schema.db import webhooks as table
from schema.errors import UsageError
from web.pages.asked import database
from web.pages.knowledge import settings_page
from web.people.guard import someone
from web.people.needs import needs

webhooks = Blueprint("webhooks", "web", url_prefix="/settings/webhooks")

_Answer = AnyResponse | tuple[str, int]


@webhooks.post("/")
@needs("admin")
def add() -> str | tuple[str, int]:
    """Make one; its secret is on the answer only."""
    name, url = (request.form.get(key, "").strip() for key in ("name", "url"))
    try:
        with database().writing() as session:
            secret = table.add(session, name, url, request.form.getlist("events"), who=someone().who).secret
    except UsageError as err:
        return settings_page(trouble=str(err)), HTTPStatus.BAD_REQUEST
    return settings_page(secret=secret)


@webhooks.post("/<name>/test")
@needs("admin")
def test(name: str) -> _Answer:
    """Have the master send a ping."""
    return _changed(name, table.ping)


@webhooks.post("/<name>/enable")
@needs("admin")
def enable(name: str) -> _Answer:
    """Tell it of events again."""
    return _changed(name, table.enable)


@webhooks.post("/<name>/remove")
@needs("admin")
def remove(name: str) -> _Answer:
    """Tell it of nothing any more."""
    return _changed(name, table.remove)


def _changed(name: str, change: Callable[..., object]) -> _Answer:
    try:
        with database().writing() as session:
            change(session, table.named(session, name, keep=True), who=someone().who)
    except UsageError as err:
        return settings_page(trouble=str(err)), HTTPStatus.BAD_REQUEST
    return redirect(url_for("pages.settings") + "#webhooks", HTTPStatus.SEE_OTHER)
