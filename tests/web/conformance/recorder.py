"""A TCP relay on loopback that notes the request lines it passes on, and changes nothing."""

from __future__ import annotations

import re
import socket
import threading
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Self

_REQUEST = re.compile(rb"^(?:GET|HEAD) (\S+) HTTP/1\.1\r$", re.MULTILINE)


class Recorder(ThreadingTCPServer):
    """``paths`` is what was asked for, in order; ``url`` leads through here."""

    daemon_threads = True
    block_on_close = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.target = port
        self.paths: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Relay(BaseRequestHandler):
    server: Recorder

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.target)) as onward:
            back = threading.Thread(target=_pump, args=(onward, self.request))
            back.start()
            _pump(self.request, onward, self.server.paths)
            back.join()


def _pump(source: socket.socket, target: socket.socket, paths: list[str] | None = None) -> None:
    """Pass bytes on until one side has had enough. An installer's GET fits into one piece on loopback."""
    try:
        while piece := source.recv(65536):
            if paths is not None:
                paths += [match[1].decode() for match in _REQUEST.finditer(piece)]
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
