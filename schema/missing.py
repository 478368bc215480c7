"""What a build lacked, as plain data: read from a hostile log, so nothing but a checked name is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self


class MissingKind(StrEnum):
    """How to look for it."""

    HEADER = "header"  # a file that C includes: lber.h, gssapi/gssapi.h
    PKG_CONFIG = "pkg-config"  # a module that pkg-config knows by its .pc file: libsystemd
    PROGRAM = "program"  # krb5-config
    LIBRARY = "library"  # as the linker is told: gssapi_krb5 for -lgssapi_krb5
    PYTHON_MODULE = "python-module"  # numpy
    COMPILER = "compiler"  # by its language: c, c++, fortran, rust, go
    CMAKE = "cmake"  # a package's CMake configuration: Qt5 for Qt5Config.cmake
    INTROSPECTION = "introspection"  # a GObject namespace: Gtk
    NAMED = "named"  # a library as prose calls it: jpeg
    PACKAGE_REQUIREMENT = "package-requirement"  # of the Python index: cython>=3


# So many things one failure may name.
MOST_NAMED: Final = 4

_LONGEST = 100
_NAMES: dict[MissingKind, re.Pattern[str]] = {
    MissingKind.HEADER: re.compile(r"[A-Za-z0-9_][\w+-]*(?:[./][\w+-]+)*\.(?:h|hh|hpp|hxx|H|inc|pxd)", re.ASCII),
    MissingKind.PKG_CONFIG: re.compile(r"[A-Za-z0-9_][\w.+-]*", re.ASCII),
    MissingKind.PROGRAM: re.compile(r"[A-Za-z0-9_][\w.+-]*", re.ASCII),
    MissingKind.LIBRARY: re.compile(r"[A-Za-z0-9_][\w.+-]*", re.ASCII),
    MissingKind.PYTHON_MODULE: re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII),
    MissingKind.COMPILER: re.compile(r"c|c\+\+|fortran|rust|go"),
    MissingKind.CMAKE: re.compile(r"[A-Za-z0-9_][\w.+-]*", re.ASCII),
    MissingKind.INTROSPECTION: re.compile(r"[A-Za-z0-9_][\w.+-]*", re.ASCII),
    MissingKind.NAMED: re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII),
    MissingKind.PACKAGE_REQUIREMENT: re.compile(r"[A-Za-z0-9][\w.,<>=!~\[\]-]*", re.ASCII),
}
# Never a package's: Python took it away, and a package of another Python that has it breaks what was sound.
_NEVER = frozenset({"longintrepr.h"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """One thing that was not there. name: checked by ``found``; data for a look-up, never for a shell."""

    kind: MissingKind
    name: str

    @classmethod
    def found(cls, kind: MissingKind, name: str) -> Self | None:
        """None where *name* is none of that kind: it is dropped, not mended."""
        known = len(name) <= _LONGEST and _NAMES[kind].fullmatch(name) and name.rpartition("/")[2] not in _NEVER
        return cls(kind=kind, name=name) if known else None
