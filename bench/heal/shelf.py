"""The wheels of ``bench.heal``, served over HTTP to builds that require one of them, as a farm does."""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from schema.jobs import FarmWheel
from schema.names import sha256_of
from schema.wheels.comparing import Comparison, compare


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The wheels that were built: files in *folder*, served at *url*."""

    folder: Path
    url: str

    def add(self, wheel: Path) -> None:
        """From now on builds can have it, in place of one of the same name."""
        shutil.copyfile(wheel, self.folder / wheel.name)

    def compare(self, wheel: Path) -> Comparison | None:
        """What it is to the one of the same name that is here; None if there is none."""
        there = self.folder / wheel.name
        return compare(there, wheel) if there.exists() else None

    def wheels(self, wanted: Sequence[str]) -> tuple[FarmWheel, ...]:
        """Those of the projects that these requirements name."""
        projects = {canonicalize_name(Requirement(text).name) for text in wanted}
        return tuple(
            FarmWheel(
                filename=path.name,
                url=f"{self.url}/{path.name}",
                sha256=sha256_of(path),
                size_bytes=path.stat().st_size,
            )
            for path in sorted(self.folder.iterdir())
            if parse_wheel_filename(path.name)[0] in projects
        )


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Shelf]:
    """An empty shelf in a new *folder*, on loopback."""
    folder.mkdir(parents=True)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Shelf(folder=folder, url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
