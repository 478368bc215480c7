"""What can be installed on a platform without compiling, as pip would choose it (PEP 440, 592, B-06, section b)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master.coverage import Cover, Covered, coverage, is_enough, summary
from schema.db.models import Project, UpstreamFile
from schema.db.session import transaction
from schema.db.why.reasons import Reason
from schema.platforms import Platform
from schema.sections import FarmSection
from schema.settings import Settings
from tests import entries
from tests.entries import ARM, HERE, later

PLATFORM = Platform.parse(HERE)
SETTINGS = Settings(farm=FarmSection(platforms=(PLATFORM,)))
PURE = "cffi-{}-py3-none-any.whl"


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with transaction(database) as opened:
        yield opened


@pytest.fixture
def cffi(session: Session) -> Project:
    """Requested, and with the sdists of two releases."""
    project = entries.project(session)
    entries.request(session, project)
    for version in ("1.16.0", "1.17.1"):
        entries.sdist(session, project, version)
    return project


def upstream_wheel(session: Session, of: Project, filename: str, **values: Any) -> UpstreamFile:
    return entries.sdist(session, of, filename.split("-")[1], filename=filename, kind="wheel", **values)


def own_wheel(session: Session, of: Project, version: str, filename: str = "", **values: Any) -> None:
    platform = values.pop("platform", HERE)
    build = entries.build(session, of, version, state="published", platform=platform)
    entries.wheel(session, build, filename or PURE.format(version), **values)


def covered(session: Session, *wanted: str) -> list[Covered]:
    session.flush()
    session.expire_all()
    return coverage(session, map(Requirement, wanted), platform=PLATFORM, settings=SETTINGS)


def of(session: Session, wanted: str) -> Covered:
    (found,) = covered(session, wanted)
    return found


def told(session: Session, wanted: str) -> tuple[Cover, str, str]:
    found = of(session, wanted)
    return found.status, found.version, found.file


def test_the_newest_version_that_the_range_allows_counts(session: Session, cffi: Project) -> None:
    for version in ("1.16.0", "1.17.1"):
        own_wheel(session, cffi, version)

    assert told(session, "cffi") == (Cover.HAVE, "1.17.1", PURE.format("1.17.1"))
    assert told(session, "cffi[x]<1.17") == (Cover.HAVE, "1.16.0", PURE.format("1.16.0"))
    assert of(session, "cffi[x]<1.17").requirement == "cffi[x]<1.17"


def test_an_upstream_wheel_counts_where_it_is_for_the_platform(session: Session, cffi: Project) -> None:
    wheel = "cffi-1.17.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    upstream_wheel(session, cffi, wheel)
    upstream_wheel(session, cffi, "cffi-1.16.0-cp311-cp311-manylinux_2_17_aarch64.whl")

    assert told(session, "cffi") == (Cover.UPSTREAM, "1.17.1", wheel)
    assert not of(session, "cffi==1.16.0").file


def test_the_farms_wheel_comes_before_the_upstreams(session: Session, cffi: Project) -> None:
    upstream_wheel(session, cffi, PURE.format("1.17.1"))
    own_wheel(session, cffi, "1.17.1")

    assert of(session, "cffi").status is Cover.HAVE


def test_an_older_wheel_does_not_cover_a_newer_release_that_has_only_a_source(session: Session, cffi: Project) -> None:
    own_wheel(session, cffi, "1.16.0")
    entries.build(session, cffi, state="failed", reason="build: no such header")

    found = of(session, "cffi")

    assert (found.status, found.version, found.older) == (Cover.CANNOT, "1.17.1", "1.16.0")
    assert "Cannot be built: build: no such header" in found.sentence
    assert of(session, "cffi>1.16").older == ""


def test_a_yanked_release_counts_for_a_pin_only(session: Session, cffi: Project) -> None:
    newest = entries.sdist(session, cffi, "2.0", yanked="broken")
    upstream_wheel(session, cffi, PURE.format("2.0"), yanked="broken")
    own_wheel(session, cffi, "1.17.1")

    assert newest.yanked
    assert told(session, "cffi")[:2] == (Cover.HAVE, "1.17.1")
    assert "not 2.0: it is yanked (broken)" in of(session, "cffi").sentence
    assert told(session, "cffi==2.0")[:2] == (Cover.UPSTREAM, "2.0")


def test_a_release_for_another_python_is_passed_over(session: Session, cffi: Project) -> None:
    entries.sdist(session, cffi, "2.0", requires_python=">=3.12")
    upstream_wheel(session, cffi, PURE.format("2.0"), requires_python=">=3.12")
    own_wheel(session, cffi, "1.17.1")

    assert told(session, "cffi")[:2] == (Cover.HAVE, "1.17.1")
    assert "not 2.0: it needs Python >=3.12" in of(session, "cffi").sentence


def test_a_pre_release_counts_only_where_it_is_named(session: Session, cffi: Project) -> None:
    upstream_wheel(session, cffi, PURE.format("2.0rc1"))
    own_wheel(session, cffi, "1.17.1")

    assert told(session, "cffi")[1] == "1.17.1"
    assert told(session, "cffi>=2.0rc1")[1] == "2.0rc1"


def test_a_wheel_of_another_distribution_is_none_here(session: Session, cffi: Project) -> None:
    own_wheel(
        session, cffi, "1.17.1", "cffi-1.17.1-cp311-cp311-linux_x86_64.whl", platform="ubuntu2204-x86_64-cp311",
        view="ubuntu2204-x86_64",
    )  # fmt: skip

    assert of(session, "cffi").status is not Cover.HAVE


def test_a_pure_wheel_that_was_built_elsewhere_is_one_here(session: Session, cffi: Project) -> None:
    own_wheel(session, cffi, "1.17.1", platform=ARM)

    assert of(session, "cffi").status is Cover.HAVE


@pytest.mark.parametrize(
    ("state", "values", "cover", "said"),
    [
        ("queued", {}, Cover.QUEUED, "Queued"),
        ("waiting", {"not_before": later(hours=2), "reason": "cools down"}, Cover.QUEUED, "until"),
        ("leased", {"leased_to": "pi4", "lease_until": later(days=1)}, Cover.BUILDING, "Being built on pi4"),
        ("collecting", {"leased_to": "pi4"}, Cover.BUILDING, "Built on pi4"),
        ("failed", {"reason": "build: no"}, Cover.CANNOT, "Cannot be built: build: no"),
        ("held", {"reason": "a look"}, Cover.CANNOT, "`wheelfarm release "),
        ("poisoned", {}, Cover.CANNOT, "`wheelfarm retry "),
        ("withdrawn", {"reason": "removed: bad"}, Cover.CANNOT, "Removed"),
        (
            "unneeded",
            {"reason": "nobody asks for it any more: x"},
            Cover.NOT_WATCHED,
            "`wheelfarm request cffi==1.17.1",
        ),
        ("unneeded", {"reason": "upstream has a wheel that is gone by now"}, Cover.UNKNOWN, "Not built"),
    ],
)
def test_each_state_of_a_build_is_told_as_why_tells_it(
    session: Session, cffi: Project, *, state: str, values: dict[str, Any], cover: Cover, said: str
) -> None:
    build = entries.build(session, cffi, state=state, **values)

    found = of(session, "cffi")

    assert (found.status, found.build_id) == (cover, build.id), found.sentence
    assert said in found.sentence


def test_what_a_build_waits_for_is_told(session: Session, cffi: Project) -> None:
    tool = entries.project(session, "setuptools-scm")
    entries.build(session, tool, "8.1.0")
    entries.build(session, cffi, state="waiting", waits_for=tool.id, needs=["setuptools-scm"])

    found = of(session, "cffi")

    assert found.status is Cover.QUEUED
    assert "Waits for setuptools-scm 8.1.0 on this platform" in found.sentence


def test_what_nobody_asked_for_is_told_with_the_command_that_does(session: Session) -> None:
    found = of(session, "celery[redis]>=5")

    assert (found.status, found.reason) == (Cover.NOT_WATCHED, Reason.UNREQUESTED)
    assert f"`wheelfarm request 'celery[redis]>=5' --platform {HERE}`" in found.sentence


def test_an_older_release_than_the_one_that_a_request_got_is_not_watched(session: Session, cffi: Project) -> None:
    own_wheel(session, cffi, "1.17.1")

    found = of(session, "cffi<1.17")

    assert (found.status, found.version) == (Cover.NOT_WATCHED, "1.16.0")
    assert f"`wheelfarm request cffi==1.16.0 --platform {HERE}`" in found.sentence


def test_a_release_outside_every_request_is_not_watched(session: Session) -> None:
    project = entries.project(session)
    entries.request(session, project, specifier="<1.17")
    entries.sdist(session, project, "1.17.1")

    found = of(session, "cffi")

    assert found.status is Cover.NOT_WATCHED
    assert f"`wheelfarm request cffi==1.17.1 --platform {HERE}`" in found.sentence


def test_a_range_that_nothing_fits_cannot_be_had_and_the_nearest_releases_are_named(
    session: Session, cffi: Project
) -> None:
    assert cffi.id

    found = of(session, "cffi==1.17.0")

    assert (found.status, found.version, found.reason) == (Cover.CANNOT, "", Reason.NO_VERSION)
    assert found.sentence == (
        f"cffi==1.17.0 cannot be had on {HERE}: no version fits ==1.17.0; "
        "upstream has 1.16.0 before it and 1.17.1 after it."
    )


@pytest.mark.parametrize(
    ("values", "cover", "said"),
    [
        ({"status": "quarantined", "status_reason": "malware"}, Cover.CANNOT, "quarantined the project"),
        ({"status": "missing"}, Cover.CANNOT, "The upstream index has no project cffi"),
        ({"checked_at": None}, Cover.UNKNOWN, "has yet to read its page"),
        ({"checked_at": None, "errors": 3, "error": "time-out"}, Cover.UNKNOWN, "failed 3 times in a row"),
    ],
)
def test_trouble_with_the_whole_project_is_told(
    session: Session, values: dict[str, Any], cover: Cover, said: str
) -> None:
    project = entries.project(session, **values)
    entries.request(session, project, resolved_at=None)
    if values.get("status") == "quarantined":  # hides what was known
        upstream_wheel(session, project, PURE.format("1.17.1"))
        own_wheel(session, project, "1.17.1")

    found = of(session, "cffi")

    assert (found.status, found.file) == (cover, "")
    assert said in found.sentence


def test_a_release_that_was_not_decided_about_is_unknown(session: Session) -> None:
    project = entries.project(session)
    entries.request(session, project, resolved_at=None)
    entries.sdist(session, project, "1.17.1")
    entries.sdist(session, project, "1.17.1", filename="cffi-1.17.1.zip")

    assert of(session, "cffi").status is Cover.UNKNOWN


def test_a_removed_wheel_does_not_cover(session: Session, cffi: Project) -> None:
    own_wheel(session, cffi, "1.17.1", removed_at=later(), removed_because="bad")

    found = of(session, "cffi")

    assert found.status is Cover.CANNOT
    assert "removed" in found.sentence


def test_what_upstream_writes_is_made_safe_to_print(session: Session, cffi: Project) -> None:
    entries.sdist(session, cffi, "2.0", yanked="\x1b[2J evil\nline")
    own_wheel(session, cffi, "1.17.1")

    assert of(session, "cffi").sentence.isprintable()


def test_the_summary_counts_each_kind_and_says_whether_it_is_enough(session: Session, cffi: Project) -> None:
    own_wheel(session, cffi, "1.17.1")
    other = entries.project(session, "click")
    upstream_wheel(session, other, "click-8.0-py3-none-any.whl")
    third = entries.project(session, "numpy")
    entries.build(session, third, "2.0", sdist_id=entries.sdist(session, third, "2.0").id)

    three = covered(session, "cffi", "click", "numpy")
    four = covered(session, "cffi", "click", "numpy", "unheard-of")

    assert summary(three) == "2 of 3 covered: 1 have, 1 upstream; 1 queued"
    assert summary(four) == "2 of 4 covered: 1 have, 1 upstream; 1 queued, 1 not-watched"
    assert (is_enough(three), is_enough(four)) == (True, False)
    assert summary([]) == "0 of 0 covered"
