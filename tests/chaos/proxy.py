"""A TCP proxy on loopback that treats its connections badly when told to: silence, cuts, delay, damaged bytes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from enum import Flag
from typing import Self

_PIECE_BYTES = 65536
_POLL_S = 0.25
# Closing with this set sends a reset instead of an orderly end.
_RESET = struct.pack("ii", 1, 0)


class Way(Flag):
    """The directions of a wire, as who connects sees them."""

    NEITHER = 0
    THERE = 1
    BACK = 2
    BOTH = 3


@dataclass(eq=False)
class _Link:
    """One connection through the proxy. deaf: half-open for ever: what is sent is swallowed, nothing comes back."""

    near: socket.socket
    far: socket.socket
    deaf: bool = False
    cut_after: int | None = None
    closed: threading.Event = field(default_factory=threading.Event)

    def close(self, *, reset: bool = False) -> None:
        self.closed.set()
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Listens on a port of loopback and passes everything on to another, which may change or be away.

    delay_s: before each piece that is passed on; silent: that way nothing is passed on, but nothing is lost either
    away: new connections are reset at once
    damaged: in so many of the next pieces one bit arrives wrong
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.delay_s = 0.0
        self.silent, self.away, self.damaged = Way.NEITHER, False, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_S)
        self._links: set[_Link] = set()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._accept, name="proxy", daemon=True)]

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for link in list(self._links):
            link.close()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def half_open(self) -> int:
        """Every connection of now goes deaf for ever, without a word; say how many. New ones work."""
        found = list(self._links)
        for link in found:
            link.deaf = True
        return len(found)

    def cut(self, *, after_bytes: int = 0) -> int:
        """Reset every connection: at once, or once so many more bytes went through, in the middle of a message."""
        found = list(self._links)
        for link in found:
            if after_bytes:
                link.cut_after = after_bytes
            else:
                link.close(reset=True)
        return len(found)

    def mend(self) -> None:
        """Be an honest wire again; connections that went deaf stay so."""
        self.delay_s, self.silent, self.away, self.damaged = 0.0, Way.NEITHER, False, 0

    def _accept(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                near, _ = self._listener.accept()
                self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        try:
            if self.away:
                raise ConnectionResetError
            far = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            near.close()
            return
        link = _Link(near, far)
        self._links.add(link)
        self._threads = [self._threads[0], *(item for item in self._threads[1:] if item.is_alive())]
        for source, sink, way in ((near, far, Way.THERE), (far, near, Way.BACK)):
            source.settimeout(_POLL_S)
            thread = threading.Thread(target=self._pump, args=(link, source, sink, way), name="proxy-link", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pump(self, link: _Link, source: socket.socket, sink: socket.socket, way: Way) -> None:
        """Pass on what comes from *source* until one end closes."""
        try:
            while not self._stopping.is_set() and not link.closed.is_set():
                try:
                    data = source.recv(_PIECE_BYTES)
                except TimeoutError:
                    continue
                if not data:
                    break
                if not self._passed(link, sink, data, way):
                    break
        except OSError:
            pass  # one end is gone: so is the other
        link.close()
        self._links.discard(link)

    def _passed(self, link: _Link, sink: socket.socket, data: bytes, way: Way) -> bool:
        """Whether the link goes on after *data*."""
        time.sleep(self.delay_s)
        while way in self.silent and not link.closed.is_set() and not self._stopping.is_set():
            time.sleep(0.05)
        if link.deaf:
            return True
        if self.damaged > 0:
            self.damaged -= 1
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        if link.cut_after is not None:
            data, link.cut_after = data[: link.cut_after], link.cut_after - len(data)
        sink.settimeout(5)
        sink.sendall(data)
        if link.cut_after is not None and link.cut_after <= 0:
            link.close(reset=True)
            return False
        return True
