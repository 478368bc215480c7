"""The streams that keep an open page up to date."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from flask import Flask, Response, abort, current_app, render_template, request
from sqlalchemy.orm import Session

from schema.db.why.surroundings import Rules
from schema.errors import UnavailableError
from web import queries, queue
from web.live import RETRY_S, Fragments, Live
from web.overview import overview
from web.pages import asked
from web.pages.asked import pages


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
def events() -> Response:
    """Fragments of the page *topic* whenever they change; 503 where too many listen already: then the page polls."""
    topic = request.args.get("topic", "")
    if topic not in _TOPICS:
        abort(HTTPStatus.NOT_FOUND)
    app = cast("Flask", current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - as Flask tells to
    live = cast("Live", app.extensions["live"])
    rules = asked.rules()
    stream = live.stream(topic, lambda: _rendered(app, topic, rules))
    if stream is None:
        answer = Response("too many follow the farm live; this page asks again from time to time\n", 503)
        answer.headers["Retry-After"] = str(RETRY_S)
        return answer
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(stream, mimetype="text/event-stream", headers=headers)


def _rendered(app: Flask, topic: str, rules: Rules) -> Fragments:
    """Nothing while the database does not answer: the listener keeps what it sees."""
    read, names = _TOPICS[topic]
    with app.test_request_context("/"):
        try:
            with asked.database().reading() as session:
                found = read(session, rules)
                return {name: render_template("live.html", part=name, **found) for name in names}
        except UnavailableError:
            return {}
