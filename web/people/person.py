"""The person who asks, by the cookie of a session or, where programs ask, by a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flask import Request

from schema.db.models import ApiToken, LoginSession
from schema.db.people import tokens
from schema.people import Role, Scope
from web.database import Database
from web.people import sessions
from web.people.cookie import cookie

API: Final = "/api/"
METRICS: Final = "/metrics"
_BEARER = "bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is known.

    scopes: of the token; None for a session, which may do all that the role may
    session: the digest of the session's id, "" for a token; form_token: what the session's forms carry
    token: the number of the token, 0 for a session; label: what it is for
    """

    user_id: int
    name: str
    role: Role
    scopes: frozenset[Scope] | None = None
    session: str = ""
    form_token: str = ""
    token: int = 0
    label: str = ""

    @property
    def who(self) -> str:
        """As the audit trail names it."""
        return f"{self.name} (token {self.label})" if self.token else self.name

    def may(self, role: Role, scope: Scope | None = None) -> bool:
        """Whether the role is enough, and the token good for *scope* (None: no token is good for it)."""
        if not self.role.may(role):
            return False
        return self.scopes is None or (scope is not None and bool(self.scopes & {scope, Scope.ADMIN}))


class UnknownTokenError(Exception):
    """Somebody shows a token that is none, or none any more."""


def is_for_programs(path: str) -> bool:
    """Whether who asks there may show a token, and is told in a program's words where it does not do."""
    return path.startswith(API) or path == METRICS


def identify(request: Request, database: Database, *, public_url: str) -> Person | None:
    """Who asks; None for nobody known; raise UnknownTokenError. Without cookie and token no question is asked."""
    shown = request.headers.get("Authorization", "")
    if shown and is_for_programs(request.path):
        return _by_token(shown, database)
    chosen = cookie(request, public_url=public_url)
    session_id = request.cookies.get(chosen.name, "") if chosen else ""
    if not session_id:
        return None
    with database.reading() as session:
        found = sessions.find(session, session_id)
    return _of_session(found, session_id) if found else None


def _of_session(found: LoginSession, session_id: str) -> Person:
    return Person(
        user_id=found.user_id,
        name=found.user.name,
        role=Role(found.user.role),
        session=found.digest,
        form_token=sessions.form_token(session_id),
    )


def _by_token(shown: str, database: Database) -> Person:
    text = shown[len(_BEARER) :].strip() if shown.lower().startswith(_BEARER) else ""
    with database.reading() as session:
        found = tokens.holder(session, text)
        person, is_used = (_of_token(found), tokens.is_used(session, found)) if found else (None, False)
    if person is None:
        raise UnknownTokenError
    if is_used:
        with database.writing() as session:
            tokens.note_use(session, person.token)
    return person


def _of_token(found: ApiToken) -> Person:
    return Person(
        user_id=found.user_id,
        name=found.user.name,
        role=Role(found.user.role),
        scopes=frozenset(Scope(scope) for scope in found.scopes),
        token=found.id,
        label=found.label,
    )
