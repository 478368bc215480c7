"""Ask the index of a suite: which package ships what a build misses, and what Debian builds a project with."""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from builder.debian_index import depends, needed
from schema.missing import Missing, MissingKind
from schema.symptoms import language_of

logger = logging.getLogger(__name__)

_MOST = 20
_NOT_THERE = "not in the suite"
_SHORT_NAME = 4
_COMPILERS = {"c": "gcc", "c++": "g++", "fortran": "gfortran", "rust": "cargo", "go": "golang-go"}
# What an archive has under other names or in other places than builds ask for.
_FIXED = {
    **{(MissingKind.PROGRAM, name): "pkg-config" for name in ("pkg-config", "pkgconf")},
    **{(MissingKind.PROGRAM, name): "default-jdk-headless" for name in ("java", "javac")},
    (MissingKind.HEADER, "jni.h"): "default-jdk-headless",
    **{(MissingKind.LIBRARY, name): "gfortran" for name in ("gfortran", "quadmath")},
    (MissingKind.LIBRARY, "stdc++"): "g++",
    (MissingKind.NAMED, "mysql"): "default-libmysqlclient-dev",
}
# Projects whose name in the archive no rule gives.
_STEMS = {"mysqlclient": "mysqldb", "jpype1": "jpype"}
_NAMED = (
    MissingKind.PKG_CONFIG,
    MissingKind.LIBRARY,
    MissingKind.HEADER,
    MissingKind.CMAKE,
    MissingKind.INTROSPECTION,
    MissingKind.PROGRAM,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A package that may bring what is missing.

    version: Debian's; "" if the suite does not have it
    path: the file it ships, without the first slash; "" for a fixed answer
    rank: higher is better; why: the rank in words
    """

    package: str
    version: str
    path: str
    rank: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """One of a project's Build-Depends.

    asked: as Debian writes it; package: what to install for it; None: nothing; why: in words
    """

    asked: str
    package: str | None
    why: str


def lookup(index: Path, missing: Missing) -> list[Candidate]:
    """The packages that ship what is missing, best first, each once; none for what only the Python index has."""
    with contextlib.closing(_open(index)) as database:
        if fixed := _fixed(missing):
            row = database.execute("SELECT version FROM package WHERE name = ?", (fixed,)).fetchone()
            version = row[0] if row else None
            return [Candidate(package=fixed, version=version or "", path="", rank=1000, why="fixed answer")]
        triplet = database.execute("SELECT value FROM about WHERE key = 'triplet'").fetchone()[0]
        best: dict[str, Candidate] = {}
        for found in _found(database, missing):
            candidate = _candidate(found, triplet, prose=missing.kind is MissingKind.NAMED)
            if candidate and (found.package not in best or candidate.rank > best[found.package].rank):
                best[found.package] = candidate
    ranked = sorted(best.values(), key=lambda item: (-item.rank, len(item.package), item.package))
    return ranked[:_MOST]


def build_depends(index: Path, project: str) -> tuple[str, ...]:
    """The packages that Debian builds *project* with, sorted, without what no wheel needs; empty if it has none.

    Each can be installed: what the suite has under no name is left out, and the node's log tells.
    """
    needs = built_with(index, project)
    for item in needs:
        if item.why == _NOT_THERE:
            logger.info("Debian builds %s with %s, which the suite does not have: left out", project, item.asked)
    return tuple(sorted({item.package for item in needs if item.package}))


def built_with(index: Path, project: str) -> list[Needed]:
    """Every Build-Depends of *project* that holds for the index's architecture, with what comes of it."""
    with contextlib.closing(_open(index)) as database:
        architecture = database.execute("SELECT value FROM about WHERE key = 'architecture'").fetchone()[0]
        source = _source(database, project)
        relations = depends.relations(source[1], architecture) if source else ()
        return [_needed(alternatives, database) for alternatives in relations]


def version(index: Path, project: str) -> str | None:
    """The version of *project* that the suite ships, without Debian's own additions; None if it has none."""
    with contextlib.closing(_open(index)) as database:
        source = _source(database, project)
    if source is None:
        return None
    upstream = source[0].split(":", 1)[-1].rsplit("-", 1)[0]
    upstream = re.split(r"[+.~-](?:dfsg|ds|repack|really)", upstream)[0].replace("~", "")
    try:
        return str(Version(upstream))
    except InvalidVersion:
        return None


def _open(index: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{index.as_uri()}?mode=ro&immutable=1", uri=True)


def _fixed(missing: Missing) -> str | None:
    """The one answer that there is for a compiler and what comes with it, and for an archive's alternatives."""
    if missing.kind is MissingKind.COMPILER:
        return _COMPILERS.get(missing.name)
    for kind in (missing.kind, *((MissingKind.PROGRAM,) if missing.kind is MissingKind.NAMED else ())):
        compiler = _COMPILERS.get(language_of(missing.name) or "") if kind is MissingKind.PROGRAM else None
        if fixed := compiler or _FIXED.get((kind, missing.name.lower())):
            return fixed
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A file that is called as what is missing."""

    kind: MissingKind
    name: str
    path: str
    package: str
    version: str
    popularity: int
    in_image: bool


def _found(database: sqlite3.Connection, missing: Missing) -> Iterator[_Found]:
    named = missing.kind is MissingKind.NAMED
    for kind in _NAMED if named else (missing.kind,):
        for spelling in dict.fromkeys(_spellings(kind, missing.name) if named else [missing.name]):
            rows = database.execute(
                "SELECT path, package.name, version, popularity, in_image FROM file"
                " JOIN package ON package.id = file.package"
                " WHERE kind = ? AND file.name = ? AND version IS NOT NULL LIMIT 2000",
                (kind, spelling.rsplit("/", 1)[-1]),
            )
            for path, package, version, popularity, in_image in rows:
                yield _Found(
                    kind=kind,
                    name=spelling,
                    path=path,
                    package=package,
                    version=version,
                    popularity=popularity,
                    in_image=bool(in_image),
                )


def _spellings(kind: MissingKind, word: str) -> list[str]:
    """How files may be called of what prose calls *word*."""
    words = [word, word.lower()]
    if kind is MissingKind.HEADER:
        return [f"{item}.h" for item in words]
    if kind is MissingKind.PKG_CONFIG:
        return [*words, *(f"lib{item}" for item in words)]
    return [*words, *(item.removeprefix("lib") for item in words)]


def _candidate(found: _Found, triplet: str, *, prose: bool) -> Candidate | None:
    """None for a header that would be found under another name, or that is none of what prose spoke of."""
    stem = found.name.rpartition("/")[2].split(".")[0].lower()
    points = []
    if found.kind is MissingKind.HEADER:
        if (deep := _depth(found, triplet)) is None:
            return None
        if prose and deep and stem not in f"{found.package} {found.path.rpartition('/')[0]}".lower():
            return None
        points.append((100, "exactly there") if deep == 0 else (max(0, 30 - 10 * deep), "in a folder of its own"))
    elif prose and found.kind is MissingKind.PROGRAM:
        points.append((50, "a program of that name"))
    else:
        points.append((100, "exactly there"))
    if found.package.endswith("-dev"):
        points.append((40, "a -dev package"))
    if f"/{triplet}/" in found.path:
        points.append((20, f"for {triplet}"))
    if stem in found.package:
        points.append((10, "called alike"))
    if asked := min(30, found.popularity // 10):
        points.append((asked, f"in {found.popularity} Build-Depends"))
    if found.in_image:
        points.append((0, "in the image already"))
    return Candidate(
        package=found.package,
        version=found.version,
        path=found.path,
        rank=sum(more for more, _ in points),
        why=", ".join(words for _, words in points),
    )


def _depth(found: _Found, triplet: str) -> int | None:
    """How many folders away from where compilers look a header is; None if it is not what was asked for."""
    folder, named, rest = f"/{found.path}".rpartition(f"/{found.name}")
    if not named or rest:
        return None
    for place in (f"/usr/include/{triplet}", "/usr/include"):
        if f"{folder}/".startswith(f"{place}/"):
            return folder.removeprefix(place).count("/")
    return 1 + folder.rpartition("/include")[2].count("/")


def _needed(alternatives: Sequence[str], database: sqlite3.Connection) -> Needed:
    """The first alternative that there is, or the most asked for of those that provide it."""
    asked = " | ".join(alternatives)
    kept, why = needed.reason(alternatives[0])
    if not kept:
        return Needed(asked=asked, package=None, why=why)
    for name in alternatives:
        if database.execute("SELECT 1 FROM package WHERE name = ? AND version IS NOT NULL", (name,)).fetchone():
            return Needed(asked=asked, package=name, why=why)
        providers = database.execute(
            "SELECT package.name FROM provides JOIN package ON package.id = provides.package WHERE provides.name = ?"
            " ORDER BY popularity DESC, length(package.name), package.name",
            (name,),
        ).fetchall()
        if providers:
            others = f", as {len(providers) - 1} more" if len(providers) > 1 else ""
            return Needed(asked=asked, package=providers[0][0], why=f"{why}: provides {name}{others}")
    return Needed(asked=asked, package=None, why=_NOT_THERE)


def _source(database: sqlite3.Connection, project: str) -> tuple[str, str] | None:
    """Version and Build-Depends of Debian's source of *project*."""
    for binary in _binaries(project):
        row: tuple[str, str] | None = database.execute(
            "SELECT version, build_depends FROM source WHERE name = (SELECT source FROM binary_of WHERE name = ?)",
            (binary,),
        ).fetchone()
        if row:
            return row
    for source in _sources(project):
        row = database.execute("SELECT version, build_depends FROM source WHERE name = ?", (source,)).fetchone()
        if row:
            return row
    return None


def _stems(project: str) -> list[str]:
    """How Debian may call *project*: as it is, without a "python" or "py" that its kind of package implies, or with."""
    name = canonicalize_name(project)
    bare = name.removeprefix("python-").removesuffix("-python")
    short = [bare.removeprefix("py")] if bare.startswith("py") and len(bare) > _SHORT_NAME else [f"py{bare}"]
    return list(dict.fromkeys([_STEMS.get(name, name), project.lower(), bare, *short]))


def _binaries(project: str) -> list[str]:
    return [f"python3-{stem}" for stem in _stems(project)]


def _sources(project: str) -> list[str]:
    stems = _stems(project)
    return [*(f"python-{stem}" for stem in stems), *stems[:2]]
