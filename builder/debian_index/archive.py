"""Read the archive's Contents, Sources and Packages (Debian's RepositoryFormat), line by line; all may be hostile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import BinaryIO

from builder import apt
from schema.missing import MissingKind

# Debian's longest line of either is about 100 kB (the binaries of linux); what is longer is skipped.
_LINE_BYTES = 1_048_576
_STANZA_BYTES = 8 * _LINE_BYTES
# A path's own bytes; a longer one is nothing that a build asks for.
_PATH_CHARACTERS = 512
_VERSION_CHARACTERS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A file that builds ask for.

    name: as a build spells it: ``lber.h``, ``libsystemd`` for its ``.pc``, ``jpeg`` for ``libjpeg.so``
    path: without the first slash; packages: every one that ships it
    """

    kind: MissingKind
    name: str
    path: str
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source package; build_depends: the fields' own text, not yet checked."""

    name: str
    version: str
    binaries: tuple[str, ...]
    build_depends: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """A package that can be installed; provides, depends: the fields' own text, not yet checked."""

    name: str
    version: str
    provides: str
    depends: str


_WANTED = re.compile(
    rb"usr/include/|(?:usr/)?s?bin/|(?:usr/)?lib[^/ ]*/(?:\S+/)?(?:include/|lib[^/ ]+\.so\s|cmake/|pkgconfig/)"
    rb"|usr/share/(?:pkgconfig/|gir-1\.0/|(?:\S+/)?cmake/)"
)
_MULTIARCH = r"[a-z0-9_]+-linux-gnu[a-z0-9]*"
_KINDS: tuple[tuple[MissingKind, re.Pattern[str]], ...] = (
    (MissingKind.PROGRAM, re.compile(r"(?:usr/)?s?bin/([^/]+)")),
    (MissingKind.PKG_CONFIG, re.compile(rf"usr/(?:share|lib(?:/{_MULTIARCH})?)/pkgconfig/([^/]+)\.pc")),
    (MissingKind.LIBRARY, re.compile(rf"(?:usr/)?lib(?:/{_MULTIARCH})?/lib([^/]+)\.so")),
    (
        MissingKind.HEADER,
        re.compile(r"usr/(?:[^/]+/)*include/(?:[^/]+/)*([^/.]+|[^/]+\.(?:h|hh|hpp|hxx|h\+\+|inc|pxd))"),
    ),
    (MissingKind.CMAKE, re.compile(r"usr/(?:[^/]+/)*([^/]+?)(?:Config|-config)\.cmake")),
    (MissingKind.INTROSPECTION, re.compile(r"usr/share/gir-1\.0/([^/]+?)-[0-9.]+\.gir")),
)
# Files for something other than this machine or its interpreter, or with nothing in them that links.
_UNFIT_PACKAGE = re.compile(
    r"-cross\b|^cross-|-dbg$|-dbgsym$|-doc$|mingw|^wine|^lib\w*wine|klibc|musl|dietlibc|^libdiet|^android-|-android-"
    r"|^avr-|-avr$|djgpp|emscripten|-wasm32$|^gcc-(?:avr|arm|bpf|or1k|riscv|xtensa)|-offload-|-none-eabi|-elf$"
    r"|picolibc|newlib|uclibc|^lib(?:x?32|64)|-dev-(?:i386|x32|amd64|s390|powerpc|ppc64)$|^pypy"
)
_FOREIGN_PACKAGE = re.compile(r"-(?:[a-z0-9]+|x86-64)-(?:linux-gnu[a-z0-9]*|gnu|kfreebsd-gnu)$")
# Debian's own modules lie there, whatever the interpreter's version; builds have theirs from wheels.
_DEBIAN_MODULES = "/python3/dist-packages/"
_PYTHON = re.compile(r"/(?:lib)?(pypy|python)-?(\d\.\d+)?")
_TRIPLET = re.compile(r"/([a-z0-9_]+-(?:linux|kfreebsd|gnu|w64|elf)[a-z0-9_-]*)/")


def shipped(stream: BinaryIO, triplet: str, python: str) -> Iterator[Shipped]:
    """Every file of a Contents index that a build may ask for, on the architecture of *triplet*, with *python* 3.11."""
    for line in _lines(stream):
        if _WANTED.match(line) and (file := _file(line, triplet, python)) is not None:
            yield file


def sources(stream: BinaryIO) -> Iterator[Source]:
    """Every source package of a Sources index that the suite builds from."""
    for name, version, fields in _stanzas(
        stream, {"binary", "build-depends", "build-depends-arch", "extra-source-only"}
    ):
        if fields.get("extra-source-only") == "yes":
            continue
        binaries = [binary.strip() for binary in fields.get("binary", "").split(",")]
        depends = [fields[key] for key in ("build-depends", "build-depends-arch") if fields.get(key)]
        yield Source(
            name=name,
            version=version,
            binaries=tuple(filter(apt.is_name, binaries)),
            build_depends=", ".join(depends),
        )


def binaries(stream: BinaryIO) -> Iterator[Binary]:
    """Every package of a Packages index."""
    for name, version, fields in _stanzas(stream, {"provides", "depends"}):
        yield Binary(name=name, version=version, provides=fields.get("provides", ""), depends=fields.get("depends", ""))


def _file(line: bytes, triplet: str, python: str) -> Shipped | None:
    try:
        path, places = line.decode().rstrip().rsplit(None, 1)
    except ValueError:  # no text, or nothing but a path
        return None
    path = path.rstrip()
    if len(path) > _PATH_CHARACTERS or not path.isprintable():
        return None
    if any(found != triplet for found in _TRIPLET.findall(f"/{path}")):
        return None
    if _DEBIAN_MODULES in path or any(
        kind == "pypy" or (version or python) != python for kind, version in _PYTHON.findall(path)
    ):
        return None
    for kind, pattern in _KINDS:
        if found := pattern.fullmatch(path):
            names = {place.rsplit("/", 1)[-1] for place in places.split(",")}
            packages = tuple(sorted(name for name in names if apt.is_name(name) and _is_fit(name, triplet)))
            return Shipped(kind=kind, name=found[1], path=path, packages=packages) if packages else None
    return None


def _is_fit(package: str, triplet: str) -> bool:
    foreign = _FOREIGN_PACKAGE.search(package)
    return not _UNFIT_PACKAGE.search(package) and (foreign is None or foreign[0] == f"-{triplet.replace('_', '-')}")


def _stanzas(stream: BinaryIO, wanted: set[str]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Name, version and the *wanted* fields of each package, their names in lower case, continued lines joined."""
    wanted = {"package", "version", *wanted}
    fields: dict[str, str] = {}
    key, size = "", 0
    for line in chain(_lines(stream), (b"\n",)):
        text = line.decode(errors="replace").rstrip()
        if not text:
            name, version = fields.get("package", ""), fields.get("version", "")
            if apt.is_name(name) and 0 < len(version) <= _VERSION_CHARACTERS:
                yield name, version, fields
            fields, key, size = {}, "", 0
        elif text[0] in " \t":
            size += len(text)
            if key in wanted and size < _STANZA_BYTES:
                fields[key] += " " + text.strip()
        else:
            key, _, value = text.partition(":")
            key = key.lower()
            if key in wanted:
                fields[key] = value.strip()


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Each line that is not too long."""
    whole = True
    for line in iter(partial(stream.readline, _LINE_BYTES), b""):
        ends = line.endswith(b"\n")
        if whole and (ends or len(line) < _LINE_BYTES):
            yield line
        whole = ends
