"""The pages for people, and the few answers for their scripts."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

from flask import Blueprint, Response, abort, current_app, jsonify, redirect, render_template, request, url_for
from packaging.utils import NormalizedName
from werkzeug.wrappers import Response as AnyResponse

from schema.db import audit as audit_trail
from schema.db import repeats
from schema.db.health import open_alarms
from schema.db.why.surroundings import Rules
from schema.errors import NotANameError, UnavailableError
from schema.names import project_name
from schema.printable import one_line
from schema.settings import Settings
from schema.states import BuildState
from web import farm as farms
from web import install, logs, queries
from web.builds import BuildPage, build_page
from web.database import Database
from web.matrix import ROWS, project_page
from web.wheels import WheelPage, wheel_page

pages = Blueprint("pages", __name__)

_TAIL_BYTES = 64 * 1024
_LIVE_TAIL_BYTES = 32 * 1024


@pages.get("/")
def home() -> str:
    """What this farm serves, how to use it, and what it builds now."""
    with _database().reading() as session:
        found = queries.overview(session, rules=_rules())
        alarms = open_alarms(session)
    return render_template("home.html", farm=found, alarms=alarms, **_how_to(name="NAME"))


@pages.get("/project/<name>/")
def project(name: str) -> str | AnyResponse | tuple[str, int]:
    """Versions by platforms; another spelling of the name is sent to the normalised one (I-01)."""
    try:
        normalised = project_name(name)
    except NotANameError:
        abort(HTTPStatus.NOT_FOUND)
    if normalised != name:
        return redirect(url_for("pages.project", name=normalised), HTTPStatus.MOVED_PERMANENTLY)
    settings = _settings()
    with _database().reading() as session:
        found = project_page(
            session,
            normalised,
            farm=settings.farm.platforms,
            files=settings.site / "files",
            rules=_rules(),
            limit=0 if request.args.get("versions") == "all" else ROWS,
        )
    if found is None:
        return render_template("unknown.html", name=normalised), HTTPStatus.NOT_FOUND
    return render_template("project.html", page=found, **_how_to(name=normalised))


@pages.get("/project/<name>/portability.json")
def portability(name: str) -> Response:
    """How each of a project's wheels fared in images that it was not built in: file name → verdicts."""
    with _database().reading() as session:
        found = queries.portability(session, name)
    if found is None:
        abort(HTTPStatus.NOT_FOUND)
    return jsonify(found)


@pages.get("/builds/")
def builds() -> str:
    """The latest builds, by state and platform."""
    state, platform = _text("state"), _text("platform")
    if state not in {"", "open", *BuildState}:
        state = ""
    with _database().reading() as session:
        shown, before = queries.latest_builds(
            session, state=state, platform=platform, before=_number("before"), rules=_rules()
        )
        platforms = {*queries.platforms(session), *map(str, _settings().farm.platforms), platform} - {""}
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
def build(build_id: int) -> str:
    """One build: state, steps, attempts, environment, materials, log."""
    page = _build_page(build_id)
    tail = logs.tail(_log_of(page), limit_bytes=_TAIL_BYTES) if page.attempt else None
    return render_template("build.html", page=page, tail=tail, base=_base())


@pages.get("/build/<int:build_id>/progress.json")
def progress(build_id: int) -> Response:
    """How a running build gets on, and the end of its log; bounded, and inert."""
    page = _build_page(build_id)
    tail = logs.tail(_log_of(page), limit_bytes=_LIVE_TAIL_BYTES) if page.attempt else None
    return jsonify(
        state=page.build.state,
        fence=page.build.fence,
        sentence=page.answer.sentence,
        steps=[
            {"name": step.name, "note": step.note, "seconds": round(step.seconds, 1), "share": step.share}
            | {"running": step.running}
            for step in page.steps
        ],
        repeat=repeats.to_json(page.repeat) if page.repeat else None,
        log=tail.text if tail else "",
        whole=tail.whole if tail else True,
    )


