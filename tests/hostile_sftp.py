"""An SSH server on loopback that lets anybody in and speaks SFTP as a test wants: what no honest one answers."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, Self

import paramiko

from master.ssh import HostKey
from master.targets import RemoteOutbox, Target

OPEN, READ, LSTAT, FSTAT = 3, 5, 7, 8
FILE, LINK, PIPE = 0o100644, 0o120777, 0o010644

Answer = Callable[[int, bytes], bytes | None]


def status(code: int) -> bytes:
    return struct.pack(">BI", 101, code) + b"\0" * 8


def handle() -> bytes:
    return struct.pack(">BI", 102, 1) + b"h"


def data(content: bytes) -> bytes:
    return struct.pack(">BI", 103, len(content)) + content


def attributes(size: int, mode: int = FILE) -> bytes:
    return struct.pack(">BIQI", 105, 1 | 4, size, mode)


class Liar:
    """Answers each request by ``answer(kind, body)``: kind and body of the reply without its number, or None: silence.

    raw: what is sent as it stands instead of the version, once the subsystem was asked for
    aside: what is sent as its standard error with each answer
    key: its host key; None: one of its own
    logins: how often anybody tried to log in
    """

    def __init__(
        self, answer: Answer, *, raw: bytes | None = None, aside: bytes = b"", key: paramiko.PKey | None = None
    ) -> None:
        self.answer, self.raw, self.aside = answer, raw, aside
        self.logins = 0
        self._key = key or paramiko.ECDSAKey.generate()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def host_key(self) -> HostKey:
        return HostKey(kind=self._key.get_name(), blob=self._key.asbytes())

    @property
    def target(self) -> Target:
        return Target(user="node", host="127.0.0.1", port=self._listener.getsockname()[1])

    @property
    def outbox(self) -> RemoteOutbox:
        return RemoteOutbox(target=self.target, path="/outbox")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for transport in self._transports:
            transport.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(self._key)
            transport.set_subsystem_handler("sftp", _Session, self)
            self._transports.append(transport)
            transport.start_server(event=threading.Event(), server=_Anybody(self))


class _Anybody(paramiko.ServerInterface):  # type: ignore[misc] # paramiko ships no types
    def __init__(self, liar: Liar) -> None:
        self._liar = liar

    def check_auth_publickey(self, _username: str, _key: Any) -> int:
        self._liar.logins += 1
        return int(paramiko.AUTH_SUCCESSFUL)

    def get_allowed_auths(self, _username: str) -> str:
        return "publickey"

    def check_channel_request(self, _kind: str, _chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


class _Session(paramiko.SubsystemHandler):  # type: ignore[misc]
    def __init__(self, channel: Any, name: str, server: Any, liar: Liar) -> None:
        super().__init__(channel, name, server)
        self._liar = liar

    def start_subsystem(self, _name: str, _transport: Any, channel: Any) -> None:
        with contextlib.suppress(EOFError, OSError):
            self._packet(channel)
            if self._liar.raw is not None:
                channel.sendall(self._liar.raw)
                channel.recv(1)
                return
            channel.sendall(struct.pack(">IBI", 5, 2, 3))
            while True:
                kind, number, body = self._packet(channel)
                reply = self._liar.answer(kind, body)
                channel.sendall_stderr(self._liar.aside)
                if reply is not None:
                    channel.sendall(struct.pack(">I", len(reply) + 4) + reply[:1] + number + reply[1:])

    def _packet(self, channel: Any) -> tuple[int, bytes, bytes]:
        packet = self._bytes(channel, struct.unpack(">I", self._bytes(channel, 4))[0])
        return packet[0], packet[1:5], packet[5:]

    def _bytes(self, channel: Any, length: int) -> bytes:
        read = b""
        while len(read) < length:
            piece = channel.recv(length - len(read))
            if not piece:
                raise EOFError
            read += piece
        return read
