"""Read files over SFTP (version 3, draft-ietf-secsh-filexfer-02): so much of it as taking from an outbox needs.

paramiko's own client takes packets of any size, holds in memory what it has read ahead, and leaves a thread behind
where a connection dies; here whoever is at the other end may be hostile, so each of these has a limit.
"""

from __future__ import annotations

import stat
import struct
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

import paramiko

from master.ssh import limited, reaching
from master.targets import Target
from schema.errors import TransferError, UnreachableError, WireError
from schema.printable import one_line

# Kinds of packets, bits of attributes and of a file's opening, codes of a status.
_INIT, _VERSION, _OPEN, _CLOSE, _READ, _LSTAT, _FSTAT = 1, 2, 3, 4, 5, 7, 8
_STATUS, _HANDLE, _DATA, _ATTRS = 101, 102, 103, 105
_SIZE, _OWNER, _MODE, _FOR_READING = 1, 2, 4, 1
_EOF, _NO_SUCH_FILE, _PERMISSION_DENIED = 1, 2, 3

_READ_BYTES = 32 * 1024  # what every server gives at once
_AHEAD = 64  # such requests under way: 2 MiB, as large as paramiko's window
_PACKET_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a server says of a file; None where it does not say."""

    size_bytes: int | None
    mode: int | None

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file: no link, pipe, device or folder."""
        return self.mode is not None and stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.mode is not None and stat.S_ISDIR(self.mode)


@contextmanager
def opened(transport: paramiko.Transport, target: Target, *, silence_s: float) -> Iterator[Reader]:
    """Speak SFTP over a connection that is logged in; raise UnreachableError."""
    with reaching(target), limited(transport, silence_s):
        channel = transport.open_session(timeout=silence_s)
        channel.set_combine_stderr(True)  # what nobody reads would pile up; where it is read it makes no sense
        channel.invoke_subsystem("sftp")
        reader = Reader(channel, target, silence_s=silence_s)
        reader.greet()
    yield reader


