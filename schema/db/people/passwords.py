"""Passwords: what may be one, and argon2id (RFC 9106), by argon2-cffi's own choice of costs."""

from __future__ import annotations

from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from schema.errors import UsageError

LEAST: Final = 12
MOST: Final = 256

_hasher = PasswordHasher()


def hashed(password: str, *, of: str) -> str:
    """What is kept of the password of the person *of*; raise UsageError for one that is no good."""
    if not LEAST <= len(password) <= MOST:
        raise UsageError(f"a password has {LEAST} to {MOST} characters", advice="several words make a good one")
    if of in password.lower() and len(password) < len(of) + LEAST:
        raise UsageError("the password holds the name", advice="several other words make a good one")
    if len(set(password)) < LEAST // 2:
        raise UsageError("the password has too few different characters", advice="several words make a good one")
    return _hasher.hash(password)


def is_right(kept: str | None, password: str) -> bool:
    """Whether *password* is the one that *kept* was made of; it takes as long where *kept* is None: there is nobody."""
    nobody = _of_nobody()  # whoever guesses a name waits as long as who guesses a password, the first time, too
    try:
        _hasher.verify(kept or nobody, password[: MOST + 1])
    except (Argon2Error, InvalidHashError):
        return False
    return kept is not None


def rehashed(password: str) -> str:
    """What is kept of a password that was good enough when it was set."""
    return _hasher.hash(password)


def is_outdated(kept: str) -> bool:
    """Whether it was made with other costs than are taken today."""
    return _hasher.check_needs_rehash(kept)


@cache
def _of_nobody() -> str:
    """Made when it is needed first: that takes as long as all other starting of a process."""
    return _hasher.hash("nobody has this password, and no account has this hash")
