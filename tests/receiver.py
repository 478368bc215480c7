"""A web server on loopback that notes what it is sent, and answers as told."""

from __future__ import annotations

import json
import ssl
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.redis_server import Certificate

SECRET_PATH = "T0PS3CRET"  # noqa: S105 - the example


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """A context. certificate: that it shows over TLS; plain HTTP without.

    status, headers: of its answers; drips: it sends a byte now and then, and never ends; go_on: unless it is
    set, nothing is answered
    """

    def __init__(self, *, port: int = 0, certificate: Certificate | None = None) -> None:
        self.status, self.headers = 200, dict[str, str]()
        self.drips = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.taken: list[Taken] = []
        self._came = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate.certificate, certificate.key)
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}/hooks/{SECRET_PATH}?token={SECRET_PATH}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()

    def wait(self, many: int, *, timeout_s: float = 20.0) -> list[Taken]:
        """The first *many* messages, once they are there."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.taken) >= many, timeout_s), f"{len(self.taken)} of {many} came"
            return self.taken[:many]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if self.drips:
            try:
                while True:
                    request.wfile.write(b"H")
                    time.sleep(0.05)
            except OSError:
                return
        with self._came:  # before the answer: whoever waits for that looks at once
            self.taken.append(Taken(headers={key.lower(): text for key, text in request.headers.items()}, body=body))
            self._came.notify_all()
        self.go_on.wait(30)
        try:
            request.send_response(self.status)
            for key, text in self.headers.items():
                request.send_header(key, text)
            request.send_header("Content-Length", "0")
            request.end_headers()
        except OSError:
            return  # whoever asked has gone
