"""What an unpacked source distribution says about itself: PKG-INFO and the build system of pyproject.toml (PEP 518)."""

from __future__ import annotations

import os
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

try:
    import tomllib
except ImportError:  # Python < 3.11
    from pip._vendor import tomli as tomllib  # type: ignore[no-redef]

from builder.inside.refusal import RefusedError

_LIMIT_BYTES = 4 * 2**20
# PEP 517: what a tree without a build system of its own is built with.
_LEGACY = {"requires": ["setuptools>=40.8.0"], "backend": "setuptools.build_meta:__legacy__", "backend_path": []}


def read(tree: Path) -> dict[str, Any]:
    """Answer ``name`` and ``version`` of PKG-INFO, None where there is none, and the ``build_system``."""
    pyproject = _text(tree, "pyproject.toml")
    if pyproject is None and _text(tree, "setup.py") is None and _text(tree, "setup.cfg") is None:
        raise _broken("there is neither a pyproject.toml nor a setup.py")
    headers = BytesHeaderParser().parsebytes(_text(tree, "PKG-INFO") or b"")
    return {
        "name": _header(headers["Name"]),
        "version": _header(headers["Version"]),
        "build_system": _build_system(pyproject, tree),
    }


def _header(value: object) -> str | None:
    return None if value is None else str(value).strip()


def _text(tree: Path, name: str) -> bytes | None:
    path = tree / name
    if not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(_LIMIT_BYTES + 1)
    if len(data) > _LIMIT_BYTES:
        raise _broken(f"{name} is larger than {_LIMIT_BYTES} bytes")
    return data


def _build_system(pyproject: bytes | None, tree: Path) -> dict[str, Any]:
    if pyproject is None:
        return _LEGACY
    try:
        table = tomllib.loads(pyproject.decode("utf-8")).get("build-system")
    except (ValueError, RecursionError) as err:
        raise _broken(f"pyproject.toml cannot be read: {err}") from err
    if table is None:
        return _LEGACY
    if not isinstance(table, dict):
        raise _broken("pyproject.toml: build-system is not a table")
    if not _texts(table.get("requires")):
        raise _broken("pyproject.toml: build-system.requires must be a list of texts")
    backend = table.get("build-backend")
    if backend is None:
        # As pip does: the legacy backend needs setuptools even where the list forgets it.
        return {**_LEGACY, "requires": [*table["requires"], *_LEGACY["requires"]]}
    if not isinstance(backend, str) or not backend.strip():
        raise _broken("pyproject.toml: build-system.build-backend must be a text")
    return {"requires": table["requires"], "backend": backend, "backend_path": _backend_path(table, tree)}


def _backend_path(table: dict[str, Any], tree: Path) -> list[str]:
    folders = table.get("backend-path", [])
    if not _texts(folders):
        raise _broken("pyproject.toml: build-system.backend-path must be a list of texts")
    root = os.path.realpath(tree)
    for folder in folders:
        if Path(folder).is_absolute() or os.path.commonpath([root, os.path.realpath(tree / folder)]) != root:
            raise _broken(f"pyproject.toml: build-system.backend-path leaves the source tree: {folder!r}")
    return list(folders)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _broken(reason: str) -> RefusedError:
    return RefusedError(reason, failure_class="backend")