class Reader:
    """One session of SFTP; whatever does not answer as the protocol says raises WireError, and is then not used again.

    silence_s: so long may one packet take, in seconds, until it is there whole; then UnreachableError
    """

    def __init__(self, channel: paramiko.Channel, target: Target, *, silence_s: float) -> None:
        self._channel, self._target, self._silence_s = channel, target, silence_s
        self._number = 0
        self._asked: set[int] = set()
        self._unwanted: set[int] = set()
        self._answers: dict[int, tuple[int, bytes]] = {}

    def greet(self) -> None:
        """Agree on the version."""
        with reaching(self._target):
            self._channel.settimeout(self._silence_s)
            self._channel.sendall(struct.pack(">IBI", 5, _INIT, 3))
        kind, body = self._packet()
        if (kind, body[:4]) != (_VERSION, b"\0\0\0\3"):
            raise WireError(f"{self._target.place} does not speak version 3 of SFTP")

    def look(self, path: str) -> Attributes | None:
        """What is there, without following a link; None: nothing."""
        kind, body = self._ask(_LSTAT, _string(path.encode()))
        return self._attributes(path, kind, body)

    def chunks(self, path: str, *, limit_bytes: int, offset: int = 0) -> Iterator[bytes]:
        """The bytes of the file from *offset* on, as they come, many requests ahead of what was read.

        Raise WireError where it is no plain file or said to be larger, TransferError where it cannot be read further.
        The size is only what was said: there may come more.
        """
        handle, size = self._open(path, limit_bytes)
        try:
            yield from self._read(path, handle, offset, size)
        finally:
            with suppress(UnreachableError):
                self._unwanted.add(self._send(_CLOSE, _string(handle)))

    def _open(self, path: str, limit_bytes: int) -> tuple[bytes, int]:
        """A pipe must never be opened; and what is opened then may be another file than what was looked at."""
        _size_of_plain(path, self.look(path), limit_bytes)
        kind, body = self._ask(_OPEN, _string(path.encode()), struct.pack(">II", _FOR_READING, 0))
        if kind != _HANDLE:
            self._fault(path, kind, body)
        handle = _of_string(path, body)
        kind, body = self._ask(_FSTAT, _string(handle))
        return handle, _size_of_plain(path, self._attributes(path, kind, body), limit_bytes)

    def _read(self, path: str, handle: bytes, offset: int, ends: int) -> Iterator[bytes]:
        """Up to where the file was said to end, requests run ahead; from there on one at a time, up to its true end."""
        ahead: deque[tuple[int, int, int]] = deque()  # number, offset, length

        def ask(at: int, length: int) -> tuple[int, int, int]:
            return self._send(_READ, _string(handle), struct.pack(">QI", at, length)), at, length

        try:
            while True:
                while not ahead or (len(ahead) < _AHEAD and offset < ends):
                    ahead.append(ask(offset, _READ_BYTES))
                    offset += _READ_BYTES
                number, at, length = ahead.popleft()
                data = _of_read(path, *self._answer(number), most=length)
                if not data:
                    return
                yield data
                if len(data) < length:
                    ahead.appendleft(ask(at + len(data), length - len(data)))
        finally:
            for number, _, _ in ahead:
                self._asked.discard(number)
                if self._answers.pop(number, None) is None:
                    self._unwanted.add(number)

    def _ask(self, kind: int, *parts: bytes) -> tuple[int, bytes]:
        return self._answer(self._send(kind, *parts))

    def _send(self, kind: int, *parts: bytes) -> int:
        self._number = (self._number + 1) % 2**32
        body = struct.pack(">BI", kind, self._number) + b"".join(parts)
        with reaching(self._target):
            self._channel.settimeout(self._silence_s)
            self._channel.sendall(struct.pack(">I", len(body)) + body)
        self._asked.add(self._number)
        return self._number

    def _answer(self, number: int) -> tuple[int, bytes]:
        """The answer to that request; others that come first are kept until they are asked for."""
        while number not in self._answers:
            kind, body = self._packet()
            (came,) = struct.unpack(">I", body[:4])
            if came in self._unwanted:
                self._unwanted.discard(came)
            elif came in self._asked and came not in self._answers:
                self._answers[came] = (kind, body[4:])
            else:
                raise WireError(f"{self._target.place} answers what it was not asked over SFTP")
        self._asked.discard(number)
        return self._answers.pop(number)

    def _packet(self) -> tuple[int, bytes]:
        until = time.monotonic() + self._silence_s
        (length,) = struct.unpack(">I", self._bytes(4, until))
        if not 5 <= length <= _PACKET_BYTES:  # noqa: PLR2004 - kind and number
            raise WireError(f"{self._target.place} sends a packet of {length} bytes over SFTP")
        packet = self._bytes(length, until)
        return packet[0], packet[1:]

    def _bytes(self, length: int, until: float) -> bytes:
        read = bytearray()
        with reaching(self._target):
            while len(read) < length:
                left_s = until - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError(f"it says nothing for {self._silence_s:g} s")
                self._channel.settimeout(left_s)
                try:
                    piece = self._channel.recv(length - len(read))
                except TimeoutError:
                    continue
                if not piece:
                    raise EOFError("the connection ended")
                read += piece
        return bytes(read)

    def _attributes(self, path: str, kind: int, body: bytes) -> Attributes | None:
        if kind == _STATUS and _code(body) == _NO_SUCH_FILE:
            return None
        if kind != _ATTRS:
            self._fault(path, kind, body)
        try:
            (flags,) = struct.unpack_from(">I", body)
            size = struct.unpack_from(">Q", body, 4)[0] if flags & _SIZE else None
            before_mode = 4 + (8 if flags & _SIZE else 0) + (8 if flags & _OWNER else 0)
            mode = struct.unpack_from(">I", body, before_mode)[0] if flags & _MODE else None
        except struct.error as err:
            raise WireError(f"{path}: {self._target.place} says nonsense of it over SFTP") from err
        return Attributes(size_bytes=size, mode=mode)

    def _fault(self, path: str, kind: int, body: bytes) -> NoReturn:
        """Raise what an answer means that gives no file."""
        if kind != _STATUS:
            raise WireError(f"{path}: {self._target.place} answers something else over SFTP (kind {kind})")
        if _code(body) in {_NO_SUCH_FILE, _PERMISSION_DENIED}:
            raise WireError(f"{path}: cannot be taken: {_said(body)}")
        raise UnreachableError(f"{path}: {self._target.place} cannot give it now: {_said(body)}")


def _size_of_plain(path: str, found: Attributes | None, limit_bytes: int) -> int:
    """What a server says of a file's size, 0 where it does not say; raise WireError for all that cannot be taken."""
    if found is None:
        raise WireError(f"{path}: cannot be taken: there is no such file")
    if not found.is_file:
        raise WireError(f"{path}: not a plain file")
    size = found.size_bytes or 0
    if size > limit_bytes:
        raise WireError(f"{path}: {size} bytes; at most {limit_bytes} are taken")
    return size


def _of_read(path: str, kind: int, body: bytes, *, most: int) -> bytes:
    """The bytes of an answer; none at the end of the file."""
    if kind == _DATA:
        data = _of_string(path, body)
        if not 0 < len(data) <= most:
            raise WireError(f"{path}: {len(data)} bytes came where {most} were asked for")
        return data
    if kind != _STATUS:
        raise WireError(f"{path}: answered with something else over SFTP (kind {kind})")
    if _code(body) == _EOF:
        return b""
    raise TransferError(f"{path}: cannot be read: {_said(body)}")


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _of_string(path: str, body: bytes) -> bytes:
    length = int.from_bytes(body[:4])
    if len(body) != 4 + length:
        raise WireError(f"{path}: an answer over SFTP that is cut short")
    return body[4:]


def _code(body: bytes) -> int:
    return int.from_bytes(body[:4])


def _said(body: bytes) -> str:
    """The message of a status, which may be anything."""
    text = body[8 : 8 + int.from_bytes(body[4:8])].decode("utf-8", "replace")
    return one_line(text, limit=100) or f"status {_code(body)}"
