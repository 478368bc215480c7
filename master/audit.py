"""The audit trail: each thing that a person has the farm do leaves a row, written with the change itself."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from schema.db.models import AuditEntry
from schema.db.session import now
from schema.printable import one_line

# The subject of what concerns the farm as a whole.
FARM = "farm"

_LOGIN = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN = 2**32 - 1
_WHO_CHARACTERS = 255
_REASON_CHARACTERS = 1000


def note(
    session: Session,
    *,
    who: str,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Add an entry to the transaction that makes the change.

    subject: ``build 12``, ``node pi4``, ``project numpy``, ``list NAME`` or ``farm``
    before, after: of what changed, as plain data
    """
    session.add(
        AuditEntry(
            at=now(session),
            who=one_line(who, limit=_WHO_CHARACTERS),
            action=action,
            subject=one_line(subject, limit=_WHO_CHARACTERS),
            before=dict(before or {}),
            after=dict(after or {}),
            reason=one_line(reason, limit=_REASON_CHARACTERS),
        )
    )


def person() -> str:
    """Who runs this process: ``ada@host``, or ``ada as root@host`` where ada logged in and then became root."""
    runs_as = _name(os.getuid())
    login = _login_uid()
    name = runs_as if login in {None, os.getuid()} else f"{_name(login or 0)} as {runs_as}"
    return f"{name}@{socket.gethostname()}"


def _login_uid() -> int | None:
    """Who logged in: the kernel knows, whatever was run since; where it does not, root may believe sudo."""
    try:
        uid = int(_LOGIN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        uid = _NOBODY_LOGGED_IN
    if uid != _NOBODY_LOGGED_IN:
        return uid
    sudo = os.environ.get("SUDO_UID", "")
    return int(sudo) if os.geteuid() == 0 and sudo.isdecimal() else None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"