@pages.get("/build/<int:build_id>/log")
def log(build_id: int) -> Response:
    """The whole log as it is, for saving: a browser shows none of it (T26)."""
    page = _build_page(build_id)
    file = _log_of(page) if page.attempt else None
    if file is None or page.attempt is None or not file.is_file():
        abort(HTTPStatus.NOT_FOUND)
    size_bytes = file.stat().st_size
    response = Response(logs.pieces(file, size_bytes), content_type="text/plain; charset=utf-8")
    response.content_length = size_bytes
    response.headers["Content-Disposition"] = f'attachment; filename="build-{build_id}-{page.attempt.fence}.log"'
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


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


@pages.get("/nodes/")
def nodes() -> str:
    """The machines that build."""
    with _database().reading() as session:
        crews = queries.nodes(session, rules=_rules())
    return render_template("nodes.html", crews=crews)


@pages.get("/farm/")
def farm() -> str:
    """How the farm itself does: alarms, long walks, counts, what people did."""
    with _database().reading() as session:
        page = farms.farm_page(session)
    return render_template("farm.html", page=page)


@pages.get("/audit/")
def audit() -> str:
    """What people had the farm do."""
    subject = _text("subject")
    with _database().reading() as session:
        entries = audit_trail.entries(session, limit=farms.PAGE + 1, subject=subject, before=_number("before"))
    more = len(entries) > farms.PAGE
    shown = entries[: farms.PAGE]
    return render_template("audit.html", entries=shown, subject=subject, before=shown[-1].id if more else 0)


@pages.get("/search")
def search() -> str:
    """Projects by name; all of them where nothing is asked for."""
    text = _text("q").strip()[:200]
    with _database().reading() as session:
        found = queries.search(session, text, after=_text("after"))
    return render_template("search.html", text=text, found=found, name=_maybe_name(text))


@pages.get("/healthz")
def health() -> tuple[Response, int]:
    """Whether this front-end can read the database: 200 or 503."""
    try:
        with _database().reading() as session:
            queries.platforms(session)
    except UnavailableError:
        return jsonify(status="no database"), HTTPStatus.SERVICE_UNAVAILABLE
    return jsonify(status="ok"), HTTPStatus.OK


def _settings() -> Settings:
    return cast("Settings", current_app.extensions["settings"])


def _database() -> Database:
    return cast("Database", current_app.extensions["database"])


def _rules() -> Rules:
    return Rules.of(_settings())


def _how_to(*, name: str) -> dict[str, Any]:
    """The views to choose from, the one that is chosen, and its install lines."""
    views = install.views(_settings().farm.platforms)
    chosen = next((view for view in views if view.name == request.args.get("view")), views[0])
    return {"views": views, "chosen": chosen, "ways": install.ways(_base(), chosen, name=name)}


def _base() -> str:
    """The farm's address; where nobody said how people reach it, the one that this reader used, since it works."""
    return _settings().public_url if _settings().web.public_url else request.host_url.rstrip("/")


def _build_page(build_id: int) -> BuildPage:
    fence = _number("attempt") if "attempt" in request.args else None
    if build_id >= 2**31:
        abort(HTTPStatus.NOT_FOUND)
    with _database().reading() as session:
        page = build_page(session, build_id, fence=fence, rules=_rules())
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    return page


def _wheel_page(filename: str) -> WheelPage:
    with _database().reading() as session:
        page = wheel_page(session, filename)
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    return page


def _log_of(page: BuildPage) -> Path:
    return logs.path(_settings().logs, page.build.id, page.attempt.fence if page.attempt else 0)


def _text(key: str) -> str:
    """A text of the query, as a column can hold it: PostgreSQL knows no NUL."""
    return request.args.get(key, "").replace("\0", "")[:255]


def _number(key: str) -> int:
    """A number of the query; 0 where it is none that a row can have."""
    text = request.args.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0  # noqa: PLR2004 - 32 bits hold it


def _maybe_name(text: str) -> NormalizedName | None:
    try:
        return project_name(one_line(text))
    except NotANameError:
        return None
