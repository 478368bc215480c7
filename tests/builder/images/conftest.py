"""Programs that pass for an interpreter."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import sandbox
from builder.images import Image
from builder.log import Log
from builder.sandbox import Bind, Sandbox
from schema import jobs


@pytest.fixture(scope="session")
def compile_c(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """A program without libraries of a C source, by the shared image's compiler."""

    def make(source: str) -> bytes:
        out = tmp_path_factory.mktemp("c")
        (out / "a.c").write_text(source)
        return compiled(image, out, "gcc -static -o /out/a /out/a.c")

    return make


def compiled(image: Image, out: Path, command: str) -> bytes:
    """What *command* leaves in ``/out/a`` in the sandbox of *image*."""
    log = Log(out / "log", limit_bytes=2**20)
    finished = sandbox.run(
        Sandbox(root=image.root, binds=(Bind(source=out, target="/out", writable=True),)),
        ["sh", "-euc", command],
        limits=jobs.Limits(),
        log=log,
        deadline=time.monotonic() + 120,
        cancelled=threading.Event(),
    )
    assert finished.exit_code == 0, log.tail()
    return (out / "a").read_bytes()
