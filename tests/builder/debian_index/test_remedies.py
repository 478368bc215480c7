"""The remedies that an index gives for a failure that names one thing or several."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.debian_index import making
from builder.heal.ladder import Failed
from builder.heal.rungs import Rungs
from builder.images import Image
from schema.errors import JobError
from schema.jobs import BuildJob, Sdist
from schema.missing import Missing, MissingKind
from schema.names import Sha256, project_name
from schema.remedies import Remedy, Rung
from schema.states import FailureClass

LBER = Missing(kind=MissingKind.HEADER, name="lber.h")
CURL = Missing(kind=MissingKind.LIBRARY, name="curl")
SYSTEMD = Missing(kind=MissingKind.PKG_CONFIG, name="libsystemd")
KRB5 = Missing(kind=MissingKind.PROGRAM, name="krb5-config")
NOWHERE = Missing(kind=MissingKind.HEADER, name="nowhere.h")
NUMPY = Missing(kind=MissingKind.PYTHON_MODULE, name="numpy")
JOB = BuildJob(
    build_id=1,
    fence=1,
    project=project_name("no-such-project"),
    version="1.0",
    platform="debian12-x86_64-cp311",
    sdist=Sdist(filename="no_such_project-1.0.tar.gz", url="https://x.test/", sha256=Sha256("0" * 64)),
)


@pytest.fixture
def index(small_image: Image) -> Path:
    return making.make(small_image, progress=lambda _step, _done: None)


def remedies(index: Path, *lacks: Missing, evidence: str = "", there: tuple[str, ...] = ()) -> list[Remedy]:
    """For a failure with that evidence, or with a line for each thing, of which the first is the evidence."""
    error = JobError(
        "it failed", failure_class=FailureClass.LIBRARY, evidence=evidence or f"no {lacks[0].name}", lacks=lacks
    )
    in_effect = (Remedy(rung=Rung.DEBIAN, why="before", debian_packages=there),) if there else ()
    failed = Failed(error=error, log="", remedies=in_effect)
    return list(Rungs(job=JOB, index=lambda: index, installed=frozenset()).candidates(failed))


def packages(found: list[Remedy]) -> list[tuple[str, ...]]:
    return [remedy.debian_packages for remedy in found]


def test_what_one_sentence_names_is_added_at_once_then_each_alone(index: Path) -> None:
    found = remedies(index, LBER, SYSTEMD, evidence="make sure that lber.h and libsystemd are there")

    assert packages(found) == [("libldap-dev", "libsystemd-dev"), ("libldap-dev",), ("libsystemd-dev",)]
    assert found[0].why == (
        "the header lber.h and the pkg-config libsystemd are missing: libldap-dev, it ships usr/include/lber.h;"
        " libsystemd-dev, it ships usr/lib/x86_64-linux-gnu/pkgconfig/libsystemd.pc"
    )
    assert {remedy.rung for remedy in found} == {Rung.DEBIAN}
    assert Remedy.from_json(found[0].to_json()) == found[0]


def test_what_stands_on_lines_of_their_own_may_be_alternatives_so_each_is_tried_alone_first(index: Path) -> None:
    assert packages(remedies(index, LBER, SYSTEMD)) == [
        ("libldap-dev",),
        ("libsystemd-dev",),
        ("libldap-dev", "libsystemd-dev"),
    ]


def test_however_much_is_missing_so_many_packages_are_tried_alone_and_the_best_of_each_at_once(index: Path) -> None:
    assert packages(remedies(index, CURL, LBER, SYSTEMD, KRB5)) == [
        ("libcurl4-gnutls-dev",),
        ("libldap-dev",),
        ("libsystemd-dev",),
        ("libcurl4-gnutls-dev", "libldap-dev", "libsystemd-dev", "libkrb5-dev"),
    ]


def test_what_no_package_ships_does_not_hide_what_one_does(index: Path) -> None:
    found = remedies(index, NOWHERE, LBER, NUMPY)

    assert [(remedy.build_requirements, remedy.debian_packages) for remedy in found] == [
        (("numpy",), ()),
        ((), ("libldap-dev",)),
    ]


def test_one_thing_alone_is_tried_with_each_package_that_ships_it(index: Path) -> None:
    assert packages(remedies(index, CURL)) == [("libcurl4-gnutls-dev",), ("libcurl4-openssl-dev",)]
    assert packages(remedies(index, CURL, there=("libcurl4-gnutls-dev",))) == [("libcurl4-openssl-dev",)]


def test_what_was_added_already_is_named_again_because_of_the_others(index: Path) -> None:
    assert packages(remedies(index, CURL, LBER, there=("libcurl4-gnutls-dev",))) == [("libldap-dev",)]


def test_two_things_of_one_package_are_one_remedy(index: Path) -> None:
    again = Missing(kind=MissingKind.HEADER, name="lber.h")

    assert packages(remedies(index, LBER, again, evidence="lber.h")) == [("libldap-dev",)]
