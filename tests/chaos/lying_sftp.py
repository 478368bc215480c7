"""What an SSH server answers over SFTP that has a node's host key, and is not the node any more."""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Callable
from pathlib import Path

import paramiko

from tests.hostile_sftp import FILE, FSTAT, LINK, LSTAT, OPEN, READ, Answer, Liar, attributes, data, handle, status

_FOLDER = 0o040755
_EOF, _NO_SUCH_FILE, _PERMISSION_DENIED, _FAILURE = 1, 2, 3, 4
_PIECE_BYTES = 32 * 1024


def _serving(read: Callable[[int], bytes], *, mode: int = FILE) -> Answer:
    """Has every attempt that it is asked for; *read* gives the answer to a read at an offset."""

    def answer(kind: int, body: bytes) -> bytes:
        if kind == LSTAT:
            path = body[4:].decode()
            return attributes(100, mode if "." in posixpath.basename(path) else _FOLDER)
        if kind == FSTAT:
            return attributes(100, mode)
        if kind == OPEN:
            return handle()
        if kind == READ:
            return read(struct.unpack_from(">Q", body, 4 + len(b"h"))[0])
        return status(0)

    return answer


def _only(content: bytes) -> Callable[[int], bytes]:
    return lambda offset: status(_EOF) if offset >= len(content) else data(content[offset : offset + _PIECE_BYTES])


def _empty_outbox(kind: int, body: bytes) -> bytes:
    return attributes(100, _FOLDER) if kind == LSTAT and body.endswith(b"/outbox") else status(_NO_SUCH_FILE)


_ANSWERS: dict[str, Answer] = {
    "says nothing": lambda *_: None,
    "has everything, without an end": _serving(lambda _: data(b" " * _PIECE_BYTES)),
    "has results that are none": _serving(_only(b'["not", {"a": "result"}]')),
    "has results that are deep": _serving(_only(b"[" * 200_000)),
    "has links": _serving(_only(b"{}"), mode=LINK),
    "cannot read": _serving(lambda _: status(_FAILURE)),
    "has nothing": _empty_outbox,
    "has no outbox": lambda *_: status(_NO_SUCH_FILE),
    "forbids everything": lambda *_: status(_PERMISSION_DENIED),
    "fails at everything": lambda *_: status(_FAILURE),
}
_RAW = {"speaks no SFTP": b"\xff" * 64, "sends a packet of 2 GiB": struct.pack(">I", 2**31) + b"\0" * 64}
TALES = (*_ANSWERS, *_RAW)


def server(tale: str, *, host_key: Path | None = None) -> Liar:
    """host_key: the private key that it shows; None: one of its own"""
    key = paramiko.Ed25519Key.from_private_key_file(str(host_key)) if host_key else None
    return Liar(_ANSWERS.get(tale, lambda *_: None), raw=_RAW.get(tale), key=key)
