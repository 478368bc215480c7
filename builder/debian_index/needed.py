"""What of a Debian package's Build-Depends a wheel may need: libraries, and the tools that builds call.

The table names what may stay, not what must go: what Debian's tests, manuals and own tools need has no end, and more
packages than needed make other wheels (measured: MPI came into h5py, a header broke pycrypto).
"""

from __future__ import annotations

import re

_KEPT: dict[str, str] = {
    "headers and libraries": r".+-dev(?:-[a-z0-9]+)?|.+-headers",
    "a compiler": r"gcc|g\+\+|gfortran|clang(?:-\d+)?|lld(?:-\d+)?|llvm(?:-\d+)?|rustc|cargo|golang-go|nasm|yasm",
    "a build system": r"make|cmake|extra-cmake-modules|meson|ninja-build|scons|autoconf|autoconf-archive|automake"
    r"|libtool|libtool-bin|pkg-config|pkgconf|m4|gettext|perl|gawk|qt5-qmake|pyqt5-dev-tools|sip-tools",
    "writes source files": r"swig[0-9.]*|bison|flex|gperf|ragel|re2c|protobuf-compiler(?:-grpc)?|protobuf-c-compiler"
    r"|flatbuffers-compiler|gobject-introspection|castxml|xsltproc|glslang-tools",
    "says where a library is": r"hdf5-helpers|r-base-core",
    "a language that Python is bound to": r"default-jdk|default-jdk-headless",
}
_LEFT_OUT: dict[str, str] = {
    "the image has its interpreter; build requirements come as wheels": r"(?:lib)?python.*|pypy.*|cython.*",
    "tests": r"lib(?:gtest|gmock|cppunit|cunit1|cmocka|unittest\+\+|boost-test|benchmark)-dev|doctest-dev",
    "the same library once more, for MPI, which then comes into the wheel": r"lib.+-(?:mpi|openmpi|mpich)-dev",
    "Debian's own way to package": r"dh-.*|debhelper.*|dpkg-dev|autotools-dev|cli-common-dev|quilt|cdbs",
    "sources of crates and Go modules, which only Debian's own builds look at": r"(?:librust|golang)-.+-dev",
    "other languages' bindings": r"ruby.*-dev|.+-ocaml-dev|php.*-dev|lib.+-cil-dev|guile-.*-dev",
}


def reason(package: str) -> tuple[bool, str]:
    """Whether a wheel may need *package*, and why."""
    for kept, table in ((False, _LEFT_OUT), (True, _KEPT)):
        for why, names in table.items():
            if re.fullmatch(names, package):
                return kept, why
    return False, "neither a library nor a tool that builds call"
