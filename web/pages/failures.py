"""Failures by their cause: what to mend first, and one cause with its builds."""

from __future__ import annotations

from http import HTTPStatus

from flask import abort, render_template

from schema.failure_causes import NO_SOURCE
from schema.states import FailureClass
from web.failures import cluster_page, ranking
from web.pages import asked
from web.pages.asked import pages


@pages.get("/failures/")
def failures() -> str:
    """Causes, those that keep most downloads from a wheel first."""
    chosen = asked.text("class")
    classes = [*FailureClass, NO_SOURCE]
    if chosen not in classes:
        chosen = ""
    with asked.database().reading() as session:
        found, after = ranking(session, failure_class=chosen, after=asked.number("after"))
    return render_template("failures.html", found=found, after=after, chosen=chosen, classes=classes)


@pages.get("/failures/<int:cluster_id>/")
def failure(cluster_id: int) -> str:
    """One cause: what helps, and the builds that failed of it."""
    if cluster_id >= 2**31:
        abort(HTTPStatus.NOT_FOUND)
    with asked.database().reading() as session:
        page = cluster_page(session, cluster_id, before=asked.number("before"), rules=asked.rules())
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    return render_template("failure.html", page=page)
