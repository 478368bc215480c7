"""The index of a real suite answers what builds of real projects have asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.debian_index import asking, making
from builder.images import Image
from schema.missing import Missing, MissingKind

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def index(image: Image) -> Path:
    return making.make(image, progress=lambda _step, _done: None)


@pytest.mark.parametrize(
    ("kind", "name", "package"),
    [
        (MissingKind.HEADER, "lber.h", "libldap-dev"),
        (MissingKind.HEADER, "openssl/ssl.h", "libssl-dev"),
        (MissingKind.HEADER, "zlib.h", "zlib1g-dev"),
        (MissingKind.PROGRAM, "curl-config", "libcurl4-gnutls-dev"),
        (MissingKind.PROGRAM, "pg_config", "libpq-dev"),
        (MissingKind.PROGRAM, "x86_64-linux-gnu-g++", "g++"),
        (MissingKind.COMPILER, "fortran", "gfortran"),
        (MissingKind.PROGRAM, "make", "make"),
        (MissingKind.PROGRAM, "cmake", "cmake"),
        (MissingKind.PKG_CONFIG, "libsystemd", "libsystemd-dev"),
        (MissingKind.LIBRARY, "gssapi_krb5", "libkrb5-dev"),
        (MissingKind.NAMED, "jpeg", "libjpeg62-turbo-dev"),
    ],
)
def test_the_first_candidate_is_the_one_that_builds(index: Path, kind: MissingKind, name: str, package: str) -> None:
    missing = Missing.found(kind, name)

    assert missing is not None
    assert asking.lookup(index, missing)[0].package == package


def test_debian_knows_what_it_builds_a_project_with(index: Path) -> None:
    assert {"swig", "libssl-dev"} <= set(asking.build_depends(index, "M2Crypto"))
    assert asking.build_depends(index, "gssapi") == ("libkrb5-dev",)


def test_the_suites_own_version_is_told_without_debians_additions(index: Path) -> None:
    assert asking.version(index, "PyGObject") == "3.42.2"
    assert asking.version(index, "no-such-project-at-all") is None
