"""Logging in and out."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, abort, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from schema.errors import BusyError, UsageError
from web.pages.asked import database, settings
from web.people import sessions
from web.people.cookie import Cookie, address, cookie
from web.people.guard import own_path, someone
from web.people.login import log_in as begin_session
from web.people.needs import needs
from web.people.throttle import TooOftenError

people = Blueprint("people", "web")


@people.get("/login")
@needs(None)
def log_in() -> str:
    """The form."""
    return _form(next=request.args.get("next", ""))


@people.post("/login")
@needs(None)
def enter() -> AnyResponse | tuple[str, int] | tuple[str, int, dict[str, str]]:
    """Begin a session, and go on to where the person wanted to be."""
    here = _cookie() or abort(HTTPStatus.FORBIDDEN)
    name, password, code, wanted = (request.form.get(key, "") for key in ("name", "password", "code", "next"))
    try:
        session_id = begin_session(database(), name, password, code, address=address(request))
    except TooOftenError as err:
        page = _form(name=name, next=wanted, trouble=str(err))
        return page, HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(err.wait_s)}
    except BusyError as err:
        return _form(name=name, next=wanted, trouble=str(err)), HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "10"}
    except UsageError as err:
        return _form(name=name, next=wanted, trouble=str(err)), HTTPStatus.BAD_REQUEST
    response = redirect(own_path(wanted, otherwise=url_for("pages.home")), HTTPStatus.SEE_OTHER)
    here.set(response, session_id)
    return response


@people.post("/logout")
@needs("viewer")
def leave() -> AnyResponse:
    """End the session here."""
    with database().writing() as session:
        sessions.end(session, someone().session)
    response = make_response(redirect(url_for("pages.home"), HTTPStatus.SEE_OTHER))
    if here := _cookie():
        here.unset(response)
    return response


def _cookie() -> Cookie | None:
    return cookie(request, public_url=settings().public_url)


def _form(*, name: str = "", next: str = "", trouble: str = "") -> str:  # noqa: A002 - as the form calls it
    possible = _cookie() is not None
    return render_template("people/login.html", name=name[:64], next=next[:2000], trouble=trouble, possible=possible)
