"""
Whether two wheels are the same: byte for byte, but for what is known to be harmless, or not.

Harmless are: the build number; how the archive holds its members (order, times, compression, modes but for whether a
file is executable); the spelling of ``.dist-info`` and ``.data``; a RECORD that is true on both sides; the build id of
an ELF file whose other bytes are the same; in bytecode the time of its source.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from schema.names import sha256_of
from schema.printable import one_line
from schema.wheels import archive, difference, filename, layout, record, wheelfile
from schema.wheels.archive import WheelArchive
from schema.wheels.filename import WheelName

ARCHIVE = "order, times, modes or compression in the archive"
BUILD_NUMBER = "the build number"
RECORD = "RECORD"
SPELLING = "the spelling of its folders"

# Beyond it, a file is copied to the disk to be read twice.
_IN_MEMORY_BYTES = 16 * 2**20


class Verdict(StrEnum):
    """What two wheels are to each other."""

    IDENTICAL = "identical"
    EQUIVALENT = "equivalent"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came of comparing two wheels.

    harmless: what else is not the same, sorted; of wheels that differ: what was found beside it
    member, place: the first file that differs (``the file name`` stands for the wheels' own), and where in it
    others: further files that differ
    """

    verdict: Verdict
    harmless: tuple[str, ...] = ()
    member: str = ""
    place: str = ""
    others: int = 0

    @property
    def detail(self) -> str:
        """One line on what is not the same, safe to show; empty if all is."""
        if self.verdict is not Verdict.DIFFERS:
            return ", ".join(self.harmless)
        others = f" (and {self.others} more file{'s' if self.others > 1 else ''})" if self.others else ""
        return one_line(f"{self.member}, {self.place}{others}")

    def __str__(self) -> str:
        return f"{self.verdict}: {self.detail}" if self.detail else str(self.verdict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"harmless": list(self.harmless), "detail": self.detail}


def compare(one: Path, other: Path, *, name: str | None = None) -> Comparison:
    """Compare two wheels; bytes of whatever maker will do.

    name: the file name of *one*, where its path is not called so, as in the farm's store

    Raise WheelRejectedError (A-01, A-02, A-05) if one of them is no sound archive of a wheel; OSError if it cannot be
    read.
    """
    names = filename.parse(name or one.name), filename.parse(other.name)
    if (reason := _names_differ(*names)) is not None:
        return Comparison(verdict=Verdict.DIFFERS, member="the file name", place=reason)
    with archive.read(one) as left, archive.read(other) as right:
        if names[0].text == names[1].text and sha256_of(one) == sha256_of(other):
            return Comparison(verdict=Verdict.IDENTICAL)
        return _Pair(_Side(left, names[0]), _Side(right, names[1])).comparison()


def _names_differ(one: WheelName, other: WheelName) -> str | None:
    for what in ("project", "version"):
        left, right = getattr(one, what), getattr(other, what)
        if left != right:
            return f"{what} {left} / {right}"
    return None if one.tags == other.tags else f"tags {one.tag_text} / {other.tag_text}"


def _in_folder(member: str, renamed: Mapping[str, str]) -> str:
    folder, slash, rest = member.partition("/")
    return f"{renamed.get(folder, folder)}/{rest}" if slash else member


