"""The archive's lists are read line by line, whatever stands in them."""

from __future__ import annotations

import io

import pytest

from builder.debian_index import archive, depends
from builder.debian_index.archive import Shipped
from schema.missing import MissingKind

TRIPLET = "x86_64-linux-gnu"


def read(*lines: str | bytes) -> list[Shipped]:
    stream = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
    return list(archive.shipped(io.BytesIO(stream), TRIPLET, "3.11"))


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("usr/include/lber.h", MissingKind.HEADER, "lber.h"),
        ("usr/include/x86_64-linux-gnu/curl/curl.h", MissingKind.HEADER, "curl.h"),
        ("usr/bin/pg_config", MissingKind.PROGRAM, "pg_config"),
        ("sbin/ldconfig", MissingKind.PROGRAM, "ldconfig"),
        ("usr/lib/x86_64-linux-gnu/pkgconfig/libsystemd.pc", MissingKind.PKG_CONFIG, "libsystemd"),
        ("usr/share/pkgconfig/xproto.pc", MissingKind.PKG_CONFIG, "xproto"),
        ("usr/lib/x86_64-linux-gnu/libjpeg.so", MissingKind.LIBRARY, "jpeg"),
        ("usr/lib/x86_64-linux-gnu/cmake/Qt5/Qt5Config.cmake", MissingKind.CMAKE, "Qt5"),
        ("usr/share/gir-1.0/Gtk-3.0.gir", MissingKind.INTROSPECTION, "Gtk"),
    ],
)
def test_what_builds_ask_for_is_kept(path: str, kind: MissingKind, name: str) -> None:
    assert read(f"{path}   libdevel/some-dev") == [Shipped(kind=kind, name=name, path=path, packages=("some-dev",))]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "usr/include/lber.h",  # of no package
        "usr/share/doc/x/README.gz  doc/x",
        "usr/lib/x86_64-linux-gnu/libjpeg.so.62  libs/libjpeg62-turbo",  # nothing links against that name
        "usr/lib/arm-linux-gnueabihf/libjpeg.so  libdevel/libjpeg62-turbo-dev",
        "usr/x86_64-w64-mingw32/include/zlib.h  libdevel/libz-mingw-w64-dev",
        "usr/include/wine/zlib.h  libdevel/wine-dev",
        "usr/include/pypy3.9/Python.h  python/some-dev",
        "usr/lib/python3/dist-packages/numpy/core/include/numpy/arrayobject.h  python/python3-numpy",
        "usr/include/python3.10/Python.h  libdevel/libpython3.10-dev",
        "usr/bin/python3.12-config  python/python3.12-dev",
        "usr/lib/x86_64-linux-gnu/pkgconfig/python-3.12.pc  libdevel/libpython3.12-dev",
        "usr/lib/x86_64-linux-gnu/libpython2.7.so  libdevel/libpython2.7-dev",
        "usr/bin/aarch64-linux-gnu-gcc  devel/gcc-aarch64-linux-gnu",
        "usr/bin/i686-linux-gnu-ld  devel/binutils-i686-linux-gnu",
        "usr/bin/arm-none-eabi-ld  devel/binutils-arm-none-eabi",
        "usr/include/x32/zlib.h  libdevel/libc6-dev-x32",
        "usr/include/lber.h  libdevel/..,libdevel/-x,libdevel/UPPER",
        "usr/include/" + "a" * 600 + ".h  libdevel/some-dev",
        "usr/include/a\x1b[31m.h  libdevel/some-dev",
        b"usr/include/\xff\xfe.h  libdevel/some-dev",
        "usr/include/" + "/" * 100_000,
        "usr/lib/" + "lib.so" * 100_000,
        "usr/lib/" + "a/lib" * 100_000 + " x/y",
    ],
)
def test_what_no_build_could_use_is_left_out_and_the_next_line_is_read(line: str | bytes) -> None:
    assert [file.name for file in read(line, "usr/include/zlib.h  libdevel/zlib1g-dev")] == ["zlib.h"]


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("usr/include/python3.11/Python.h", "libpython3.11-dev"),
        ("usr/bin/python3-config", "python3-dev"),
        ("usr/bin/x86_64-linux-gnu-ld", "binutils-x86-64-linux-gnu"),
        ("usr/lib/x86_64-linux-gnu/libboost_python311.so", "libboost-python1.74-dev"),
    ],
)
def test_what_is_this_machines_and_its_interpreters_is_kept(path: str, package: str) -> None:
    assert [file.packages for file in read(f"{path}  some/{package}")] == [(package,)]


