"""Sessions of people who logged in: the browser has the id, the database only its digest."""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from schema.db.models import LoginSession, User
from schema.db.people.tokens import digest
from schema.db.session import now
from web.people.cookie import SESSION_S

_MOST: Final = 20
_LONGEST_ID: Final = 100


def begin(session: Session, user: User) -> str:
    """A new session of *user*; its id. Of many, those that began first end."""
    moment, session_id = now(session), secrets.token_urlsafe(32)
    mine = select(LoginSession.digest).where(LoginSession.user_id == user.id)
    old = session.scalars(mine.order_by(LoginSession.began_at.desc()).offset(_MOST - 1)).all()
    session.execute(delete(LoginSession).where(LoginSession.digest.in_(old)))
    until = moment + timedelta(seconds=SESSION_S)
    session.add(LoginSession(digest=digest(session_id), user_id=user.id, began_at=moment, until=until))
    session.flush()
    return session_id


def find(session: Session, session_id: str) -> LoginSession | None:
    """The session of that id with its user, if it still holds."""
    if len(session_id) > _LONGEST_ID:
        return None
    wanted = select(LoginSession).options(joinedload(LoginSession.user))
    found = session.scalar(wanted.where(LoginSession.digest == digest(session_id)))
    if found is None or found.until <= now(session) or found.user.disabled_at is not None:
        return None
    return found


def end(session: Session, session_digest: str) -> None:
    """Its id opens nothing any more."""
    session.execute(delete(LoginSession).where(LoginSession.digest == session_digest))


def form_token(session_id: str) -> str:
    """What forms of that session carry against forgery: it takes the id to make it, and does not tell it."""
    return hmac.new(session_id.encode(), b"wheelfarm form", "sha256").hexdigest()