class _Side:
    """One of the wheels: its members by the names that the canonical form gives them."""

    def __init__(self, wheel: WheelArchive, name: WheelName) -> None:
        self.wheel = wheel
        self.name = name
        stem = layout.stem(name.project, name.version)
        self.info = f"{stem}.dist-info"
        folders = {layout.dist_info(wheel.names): self.info, layout.data_folder(wheel.names): f"{stem}.data"}
        renamed = {old: new for old, new in folders.items() if old and layout.means(old, name.project, name.version)}
        self.members = {_in_folder(member, renamed): member for member in wheel.names}

    @property
    def frame(self) -> list[tuple[object, ...]]:
        """How the archive holds its members, beside their content and their spelling."""
        return [
            (item.is_folder, item.dos_time, item.mode, item.method, item.flags) for item in self.wheel.frame.members
        ] + [tuple(self.members)]

    @cached_property
    def rows(self) -> dict[str, record.Row]:
        """The true row of each member, by the member's own name."""
        rows = {}
        for member in self.wheel.names:
            digest, size = hashlib.sha256(), 0
            for chunk in self.wheel.chunks(member):
                digest.update(chunk)
                size += len(chunk)
            rows[member] = record.Row.of(member, digest.digest(), size)
        return rows

    def digest(self, name: str) -> str:
        return self.rows[self.members[name]].digest

    def is_executable(self, name: str) -> bool:
        parts = name.split("/", 2)
        is_script = parts[0].endswith(".data") and parts[1:2] == ["scripts"]  # which installers make executable
        return is_script or self.wheel.members[self.members[name]].is_executable

    def packed_bytes(self, name: str) -> int:
        return self.wheel.members[self.members[name]].compressed_bytes

    def false_record(self) -> str | None:
        """The first thing that RECORD says and is not so."""
        listing = self.members[f"{self.info}/RECORD"]
        data = self.wheel.read(listing, limit=record.MAX_BYTES)
        return next((str(item.text) for item in record.findings(data, listing, self.rows)), None)

    def without_build_number(self) -> bytes:
        data = self.wheel.read(self.members[f"{self.info}/WHEEL"], limit=wheelfile.MAX_BYTES)
        return wheelfile.with_build_number(data, 0)

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as copy:
            for chunk in self.wheel.chunks(self.members[name]):
                copy.write(chunk)
            yield copy


class _Pair:
    """Both wheels, which are of one project, version and platform, and what was found so far."""

    def __init__(self, one: _Side, other: _Side) -> None:
        self.one, self.other = one, other
        self.harmless: set[str] = set()
        self.differing: list[tuple[str, str]] = []

    def comparison(self) -> Comparison:
        one, other = self.one, self.other
        if one.name.build != other.name.build:
            self.harmless.add(BUILD_NUMBER)
        if set(one.wheel.names) != set(other.wheel.names) and one.members.keys() == other.members.keys():
            self.harmless.add(SPELLING)
        if one.frame != other.frame and one.members.keys() == other.members.keys():
            self.harmless.add(ARCHIVE)
        for name in sorted(one.members.keys() | other.members.keys(), key=self._order):
            if (place := self._place(name)) is not None:
                self.differing.append((name, place))
        if self.differing:
            member, place = self.differing[0]
            return Comparison(
                verdict=Verdict.DIFFERS,
                harmless=tuple(sorted(self.harmless)),
                member=member,
                place=place,
                others=len(self.differing) - 1,
            )
        return Comparison(verdict=Verdict.EQUIVALENT, harmless=tuple(sorted(self.harmless or {ARCHIVE})))

    def _order(self, name: str) -> tuple[bool, bool, str]:
        """What only follows from the rest comes last."""
        return name.startswith(f"{self.one.info}/"), name == f"{self.one.info}/RECORD", name

    def _place(self, name: str) -> str | None:
        """Where a member differs; None where it does not, or harmlessly."""
        for side, which in ((self.one, "second"), (self.other, "first")):
            if name not in side.members:
                return f"only in the {which}"
        if self.one.is_executable(name) != self.other.is_executable(name):
            return "executable in one of the two only"
        if self.one.digest(name) == self.other.digest(name):
            if self.one.packed_bytes(name) != self.other.packed_bytes(name):
                self.harmless.add(ARCHIVE)
            return None
        harmless, place = self._in_content(name)
        if harmless:
            self.harmless.add(harmless)
        return place or None

    def _in_content(self, name: str) -> tuple[str, str]:
        """As ``difference.find``."""
        if name == f"{self.one.info}/RECORD":
            false = self.one.false_record() or self.other.false_record()
            return ("", false) if false else (RECORD, "")
        if name == f"{self.one.info}/WHEEL" and self.one.without_build_number() == self.other.without_build_number():
            return BUILD_NUMBER, ""
        with self.one.opened(name) as left, self.other.opened(name) as right:
            return difference.find(name, left, right)
