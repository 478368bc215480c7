"""An upstream index as a real HTTP server on loopback: PEP 503 HTML and PEP 691 JSON, and the ways an index goes wrong.

``with FakeUpstream() as up: up.add_file("demo", data, filename="demo-1.0.tar.gz")``; then read ``up.url``.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import io
import json
import sys
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote

from packaging.utils import canonicalize_name

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"


@dataclass(kw_only=True)
class Served:
    """A file that the index lists; change a field and the next answer has it.

    listed_sha256: what the page says, where it lies
    metadata: served as FILE.metadata and advertised; None: neither
    """

    filename: str
    data: bytes
    requires_python: str | None = None
    yanked: str | bool = False
    upload_time: str | None = None
    metadata: bytes | None = None
    listed_sha256: str | None = None
    url: str | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest() if self.listed_sha256 is None else self.listed_sha256


@dataclass(kw_only=True)
class Fault:
    """What is answered instead of the truth.

    body: None keeps the true body; chunks: streamed instead of *body*, without a length
    drip_s: pause after each byte of the body; drip_head: the same already in the headers
    times: how often; None for always
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    chunks: Iterable[bytes] | None = None
    content_type: str | None = None
    drip_s: float = 0.0
    drip_head: bool = False
    times: int | None = None


class FakeUpstream:
    """A local index; every knob may be turned while it serves.

    html_only: answer text/html to everybody; times_in_html: with ``data-upload-time``
    etags: send ETag and answer 304; projects: name → file name → file
    statuses: name → (status, reason) as in PEP 792; faults: path (or ``*``) → what goes wrong
    requests: (path, headers) of each request, in order
    """

    def __init__(self) -> None:
        self.html_only = False
        self.times_in_html = False
        self.etags = True
        self.api_version = "1.4"
        self.projects: dict[str, dict[str, Served]] = {}
        self.statuses: dict[str, tuple[str, str]] = {}
        self.faults: dict[str, Fault] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The index URL, as ``pip --index-url`` takes it."""
        return f"{self.root}/simple/"

    def add_file(
        self,
        name: str,
        source: Path | bytes = b"",
        *,
        filename: str | None = None,
        requires_python: str | None = None,
        yanked: str | bool = False,
        upload_time: str | None = None,
        metadata: bytes | None = None,
    ) -> Served:
        """List a file; without bytes it gets some of its own. The project is made by its first file."""
        if isinstance(source, Path):
            filename = filename or source.name
            source = source.read_bytes()
        assert filename is not None, "bytes need a file name"
        served = Served(
            filename=filename,
            data=source or f"the bytes of {filename}".encode(),
            requires_python=requires_python,
            yanked=yanked,
            upload_time=upload_time,
            metadata=metadata,
        )
        self.projects.setdefault(canonicalize_name(name), {})[filename] = served
        return served

    def add_wheel(self, name: str, filename: str, *, requires_dist: Iterable[str] = (), **listed: Any) -> Served:
        """List a wheel that holds METADATA with those requirements, and nothing else that matters."""
        _, version, *_ = filename.split("-")
        metadata = metadata_text(name, version, requires_dist=requires_dist)
        return self.add_file(name, wheel_bytes(filename, metadata), filename=filename, **listed)

    def remove_file(self, name: str, filename: str) -> None:
        del self.projects[canonicalize_name(name)][filename]

    def remove_project(self, name: str) -> None:
        del self.projects[canonicalize_name(name)]

    def file(self, name: str, filename: str) -> Served:
        return self.projects[canonicalize_name(name)][filename]

    def fail(self, name: str = "*", fault: Fault | None = None, **fields: Any) -> None:
        """Let the page of a project (or every page and file) go wrong: ``up.fail("demo", status=500)``."""
        path = name if name == "*" or name.startswith("/") else f"/simple/{canonicalize_name(name)}/"
        self.faults[path] = fault or Fault(**fields)

    def mend(self) -> None:
        """Take every fault away."""
        self.faults.clear()

    def fault_for(self, path: str) -> Fault | None:
        for key in (path, "*"):
            fault = self.faults.get(key)
            if fault is None:
                continue
            if fault.times is not None:
                fault.times -= 1
                if not fault.times:
                    del self.faults[key]
            return fault
        return None

    def answer(self, path: str, accept: str) -> tuple[int, str, bytes] | None:  # noqa: ARG002 - for others to use
        """What a fuller upstream has at *path*: status, content type and body."""
        return None

    def call(self, path: str, content: bytes) -> tuple[int, str, bytes]:  # noqa: ARG002
        """The answer to a POST."""
        return 404, "text/html", b"<h1>Not Found</h1>"

    def serial_of(self, path: str) -> int:  # noqa: ARG002
        """For the header X-PyPI-Last-Serial; 0: none."""
        return 0

    def page(self, name: str, *, as_json: bool) -> bytes:
        files = self.projects[name].values()
        status = self.statuses.get(name)
        return self._json_page(name, files, status) if as_json else self._html_page(name, files, status)

    def _json_page(self, name: str, files: Iterable[Served], status: tuple[str, str] | None) -> bytes:
        page: dict[str, Any] = {
            "meta": {"api-version": self.api_version},
            "name": name,
            "versions": [],
            "files": [self._json_file(name, file) for file in files],
        }
        if status:
            page["project-status"] = {"status": status[0], "reason": status[1]}
        return json.dumps(page).encode()

    def _json_file(self, name: str, file: Served) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "filename": file.filename,
            "url": self._file_url(name, file),
            "hashes": {"sha256": file.sha256} if file.sha256 else {},
            "requires-python": file.requires_python,
            "size": len(file.data),
            "yanked": file.yanked,
        }
        if file.upload_time:
            entry["upload-time"] = file.upload_time
        if file.metadata is not None:
            entry["core-metadata"] = {"sha256": hashlib.sha256(file.metadata).hexdigest()}
        return entry

    def _html_page(self, name: str, files: Iterable[Served], status: tuple[str, str] | None) -> bytes:
        lines = ["<!DOCTYPE html>", "<html><head>"]
        if not self.html_only:
            lines.append(f'<meta name="pypi:repository-version" content="{html.escape(self.api_version)}">')
        if status:
            lines.append(f'<meta name="pypi:project-status" content="{status[0]}">')
            lines.append(f'<meta name="pypi:project-status-reason" content="{html.escape(status[1])}">')
        lines.append(f"<title>Links for {name}</title></head><body><h1>Links for {name}</h1>")
        lines += [f"<a {self._attributes(name, file)}>{html.escape(file.filename)}</a><br/>" for file in files]
        return "\n".join([*lines, "</body></html>"]).encode()

    def _attributes(self, name: str, file: Served) -> str:
        fragment = f"#sha256={file.sha256}" if file.sha256 else ""
        attributes = {"href": self._file_url(name, file) + fragment}
        if file.requires_python is not None:
            attributes["data-requires-python"] = file.requires_python
        if file.yanked is not False:
            attributes["data-yanked"] = "" if file.yanked is True else file.yanked
        if file.upload_time and self.times_in_html:
            attributes["data-upload-time"] = file.upload_time
        if file.metadata is not None:
            attributes["data-core-metadata"] = f"sha256={hashlib.sha256(file.metadata).hexdigest()}"
        return " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items())

    def _file_url(self, name: str, file: Served) -> str:
        return file.url or f"../../files/{name}/{quote(file.filename)}"


def metadata_text(name: str, version: str, *, requires_dist: Iterable[str] = ()) -> bytes:
    """A METADATA file."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    return "\n".join([*lines, *(f"Requires-Dist: {item}" for item in requires_dist), "", ""]).encode()


