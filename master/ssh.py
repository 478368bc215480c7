"""Connections over SSH to nodes that may be hostile: to the pinned host key only, and with a limit on everything."""

from __future__ import annotations

import base64
import binascii
import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Self

import paramiko
from paramiko.packet import Packetizer

from master.targets import Target
from schema.errors import HostKeyError, TrustError, UnreachableError
from schema.names import NodeName
from schema.printable import one_line

# How long the other side may keep silent, in seconds, before the connection counts as dead.
SILENCE_S = 30.0
_CONNECT_S = 10.0
_KEEPALIVE_S = 15
# OpenSSH sends at most 32 KiB of data in a packet; the protocol allows 4 GiB, and paramiko would take them.
_PACKET_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """By what a machine proves to be itself; ``str()`` is ``KIND BASE64``, as in ``known_hosts`` without the host."""

    kind: str
    blob: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise TrustError."""
        try:
            kind, encoded = text.split()
            return cls(kind=kind, blob=base64.b64decode(encoded, validate=True))
        except (ValueError, binascii.Error) as err:
            raise TrustError(f"not an SSH host key: {text[:80]!r}") from err

    def __str__(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode('ascii')}"

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it: ``SHA256:`` and base64 without padding."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii")
        return f"SHA256:{digest.rstrip('=')}"


class _Packets(Packetizer):  # type: ignore[misc] # paramiko ships no types
    def read_all(self, n: int, check_rekey: bool = False) -> bytes:  # noqa: FBT001, FBT002 - paramiko's signature
        if n > _PACKET_BYTES:
            raise paramiko.SSHException(f"a packet of {n} bytes; at most {_PACKET_BYTES} are taken")
        read: bytes = super().read_all(n, check_rekey)
        return read


def shown_host_key(target: Target, *, silence_s: float = SILENCE_S) -> HostKey:
    """The host key that *target* shows; nobody logs in. Raise UnreachableError."""
    with ExitStack() as stack, reaching(target):
        return _shown(stack.enter_context(_started(target, kind=None, silence_s=silence_s)))


@contextmanager
def connected(
    target: Target, *, node: NodeName, pinned: HostKey, key: paramiko.PKey, silence_s: float = SILENCE_S
) -> Iterator[paramiko.Transport]:
    """Log in with *key* where the *pinned* host key is shown; raise HostKeyError where another is, UnreachableError."""
    with ExitStack() as stack:
        with reaching(target):
            transport = stack.enter_context(_started(target, kind=pinned.kind, silence_s=silence_s))
            shown = _shown(transport)
            if shown != pinned:
                raise HostKeyError(node, target.place, pinned=pinned.fingerprint, shown=shown.fingerprint)
            _log_in(transport, target, key)
            transport.set_keepalive(_KEEPALIVE_S)
        yield transport


@contextmanager
def reaching(target: Target) -> Iterator[None]:
    """What paramiko and the network raise in here becomes UnreachableError."""
    try:
        yield
    except (OSError, EOFError, paramiko.SSHException) as err:
        reason = one_line(str(err), limit=200) or "the connection ended"
        raise UnreachableError(f"{target.place} does not answer over SSH: {reason}") from err


@contextmanager
def limited(transport: paramiko.Transport, seconds: float) -> Iterator[None]:
    """Close the connection if what is done here takes longer: paramiko waits for some answers without a limit."""
    timer = threading.Timer(seconds, transport.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _started(target: Target, *, kind: str | None, silence_s: float) -> Iterator[paramiko.Transport]:
    """A connection whose keys are exchanged; nobody is logged in."""
    address = (target.host, target.port)
    with socket.create_connection(address, timeout=min(_CONNECT_S, silence_s)) as connection:
        # Many small requests are under way at once; none shall wait for the answer to the one before.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(connection, packetizer_class=_Packets)
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = silence_s
        transport.channel_timeout = silence_s
        if kind is not None:
            _prefer(transport, kind)
        try:
            transport.start_client(timeout=silence_s)
            if not transport.initial_kex_done:
                raise UnreachableError(f"{target.place} says nothing for {silence_s:g} s")
            yield transport
        finally:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # ends paramiko's thread, which else looks up ten times a second
            transport.close()
            transport.join(1)


def _log_in(transport: paramiko.Transport, target: Target, key: paramiko.PKey) -> None:
    try:
        left = transport.auth_publickey(target.user, key)
    except paramiko.AuthenticationException as err:
        if not transport.is_active():
            raise UnreachableError(f"{target.place} ended the connection at the login of {target.user}") from err
        own = HostKey(kind=key.get_name(), blob=key.asbytes()).fingerprint
        raise UnreachableError(
            f"{target} does not let in the key {own}",
            advice=f"its public half belongs into ~/.ssh/authorized_keys of {target.user} there",
        ) from err
    if left:
        raise UnreachableError(f"{target} asks for more than a key: {one_line(', '.join(map(str, left)), limit=80)}")


def _prefer(transport: paramiko.Transport, kind: str) -> None:
    """Ask for the kind of key that was pinned; a machine that has none of it any more shows another, and is refused."""
    options = transport.get_security_options()
    wanted = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}.get(kind, (kind,))
    options.key_types = tuple(sorted(options.key_types, key=lambda item: item not in wanted))


def _shown(transport: paramiko.Transport) -> HostKey:
    key = transport.get_remote_server_key()
    return HostKey(kind=key.get_name(), blob=key.asbytes())
