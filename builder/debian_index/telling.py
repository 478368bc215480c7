"""What the index answers to people: plain data for ``--json``, and tables."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName

from builder.debian_index import asking, making
from builder.debian_index.asking import Candidate, Needed
from schema.errors import UsageError
from schema.missing import Missing, MissingKind

_FIRST = 5
_WORDS = {
    MissingKind.HEADER: ("header", "gssapi/gssapi.h"),
    MissingKind.PROGRAM: ("program", "krb5-config"),
    MissingKind.LIBRARY: ("library", "gssapi_krb5, for -lgssapi_krb5"),
    MissingKind.PKG_CONFIG: ("pkg-config module", "libsystemd"),
    MissingKind.CMAKE: ("CMake package", "Qt5, for Qt5Config.cmake"),
    MissingKind.NAMED: ("library or program", "libxml2"),
}
_SPELLINGS = (
    (MissingKind.HEADER, re.compile(r"(.+\.(?:h|hh|hpp|hxx|inc|pxd))")),
    (MissingKind.PKG_CONFIG, re.compile(r"(.+)\.pc")),
    (MissingKind.LIBRARY, re.compile(r"lib(.+?)\.so[0-9.]*")),
    (MissingKind.PROGRAM, re.compile(r"(.+[-_]config)")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What Debian builds a project with; version: None if the suite does not have it, or in no way that PyPI knows."""

    name: NormalizedName
    version: str | None
    needs: Sequence[Needed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """found: candidates of each missing thing, best first; about: as ``making.about`` tells it."""

    about: Mapping[str, str]
    found: Mapping[Missing, Sequence[Candidate]]
    projects: Sequence[Project]

    @property
    def is_whole(self) -> bool:
        """Whether there is something for all that was asked."""
        return all(self.found.values()) and all(project.needs for project in self.projects)

    def packages(self, there: Collection[str]) -> list[str]:
        """What a recipe would name: the first candidates, and what projects are built with, without what is *there*."""
        first = [candidates[0].package for candidates in self.found.values() if candidates]
        needed = [need.package for project in self.projects for need in project.needs if need.package]
        return sorted({*first, *needed} - {*there})

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "index": {key: self.about[key] for key in ("suite", "architecture", "made_at")},
            "missing": [
                {"kind": missing.kind, "name": missing.name, "candidates": [asdict(item) for item in candidates]}
                for missing, candidates in self.found.items()
            ],
            "projects": [asdict(project) for project in self.projects],
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Asked, package, version, by, why: of what is missing the best candidates, of projects their Build-Depends."""
        rows: list[tuple[str, ...]] = []
        for missing, candidates in self.found.items():
            asked = f"{missing.kind} {missing.name}"
            rows += [(asked, item.package, item.version, item.path, item.why) for item in candidates[:_FIRST]]
            if not candidates:
                rows.append((asked, "", "", "", f"no package of {self.about['suite']} ships it"))
        for project in self.projects:
            asked = f"project {project.name}"
            rows += [(asked, need.package or "", "", need.asked, need.why) for need in project.needs]
            if not project.needs:
                rows.append((asked, "", "", "", f"{self.about['suite']} does not have it, or builds it with nothing"))
        return rows


def ask(index: Path, wanted: Iterable[Missing], projects: Iterable[NormalizedName]) -> Answer:
    """Ask for all of it."""
    return Answer(
        about=making.about(index),
        found={missing: asking.lookup(index, missing) for missing in wanted},
        projects=[
            Project(name=name, version=asking.version(index, name), needs=asking.built_with(index, name))
            for name in projects
        ],
    )


def missing(kind: MissingKind, name: str) -> Missing:
    """Raise UsageError, with an example, for what cannot be the name of one, or is nothing that a package brings."""
    found = Missing.found(kind, name)
    if found is None:
        word, example = _WORDS[kind]
        raise UsageError(f"no {word} that a package could bring: {name!r}", advice=f"such as {example}")
    return found


def guess(word: str) -> tuple[Missing, str]:
    """What *word* most likely is, by its spelling, and that in words; raise UsageError."""
    for kind, pattern in _SPELLINGS:
        if found := pattern.fullmatch(word):
            return missing(kind, found[1]), f"the {_WORDS[kind][0]} {found[1]}"
    return missing(MissingKind.NAMED, word), f"a {_WORDS[MissingKind.NAMED][0]} of that name"
