"""What is found in an index can be installed, and is what a wheel may need."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from builder.debian_index import asking, making, needed
from builder.images import Image
from schema.missing import Missing, MissingKind


@pytest.fixture
def index(small_image: Image) -> Path:
    return making.make(small_image, progress=lambda _step, _done: None)


def packages(index: Path, kind: MissingKind, name: str) -> list[str]:
    return [candidate.package for candidate in asking.lookup(index, Missing(kind=kind, name=name))]


def test_the_headers_of_other_interpreters_are_nobodys(index: Path) -> None:
    assert packages(index, MissingKind.HEADER, "Python.h") == ["libpython3.11-dev"]


def test_a_package_that_no_list_has_is_not_named(index: Path) -> None:
    assert packages(index, MissingKind.HEADER, "old.h") == []


def test_a_candidate_is_told_with_its_version_its_file_and_the_reason(index: Path) -> None:
    (found,) = asking.lookup(index, Missing(kind=MissingKind.HEADER, name="Python.h"))

    assert (found.version, found.path) == ("3.11.2-6", "usr/include/python3.11/Python.h")
    assert found.why == "in a folder of its own, a -dev package, called alike, in the image already"


def test_a_compiler_is_told_though_no_file_is_called_like_its_language(index: Path) -> None:
    (found,) = asking.lookup(index, Missing(kind=MissingKind.COMPILER, name="fortran"))

    assert (found.package, found.version, found.why) == ("gfortran", "", "fixed answer")


def test_of_two_that_ship_the_same_the_one_more_asked_for_is_first(index: Path) -> None:
    assert packages(index, MissingKind.LIBRARY, "curl") == ["libcurl4-gnutls-dev", "libcurl4-openssl-dev"]


def test_what_several_packages_provide_becomes_the_one_most_asked_for(index: Path) -> None:
    needs = {item.asked: item for item in asking.built_with(index, "pycurl")}

    curl = needs["libcurl-ssl-dev | libcurl-dev"]
    assert (curl.package, curl.why) == (
        "libcurl4-openssl-dev",
        "headers and libraries: provides libcurl-dev, as 1 more",
    )
    assert needs["libz-dev"].package == "zlib1g-dev"


def test_the_first_alternative_that_there_is_counts(index: Path) -> None:
    needs = {item.asked: item.package for item in asking.built_with(index, "pycurl")}

    assert needs["libldap3-dev | libldap-dev"] == "libldap-dev"


def test_what_the_suite_does_not_have_and_what_no_wheel_needs_is_left_out_with_a_reason(
    index: Path, caplog: pytest.LogCaptureFixture
) -> None:
    needs = {item.asked: item for item in asking.built_with(index, "pycurl")}

    assert (needs["libgone-dev"].package, needs["libgone-dev"].why) == (None, "not in the suite")
    assert (needs["graphviz"].package, needs["graphviz"].why) == (
        None,
        "neither a library nor a tool that builds call",
    )
    with caplog.at_level("INFO"):
        assert asking.build_depends(index, "pycurl") == ("libcurl4-openssl-dev", "libldap-dev", "zlib1g-dev")
    assert caplog.messages == ["Debian builds pycurl with libgone-dev, which the suite does not have: left out"]


def test_a_project_that_debian_does_not_have_is_built_with_nothing(index: Path) -> None:
    assert asking.built_with(index, "no-such-project") == []
    assert asking.build_depends(index, "no-such-project") == ()


def test_who_asks_for_a_package_that_ships_nothing_asks_for_what_it_depends_on(index: Path) -> None:
    (found,) = asking.lookup(index, Missing(kind=MissingKind.HEADER, name="lber.h"))
    assert "in the image" not in found.why

    with contextlib.closing(sqlite3.connect(index)) as database:
        popularity = dict(database.execute("SELECT name, popularity FROM package WHERE name LIKE 'libldap%'"))
    assert popularity == {"libldap-dev": 1, "libldap2-dev": 1}


@pytest.mark.parametrize(
    ("package", "kept"),
    [
        ("libssl-dev", True),
        ("libssh2-1-dev", True),
        ("postgresql-server-dev-15", True),
        ("swig4.0", True),
        ("gfortran", True),
        ("default-jdk", True),
        ("libpython3-all-dev", False),
        ("python3-cairo-dev", False),
        ("cython3", False),
        ("libgtest-dev", False),
        ("libhdf5-mpi-dev", False),
        ("librust-pyo3-0.17-dev", False),
        ("debhelper-compat", False),
        ("dh-sequence-python3", False),
        ("python3-sphinx", False),
        ("texlive-latex-extra", False),
        ("xvfb", False),
        ("openjdk-17-jdk", False),
    ],
)
def test_libraries_and_build_tools_stay_and_the_rest_goes(package: str, *, kept: bool) -> None:
    assert needed.reason(package)[0] is kept
