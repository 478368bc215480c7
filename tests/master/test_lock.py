"""Which wheels a lock is made of: the newest that fit together, for another platform than this machine's too (PEP 508,
592, section b of the standards).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine

from master.solve import Solution, solve
from schema.db.session import transaction
from schema.errors import StoreError, UnsolvableError, UpstreamError
from schema.names import sha256_of
from schema.platforms import Platform
from schema.sections import FarmSection
from schema.settings import Settings
from tests import published, rows
from tests.locking import Shop, opened, pins

# What there is does not depend on the kind of database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

HERE = Platform.parse(rows.PLATFORM)
PI = Platform.parse("debian11-armv7l-cp39")


@pytest.fixture
def shop(database: Engine, tmp_path: Path) -> Iterator[Shop]:
    settings = Settings(farm=FarmSection(home=tmp_path / "home", platforms=(HERE, PI)))
    with opened(settings, database, tmp_path) as made:
        yield made


def test_all_that_is_needed_in_turn_is_pinned(shop: Shop) -> None:
    shop.own("app", requires=["lib>=1", "tool"])
    shop.theirs("lib", "1.4", requires=["deep"])
    shop.theirs("tool", sidecar=False, requires=["deep<2"])
    shop.own("deep", "1.0")
    shop.theirs("deep", "2.0")

    assert pins(shop.lock("app")) == ["app 1.0 farm", "deep 1.0 farm", "lib 1.4 upstream", "tool 1.0 upstream"]


def test_the_newest_version_wins_wherever_it_is(shop: Shop) -> None:
    shop.own("demo", "1.0")
    shop.theirs("demo", "2.0")
    shop.own("other", "2.0")
    shop.theirs("other", "1.0")

    assert pins(shop.lock("demo", "other")) == ["demo 2.0 upstream", "other 2.0 farm"]


def test_of_one_version_the_farms_wheel_is_taken(shop: Shop) -> None:
    filename = shop.own("demo")
    shop.theirs("demo")

    (pin,) = shop.lock("demo").pins

    assert (pin.own, pin.wheel.url) == (True, f"{shop.settings.public_url}/files/{filename}")
    assert pin.wheel.sha256 == sha256_of(shop.folder / "farm" / filename)


def test_markers_and_tags_are_those_of_the_platform_not_of_this_machine(shop: Shop) -> None:
    shop.own(
        "app",
        requires=[
            'old; python_version < "3.11"',
            'arm; platform_machine == "armv7l"',
            'intel; platform_machine == "x86_64"',
            'new; python_full_version >= "3.11.2"',
            'windows; sys_platform == "win32"',
        ],
    )
    shop.own("arm", tag="cp39-cp39-linux_armv7l", platform=PI)
    shop.theirs("old", tag="cp39-cp39-manylinux2014_armv7l")
    shop.theirs("old", "2.0", tag="cp39-cp39-manylinux2014_aarch64")
    shop.theirs("intel", tag="cp311-cp311-manylinux_2_36_x86_64")
    shop.theirs("intel", "2.0", tag="cp311-cp311-manylinux_2_37_x86_64")
    shop.theirs("new")

    assert pins(shop.lock("app", platform=PI)) == ["app 1.0 farm", "arm 1.0 farm", "old 1.0 upstream"]
    assert pins(shop.lock("app")) == ["app 1.0 farm", "intel 1.0 upstream", "new 1.0 upstream"]


def test_a_wheel_for_the_libraries_of_another_distribution_is_not_taken(shop: Shop) -> None:
    shop.own("demo", "2.0", tag="cp311-cp311-linux_x86_64", platform=Platform.parse("ubuntu2404-x86_64-cp311"))
    shop.own("demo", "1.0", tag="cp311-cp311-linux_x86_64")

    assert pins(shop.lock("demo")) == ["demo 1.0 farm"]


def test_the_newest_rebuild_is_taken(shop: Shop) -> None:
    for build in ("", "1", "2"):
        shop.own("demo", build=build)

    (pin,) = shop.lock("demo").pins

    assert pin.wheel.filename == "demo-1.0-2-py3-none-any.whl"


def test_extras_bring_what_they_need_and_stay_at_one_version(shop: Shop) -> None:
    shop.theirs("app", "2.0", requires=["base", 'more>=2; extra == "Full_Set"'])
    shop.theirs("app", "1.0", requires=["base", 'more<2; extra == "Full_Set"'])
    shop.theirs("user", requires=["app<2"])
    shop.theirs("base")
    shop.theirs("more", "1.5")
    shop.theirs("more", "2.5")

    found = shop.lock("app[full-set]", "user")

    assert pins(found) == ["app 1.0 upstream", "base 1.0 upstream", "more 1.5 upstream", "user 1.0 upstream"]
    assert [sorted(pin.extras) for pin in found.pins] == [["full-set"], [], [], []]


def test_projects_may_need_each_other(shop: Shop) -> None:
    shop.theirs("hen", requires=["egg"])
    shop.theirs("egg", requires=["hen"])

    assert pins(shop.lock("hen")) == ["egg 1.0 upstream", "hen 1.0 upstream"]


def test_what_the_farm_holds_back_stays_back_and_is_told_with_the_reason(shop: Shop) -> None:
    shop.own("demo", "1.0")
    shop.fails("demo", "2.0", reason="header: no such file: sql.h")
    shop.theirs("demo", "3.0rc1")

    found = shop.lock("demo")

    assert pins(found) == ["demo 1.0 farm"]
    assert found.notes == ("demo 1.0 instead of 2.0, which is failed: header: no such file: sql.h",)


def test_a_newer_release_without_a_wheel_is_told(shop: Shop) -> None:
    shop.theirs("demo", "1.0")
    shop.source("demo", "2.0")
    shop.theirs("demo", "1.9", tag="cp312-cp312-manylinux_2_17_x86_64")

    assert shop.lock("demo").notes == (f"demo 1.0 instead of 2.0, which has no wheel for {HERE}",)


def test_a_newer_release_that_needs_what_has_no_wheel_is_told_with_the_reason(shop: Shop) -> None:
    shop.theirs("app", "1.0", requires=["lib<2"])
    shop.theirs("app", "2.0", requires=["lib>=3"])
    shop.theirs("lib", "1.0")

    found = shop.lock("app")

    unasked = f"Nobody has asked for lib>=3 on {HERE} yet: `wheelfarm request 'lib>=3' --platform {HERE}` does."
    assert pins(found) == ["app 1.0 upstream", "lib 1.0 upstream"]
    assert found.notes == (
        "app 1.0 instead of 2.0, which needs lib>=3",
        f"lib>=3 (app 2.0 needs it): {unasked}",
    )


def test_a_newer_release_that_does_not_fit_with_the_rest_is_told(shop: Shop) -> None:
    shop.theirs("app", "1.0", requires=["lib<2"])
    shop.theirs("app", "2.0", requires=["lib>=2"])
    shop.theirs("other", requires=["lib<2"])
    shop.theirs("lib", "1.0")
    shop.theirs("lib", "2.0")

    assert shop.lock("app", "other").notes == ("app 1.0 instead of 2.0, for that does not fit with the rest",)


def test_older_releases_are_not_tried_without_end(shop: Shop) -> None:
    shop.theirs("app", "0.1")
    for version in range(1, 9):
        shop.theirs("app", f"{version}.0", requires=["nowhere"])

    with shop.sources() as sources:
        few = solve([Requirement("app")], sources, {}, most_stepped_back=5)
    with shop.sources() as sources:
        many = solve([Requirement("app")], sources, {}, most_stepped_back=50)

    assert isinstance(few, tuple)
    assert [(str(lack.need), lack.by) for lack in few] == [("nowhere", "app 8.0")]
    assert isinstance(many, Solution)
    assert [str(pin) for pin in many.pins] == ["app 0.1"]


def test_a_search_that_is_too_long_is_given_up(shop: Shop) -> None:
    shop.theirs("app", requires=["lib"])
    shop.theirs("lib")

    with shop.sources() as sources, pytest.raises(UnsolvableError, match=r"among 1 wheels \(narrow the ranges"):
        solve([Requirement("app")], sources, {}, most_tried=1)


def test_where_nothing_was_replaced_nothing_is_told(shop: Shop) -> None:
    shop.theirs("demo", "1.0")
    shop.theirs("demo", "2.0")
    shop.theirs("user", requires=["demo<2"])

    assert shop.lock("user").notes == ()


def test_yanked_releases_and_pre_releases_are_taken_only_where_they_are_named(shop: Shop) -> None:
    shop.theirs("demo", "1.0")
    shop.theirs("demo", "2.0", yanked="broken")
    shop.theirs("demo", "3.0rc1")

    assert pins(shop.lock("demo")) == ["demo 1.0 upstream"]
    assert pins(shop.lock("demo==2.0")) == ["demo 2.0 upstream"]
    assert pins(shop.lock("demo>=3.0rc1")) == ["demo 3.0rc1 upstream"]
    assert pins(shop.lock("demo[x]>=3.0rc1")) == ["demo 3.0rc1 upstream"]


def test_a_release_for_another_python_is_not_taken(shop: Shop) -> None:
    shop.theirs("demo", "1.0")
    shop.theirs("demo", "2.0", requires_python=">=3.12")
    shop.own("demo", "3.0", requires_python=">=3.12")

    assert pins(shop.lock("demo")) == ["demo 1.0 upstream"]


def test_every_requirement_without_a_wheel_is_named_with_the_reason_and_with_what_needs_it(shop: Shop) -> None:
    shop.own("app", requires=["broken>=1", "stranger", "typo", "elsewhere @ https://x.example/elsewhere.whl"])
    shop.fails("broken", "1.0", reason="build: no gcc")
    shop.source("stranger")
    with pytest.raises(UnsolvableError) as caught:
        shop.lock("app", "app2")

    head, *lines = str(caught.value).splitlines()
    unasked = f"Nobody has asked for stranger on {HERE} yet: `wheelfarm request stranger --platform {HERE}` does."
    assert head == f"5 of the projects to be installed have no wheel for {HERE}:"
    assert sorted(lines) == [
        "app2: The upstream index has no project app2: is the name spelt right?",
        "broken>=1 (app 1.0 needs it): Failed: build: no gcc. `wheelfarm retry 2` tries again.",
        "elsewhere @ https://x.example/elsewhere.whl (app 1.0 needs it): No index can satisfy it.",
        f"stranger (app 1.0 needs it): {unasked}",
        "typo (app 1.0 needs it): The upstream index has no project typo: is the name spelt right?",
    ]


def test_an_older_release_is_taken_where_the_newest_needs_what_has_no_wheel(shop: Shop) -> None:
    shop.theirs("app", "1.0")
    shop.theirs("app", "2.0", requires=["by-url @ https://x.example/a.whl"])

    assert pins(shop.lock("app")) == ["app 1.0 upstream"]


def test_of_several_requirements_on_a_project_the_one_without_a_wheel_is_named(shop: Shop) -> None:
    shop.theirs("early", requires=["lib<2"])
    shop.theirs("late", requires=["lib[x]>=3"])
    shop.theirs("lib", "1.0")

    with pytest.raises(UnsolvableError) as caught:
        shop.lock("early", "late")

    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith("lib[x]>=3 (late 1.0 needs it): Nobody has asked for lib[x]>=3 ")


def test_requirements_that_exclude_each_other_are_named_with_whose_they_are(shop: Shop) -> None:
    shop.theirs("one", requires=["lib<2"])
    shop.theirs("two", requires=["lib>=2"])
    shop.theirs("lib", "1.0")
    shop.theirs("lib", "2.0")

    with pytest.raises(UnsolvableError) as caught:
        shop.lock("one", "two")

    assert str(caught.value) == (
        "what was asked for does not fit together: lib<2, which one 1.0 needs; lib>=2, which two 1.0 needs"
    )


def test_what_upstream_has_quarantined_is_not_taken(shop: Shop) -> None:
    shop.own("demo")
    shop.upstream.projects["demo"] = {}
    shop.upstream.statuses["demo"] = ("quarantined", "malware")
    with transaction(shop.database) as session:
        project = published.project(session, "demo")
        project.status, project.status_reason = "quarantined", "malware"

    with pytest.raises(UnsolvableError, match="demo: Upstream has quarantined the project"):
        shop.lock("demo")


def test_metadata_that_is_not_what_the_index_promised_is_not_believed(shop: Shop) -> None:
    served = shop.theirs("demo", sidecar=False)
    served.data += b"more"
    served.listed_sha256 = "0" * 64

    with pytest.raises(UpstreamError, match=r"demo-1\.0-py3-none-any\.whl: sha256 is "):
        shop.lock("demo")


def test_a_wheel_without_a_digest_is_not_taken(shop: Shop) -> None:
    shop.theirs("demo", "2.0").listed_sha256 = ""
    shop.theirs("demo", "1.0")

    assert pins(shop.lock("demo")) == ["demo 1.0 upstream"]


def test_an_upstream_that_fails_is_no_upstream_without_the_project(shop: Shop) -> None:
    shop.own("demo")
    shop.upstream.fail("demo", status=500)

    with pytest.raises(UpstreamError, match="the upstream answers 500"):
        shop.lock("demo")


def test_a_file_that_the_store_lost_is_told(shop: Shop) -> None:
    metadata = published.metadata_of(shop.folder / "farm" / shop.own("demo"))
    shop.source("demo")
    shop.store.path(shop.store.put_bytes(metadata)).unlink()

    with pytest.raises(StoreError, match=r"METADATA of demo-1\.0-py3-none-any\.whl cannot be read from the store"):
        shop.lock("demo")


def test_pages_and_metadata_are_read_once(shop: Shop) -> None:
    for version in range(1, 6):
        shop.theirs("app", f"{version}.0", requires=["lib>=3", "other"])
    shop.theirs("lib", "1.0")
    shop.theirs("other")
    shop.theirs("app", "0.1")

    assert pins(shop.lock("app")) == ["app 0.1 upstream"]
    paths = [path for path, _ in shop.upstream.requests]
    assert len(paths) == len(set(paths))
