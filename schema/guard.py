"""A guard over connections: where they may lead, and how long they may take, whatever the other end does (T20)."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from schema.errors import UpstreamError

_IDLE_S = 10.0


class Guard:
    """Looks at each connection that is made, and cuts the one in use when the time of its exchange is over.

    A socket's own time-out begins anew with each byte, so it does not end a server that trickles. One thread keeps
    watch over exchange after exchange, for a thread each would cost more than a short exchange does.

    home: a host that people chose, so that it may be in a private network; then others may be, too
    private: whether all may
    """

    def __init__(self, home: str = "", *, private: bool = False) -> None:
        self._home, self._private = home, private
        self._socket: socket.socket | None = None
        self._changed = threading.Condition()
        self._until: float | None = None  # of the exchange that runs
        self._wakes_at = 0.0
        self._watched = False
        self.cut = False

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Cut what is connected inside after *seconds*."""
        with self._changed:
            self.cut, self._socket = False, None
            self._until = time.monotonic() + seconds
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._keep_watch, name="guard", daemon=True).start()
            elif self._until < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._until = None

    def _keep_watch(self) -> None:
        """Until nothing was exchanged for a while."""
        with self._changed:
            while True:
                idle = self._until is None
                self._wakes_at = self._until or time.monotonic() + _IDLE_S
                self._changed.wait(max(self._wakes_at - time.monotonic(), 0.0))
                if self._until is None and idle:
                    self._watched = False
                    return
                if self._until is not None and self._until <= time.monotonic():
                    self._until = None
                    self._cut()

    def _cut(self) -> None:
        self.cut = True
        if self._socket is not None:
            with suppress(OSError):  # it may just have ended by itself
                # TLS sockets override shutdown() in a way that is not safe from another thread.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def watch(self, connection: HTTPConnection) -> None:
        """This connection is in use now."""
        self._socket = connection.sock
        if self.cut and self._socket is not None:
            raise TimeoutError("too slow to connect")

    def admit(self, connection: HTTPConnection) -> None:
        """Refuse a peer in a private network where none may be in one; the peer is the address in use."""
        if self._private or connection.has_connected_to_proxy or connection.sock is None:
            return
        if connection.host == self._home:
            return
        address = str(connection.sock.getpeername()[0])
        if not _is_public(address) and not (self._home and self._home_is_private):
            connection.close()
            whose = ": the index must not lead there" if self._home else ""
            raise UpstreamError(f"{connection.host} is {address}, in a private network{whose}")

    @cached_property
    def _home_is_private(self) -> bool:
        found = socket.getaddrinfo(self._home, None, type=socket.SOCK_STREAM)
        return any(not _is_public(str(address[0])) for *_, address in found)


def watched_pools(guard: Guard) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's own pools, with connections that *guard* sees."""

    def watched(kind: type[HTTPConnection]) -> Any:  # noqa: ANN401 - each pool wants its own kind
        class Watched(kind):  # type: ignore[misc, valid-type]  # urllib3 has two kinds, the guard one rule
            def connect(self) -> None:
                super().connect()
                guard.admit(self)

            def request(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - urllib3's own
                super().request(*args, **options)
                guard.watch(self)

        return Watched

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = watched(HTTPConnection)

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = watched(HTTPSConnection)

    return {"http": PlainPool, "https": SecurePool}


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_global)
