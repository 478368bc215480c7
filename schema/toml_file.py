"""TOML files that people write: read whole, every fault named with the file, the key and what is allowed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from schema.errors import SettingsError


def read(file: Path) -> dict[str, Any]:
    """The tables of *file*; raise SettingsError if it cannot be read or is not TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as err:
        raise SettingsError(f"{file}: cannot be read: {err.strerror}") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise SettingsError(f"{file}: not TOML: {err}") from err


def refuse_unknown(data: Mapping[str, Any], allowed: Iterable[str], *, file: Path, where: str = "") -> None:
    """Raise SettingsError for a key that is not *allowed*; *where* stands before it, such as ``web.``."""
    known = sorted(allowed)
    for key in data:
        if key not in known:
            raise SettingsError(f"{file}: {where}{key}: unknown key; allowed here: {', '.join(known)}")
