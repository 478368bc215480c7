"""The audit trail as the command line writes it: ``note``, and who the person is that runs this process."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

from schema.db.audit import note

__all__ = ["FARM", "note", "person"]

# The subject of what concerns the farm as a whole.
FARM = "farm"

_LOGIN = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN = 2**32 - 1


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
