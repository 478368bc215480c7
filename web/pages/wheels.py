"""A wheel: what is in it, for people and for scripts."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, abort, jsonify, render_template

from web.pages import asked
from web.pages.asked import pages
from web.wheels import WheelPage, wheel_page


@pages.get("/wheel/<filename>/")
def wheel(filename: str) -> str:
    """What is in a wheel, what it needs, and where it can run."""
    return render_template("wheel.html", page=_wheel_page(filename))


@pages.get("/wheel/<filename>/anatomy.json")
def wheel_anatomy(filename: str) -> Response:
    """The same for scripts: what ``wheelfarm anatomy --json`` says; 404 where the wheel was not examined yet."""
    page = _wheel_page(filename)
    if page.found is None:
        abort(HTTPStatus.NOT_FOUND)
    return jsonify(page.found)


def _wheel_page(filename: str) -> WheelPage:
    with asked.database().reading() as session:
        page = wheel_page(session, filename)
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    return page
