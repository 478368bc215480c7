"""Tokens: what programs prove themselves with, in a person's name; only their digests are kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from schema.db import audit
from schema.db.models import ApiToken, User
from schema.db.session import now
from schema.errors import UsageError
from schema.people import Role, Scope
from schema.printable import one_line

PREFIX: Final = "wf_"
MOST_DAYS: Final = 366
MOST_TOKENS: Final = 50
_LABEL = 100
_SHOWN = 8
_USED_PAUSE = timedelta(minutes=1)

# The least role that may have a token with a scope.
NEEDED: Final[dict[Scope, Role]] = {
    Scope.READ: Role.VIEWER,
    Scope.JOBS: Role.OPERATOR,
    Scope.NODES: Role.OPERATOR,
    Scope.ADMIN: Role.ADMIN,
}


def digest(secret: str) -> str:
    """What is kept of a token, or of a session's id: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def add(
    session: Session, user: User, label: str, scopes: Collection[Scope], *, days: int, who: str
) -> tuple[ApiToken, str]:
    """A new token and its text, which nobody can be told again; raise UsageError for what *user* may not have."""
    label = one_line(label.strip(), limit=_LABEL)
    if not label:
        raise UsageError("what is the token for?", advice="give it a name, such as ci")
    if not scopes:
        raise UsageError("what may the token be used for?", advice=f"choose of {', '.join(Scope)}")
    if not 1 <= days <= MOST_DAYS:
        raise UsageError(f"a token holds 1 to {MOST_DAYS} days, not {days}")
    for scope in scopes:
        if not Role(user.role).may(NEEDED[scope]):
            raise UsageError(f"{user.name} is {user.role}: too little for a token with the scope {scope}")
    session.execute(select(User.id).where(User.id == user.id).with_for_update())  # two at once would be one too many
    if len(usable(session, user)) >= MOST_TOKENS:
        raise UsageError(f"{user.name} has {MOST_TOKENS} tokens", advice="revoke some of them")
    text, moment = PREFIX + secrets.token_urlsafe(32), now(session)
    made = ApiToken(
        user=user,
        label=label,
        start=text[:_SHOWN],
        digest=digest(text),
        scopes=sorted(str(scope) for scope in scopes),
        created_at=moment,
        expires_at=moment + timedelta(days=days),
    )
    session.add(made)
    session.flush()
    _note(session, made, who=who, action="add")
    return made, text


def usable(session: Session, user: User | None = None) -> Sequence[ApiToken]:
    """Those that were not revoked and have not expired, of *user* or of all, the newest first."""
    found = select(ApiToken).options(joinedload(ApiToken.user))
    found = found.where(ApiToken.revoked_at.is_(None), ApiToken.expires_at > now(session))
    if user is not None:
        found = found.where(ApiToken.user_id == user.id)
    return session.scalars(found.order_by(ApiToken.id.desc())).all()


def revoke(session: Session, number: int, *, who: str, of: User | None = None) -> ApiToken:
    """Let the token of that number be used no more; of: only where it is that person's. Raise UsageError."""
    found = session.get(ApiToken, number, with_for_update=True)
    if found is None or (of is not None and found.user_id != of.id):
        raise UsageError(f"there is no token {number}", advice="wheelfarm token list names them")
    if found.revoked_at is None:
        found.revoked_at = now(session)
        _note(session, found, who=who, action="revoke")
    return found


def holder(session: Session, text: str) -> ApiToken | None:
    """The token that *text* is, if it may be used now."""
    if not text.startswith(PREFIX) or not text.isascii():
        return None
    found = session.scalar(select(ApiToken).where(ApiToken.digest == digest(text)))
    if found is None or found.revoked_at is not None or found.expires_at <= now(session):
        return None
    return found if found.user.disabled_at is None else None


def is_used(session: Session, token: ApiToken) -> bool:
    """Whether its use of now is to be written down: it is, once a minute."""
    return token.used_at is None or token.used_at <= now(session) - _USED_PAUSE


def note_use(session: Session, number: int) -> None:
    """Write down that it was used just now."""
    session.execute(update(ApiToken).where(ApiToken.id == number).values(used_at=now(session)))


def _note(session: Session, token: ApiToken, *, who: str, action: str) -> None:
    after = {"user": token.user.name, "label": token.label, "scopes": " ".join(token.scopes)}
    audit.note(session, who=who, action=action, subject=f"token {token.id}", after=after)
