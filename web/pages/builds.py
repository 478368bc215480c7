"""Builds: the latest, and one with its log."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from flask import Response, abort, jsonify, render_template, request

from schema.states import BuildState
from web import logs, queries
from web import progress as running
from web.builds import BuildPage, build_page
from web.pages import asked
from web.pages.asked import pages
from web.people.needs import needs

_TAIL_BYTES = 64 * 1024


@pages.get("/builds/")
@needs("reader")
def builds() -> str:
    """The latest builds, by state and platform."""
    state, platform = asked.text("state"), asked.text("platform")
    if state not in {"", "open", *BuildState}:
        state = ""
    with asked.database().reading() as session:
        shown, before = queries.latest_builds(
            session, state=state, platform=platform, before=asked.number("before"), rules=asked.rules()
        )
        platforms = {*queries.platforms(session), *map(str, asked.settings().farm.platforms), platform} - {""}
    return render_template(
        "builds.html",
        shown=shown,
        before=before,
        state=state,
        platform=platform,
        states=list(BuildState),
        platforms=sorted(platforms),
    )


@pages.get("/build/<int:build_id>/")
@needs("reader")
def build(build_id: int) -> str:
    """One build: state, steps, attempts, environment, materials, log."""
    page = found(build_id)
    tail = logs.tail(_log_of(page), limit_bytes=_TAIL_BYTES) if page.attempt else None
    parts = logs.sections(tail.text) if tail and not page.is_open else []
    return render_template("build.html", page=page, tail=tail, parts=parts, base=asked.base())


@pages.get("/build/<int:build_id>/progress.json")
@needs("reader")
def progress(build_id: int) -> Response:
    """How a running build gets on, and the end of its log; bounded, and inert."""
    page = found(build_id)
    return jsonify({**running.steps(page), **running.log_end(page, asked.settings().logs)})


@pages.get("/build/<int:build_id>/log")
@needs("reader")
def log(build_id: int) -> Response:
    """The whole log as it is, for saving: a browser shows none of it (T26)."""
    page = found(build_id)
    file = _log_of(page) if page.attempt else None
    if file is None or page.attempt is None or not file.is_file():
        abort(HTTPStatus.NOT_FOUND)
    size_bytes = file.stat().st_size
    response = Response(logs.pieces(file, size_bytes), content_type="text/plain; charset=utf-8")
    response.content_length = size_bytes
    response.headers["Content-Disposition"] = f'attachment; filename="build-{build_id}-{page.attempt.fence}.log"'
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def found(build_id: int) -> BuildPage:
    """The page of that build, and of the attempt that is asked for; 404 where there is none."""
    fence = asked.number("attempt") if "attempt" in request.args else None
    if build_id >= 2**31:
        abort(HTTPStatus.NOT_FOUND)
    with asked.database().reading() as session:
        page = build_page(session, build_id, fence=fence, rules=asked.rules())
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    return page


def _log_of(page: BuildPage) -> Path:
    return logs.path(asked.settings().logs, page.build.id, page.attempt.fence if page.attempt else 0)
