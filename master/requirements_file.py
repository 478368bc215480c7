"""Requirements files: names with optional ranges and markers, comments, ``-r`` of further files.

Options of pip, URLs and paths mean nothing to a farm, and are refused with file and line. So there is little to parse:
``packaging`` reads each requirement, and the libraries that understand all of pip's format are copies of old pips.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from schema import names
from schema.errors import UsageError

_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"(?:-r\s*|--requirement(?:\s+|=))(\S.*)")
_LIMIT_BYTES = 2**20
_MOST_REQUIREMENTS = 10_000


def read_requirements(file: Path) -> list[Requirement]:
    """The requirements of *file* and of what it includes, each once; raise UsageError with file and line."""
    root = file.resolve().parent
    found: dict[str, Requirement] = {}
    for item in _read(file, root, including=()):
        found.setdefault(str(item), item)
        if len(found) > _MOST_REQUIREMENTS:
            raise UsageError(f"{file}: more than {_MOST_REQUIREMENTS} requirements")
    return list(found.values())


def _read(file: Path, root: Path, *, including: tuple[Path, ...]) -> Iterator[Requirement]:
    path = file.resolve()
    if path in including:
        raise UsageError(f"{file}: includes itself, by way of {including[-1].name}")
    for number, line in _lines(file):
        where = f"{file}, line {number}"
        if include := _INCLUDE.fullmatch(line):
            further = file.parent / include[1].strip()
            if not further.resolve().is_relative_to(root):
                raise UsageError(f"{where}: {include[1]} lies outside {root}")
            yield from _read(further, root, including=(*including, path))
        else:
            yield _requirement(line, where)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Line numbers with lines: continued ones joined, comments and empty ones left out."""
    try:
        if file.stat().st_size > _LIMIT_BYTES:
            raise UsageError(f"{file}: too long for a requirements file")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as err:
        raise UsageError(f"{file}: cannot be read: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise UsageError(f"{file}: not UTF-8") from err
    joined, first = "", 1
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        first = first if joined else number
        joined += _COMMENT.sub("", line)
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        if joined.strip():
            yield first, joined.strip()
        joined = ""


def _requirement(line: str, where: str) -> Requirement:
    if line.startswith("-") or re.search(r"\s--?[a-z]", line):
        option = next(word for word in line.split() if word.startswith("-"))
        raise UsageError(
            f"{where}: {option.partition('=')[0]}: options of pip mean nothing to the farm",
            advice="leave it out; the farm checks digests itself, and follows one index",
        )
    if "://" in line or line.startswith((".", "/")):
        raise UsageError(f"{where}: not a name: {line!r}", advice="the farm builds what the index has")
    try:
        return names.requirement(line)
    except UsageError as err:
        raise UsageError(f"{where}: {err}") from err
