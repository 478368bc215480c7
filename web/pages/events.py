"""The streams that keep an open page up to date."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from flask import Flask, Response, abort, current_app, render_template, request
from sqlalchemy.orm import Session

from schema.db.why.surroundings import Rules
from schema.errors import UnavailableError
from web import progress, queries, queue
from web.builds import build_page
from web.live import RETRY_S, Fragments, Live
from web.overview import overview
from web.pages import asked
from web.pages.asked import pages
from web.pages.builds import found
from web.people.needs import needs


def _overview(session: Session, rules: Rules) -> dict[str, Any]:
    return {"farm": overview(session, rules=rules)}


def _queue(session: Session, _rules: Rules) -> dict[str, Any]:
    return {"lanes": queue.lanes(session)}


def _nodes(session: Session, rules: Rules) -> dict[str, Any]:
    return {"crews": queries.nodes(session, rules=rules)}


# Topic → what its fragments are made of, and their names.
_TOPICS: dict[str, tuple[Callable[[Session, Rules], dict[str, Any]], tuple[str, ...]]] = {
    "overview": (_overview, ("alarms", "today", "running", "load")),
    "queue": (_queue, ("lanes",)),
    "nodes": (_nodes, ("load",)),
}


@pages.get("/events")
@needs("reader")
def events() -> Response:
    """Fragments of the page *topic* whenever they change; 503 where too many listen already: then the page polls."""
    topic = request.args.get("topic", "")
    if topic not in _TOPICS:
        abort(HTTPStatus.NOT_FOUND)
    return _stream(topic, partial(_fragments, topic, asked.rules()))


@pages.get("/build/<int:build_id>/events")
@needs("reader")
def build_events(build_id: int) -> Response:
    """How a build gets on, whenever that changes: as in ``progress.json``, parted into ``steps`` and ``log``.

    204 where it is over, which ends a browser's asking; 503 as for the other streams.
    """
    page = found(build_id)
    if not page.is_open:
        return Response(status=HTTPStatus.NO_CONTENT)
    return _stream(f"build {build_id}", partial(_progress, build_id, asked.rules()))


def _stream(topic: str, render: Callable[[], Fragments]) -> Response:
    """render: called with the application at hand, but after the request."""
    app = cast("Flask", current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - as Flask tells to
    live = cast("Live", app.extensions["live"])
    stream = live.stream(topic, partial(_rendered, app, render))
    if stream is None:
        answer = Response("too many follow the farm live; this page asks again from time to time\n", 503)
        answer.headers["Retry-After"] = str(RETRY_S)
        return answer
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(stream, mimetype="text/event-stream", headers=headers)


def _rendered(app: Flask, render: Callable[[], Fragments]) -> Fragments:
    """Nothing while the database does not answer: the listener keeps what it sees."""
    with app.test_request_context("/"):
        try:
            return render()
        except UnavailableError:
            return {}


def _fragments(topic: str, rules: Rules) -> Fragments:
    read, names = _TOPICS[topic]
    with asked.database().reading() as session:
        shown = read(session, rules)
        return {name: render_template("live.html", part=name, **shown) for name in names}


def _progress(build_id: int, rules: Rules) -> Fragments:
    with asked.database().reading() as session:
        page = build_page(session, build_id, fence=None, rules=rules)
    if page is None:
        return {}
    return {
        "steps": json.dumps(progress.steps(page)),
        "log": json.dumps(progress.log_end(page, asked.settings().logs)),
    }
