"""A fake upstream with serials, as the big one has them: a list of projects, a changelog, and what changes both.

Each helper that changes something writes rows of the journal with the upstream's own words (W-05).
"""

from __future__ import annotations

import json
import time
import xmlrpc.client
from typing import Any

from packaging.utils import canonicalize_name

from tests.upstream import JSON, FakeUpstream

Row = tuple[str, str | None, int, str, int]


class FakePyPI(FakeUpstream):
    """A FakeUpstream that tells what changed.

    journal: what ``changelog_since_serial`` gives; change it to have gaps, late, doubled or reordered rows
    listed: name → serial, as ``/simple/`` says; page_serials: the same of the header of pages, where it differs
    xmlrpc_fault: (code, text) instead of an answer; rss: instead of what the journal has; b"": there is none
    """

    def __init__(self) -> None:
        super().__init__()
        self.serial = 1000
        self.journal: list[Row] = []
        self.listed: dict[str, int] = {}
        self.page_serials: dict[str, int] = {}
        self.with_serials = True
        self.xmlrpc_fault: tuple[int, str] | None = None
        self.rss: bytes | None = None

    def tell(self, name: str, action: str, version: str | None = None) -> int:
        """One more row of the journal; gives its serial."""
        self.serial += 1
        self.journal.append((name, version, int(time.time()), action, self.serial))
        self.listed[canonicalize_name(name)] = self.serial
        return self.serial

    def release(self, name: str, version: str) -> int:
        """A new release with one sdist."""
        if canonicalize_name(name) not in self.projects:
            self.tell(name, "create")
        filename = f"{name}-{version}.tar.gz"
        self.add_file(name, filename=filename)
        self.tell(name, "new release", version)
        return self.tell(name, f"add source file {filename}", version)

    def yank(self, name: str, version: str, *, reason: str = "broken") -> int:
        self.file(name, f"{name}-{version}.tar.gz").yanked = reason
        return self.tell(name, "yank release", version)

    def unyank(self, name: str, version: str) -> int:
        self.file(name, f"{name}-{version}.tar.gz").yanked = False
        return self.tell(name, "unyank release", version)

    def quarantine_project(self, name: str) -> int:
        self.statuses[canonicalize_name(name)] = ("quarantined", "")
        return self.tell(name, "project quarantined")

    def clear_project(self, name: str) -> int:
        del self.statuses[canonicalize_name(name)]
        return self.tell(name, "project quarantine cleared")

    def take_file(self, name: str, filename: str) -> int:
        """Remove a file, and say so."""
        self.remove_file(name, filename)
        return self.tell(name, f"remove file {filename}")

    def take_project(self, name: str) -> int:
        """Remove a project, and say so."""
        self.remove_project(name)
        serial = self.tell(name, "remove project")
        del self.listed[canonicalize_name(name)]
        return serial

    def archive(self, name: str) -> None:
        """No row of the journal tells of it (W-06)."""
        self.statuses[canonicalize_name(name)] = ("archived", "")

    def page(self, name: str, *, as_json: bool) -> bytes:
        """A quarantined project lists nothing."""
        if self.statuses.get(name, ("", ""))[0] != "quarantined":
            return super().page(name, as_json=as_json)
        kept, self.projects[name] = self.projects[name], {}
        try:
            return super().page(name, as_json=as_json)
        finally:
            self.projects[name] = kept

    def serial_of(self, path: str) -> int:
        match path.strip("/").split("/"):
            case ["simple", name]:
                return self.page_serials.get(name, self.listed.get(name, 0))
            case _:
                return 0

    def answer(self, path: str, accept: str) -> tuple[int, str, bytes] | None:
        """The list of projects, and the newest releases."""
        if path == "/rss/updates.xml" and self.rss != b"":
            return 200, "text/xml", self.rss or self._updates()
        if path != "/simple/":
            return None
        if self.html_only or JSON not in accept:
            links = "".join(f'<a href="/simple/{name}/">{name}</a>' for name in self.listed)
            return 200, "text/html", f"<html><body>{links}</body></html>".encode()
        projects: list[dict[str, Any]] = [
            {"name": name} | ({"_last-serial": serial} if self.with_serials else {})
            for name, serial in self.listed.items()
        ]
        meta = {"api-version": self.api_version, "_last-serial": self.serial}
        return 200, JSON, json.dumps({"meta": meta, "projects": projects}).encode()

    def _updates(self) -> bytes:
        told = [row for row in reversed(self.journal) if row[3] == "new release"][:100]
        items = "".join(f"<item><title>{name} {version}</title><link>x</link></item>" for name, version, *_ in told)
        return f'<?xml version="1.0"?><rss version="2.0"><channel><title>new</title>{items}</channel></rss>'.encode()

    def call(self, path: str, content: bytes) -> tuple[int, str, bytes]:
        """XML-RPC."""
        if path != "/pypi":
            return 404, "text/html", b""
        if self.xmlrpc_fault is not None:
            fault = xmlrpc.client.Fault(*self.xmlrpc_fault)
            return 200, "text/xml", xmlrpc.client.dumps(fault).encode()
        arguments, method = xmlrpc.client.loads(content)
        answer: Any = self.serial
        if method == "changelog_since_serial":
            answer = [list(row) for row in self.journal if row[4] > int(str(arguments[0]))]
        return 200, "text/xml", xmlrpc.client.dumps((answer,), methodresponse=True, allow_none=True).encode()
