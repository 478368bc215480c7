"""Logging in: a password and, for who has set it up, a code (TOTP, RFC 6238) that is good once."""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyotp
from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db.models import User
from schema.db.people import passwords
from schema.errors import BusyError, UsageError
from schema.people import user_name
from schema.printable import one_line
from web.database import Database
from web.people import sessions, throttle

log = logging.getLogger(__name__)

_WRONG = "name, password or code is wrong"
_STEP_S = 30
# argon2id takes 64 MiB and much of a processor for each: a flood of guesses must not take all of the machine.
_AT_ONCE = threading.BoundedSemaphore(2)
_PATIENCE_S = 5.0


def log_in(database: Database, name: str, password: str, code: str, *, address: str) -> str:
    """The id of a new session.

    Raise UsageError where something is wrong, without telling what; TooOftenError; BusyError.
    """
    with database.writing() as session:
        throttle.attempt(session, account=name, address=address)
    with database.reading() as session:
        user = _named(session, name)
    if not is_right(user, password) or user is None:
        log.warning("%s could not log in from %s", one_line(name, limit=64), address)
        raise UsageError(_WRONG)
    with database.writing() as session:
        found = session.scalar(select(User).where(User.id == user.id).with_for_update())
        if found is None or found.password != user.password or found.disabled_at is not None:
            raise UsageError(_WRONG)
        if found.totp and not use_code(found, code):
            log.warning("%s could not log in from %s: the code is wrong", found.name, address)
            raise UsageError(_WRONG)
        if passwords.is_outdated(found.password):
            found.password = passwords.rehashed(password)
        throttle.forgive(session, account=name, address=address)
        session_id = sessions.begin(session, found)
    log.info("%s logged in from %s", user.name, address)
    return session_id


def _named(session: Session, name: str) -> User | None:
    try:
        return session.scalar(select(User).where(User.name == user_name(name)))
    except UsageError:
        return None


def is_right(user: User | None, password: str) -> bool:
    """Whether it is the password of *user*, who may be nobody; raise BusyError while others are looked at."""
    with _one_of_few():
        return passwords.is_right(user.password if user else None, password)


def use_code(user: User, code: str) -> bool:
    """Whether *code* is one of *user*'s second factor that was not used yet; from now on it is."""
    step = step_of(user.totp, code)
    if step is None or step <= user.totp_step:
        return False
    user.totp_step = step
    return True


def step_of(secret: str, code: str) -> int | None:
    """The time step that *code* is of: now, or the one before or after; None for neither."""
    factor, step = pyotp.TOTP(secret), int(time.time()) // _STEP_S
    given = "".join(code.split()).encode()
    near = (number for number in (step, step - 1, step + 1))
    return next((number for number in near if hmac.compare_digest(factor.generate_otp(number).encode(), given)), None)


@contextmanager
def _one_of_few() -> Iterator[None]:
    if not _AT_ONCE.acquire(timeout=_PATIENCE_S):
        raise BusyError("many people log in just now", advice="try again in a minute")
    try:
        yield
    finally:
        _AT_ONCE.release()
