"""The people who may log in; each change of one is in the audit trail, and ends what no longer holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from schema.db import audit
from schema.db.models import LoginSession, User
from schema.db.people import passwords
from schema.db.session import now
from schema.errors import UsageError
from schema.people import Role, user_name


def add(session: Session, name: str, role: Role, *, password: str, who: str) -> User:
    """A new person; raise UsageError for a name that is taken, or a password that is no good."""
    name = user_name(name)
    made = User(name=name, role=role, password=passwords.hashed(password, of=name), created_at=now(session))
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise UsageError(f"there is a user {name} already", advice=f"wheelfarm user role {name} ROLE") from None
    _note(session, made, who=who, action="add", after={"role": str(role)})
    return made


def named(session: Session, name: str) -> User:
    """That person, kept from other changes until the transaction ends; raise UsageError."""
    found = session.scalar(select(User).where(User.name == user_name(name)).with_for_update())
    if found is None:
        raise UsageError(f"there is no user {name}", advice="wheelfarm user list names them")
    return found


def everyone(session: Session) -> Sequence[User]:
    """All of them, by name."""
    return session.scalars(select(User).order_by(User.name)).all()


def set_role(session: Session, user: User, role: Role, *, who: str) -> None:
    """What *user* may do from now on; ends every session."""
    before, user.role = user.role, role
    end_sessions(session, user)
    _note(session, user, who=who, action="role", before={"role": before}, after={"role": str(role)})


def set_password(session: Session, user: User, password: str, *, who: str) -> None:
    """Another password; ends every session. Raise UsageError for one that is no good."""
    user.password = passwords.hashed(password, of=user.name)
    end_sessions(session, user)
    _note(session, user, who=who, action="password")


def set_totp(session: Session, user: User, secret: str, *, who: str) -> None:
    """A second factor (base32), or "" for none any more; ends every session where it is taken away."""
    before, user.totp, user.totp_step = user.totp, secret, 0
    if not secret:
        end_sessions(session, user)
    states = {"second factor": "on" if before else "off"}, {"second factor": "on" if secret else "off"}
    _note(session, user, who=who, action="totp", before=states[0], after=states[1])


def disable(session: Session, user: User, *, who: str, disabled: bool = True) -> None:
    """Let *user* in no more, nor any of the tokens, or, without *disabled*, again."""
    before = user.disabled_at
    user.disabled_at = (before or now(session)) if disabled else None
    end_sessions(session, user)
    action = "disable" if disabled else "enable"
    _note(session, user, who=who, action=action, before={"disabled": bool(before)}, after={"disabled": disabled})


def end_sessions(session: Session, user: User) -> None:
    """Have *user* log in anew everywhere."""
    session.flush()
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.id))


def _note(
    session: Session,
    user: User,
    *,
    who: str,
    action: str,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    audit.note(session, who=who, action=action, subject=f"user {user.name}", before=before, after=after)
