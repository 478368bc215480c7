"""The front-end: the index for installers, which works without the database, and the pages for people."""

from __future__ import annotations

import hashlib
import logging
from functools import cache
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, render_template, request, url_for
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException, InternalServerError

from schema.errors import UnavailableError
from schema.settings import Settings
from web.api import api
from web.api.problems import of_exception, problem
from web.copies import Copies
from web.database import Database
from web.demand import Demands
from web.downloads import Downloads
from web.index import Index
from web.latency import Latency
from web.live import Live
from web.orders import pages_orders
from web.pages import pages
from web.people import guard, needs
from web.people.account import account
from web.people.entry import people
from web.people.person import API
from web.shown import FILTERS, inert
from web.webhooks import webhooks
from web.write_behind import PAUSE_S

log = logging.getLogger(__name__)

_STATIC = Path(__file__).with_name("static")
_STATIC_CACHING_S = 86400
_REQUEST_BYTES = 64 * 1024  # no page takes more than a short form
_CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_WHAT_HAPPENED = {
    HTTPStatus.FORBIDDEN: "You may not do this, or the form was too old: go back, load the page again, and repeat it.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take that kind of request.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "This is a fault of the farm; its log tells more. The index still works.",
}


def create_app(settings: Settings, *, counts_pause_s: float = PAUSE_S) -> Flask:
    """The WSGI application; it opens nothing before the first request.

    counts_pause_s: how often it is written down what was downloaded, and what was asked for in vain
    """
    app = Flask("web")
    app.config.update(SEND_FILE_MAX_AGE_DEFAULT=_STATIC_CACHING_S, MAX_CONTENT_LENGTH=_REQUEST_BYTES)
    app.extensions["settings"] = settings
    app.extensions["database"] = Database(settings.database_url)
    app.extensions["live"] = Live()
    app.jinja_options = {"finalize": inert, "undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals.update(asset=_asset, farm_name=settings.farm.name, contact=settings.farm.contact)
    app.jinja_env.globals.update(logins=settings.web.logins)
    app.register_blueprint(pages)
    guard.install(app)
    app.register_blueprint(api)
    if settings.web.logins:
        app.register_blueprint(people)
        app.register_blueprint(account)
        app.register_blueprint(pages_orders)
        app.register_blueprint(webhooks)
    app.register_error_handler(HTTPException, _explain)
    app.register_error_handler(UnavailableError, _without_database)
    app.after_request(_secure)
    demands: Demands | None = None
    if settings.watch.demand:
        views = {platform.view for platform in settings.farm.platforms}
        demands = Demands(settings.database_url, views=views, pause_s=counts_pause_s)
    app.extensions["demand"] = demands
    downloads: Downloads | None = None
    if settings.web.downloads:
        downloads = Downloads(settings.database_url, pause_s=counts_pause_s)
    app.extensions["downloads"] = downloads
    copies = Copies(settings, settings.upstream_pages) if settings.web.merged else None
    latency = app.extensions["latency"] = Latency(settings.latency)
    # The index answers first; Flask knows its addresses only to write links to them.
    app.wsgi_app = Index(app.wsgi_app, settings.site, demands, copies, downloads, latency=latency)  # type: ignore[assignment, method-assign]
    for folder in ("files", "constraints"):
        app.add_url_rule(f"/{folder}/<path:name>", endpoint=f"index.{folder}", build_only=True)
    app.view_functions["static"] = needs.needs(None)(app.view_functions["static"])
    needs.check(app)
    return app


@cache
def _asset(name: str) -> str:
    """The address of a file in ``static/``; it changes with the file, so that browsers may keep it."""
    digest = hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]
    return url_for("static", filename=name, v=digest)


def _explain(err: HTTPException) -> tuple[str, int] | Response:
    if request.path.startswith(API):
        return of_exception(err)
    status = HTTPStatus(err.code or InternalServerError.code)
    text = _WHAT_HAPPENED.get(status, f"The farm cannot answer that ({status.phrase.lower()}).")
    return render_template("error.html", title=status.phrase, text=text), status


def _without_database(err: UnavailableError) -> tuple[str, int, dict[str, str]] | Response:
    log.warning("a page could not be made: %s", err)
    if request.path.startswith(API):
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the database does not answer just now", {"Retry-After": "10"})
    text = "The farm's database does not answer just now. Installing still works: the index does not need it."
    page = render_template("error.html", title="No database", text=text)
    return page, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "10"}


def _secure(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype in {"text/html", "application/json"}:
        response.headers.setdefault("Cache-Control", "no-cache")
    return response
