"""The index for installers: the tree that the master rendered, served from disk without the database (I-28, R13).

The app that registers ``index`` says where the tree is: ``app.config["SITE"]``, a folder. Where it has an extension
``demand`` (``web.demand.Demands``), that is told of each project's page that is not there; nothing waits for it.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import quote

from flask import Blueprint, Response, current_app, request
from flask.blueprints import BlueprintSetupState

from schema.errors import NotANameError
from schema.names import project_name
from web import accept, files
from web.accept import Form
from web.shelf import Shelf

index = Blueprint("index", __name__)

# A minute: a burst of runs asks once, and yet a new wheel is seen, and a yanked one gone, while one still waits for it.
# pip from 26.2 on and uv trust it without a request (I-10).
_PAGE_CACHING = "public, max-age=60"
_LATER_CACHING = "public, max-age=86400"
_SECURITY = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}

_VIEW = re.compile(r"[a-z0-9]{1,40}-[a-z0-9_]{1,40}")
_PLATFORM_FILE = re.compile(r"[a-z0-9]{1,40}-[a-z0-9_]{1,40}-[a-z0-9]{1,40}\.txt")
_OURS = re.compile(r"/(?:[a-z0-9]+-[a-z0-9_]+/+)?simple(?:/.*)?|/(?:files|constraints)/.*", re.DOTALL)
_NORMALISED = re.compile(r"(?=.{1,200}\Z)[a-z0-9]+(-[a-z0-9]+)*")  # a file system takes 255 bytes


@index.record_once
def _set_up(state: BlueprintSetupState) -> None:
    state.app.extensions["site"] = Shelf(state.app.config["SITE"])


@index.before_app_request
def _tidy_path() -> Response | None:
    """Send ``//`` and a missing slash at a page's end to the tidy path (I-02).

    Before Flask's routing, which would answer with an absolute URL: behind a proxy that may name another scheme (I-26).
    """
    path = request.path
    if not _OURS.fullmatch(path):
        return None
    tidy = re.sub("/{2,}", "/", path)
    if not tidy.startswith(("/files/", "/constraints/")) and not tidy.endswith("/"):
        tidy += "/"
    return _elsewhere(tidy) if tidy != path else None


@index.get("/simple/", defaults={"view": "", "rest": ""})
@index.get("/simple/<path:rest>", defaults={"view": ""})
@index.get("/<view>/simple/", defaults={"rest": ""})
@index.get("/<view>/simple/<path:rest>")
def page(view: str, rest: str) -> Response:
    """The list of projects, or the files of one; ``Accept`` or ``?format=`` says in which form."""
    if view and not _VIEW.fullmatch(view):
        return _nothing("view")
    name = rest.rstrip("/")
    if name and (normalised := _normalised(name)) != name:
        return _elsewhere(f"/{view}/simple/{normalised}/".replace("//", "/")) if normalised else _nothing("project")
    folder = "/".join(part for part in (view, "simple", name) if part)
    asked = request.args.get("format")
    chosen = accept.form(request.headers.get("Accept")) if asked is None else accept.named_form(asked)
    if chosen is None:
        return _not_acceptable()
    response = _leaf(f"{folder}/index.{'json' if chosen is Form.JSON else 'html'}", chosen)
    if response is None and name and (demands := current_app.extensions.get("demand")):
        demands.count(name, view)
    return response or _nothing("project")


@index.get("/constraints/<path:name>")
def constraints(name: str) -> Response:
    """What is held back on a platform, as a constraints file for pip and uv."""
    found = _leaf(f"constraints/{name}", "text/plain; charset=utf-8") if _PLATFORM_FILE.fullmatch(name) else None
    return found or _nothing("platform")


@index.get("/authority.pem")
def authority() -> Response:
    """The certificate that every signature of this farm ends in."""
    return _leaf("authority.pem", "application/x-pem-file") or _nothing("certificate")


@index.get("/files/<path:name>")
def file(name: str) -> Response:
    """A wheel, its METADATA or its provenance; such a name never means other bytes (I-22)."""
    return files.send(_shelf().folder / "files", name) or _nothing("file")


@index.after_request
def _secure(response: Response) -> Response:
    response.headers.update(_SECURITY)
    return response


def _shelf() -> Shelf:
    found = current_app.extensions["site"]
    assert isinstance(found, Shelf)  # noqa: S101 - put there by _set_up; stated for mypy
    return found


def _normalised(name: str) -> str:
    """Empty if *name* is not a project's name."""
    try:
        normalised = project_name(name)
    except NotANameError:
        return ""
    return normalised if _NORMALISED.fullmatch(normalised) else ""


def _leaf(name: str, content_type: str) -> Response | None:
    """A small file as a whole; 304 for who has it already."""
    shelf = _shelf()
    gzipped = shelf.read(f"{name}.gz") if accept.takes_gzip(request.headers.get("Accept-Encoding")) else None
    leaf = gzipped or shelf.read(name)
    if leaf is None:
        return None
    response = Response(leaf.data, content_type=content_type)
    if gzipped:
        response.content_encoding = "gzip"
    # One page as text/html and as v1+html has the same bytes; a strong ETag must tell them apart all the same.
    response.set_etag(f"{leaf.digest}-v1" if content_type == Form.HTML else leaf.digest)
    response.headers["Cache-Control"] = _PAGE_CACHING
    response.headers["Vary"] = "Accept, Accept-Encoding"  # I-09: on 304 too
    response.make_conditional(request)
    return response


def _elsewhere(path: str) -> Response:
    """A permanent redirect to another path of this server; the query stays."""
    query = quote(request.query_string.decode("latin-1"), safe="%&=?/:;+$,@!~*'()[]")
    response = Response(status=HTTPStatus.MOVED_PERMANENTLY, content_type="text/plain")
    response.headers.update(_SECURITY)
    response.headers["Location"] = quote(path) + (f"?{query}" if query else "")
    response.headers["Cache-Control"] = _LATER_CACHING
    return response


def _nothing(what: str) -> Response:
    """404: an installer goes on to its next index (I-03); not kept, so that a wheel is seen as soon as it is there."""
    response = Response(f"no such {what} here\n", HTTPStatus.NOT_FOUND, content_type="text/plain")
    response.headers["Cache-Control"] = "no-cache"
    return response


def _not_acceptable() -> Response:
    text = "this page comes as: " + ", ".join(Form) + "\n"
    response = Response(text, HTTPStatus.NOT_ACCEPTABLE, content_type="text/plain")
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response
