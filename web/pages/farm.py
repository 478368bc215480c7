"""The farm itself: its nodes, how it does, what people had it do."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, jsonify, render_template

from schema.db import audit as audit_trail
from schema.errors import UnavailableError
from web import farm as farms
from web import queries
from web.pages import asked
from web.pages.asked import pages


@pages.get("/nodes/")
def nodes() -> str:
    """The machines that build."""
    with asked.database().reading() as session:
        crews = queries.nodes(session, rules=asked.rules())
    return render_template("nodes.html", crews=crews)


@pages.get("/farm/")
def farm() -> str:
    """How the farm itself does: alarms, long walks, counts, what people did."""
    with asked.database().reading() as session:
        page = farms.farm_page(session)
    return render_template("farm.html", page=page)


@pages.get("/audit/")
def audit() -> str:
    """What people had the farm do."""
    subject = asked.text("subject")
    with asked.database().reading() as session:
        entries = audit_trail.entries(session, limit=farms.PAGE + 1, subject=subject, before=asked.number("before"))
    more = len(entries) > farms.PAGE
    shown = entries[: farms.PAGE]
    return render_template("audit.html", entries=shown, subject=subject, before=shown[-1].id if more else 0)


@pages.get("/healthz")
def health() -> tuple[Response, int]:
    """Whether this front-end can read the database: 200 or 503."""
    try:
        with asked.database().reading() as session:
            queries.platforms(session)
    except UnavailableError:
        return jsonify(status="no database"), HTTPStatus.SERVICE_UNAVAILABLE
    return jsonify(status="ok"), HTTPStatus.OK
