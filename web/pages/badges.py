"""Badges: small pictures for a README, which say where a project has wheels."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from flask import Response, abort, redirect, render_template, request, url_for
from packaging.utils import NormalizedName
from werkzeug.wrappers import Response as AnyResponse

from schema.errors import NotANameError
from schema.names import project_name
from schema.platforms import Platform
from schema.printable import one_line
from web import badges, lettering
from web.pages import asked
from web.pages.asked import pages
from web.people.needs import needs

_CACHING_S = 300
_LABEL, _TITLE = 40, 300
_SIZE, _PADDING = 11, 6


@pages.get("/badge/<name>.svg")
@needs("reader")
def badge(name: str) -> AnyResponse:
    """On how many of the farm's platforms the newest version has a wheel."""
    normalised = _normalised(name)
    if normalised != name:
        return redirect(url_for("pages.badge", name=normalised), HTTPStatus.MOVED_PERMANENTLY)
    return _picture(normalised, asked.settings().farm.platforms)


@pages.get("/badge/<name>/<place>.svg")
@needs("reader")
def badge_of(name: str, place: str) -> AnyResponse:
    """The same of one platform, or of one view; 404 where the farm has no such."""
    normalised = _normalised(name)
    if normalised != name:
        return redirect(url_for("pages.badge_of", name=normalised, place=place), HTTPStatus.MOVED_PERMANENTLY)
    platforms = [item for item in asked.settings().farm.platforms if place in {str(item), item.view}]
    return _picture(normalised, platforms or abort(HTTPStatus.NOT_FOUND))


def _normalised(name: str) -> NormalizedName:
    try:
        return project_name(name)
    except NotANameError:
        abort(HTTPStatus.NOT_FOUND)


def _picture(name: NormalizedName, platforms: Sequence[Platform]) -> AnyResponse:
    """200 even for a project that nobody asked for: where a badge stands, an error would be a broken picture."""
    with asked.database().reading() as session:
        said = badges.of_project(session, name, platforms)
    label = one_line(asked.settings().farm.name, limit=_LABEL)
    left, right = (round(lettering.width(text, size=_SIZE), 1) for text in (label, said.message))
    title = one_line(f"{label}: {said.title}", limit=_TITLE)
    text = render_template(
        "badge.svg", label=label, title=title, said=said, left=left, right=right, padding=_PADDING, size=_SIZE
    )
    response = Response(text, mimetype="image/svg+xml")
    response.cache_control.max_age = _CACHING_S
    response.add_etag()
    return response.make_conditional(request)
