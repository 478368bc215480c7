"""Byte code of Python sources in an image: without it, each start of an interpreter there compiles them again."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from builder import sandbox
from builder.log import Log
from builder.sandbox import Bind, Sandbox
from schema.errors import ImageError
from schema.jobs import Limits

_AT_MOST_S = 1800.0
# By hash of the source, not by its time: the same bytes each time.
_COMPILE = ("-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "-s", "/target", "-p", "/")


def compile_all(root: Path, folders: Mapping[str, Path]) -> None:
    """Compile what lies in *folders*: where they are in the image → where they are on this machine.

    root: whose interpreter does it, of the same minor version as the one that will run it; byte code is the same for
    every architecture. Raise ImageError.
    """
    with tempfile.TemporaryDirectory(prefix="wheelfarm-") as name:
        log = Log(Path(name) / "log", limit_bytes=2**20)
        binds = tuple(
            Bind(source=source, target=f"/target{inside}", writable=True) for inside, source in folders.items()
        )
        finished = sandbox.run(
            Sandbox(root=root, binds=binds),
            ["/usr/bin/python3", "-I", *_COMPILE, *(bind.target for bind in binds)],
            limits=Limits(),
            log=log,
            deadline=time.monotonic() + _AT_MOST_S,
            cancelled=threading.Event(),
        )
        if finished.exit_code:
            raise ImageError(f"{', '.join(folders)} does not compile in the image: {log.tail(500)}")
