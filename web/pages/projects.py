"""Projects: by name, and one with its versions and platforms."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

from flask import Response, abort, jsonify, redirect, render_template, request, url_for
from packaging.utils import NormalizedName
from werkzeug.wrappers import Response as AnyResponse

from schema.db import downloads
from schema.db.session import now
from schema.errors import NotANameError
from schema.names import project_name
from schema.printable import one_line
from web import plots, queries
from web.matrix import ROWS, project_page
from web.pages import asked
from web.pages.asked import pages
from web.people.needs import needs

_DAYS = 30  # of downloads that are drawn


@pages.get("/search")
@needs("reader")
def search() -> str:
    """Projects by name; all of them where nothing is asked for."""
    text = asked.text("q").strip()[:200]
    with asked.database().reading() as session:
        found = queries.search(session, text, after=asked.text("after"))
    return render_template("search.html", text=text, found=found, name=_maybe_name(text))


@pages.get("/project/<name>/")
@needs("reader")
def project(name: str) -> str | AnyResponse | tuple[str, int]:
    """Versions by platforms; another spelling of the name is sent to the normalised one (I-01)."""
    try:
        normalised = project_name(name)
    except NotANameError:
        abort(HTTPStatus.NOT_FOUND)
    if normalised != name:
        return redirect(url_for("pages.project", name=normalised), HTTPStatus.MOVED_PERMANENTLY)
    settings = asked.settings()
    with asked.database().reading() as session:
        found = project_page(
            session,
            normalised,
            farm=settings.farm.platforms,
            files=settings.site / "files",
            rules=asked.rules(),
            limit=0 if request.args.get("versions") == "all" else ROWS,
        )
        today = now(session).date()
        counts = downloads.days(session, normalised, since=today - timedelta(days=_DAYS - 1), until=today)
    if found is None:
        return render_template("unknown.html", name=normalised), HTTPStatus.NOT_FOUND
    return render_template(
        "project.html",
        page=found,
        downloads=plots.fetched(counts),
        base=asked.base(),
        **asked.how_to(name=normalised),
    )


@pages.get("/project/<name>/portability.json")
@needs("reader")
def portability(name: str) -> Response:
    """How each of a project's wheels fared in images that it was not built in: file name → verdicts."""
    with asked.database().reading() as session:
        found = queries.portability(session, name)
    if found is None:
        abort(HTTPStatus.NOT_FOUND)
    return jsonify(found)


def _maybe_name(text: str) -> NormalizedName | None:
    try:
        return project_name(one_line(text))
    except NotANameError:
        return None
