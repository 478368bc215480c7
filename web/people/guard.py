"""Before each view: who asks, whether the request is meant by them, and whether they may.

Against forged requests (CSRF) there are two independent walls: a browser must say that the request comes from our own
pages (Sec-Fetch-Site, or Origin where it does not know that), and what a session changes must carry the token that
only its own pages have. Flask-WTF's would need a second, signed session beside ours; this is all that it would add.
"""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from typing import Any, Final, cast

from flask import Flask, Response, abort, current_app, g, redirect, request, url_for
from markupsafe import Markup
from werkzeug.local import LocalProxy
from werkzeug.wrappers import Response as AnyResponse

from schema.people import MetricsReaders, Role
from schema.sections import WebSection
from web.pages.asked import database, settings
from web.people import needs
from web.people.cookie import is_on_this_machine, is_over_tls
from web.people.person import Person, UnknownTokenError, identify, is_for_programs

FIELD: Final = "csrf"
HEADER: Final = "X-CSRF-Token"
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HSTS: Final = "max-age=31536000"


def install(app: Flask) -> None:
    """Have every request to *app* pass here; the templates get ``person``, ``may`` and ``csrf``."""
    app.before_request(_check)
    app.after_request(_keep_private)
    app.jinja_env.globals.update(person=LocalProxy(asking), may=may, csrf=csrf)


def asking() -> Person | None:
    """Who asks; None for nobody known."""
    return cast("Person | None", g.get("person"))


def someone() -> Person:
    """Who asks, where the view needs somebody."""
    return asking() or abort(HTTPStatus.UNAUTHORIZED)


def may(role: str) -> bool:
    """Whether who asks may do what needs that role."""
    person = asking()
    return person is not None and person.role.may(Role(role))


def csrf() -> Markup:
    """The hidden field that each form of a session must have; nothing for who has no session."""
    person = asking()
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, person.form_token) if person else Markup()


def own_path(text: str, *, otherwise: str) -> str:
    """*text* if it is a path of this server, to go on to after a form; nothing leads from here to somewhere else."""
    plain = text.startswith("/") and text.isprintable() and not any(char in text for char in "\\ ")
    return text if plain and not text.startswith("//") else otherwise


def _check() -> AnyResponse | None:
    g.person = None
    if request.endpoint is None:
        return None  # there is no such address
    farm = settings()
    need = needs.need_of(current_app.view_functions[request.endpoint]) or abort(HTTPStatus.FORBIDDEN)
    if farm.web.logins and (need.role is not None or is_for_programs(request.path)):
        try:
            g.person = identify(request, database(), public_url=farm.public_url)
        except UnknownTokenError:
            abort(_unauthorised("the token is none of this farm's, was revoked, or has expired"))
    if request.method not in _READS:
        _refuse_forged(asking())
    return _let_in(need, asking(), web=farm.web)


def _let_in(need: needs.Need, person: Person | None, *, web: WebSection) -> AnyResponse | None:
    role: Role | None
    if need.role == needs.READER:
        role = None if web.public_pages else Role.VIEWER
    elif need.role == needs.METRICS:
        role = None if _reads_metrics(web.metrics) else Role.VIEWER
    else:
        role = need.role
    if role is None:
        return None
    if person is None:
        return _ask_to_log_in()
    if not person.may(role, need.scope):
        abort(HTTPStatus.FORBIDDEN)
    return None


def _reads_metrics(readers: MetricsReaders) -> bool:
    """Whether it does not matter who asks. What a proxy on this machine hands on does not come from this machine."""
    if readers is MetricsReaders.LOCAL:
        return is_on_this_machine(request) and not {"X-Forwarded-For", "Forwarded"} & set(request.headers.keys())
    return readers is MetricsReaders.PUBLIC


def _refuse_forged(person: Person | None) -> None:
    if person is not None and person.token:
        return  # no browser adds a token by itself
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site != "same-origin":
        abort(HTTPStatus.FORBIDDEN)
    if site is None and origin is not None and origin.partition("://")[2].lower() != request.host.lower():
        abort(HTTPStatus.FORBIDDEN)
    if person is not None:
        shown = request.headers.get(HEADER) or request.form.get(FIELD, "")
        if not hmac.compare_digest(shown.encode(), person.form_token.encode()):
            abort(HTTPStatus.FORBIDDEN)


def _ask_to_log_in() -> AnyResponse:
    if is_for_programs(request.path):
        return _unauthorised("this needs a token, or a session")
    here = request.full_path.rstrip("?") if request.method in _READS else ""
    if not settings().web.logins:
        abort(HTTPStatus.FORBIDDEN)
    return redirect(url_for("people.log_in", next=here or None), HTTPStatus.SEE_OTHER)


def _unauthorised(text: str) -> AnyResponse:
    problem: dict[str, Any] = {"type": "about:blank", "title": "Unauthorized", "status": 401, "detail": text}
    headers = {"WWW-Authenticate": 'Bearer realm="wheelfarm"'}
    return Response(json.dumps(problem), HTTPStatus.UNAUTHORIZED, headers, content_type="application/problem+json")


def _keep_private(response: Response) -> Response:
    """What a page says to one person is kept by no cache, and shown to nobody else."""
    farm = settings()
    if request.endpoint not in {None, "static"}:
        response.vary.add("Cookie")
    if asking() is not None:
        response.headers["Cache-Control"] = "no-store"
    if is_over_tls(request, public_url=farm.public_url):
        response.headers.setdefault("Strict-Transport-Security", _HSTS)
    return response
