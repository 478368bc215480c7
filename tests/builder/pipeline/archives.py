"""Source distributions for the tests: packed from ``tests/projects/``, or written by hand to be hostile."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

PROJECTS = Path(__file__).parents[2] / "projects"
MOMENT = 1_700_000_000


def tar_of(*members: tuple[tarfile.TarInfo, bytes | None]) -> bytes:
    """A .tar.gz with exactly these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, None if data is None else io.BytesIO(data))
    return buffer.getvalue()


def file(name: str, data: bytes = b"x", *, mode: int = 0o644, mtime: int = MOMENT) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), mode, mtime
    return info, data


def folder(name: str) -> tuple[tarfile.TarInfo, None]:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info, None


def link(name: str, target: str, *, hard: bool = False) -> tuple[tarfile.TarInfo, None]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE if hard else tarfile.SYMTYPE, target
    return info, None


def special(name: str, kind: bytes) -> tuple[tarfile.TarInfo, None]:
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor = kind, 1, 3
    return info, None


def zip_of(members: dict[str, bytes], *, change: Callable[[zipfile.ZipInfo], None] | None = None) -> bytes:
    """A .zip with these members; *change* may spoil each entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, date_time=(2023, 11, 14, 22, 13, 20))
            info.compress_type = zipfile.ZIP_DEFLATED
            if change is not None:
                change(info)
            archive.writestr(info, data)
    return buffer.getvalue()


def sdist_of(project: str, *, name: str | None = None, version: str = "1.0") -> bytes:
    """The project folder as an sdist, as its own backend would pack it; *name* is what PKG-INFO says."""
    name = name or project
    top = f"{project.replace('-', '_')}-{version}"
    source = PROJECTS / project
    members = [
        file(f"{top}/PKG-INFO", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()),
        file(f"{top}/tiny_backend.py", (PROJECTS / "tiny_backend.py").read_bytes()),
    ]
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            # A broken pyproject.toml of that name would stop the tools that look at this checkout.
            name_inside = str(path.relative_to(source)).removesuffix(".broken")
            members.append(file(f"{top}/{name_inside}", path.read_bytes(), mode=mode))
    return tar_of(*members)


def with_module(wheel: bytes, name: str, text: str) -> bytes:
    """The same wheel with one more file; pip does not mind that RECORD lacks it."""
    buffer = io.BytesIO(wheel)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(name, text)
    return buffer.getvalue()
