"""Byte code of Python sources in an image: without it, each start of an interpreter there compiles them again."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder import process, sandbox
from builder.bubblewrap import NOBODY
from builder.interpreters import OWN
from builder.log import Log
from builder.plain import plain
from builder.rootfs import Root
from builder.sandbox import Bind, Sandbox
from schema.errors import ImageError, JobError
from schema.jobs import Limits

_AT_MOST_S = 1800.0
_MOST_BYTES = 16 * 2**20
# By hash of the source, not by its time: the same bytes each time.
_COMPILE = ("-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "-s", "/target", "-p", "/")


def compile_all(root: Path, folders: Mapping[str, Path], *, program: str = OWN) -> None:
    """Compile what lies in *folders*: where they are in the image → where they are on this machine.

    root: whose interpreter *program* does it, of the same minor version as the one that will run it; byte code is the
    same for every architecture. Raise ImageError.
    """
    with tempfile.TemporaryDirectory(prefix="wheelfarm-") as name:
        _compile(root, program, folders, Path(name), uid=None)


def compile_apart(root: Path, folders: Mapping[str, Path], *, program: str = OWN) -> None:
    """The same with an interpreter that nobody trusts: it gets copies, of which byte code is taken and nothing else."""
    with tempfile.TemporaryDirectory(prefix="wheelfarm-") as name:
        scratch, uid = Path(name), NOBODY if os.geteuid() == 0 else None
        scratch.chmod(0o755)
        copies = {inside: scratch / f"copy-{number}" for number, inside in enumerate(folders)}
        for inside, copy in copies.items():
            shutil.copytree(folders[inside], copy)
            for path in (copy, *copy.rglob("*")) if uid is not None else ():
                os.chown(path, NOBODY, NOBODY)
        try:
            _compile(root, program, copies, scratch, uid=uid, counted=tuple(copies.values()))
            for inside, copy in copies.items():
                _take(copy, folders[inside])
        except OSError as err:
            raise ImageError(f"the byte code that the image makes cannot be read: {err}") from err
        finally:
            for copy in copies.values():
                process.remove(copy)  # of any depth


def _take(copy: Path, folder: Path) -> None:
    """Put the byte code of each source in *folder* beside it, as it lies in *copy*; what has none is compiled anew."""
    with Root(copy) as made:
        for source in sorted(folder.rglob("*.py")):
            cache = source.relative_to(folder).parent / "__pycache__"
            for name in made.names(str(cache)):
                if re.fullmatch(rf"{re.escape(source.stem)}\.cpython-3\d+\.pyc", name):
                    data = made.read(str(cache / name), most_bytes=_MOST_BYTES)
                    (folder / cache).mkdir(exist_ok=True)
                    (folder / cache / name).write_bytes(data)


def _compile(
    root: Path,
    program: str,
    folders: Mapping[str, Path],
    scratch: Path,
    *,
    uid: int | None,
    counted: Sequence[Path] = (),
) -> None:
    log = Log(scratch / "log", limit_bytes=2**20)
    binds = tuple(Bind(source=source, target=f"/target{inside}", writable=True) for inside, source in folders.items())
    try:
        finished = sandbox.run(
            Sandbox(root=root, binds=binds, uid=uid),
            [program, "-I", *_COMPILE, *(bind.target for bind in binds)],
            limits=Limits(),
            log=log,
            deadline=time.monotonic() + _AT_MOST_S,
            scratch=counted,
            cancelled=threading.Event(),
        )
    except JobError as err:
        raise ImageError(f"{', '.join(folders)} does not compile in the image: {err}") from err
    if finished.exit_code:
        raise ImageError(f"{', '.join(folders)} does not compile in the image: {plain(log.tail(500))}")
