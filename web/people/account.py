"""A person's own account: password, second factor, tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import pyotp
import segno
from flask import Blueprint, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from schema.db.models import LoginSession, User
from schema.db.people import passwords, tokens, users
from schema.errors import BusyError, UsageError
from schema.people import Scope
from web.pages.asked import database, settings
from web.people import login, sessions, throttle
from web.people.cookie import address, cookie
from web.people.guard import someone
from web.people.needs import needs

account = Blueprint("account", "web", url_prefix="/account")

_WRONG: Final = "the password is wrong"
_Page = tuple[str, int]


@dataclass(frozen=True, slots=True)
class NewTotp:
    """A second factor that is being set up. secret: base32; image: a QR code, as the address of its bytes."""

    secret: str
    image: str


@account.get("/")
@needs("viewer")
def show() -> str:
    """What the person has, and what can be done."""
    return _page()


@account.post("/password")
@needs("viewer")
def change_password() -> AnyResponse | _Page:
    """Another password; everywhere else the person is logged out."""
    person = someone()

    def change(session: Session) -> str:
        user = _known(session)
        users.set_password(session, user, request.form.get("new", ""), who=person.who)
        return sessions.begin(session, user)

    try:
        _prove()
        with database().writing() as session:
            session_id = change(session)
    except (UsageError, BusyError, throttle.TooOftenError) as err:
        return _page(trouble=str(err)), HTTPStatus.BAD_REQUEST
    response = make_response(redirect(url_for("account.show"), HTTPStatus.SEE_OTHER))
    if here := cookie(request, public_url=settings().public_url):
        here.set(response, session_id)
    return response


@account.post("/totp")
@needs("viewer")
def begin_totp() -> AnyResponse:
    """Make a secret, which counts once the person has shown a code of it."""
    with database().writing() as session:
        session.get_one(LoginSession, someone().session).new_totp = pyotp.random_base32()
    return _back()


@account.post("/totp/confirm")
@needs("viewer")
def confirm_totp() -> AnyResponse | _Page:
    """From now on logging in takes a code."""

    def confirm(session: Session) -> None:
        row, user = session.get_one(LoginSession, someone().session), _known(session)
        step = login.step_of(row.new_totp, request.form.get("code", "")) if row.new_totp else None
        if step is None:
            raise UsageError("the code is wrong", advice="is the clock of your device right?")
        users.set_totp(session, user, row.new_totp, who=someone().who)
        user.totp_step, row.new_totp = step, ""

    return _changed(confirm)


@account.post("/totp/end")
@needs("viewer")
def end_totp() -> AnyResponse | _Page:
    """Logging in takes no code any more."""

    def end(session: Session) -> None:
        users.set_totp(session, _known(session), "", who=someone().who)

    return _changed(end, proof=True)


@account.post("/tokens")
@needs("viewer")
def add_token() -> str | _Page:
    """Make a token; its text is on the answer only."""
    try:
        scopes = {Scope(text) for text in request.form.getlist("scopes")}
        days = int(request.form.get("days", ""))
    except ValueError:
        return _page(trouble="the form was not filled in as it should be"), HTTPStatus.BAD_REQUEST
    person = someone()
    try:
        with database().writing() as session:
            label = request.form.get("label", "").replace("\0", "")
            _, text = tokens.add(session, _known(session), label, scopes, days=days, who=person.who)
    except UsageError as err:
        return _page(trouble=str(err)), HTTPStatus.BAD_REQUEST
    return _page(secret=text)


@account.post("/tokens/<int(max=2147483647):number>/revoke")
@needs("viewer")
def revoke_token(number: int) -> AnyResponse | _Page:
    """Have the token open nothing any more."""

    def revoke(session: Session) -> None:
        tokens.revoke(session, number, who=someone().who, of=_known(session))

    return _changed(revoke)


def _changed(change: Callable[[Session], None], *, proof: bool = False) -> AnyResponse | _Page:
    """Do it, and show the account again; proof: only with the password."""
    try:
        if proof:
            _prove()
        with database().writing() as session:
            change(session)
    except (UsageError, BusyError, throttle.TooOftenError) as err:
        return _page(trouble=str(err)), HTTPStatus.BAD_REQUEST
    return _back()


def _prove() -> None:
    """Whoever found an open browser does not know the password: raise UsageError, and count it like a login."""
    name, at = someone().name, address(request)
    with database().writing() as session:
        throttle.attempt(session, account=name, address=at)
        user = _known(session)
    if not login.is_right(user, request.form.get("password", "")):
        raise UsageError(_WRONG)
    with database().writing() as session:
        throttle.forgive(session, account=name, address=at)


def _known(session: Session) -> User:
    return users.named(session, someone().name)


def _back() -> AnyResponse:
    return redirect(url_for("account.show"), HTTPStatus.SEE_OTHER)


def _page(*, trouble: str = "", secret: str = "") -> str:
    person = someone()
    with database().reading() as session:
        user = session.get_one(User, person.user_id)
        row = session.get(LoginSession, person.session)
        usable = tokens.usable(session, user)
    return render_template(
        "people/account.html",
        user=user,
        tokens=usable,
        scopes=tokens.NEEDED,
        most_days=tokens.MOST_DAYS,
        least=passwords.LEAST,
        new_totp=_new_totp(row.new_totp, person.name) if row and row.new_totp else None,
        trouble=trouble,
        secret=secret,
    )


def _new_totp(secret: str, name: str) -> NewTotp:
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=settings().farm.name)
    return NewTotp(secret=secret, image=segno.make(uri, micro=False).svg_data_uri(scale=4))
