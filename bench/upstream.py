"""The made-up upstream as an HTTP server on loopback, quick enough not to be what is measured.

``python -m bench.upstream PROJECTS`` prints its URL and serves until its stdin closes: project pages and the list of
all projects (PEP 691) with serials, and the XML-RPC changelog of a day of events.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from bench.catalogue import Catalogue

_JSON = "application/vnd.pypi.simple.v1+json"
_DAY = 1_790_000_000


class Upstream:
    """Answers each request from the number of the project alone.

    changed: project → how many releases of today it has
    journal: the changelog's rows: name, version, time, action, serial
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.changed: dict[int, int] = {}
        self.journal: list[tuple[str, str | None, int, str, int]] = []
        self._root: bytes | None = None
        self._next: tuple[int, bytes] | None = None

    def happen(self, events: int) -> None:
        """A day on which so many things happen: mostly new releases, some yanks and removals."""
        dice = random.Random(events)
        for _ in range(events):
            number = dice.randrange(self.catalogue.projects)
            name, serial = self.catalogue.name(number), self.catalogue.last_serial + len(self.journal) + 1
            action = dice.choices(("new release", "yank release", "remove release"), (97, 2, 1))[0]
            self.changed[number] = self.changed.get(number, 0) + (action == "new release")
            self.journal.append((name, "99.0.0", _DAY, action, serial))

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        if path == "/simple/":
            self._root = self._root or self.catalogue.root()
            return 200, {"Content-Type": _JSON, "ETag": f'"{len(self.journal)}"'}, self._root
        if found := re.fullmatch(r"/simple/([a-z0-9-]+)/", path):
            number = self.catalogue.number(found[1])
            if number is None:
                return 404, {"Content-Type": "text/html"}, b"no such project"
            page = self._page(number)
            serial = (
                self.catalogue.last_serial + len(self.journal)
                if number in self.changed
                else self.catalogue.serial(number)
            )
            return 200, {"Content-Type": _JSON, "ETag": f'"{serial}"', "X-PyPI-Last-Serial": str(serial)}, page
        if path.startswith("/pypi"):
            return 200, {"Content-Type": "text/xml"}, self._call(body)
        if path.startswith("/happen/"):
            self.happen(int(path.rsplit("/", 1)[1]))
            return 200, {"Content-Type": "text/plain"}, b"it did"
        return 404, {"Content-Type": "text/plain"}, b"nothing there"

    def look_ahead(self) -> None:
        """Make the page that is likely asked for next, while the client is busy with the last one."""
        if self._next is not None:
            number = self._next[0] + 1
            self._next = number, self.catalogue.page(number, extra=self.changed.get(number, 0))

    def _page(self, number: int) -> bytes:
        if self._next is None or self._next[0] != number:
            self._next = number, self.catalogue.page(number, extra=self.changed.get(number, 0))
        return self._next[1]

    def _call(self, body: bytes) -> bytes:
        arguments, method = xmlrpc.client.loads(body)
        last = self.catalogue.last_serial
        result: object = last + len(self.journal)
        if method == "changelog_since_serial":
            since = int(str(arguments[0]))
            result = [list(row) for row in self.journal[max(since - last, 0) :]]
        answer = xmlrpc.client.dumps((result,), methodresponse=True, allow_none=True)  # type: ignore[arg-type]
        return answer.encode()


class _Talk(asyncio.Protocol):
    """One client's connection; it asks one thing after the other."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream, self._received = upstream, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        status, headers, data = self._upstream.answer(head.split(b" ", 2)[1].decode(), body)
        lines = [f"HTTP/1.1 {status} X", *(f"{key}: {value}" for key, value in headers.items())]
        answer = "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""]).encode() + data
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(answer)
        self._upstream.look_ahead()


async def _serve(upstream: Upstream) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Talk(upstream), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    os._exit(0)  # without waiting for connections that clients keep


@contextmanager
def running(projects: int) -> Iterator[str]:
    """The server in a process of its own; its root URL."""
    command = [sys.executable, "-m", "bench.upstream", str(projects)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(20)


def happen(url: str, events: int) -> None:
    """Have a day of so many events at the server of ``running``."""
    with urlopen(f"{url}/happen/{events}") as answer:  # noqa: S310 - our own server, on loopback
        answer.read()


if __name__ == "__main__":
    asyncio.run(_serve(Upstream(Catalogue(projects=int(sys.argv[1])))))
