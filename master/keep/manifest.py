"""What a backup holds: each file with its digest, so that a damaged backup is found before it is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from schema.errors import StoreError
from schema.names import Sha256, sha256_of

NAME = "manifest.json"
BLOBS = "store.txt"  # the digests of the store's files, one a line: millions of them need no JSON
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FORMAT = 1


class BackupError(StoreError):
    """A backup is not what its manifest says, or cannot be made or restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Of one backup.

    database: ``sqlite`` or ``postgresql``; files: digests by the path below the backup's folder
    """

    made_at: datetime
    wheelfarm: str
    farm: str
    database: str
    files: Mapping[str, Sha256]

    def write(self, folder: Path) -> None:
        """As ``manifest.json`` in *folder*."""
        data = {
            "format": _FORMAT,
            "made_at": self.made_at.isoformat(),
            "wheelfarm": self.wheelfarm,
            "farm": self.farm,
            "database": self.database,
            "files": dict(sorted(self.files.items())),
        }
        (folder / NAME).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raise BackupError if *folder* holds none that this version understands."""
        try:
            data = json.loads((folder / NAME).read_text(encoding="utf-8"))
            return cls._of(data)
        except FileNotFoundError:
            raise BackupError(f"{folder} is no backup: it has no {NAME}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
            raise BackupError(f"{folder / NAME} cannot be read: {err}") from err

    @classmethod
    def _of(cls, data: Mapping[str, Any]) -> Self:
        if data["format"] != _FORMAT:
            raise ValueError(f"format {data['format']}; this version of wheelfarm knows {_FORMAT}")
        if data["database"] not in {"sqlite", "postgresql"}:
            raise ValueError(f"database {data['database']!r}")
        files = {str(path): Sha256(digest) for path, digest in data["files"].items()}
        for path, digest in files.items():
            if not _DIGEST.fullmatch(digest) or Path(path).is_absolute() or ".." in Path(path).parts:
                raise ValueError(f"a file {path!r}")
        return cls(
            made_at=datetime.fromisoformat(data["made_at"]),
            wheelfarm=str(data["wheelfarm"]),
            farm=str(data["farm"]),
            database=data["database"],
            files=files,
        )

    def faults(self, folder: Path) -> Iterator[str]:
        """What is wrong with the files beside it."""
        for path, digest in self.files.items():
            if fault := fault_of(folder / path, digest):
                yield fault


def fault_of(path: Path, digest: Sha256) -> str:
    """Why the file is not the one of that digest, or ""."""
    try:
        return "" if sha256_of(path) == digest else f"{path} is damaged"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as err:
        return f"{path} cannot be read: {err.strerror}"


def blobs(folder: Path) -> Iterator[Sha256]:
    """The digests of the store's files that the backup in *folder* needs."""
    with (folder / BLOBS).open(encoding="ascii") as lines:
        for line in lines:
            if not _DIGEST.fullmatch(line.rstrip("\n")):
                raise BackupError(f"{folder / BLOBS}: {line[:80]!r} is no digest")
            yield Sha256(line.rstrip("\n"))