def wheel_bytes(filename: str, metadata: bytes) -> bytes:
    """A wheel with nothing but its metadata."""
    project, version, *_ = filename.split("-")
    folder = f"{project}-{version}.dist-info"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{folder}/METADATA", metadata)
        archive.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{folder}/RECORD", "")
    return buffer.getvalue()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: FakeUpstream) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong here, but not that a client has gone away: that may be another test's stderr."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 30

    posted: bytes | None = None

    def do_POST(self) -> None:
        self.posted = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        try:
            self.do_GET()
        finally:
            self.posted = None

    def do_HEAD(self) -> None:
        """uv asks so for the size of a wheel that has no METADATA beside it (I-23)."""
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.server.upstream.requests.append((path, {key.lower(): value for key, value in self.headers.items()}))
        try:
            self._answer(path, self.server.upstream.fault_for(path))
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _answer(self, path: str, fault: Fault | None) -> None:
        status, content_type, body = self._truth(path)
        if fault is None:
            fault = Fault(status=status)
        elif fault.status != 200 or fault.body is not None or fault.chunks is not None:
            status, body = fault.status, fault.body if fault.body is not None else b"the index does not feel well"
        headers = {"Content-Type": fault.content_type or content_type, **fault.headers}
        if status == 200 and (serial := self.server.upstream.serial_of(path)):
            headers.setdefault("X-PyPI-Last-Serial", str(serial))
        if fault.chunks is not None:
            self.close_connection = True
            self._send(status, {**headers, "Connection": "close"}, fault.chunks, fault)
            return
        if status == 200 and path.startswith("/simple/"):
            status, headers, body = self._conditional(body, headers)
        self._send(status, {**headers, "Content-Length": str(len(body))}, [body], fault)

    def _conditional(self, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.server.upstream.etags:
            headers["ETag"] = etag
            if self.headers.get("If-None-Match") == etag:
                return 304, headers, b""
        if "gzip" in self.headers.get("Accept-Encoding", "") and "Content-Encoding" not in headers:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        return 200, headers, body

    def _truth(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body of an index that is well."""
        if self.posted is not None:
            return self.server.upstream.call(path, self.posted)
        match path.strip("/").split("/"):
            case ["simple", name] if name in self.server.upstream.projects:
                as_json = not self.server.upstream.html_only and JSON in self.headers.get("Accept", "")
                content_type = JSON if as_json else "text/html" if self.server.upstream.html_only else HTML
                return 200, content_type, self.server.upstream.page(name, as_json=as_json)
            case _ if (own := self.server.upstream.answer(path, self.headers.get("Accept", ""))) is not None:
                return own
            case ["files", name, filename] if name in self.server.upstream.projects:
                body = _file_bytes(self.server.upstream.projects[name], filename)
                if body is not None:
                    return 200, "application/octet-stream", body
            case _:
                pass
        return 404, "text/html", b"<h1>Not Found</h1>"

    def _send(self, status: int, headers: dict[str, str], chunks: Iterable[bytes], fault: Fault) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if fault.drip_head:
            self.flush_headers()
            _drip(self.wfile, [b"X-Drip: " + b"x" * 10_000], fault.drip_s)
        self.end_headers()
        if self.command != "HEAD":
            _drip(self.wfile, chunks, fault.drip_s)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


def _file_bytes(files: dict[str, Served], filename: str) -> bytes | None:
    if filename in files:
        return files[filename].data
    wheel = files.get(filename.removesuffix(".metadata"))
    return wheel.metadata if wheel is not None and filename.endswith(".metadata") else None


def _drip(target: Any, chunks: Iterable[bytes], pause_s: float) -> None:
    for piece in _pieces(chunks) if pause_s else chunks:
        target.write(piece)
        target.flush()
        if pause_s:
            time.sleep(pause_s)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for index in range(len(chunk)):
            yield chunk[index : index + 1]