def test_a_line_without_end_is_skipped_whole() -> None:
    endless = "usr/include/" + "x" * 3_000_000 + "usr/include/evil.h  libdevel/evil"

    assert [file.name for file in read(endless, "usr/include/zlib.h  libdevel/zlib1g-dev")] == ["zlib.h"]


def test_a_file_of_several_packages_names_each_that_fits() -> None:
    (file,) = read("usr/include/zlib.h  libdevel/zlib1g-dev,libdevel/zlib-cross,devel/other-dev")

    assert file.packages == ("other-dev", "zlib1g-dev")


def test_sources_are_read_with_their_continued_lines() -> None:
    text = """Package: m2crypto
Binary: python3-m2crypto,
 python-m2crypto-doc
Version: 0.38.0-4
Build-Depends: debhelper-compat (= 13),
 libssl-dev, swig
Build-Depends-Arch: gcc
Unknown: x
 y

Package: ../evil
Version: 1

Package: extra
Version: 1
Extra-Source-Only: yes

 a continuation of nothing
Package: last
Version: 2"""

    first, last = archive.sources(io.BytesIO(text.encode()))

    assert (first.name, first.version) == ("m2crypto", "0.38.0-4")
    assert first.binaries == ("python3-m2crypto", "python-m2crypto-doc")
    assert list(depends.names(first.build_depends)) == ["debhelper-compat", "libssl-dev", "swig", "gcc"]
    assert (last.name, last.build_depends) == ("last", "")


def test_packages_are_read_with_what_they_provide_and_depend_on() -> None:
    text = """Package: libcurl4-gnutls-dev
Version: 7.88.1-10
Provides: libcurl-dev,
 libcurl4-dev (= 7.88.1)
Depends: libcurl3-gnutls (= 7.88.1-10)
Description: more
 Provides: nothing

Package: -evil
Version: 1

Version: 1

Package: no-version

Package: zlib1g-dev
Version: 1:1.2.13"""

    first, last = archive.binaries(io.BytesIO(text.encode()))

    assert (first.name, first.version) == ("libcurl4-gnutls-dev", "7.88.1-10")
    assert list(depends.names(first.provides)) == ["libcurl-dev", "libcurl4-dev"]
    assert list(depends.names(first.depends)) == ["libcurl3-gnutls"]
    assert (last.name, last.version, last.provides, last.depends) == ("zlib1g-dev", "1:1.2.13", "", "")


def test_alternatives_are_told_as_they_stand() -> None:
    text = "a-dev [arm64] | b-dev | c-dev (>= 2), d-dev [arm64], e-dev"

    assert list(depends.relations(text, "amd64")) == [("b-dev", "c-dev"), ("e-dev",)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("libssl-dev (>= 3) [amd64], swig, pytest <!nocheck>", ["libssl-dev", "swig"]),
        ("a-dev [arm64] | b-dev [amd64], c-dev [!amd64]", ["b-dev"]),
        ("d-dev [linux-any], e-dev [any-amd64]", ["d-dev", "e-dev"]),
        ("python3-all-dev:any, f-dev <!cross>", ["python3-all-dev", "f-dev"]),
        ("g-dev <!nodoc !nocheck>, h-dev <cross>", []),
        ("; rm -rf /, $(x), -y, UPPER, " + "(" * 10_000 + ", i-dev", ["i-dev"]),
    ],
)
def test_relations_hold_for_an_architecture(text: str, names: list[str]) -> None:
    assert list(depends.names(text, "amd64")) == names
