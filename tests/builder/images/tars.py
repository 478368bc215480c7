"""Tar archives made member by member, as no packer would."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

Item = tuple[tarfile.TarInfo, bytes | None]


def file(name: str, data: bytes = b"", **fields: Any) -> Item:
    """A regular file."""
    info = _info(name, fields)
    info.size = len(data)
    return info, data


def folder(name: str, **fields: Any) -> Item:
    """A folder."""
    return _info(name, {"type": tarfile.DIRTYPE, "mode": 0o755} | fields), None


def link(name: str, target: str) -> Item:
    """A symbolic link."""
    return _info(name, {"type": tarfile.SYMTYPE, "linkname": target}), None


def hard_link(name: str, target: str) -> Item:
    """A hard link."""
    return _info(name, {"type": tarfile.LNKTYPE, "linkname": target}), None


def special(name: str, kind: bytes) -> Item:
    """A device (1, 3: /dev/null) or FIFO."""
    return _info(name, {"type": kind, "devmajor": 1, "devminor": 3}), None


def tar(path: Path, *items: Item, mode: str = "w") -> Path:
    """Write the archive."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, data in items:
            archive.addfile(info, None if data is None else io.BytesIO(data))
    return path


def _info(name: str, fields: dict[str, Any]) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info
