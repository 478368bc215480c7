"""The index of a real suite answers what builds of real projects have asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.debian_index import asking, making
from builder.debian_index.archive import Kind
from builder.images import Image

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def index(image: Image) -> Path:
    return making.make(image, progress=lambda _step, _done: None)


@pytest.mark.parametrize(
    ("kind", "name", "package"),
    [
        (Kind.HEADER, "lber.h", "libldap-dev"),
        (Kind.HEADER, "openssl/ssl.h", "libssl-dev"),
        (Kind.HEADER, "zlib.h", "zlib1g-dev"),
        (Kind.PROGRAM, "curl-config", "libcurl4-gnutls-dev"),
        (Kind.PROGRAM, "pg_config", "libpq-dev"),
        (Kind.PROGRAM, "g++", "g++"),
        (Kind.PKG_CONFIG, "libsystemd", "libsystemd-dev"),
        (Kind.LIBRARY, "gssapi_krb5", "libkrb5-dev"),
        (Kind.NAMED, "jpeg", "libjpeg62-turbo-dev"),
    ],
)
def test_the_first_candidate_is_the_one_that_builds(index: Path, kind: Kind, name: str, package: str) -> None:
    assert asking.lookup(index, kind, name)[0].package == package


def test_debian_knows_what_it_builds_a_project_with(index: Path) -> None:
    assert {"swig", "libssl-dev"} <= set(asking.build_depends(index, "M2Crypto"))
    assert asking.build_depends(index, "gssapi") == ("libkrb5-dev",)


def test_the_suites_own_version_is_told_without_debians_additions(index: Path) -> None:
    assert asking.version(index, "PyGObject") == "3.42.2"
    assert asking.version(index, "no-such-project-at-all") is None
