"""Take what a build left behind: one small answer, one wheel, and nothing else that it put beside them (T6, B-05)."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from schema import outbox
from schema.errors import BuildFailedError, WheelRejectedError, WireError

_ANSWER_LIMIT_BYTES = 2**20
_MOST_ENTRIES = 10_000
_DENSE_BYTES = 2**20
_NAME = re.compile(r"[A-Za-z0-9_.+!-]+")


def answer(folder: Path) -> dict[str, Any]:
    """The object in ``result.json``; raise BuildFailedError if there is none, or it is not what our scripts write."""
    try:
        with outbox.open_plain(folder / "result.json", limit_bytes=_ANSWER_LIMIT_BYTES) as file:
            data = json.loads(file.read(_ANSWER_LIMIT_BYTES))
    except (WireError, ValueError, RecursionError) as err:
        raise BuildFailedError(f"the build spoiled its own answer: {err}") from err
    if not isinstance(data, dict):
        raise BuildFailedError("the build spoiled its own answer: not an object")
    return data


def wheel(folder: Path, *, project: NormalizedName, version: Version, max_bytes: int, into: Path) -> Path:
    """Copy the one wheel in *folder* to *into*; raise BuildFailedError if there is none, WheelRejectedError otherwise.

    The files beside it are ignored, whatever they are: they go with the job's folder.
    """
    found = _wheels(folder)
    if not found:
        raise BuildFailedError("the build ended well, but left no wheel")
    if len(found) > 1:
        raise WheelRejectedError(
            f"B-05: {len(found)} wheels instead of one: {', '.join(map(repr, sorted(found)))[:400]}"
        )
    (name,) = found
    _check_name(name, project, version)
    try:
        return _copy(folder / name, into / name, max_bytes=max_bytes)
    except WireError as err:
        raise WheelRejectedError(f"T6: {err}") from err


def _wheels(folder: Path) -> list[str]:
    found, count = [], 0
    with os.scandir(folder) as entries:
        for entry in entries:
            count += 1
            if count > _MOST_ENTRIES:
                raise WheelRejectedError(f"T6: more than {_MOST_ENTRIES} files beside the wheel")
            if entry.name.endswith(".whl"):
                found.append(entry.name)
    return found


def _check_name(name: str, project: NormalizedName, version: Version) -> None:
    try:
        found_project, found_version, _, _ = parse_wheel_filename(name)
    except InvalidWheelFilename as err:
        raise WheelRejectedError(f"A-01: not a wheel's name: {name!r}") from err
    # packaging lets a line feed at the end pass.
    if (found_project, found_version) != (project, version) or not _NAME.fullmatch(name):
        raise WheelRejectedError(f"B-04: the build made {name!r} instead of a wheel of {project} {version}")


def _copy(source: Path, target: Path, *, max_bytes: int) -> Path:
    with outbox.open_plain(source, limit_bytes=max_bytes) as file:
        status = os.fstat(file.fileno())
        # A wheel is compressed: one that is mostly holes was made to fill our disk.
        if status.st_size > _DENSE_BYTES and status.st_blocks * 512 < status.st_size // 2:
            raise WireError(f"{source.name}: {status.st_size} bytes that are mostly holes")
        with target.open("xb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
    return target
