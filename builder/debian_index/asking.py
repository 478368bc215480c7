"""Ask the index of a suite: which package ships what a build misses, and what Debian builds a project with."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from builder.debian_index import depends
from builder.symptoms import language_of
from schema.missing import Missing, MissingKind

_MOST = 20
_SHORT_NAME = 4
_COMPILERS = {"c": "gcc", "c++": "g++", "fortran": "gfortran", "rust": "cargo", "go": "golang-go"}
# What an archive has under other names than builds ask for.
_PROGRAMS = {
    **dict.fromkeys(("pkg-config", "pkgconf"), "pkg-config"),
    **dict.fromkeys(("java", "javac"), "default-jdk-headless"),
}
_NAMED = (
    MissingKind.PKG_CONFIG,
    MissingKind.LIBRARY,
    MissingKind.HEADER,
    MissingKind.CMAKE,
    MissingKind.INTROSPECTION,
    MissingKind.PROGRAM,
)
# The farm's images have an interpreter, and build requirements come as wheels, into an environment of their own.
_NOT_NEEDED = re.compile(
    r"debhelper.*|dh-.*|dpkg-dev|quilt|lintian|devscripts|pkg-kde-tools|cdbs|.*-doc|.*sphinx.*|doxygen.*|graphviz"
    r"|texlive.*|docbook.*|pandoc.*|help2man|xmlto|asciidoc.*|fonts-.*|latexmk|ghostscript|imagemagick"
    r"|(?:lib)?python[0-9.]*(?:-.*)?|pypy.*|cython[0-9.]*.*|flit|tox|xvfb|xauth|locales.*|procps|faketime"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A package that may bring what is missing.

    path: the file it ships, without the first slash; "" for a fixed answer
    rank: higher is better; why: the rank in words
    """

    package: str
    path: str
    rank: int
    why: str


def lookup(index: Path, missing: Missing) -> list[Candidate]:
    """The packages that ship what is missing, best first, each once; none for what only the Python index has."""
    if fixed := _fixed(missing):
        return [Candidate(package=fixed, path="", rank=1000, why="fixed answer")]
    with contextlib.closing(_open(index)) as database:
        triplet = database.execute("SELECT value FROM about WHERE key = 'triplet'").fetchone()[0]
        best: dict[str, Candidate] = {}
        for wanted, spelling, path, package, popularity in _found(database, missing):
            if (
                candidate := _candidate(wanted, spelling, path, package, popularity=popularity, triplet=triplet)
            ) is None:
                continue
            if package not in best or candidate.rank > best[package].rank:
                best[package] = candidate
        ranked = sorted(best.values(), key=lambda item: (-item.rank, len(item.package), item.package))
        return ranked[:_MOST]


def build_depends(index: Path, project: str) -> tuple[str, ...]:
    """The packages that Debian builds *project* with, sorted, without what no wheel needs; empty if it has none."""
    with contextlib.closing(_open(index)) as database:
        architecture = database.execute("SELECT value FROM about WHERE key = 'architecture'").fetchone()[0]
        source = _source(database, project)
    found = depends.names(source[1], architecture) if source else ()
    return tuple(sorted({name for name in found if not _NOT_NEEDED.fullmatch(name)}))


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
    """The one answer that there is for a compiler, and for programs that are an archive's alternatives."""
    if missing.kind is MissingKind.COMPILER:
        return _COMPILERS.get(missing.name)
    if missing.kind not in {MissingKind.PROGRAM, MissingKind.NAMED}:
        return None
    return _COMPILERS.get(language_of(missing.name) or "") or _PROGRAMS.get(missing.name.lower())


def _found(database: sqlite3.Connection, missing: Missing) -> Iterator[tuple[MissingKind, str, str, str, int]]:
    named = missing.kind is MissingKind.NAMED
    for wanted in _NAMED if named else (missing.kind,):
        for spelling in dict.fromkeys(_spellings(wanted, missing.name) if named else [missing.name]):
            rows = database.execute(
                "SELECT path, package.name, popularity FROM file JOIN package ON package.id = file.package"
                " WHERE kind = ? AND file.name = ? LIMIT 2000",
                (wanted, spelling.rsplit("/", 1)[-1]),
            )
            for path, package, popularity in rows:
                yield wanted, spelling, path, package, popularity


def _spellings(kind: MissingKind, word: str) -> list[str]:
    """How files may be called of what prose calls *word*."""
    words = [word, word.lower()]
    if kind is MissingKind.HEADER:
        return [f"{item}.h" for item in words]
    if kind is MissingKind.PKG_CONFIG:
        return [*words, *(f"lib{item}" for item in words)]
    return [*words, *(item.removeprefix("lib") for item in words)]


def _candidate(
    kind: MissingKind, name: str, path: str, package: str, *, popularity: int, triplet: str
) -> Candidate | None:
    if kind is MissingKind.HEADER and not f"/{path}".endswith(f"/{name}"):
        return None
    points = []
    if kind is not MissingKind.HEADER or path in {f"usr/include/{name}", f"usr/include/{triplet}/{name}"}:
        points.append((100, "exactly there"))
    if package.endswith("-dev"):
        points.append((40, "a -dev package"))
    if f"/{triplet}/" in path:
        points.append((20, f"for {triplet}"))
    if asked := min(30, popularity // 10):
        points.append((asked, f"in {popularity} Build-Depends"))
    why = ", ".join(words for _, words in points) or "ships it"
    return Candidate(package=package, path=path, rank=sum(more for more, _ in points), why=why)


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
    return list(dict.fromkeys([name, project.lower(), bare, *short]))


def _binaries(project: str) -> list[str]:
    return [f"python3-{stem}" for stem in _stems(project)]


def _sources(project: str) -> list[str]:
    stems = _stems(project)
    return [*(f"python-{stem}" for stem in stems), *stems[:2]]
