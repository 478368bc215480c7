"""RECORD: every file of a wheel with its digest and size (A-04, PEP 376, PEP 627)."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from schema.wheels.finding import Finding

MAX_BYTES = 16 * 2**20
_MAX_ROWS = 65_535
_COLUMNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of RECORD as it is written; digest and size are empty for RECORD itself."""

    path: str
    digest: str = ""
    size: str = ""

    @classmethod
    def of(cls, path: str, sha256: bytes, size_bytes: int) -> Row:
        """The line of a file with that digest."""
        text = base64.urlsafe_b64encode(sha256).rstrip(b"=").decode("ascii")
        return cls(path=path, digest=f"sha256={text}", size=str(size_bytes))


def render(rows: Iterable[Row]) -> bytes:
    """RECORD's bytes, in the order of *rows*."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows((row.path, row.digest, row.size) for row in rows)
    return text.getvalue().encode()


def parse(data: bytes) -> list[Row]:
    """The rows; raise ValueError, with a sentence, if *data* are no RECORD."""
    rows: list[Row] = []
    try:
        for line in csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True):
            if len(line) != _COLUMNS:
                raise ValueError(f"line {len(rows) + 1} of RECORD has {len(line)} columns in place of {_COLUMNS}")
            if len(rows) == _MAX_ROWS:
                raise ValueError(f"RECORD has more than {_MAX_ROWS} lines")
            rows.append(Row(path=line[0], digest=line[1], size=line[2]))
    except UnicodeDecodeError:
        raise ValueError("RECORD is not UTF-8") from None
    except csv.Error as err:
        raise ValueError(f"RECORD is not CSV: {err}") from None
    return rows


def findings(data: bytes, name: str, files: Mapping[str, Row]) -> Iterator[Finding]:
    """What RECORD says against what is there.

    name: RECORD's own path in the wheel
    files: the true row of every file by its path
    """
    try:
        rows = parse(data)
    except ValueError as err:
        yield Finding(rule="A-04", text=str(err))
        return
    listed: set[str] = set()
    for row in rows:
        if row.path in listed:
            yield Finding(rule="A-04", text=f"RECORD lists {row.path!r} twice")
            continue
        listed.add(row.path)
        true = Row(path=name) if row.path == name else files.get(row.path)
        if true is None:
            yield Finding(rule="A-04", text=f"RECORD lists {row.path!r}, which is not in the wheel")
        elif row != true:
            yield Finding(rule="A-04", text=f"RECORD says {_said(row)} for {row.path!r}, but it is {_said(true)}")
    for missing in sorted(files.keys() - listed):
        yield Finding(rule="A-04", text=f"RECORD does not list {missing!r}")


def _said(row: Row) -> str:
    return f"{row.digest or 'no digest'}, {row.size or 'no'} bytes"
