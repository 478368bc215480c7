"""Where other machines are: an account over SSH, and an outbox behind SFTP, in the spelling that people type."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from schema.errors import UsageError

SSH_PORT = 22
_SFTP = "sftp://"

# What is printed for people to run goes through a shell: nothing that one obeys, and nothing that begins an option.
_TARGET = re.compile(
    r"(?P<user>[A-Za-z_][A-Za-z0-9_.-]{0,31})@"
    r"(?P<host>\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_PATH = re.compile(r"/[A-Za-z0-9/._+@=-]*")
_MOST_PORTS = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An account on another machine; ``str()`` gives ``USER@HOST[:PORT]`` back."""

    user: str
    host: str
    port: int = SSH_PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError for anything that is not ``USER@HOST[:PORT]``; IPv6 addresses stand in brackets."""
        found = _TARGET.fullmatch(text)
        port = int((found and found["port"]) or SSH_PORT)
        if found is None or not 1 <= port <= _MOST_PORTS:
            raise UsageError(
                f"not an account to reach by SSH: {text!r}", advice="write it as USER@HOST or USER@HOST:PORT"
            )
        return cls(user=found["user"], host=found["host"].strip("[]"), port=port)

    def __str__(self) -> str:
        return f"{self.user}@{self.place}"

    @property
    def place(self) -> str:
        """The machine without the account."""
        return place(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOutbox:
    """An outbox behind SFTP; ``str()`` gives ``sftp://USER@HOST[:PORT]/PATH`` back.

    path: absolute, as the account sees it: where it is locked into a folder, from that folder on
    """

    target: Target
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError."""
        account, slash, path = text.removeprefix(_SFTP).partition("/")
        if not text.startswith(_SFTP) or not _PATH.fullmatch(slash + path) or ".." in path.split("/"):
            raise UsageError(
                f"not an outbox behind SFTP: {text!r}",
                advice="write it as sftp://USER@HOST/PATH, of letters, digits and . _ + @ = - alone",
            )
        return cls(target=Target.parse(account), path=posixpath.normpath("/" + path.lstrip("/")))

    def __str__(self) -> str:
        return f"{_SFTP}{self.target}{self.path}"


def outbox(text: str) -> Path | RemoteOutbox:
    """The outbox that *text* names: a folder of this machine, or one behind SFTP; raise UsageError."""
    if "://" in text:
        return RemoteOutbox.parse(text)
    return Path(text)


def place(host: str, port: int) -> str:
    """A machine's SSH server as people know it: ``HOST[:PORT]``."""
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port == SSH_PORT else f"{bracketed}:{port}"
