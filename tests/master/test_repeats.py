"""A share of the builds is built once more; the second wheel is compared, and never published."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from master import builds, choose, operate, repeats
from master.choose import Desk
from master.dispatch import Dispatcher
from master.withdraw import withdraw
from schema.capacity import Machine
from schema.db import repeats as shown
from schema.db.models import Attempt, AuditEntry, Build, Node, Project, Repeat, UpstreamFile
from schema.db.session import now, transaction
from schema.errors import UsageError
from schema.jobs import Lease, Limits, Outcome
from schema.names import NodeName, Sha256
from schema.platforms import Platform
from schema.sections import RepeatSection
from schema.states import BuildState, FailureClass
from schema.wheels.canonical import repack
from tests import rows
from tests.master.test_collect import N1, Shed
from tests.schema.wheels.forge import canonical, members

ALL = RepeatSection(share=1.0)


@pytest.fixture
def shed(tmp_path: Path, database: Engine) -> Shed:
    """All that it publishes is built once more."""
    made = Shed(tmp_path, database)
    made.collector = replace(made.collector, repeat=ALL)
    return made


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return canonical(tmp_path / "built", members())


def published(shed: Shed, wheel: Path) -> Lease:
    lease = shed.leased()
    shed.leave(lease, wheel)
    shed.collector.collect(N1, lease)
    assert shed.build(lease).state == BuildState.PUBLISHED
    return lease


def again(shed: Shed) -> Lease:
    """The build that repeats the only one, leased."""
    with transaction(shed.database) as session:
        build = session.scalars(select(Build).where(Build.build_number < 0)).one()
        lease = rows.lease(session, build, node=N1)
        assert lease is not None
        return lease


def told(shed: Shed) -> Repeat:
    with transaction(shed.database) as session:
        return session.scalars(select(Repeat)).one()


def repeated(shed: Shed, wheel: Path) -> Repeat:
    lease = again(shed)
    shed.leave(lease, wheel)
    shed.collector.collect(N1, lease)
    assert shed.build(lease).state == BuildState.UNNEEDED
    return told(shed)


def test_what_is_published_is_queued_once_more_behind_everything_else(shed: Shed, wheel: Path) -> None:
    first = published(shed, wheel)

    with transaction(shed.database) as session:
        build = session.scalars(select(Build).where(Build.id != first.build_id)).one()
        old = rows.build(session, rows.project(session, "other"), origin="scope")

        assert (build.state, build.build_number, build.wheel_number, build.origin) == ("queued", -1, 0, "repeat")
        assert build.score < old.score - 50_000
        assert build.reason == f"repeats build {first.build_id}, to see whether it gives the same bytes"
    assert (told(shed).build_id, told(shed).verdict) == (first.build_id, None)


def test_the_same_bytes_are_identical_and_publish_nothing(shed: Shed, wheel: Path) -> None:
    first = published(shed, wheel)

    row = repeated(shed, wheel)

    assert (row.verdict, row.detail, row.node) == ("identical", "", "n1")
    assert [item.build_id for item in shed.wheels()] == [first.build_id]
    with transaction(shed.database) as session:
        build = session.get_one(Build, row.again_id)
        assert build.reason == f"repeats build {first.build_id}: identical"
        assert session.query(Build).count() == 2
        assert session.scalars(select(Attempt.outcome)).all() == ["built", "built"]
        assert shown.figures(session) == {"identical": 1}


def test_a_difference_is_kept_with_file_and_place_and_raises_no_alarm(shed: Shed, wheel: Path) -> None:
    published(shed, wheel)
    other = canonical(shed.folder / "again", members() | {"demo/__init__.py": b"VALUE = 2\n"})

    row = repeated(shed, other)

    assert (row.verdict, row.detail) == ("differs", "demo/__init__.py, line 1: 'VALUE = 1' / 'VALUE = 2'")
    assert len(shed.wheels()) == 1
    assert shed.node().state == "active"


@pytest.fixture
def asked(tmp_path: Path, database: Engine) -> Shed:
    """A farm that repeats only what somebody asks for."""
    return Shed(tmp_path, database)


def ask(shed: Shed, platform: Platform | None = None) -> list[Build]:
    with transaction(shed.database) as session:
        name = session.scalars(select(Project.name)).one()
        return operate.repeat(session, NormalizedName(name), Version("1.0"), platform, who="ada@farm")


def test_a_person_can_ask_for_a_repeat_of_any_published_build(asked: Shed, wheel: Path) -> None:
    first = published(asked, wheel)

    (build,) = ask(asked)

    assert build.reason == f"repeats build {first.build_id} for ada@farm, to see whether it gives the same bytes"
    with transaction(asked.database) as session:
        entry = session.scalars(select(AuditEntry)).one()
        assert (entry.who, entry.action, entry.subject) == ("ada@farm", "repeat", f"build {build.id}")
    assert repeated(asked, wheel).verdict == "identical"
    assert len(asked.wheels()) == 1


def test_what_is_or_was_repeated_is_not_repeated_again(asked: Shed, wheel: Path) -> None:
    first = published(asked, wheel)
    (build,) = ask(asked)

    with pytest.raises(UsageError, match=f"build {first.build_id} is being repeated by build {build.id}"):
        ask(asked)
    repeated(asked, wheel)
    with pytest.raises(UsageError, match=f"build {first.build_id} was repeated: identical"):
        ask(asked)


def test_only_what_is_published_can_be_repeated(asked: Shed, wheel: Path) -> None:
    lease = asked.leased()

    with pytest.raises(UsageError, match=f"build {lease.build_id} .* is leased, not published"):
        ask(asked)
    asked.leave(lease, wheel)
    asked.collector.collect(N1, lease)
    with pytest.raises(UsageError, match="was never built for debian11-aarch64-cp39"):
        ask(asked, Platform.parse("debian11-aarch64-cp39"))


def test_what_is_harmless_is_equivalent_and_named(shed: Shed, wheel: Path) -> None:
    published(shed, wheel)

    row = repeated(shed, repack(wheel, shed.folder / "later", epoch=1_800_000_000))

    assert (row.verdict, row.detail) == ("equivalent", "order, times, modes or compression in the archive")


def test_a_repeat_that_fails_is_a_verdict_and_no_failure_of_the_farm(shed: Shed, wheel: Path) -> None:
    first = published(shed, wheel)
    lease = again(shed)
    shed.leave(
        lease,
        wheel,
        result=lambda same: replace(
            same, outcome=Outcome.FAILED, failure_class=FailureClass.HEADER, message="no foo.h", wheel=None
        ),
    )

    shed.collector.collect(N1, lease)

    row, build = told(shed), shed.build(lease)
    assert (row.verdict, row.detail, row.node) == ("not-repeated", "header: no foo.h", "n1")
    assert (build.state, build.reason) == (
        BuildState.UNNEEDED,
        f"repeats build {first.build_id}: not repeated: header: no foo.h",
    )
    with transaction(shed.database) as session:
        assert builds.counts(session) == {(rows.PLATFORM, "published"): 1, (rows.PLATFORM, "unneeded"): 1}


def test_a_repeat_that_kills_its_nodes_is_given_up(shed: Shed, wheel: Path) -> None:
    published(shed, wheel)
    for _ in range(10):
        lease = again(shed)
        with transaction(shed.database) as session:
            builds.give_back(session, session.get_one(Build, lease.build_id), why="lost")

    row = told(shed)
    assert row.verdict == "not-repeated"
    assert row.detail.startswith("lost 10 times")
    assert shed.build(lease).state == BuildState.WITHDRAWN


def test_a_release_that_the_upstream_takes_back_is_not_repeated(shed: Shed, wheel: Path) -> None:
    published(shed, wheel)
    with transaction(shed.database) as session:
        build = session.scalars(select(Build).where(Build.build_number < 0)).one()
        withdraw(session, build, "demo-1.0.tar.gz is no longer listed", now(session))

    assert told(shed).verdict == "not-repeated"
    assert "no longer listed" in told(shed).detail


def test_a_wheel_that_is_gone_or_broken_meanwhile_cannot_be_compared(shed: Shed, wheel: Path) -> None:
    published(shed, wheel)
    [row] = shed.wheels()
    stored = shed.collector.store.path(Sha256(row.sha256))
    stored.unlink()

    found = repeated(shed, wheel)

    assert found.verdict == "not-repeated"
    assert found.detail.startswith("the wheel that it repeats cannot be read")
    assert shed.node().state == "active"


def test_a_later_verdict_takes_the_place_of_the_earlier_one(shed: Shed, wheel: Path) -> None:
    published(shed, wheel)
    other = canonical(shed.folder / "again", members() | {"demo/new.py": b""})
    row = repeated(shed, other)
    with transaction(shed.database) as session:
        build = session.get_one(Build, row.again_id)
        builds.move(session, build, BuildState.QUEUED, reason="again")

    assert repeated(shed, wheel).verdict == "identical"


def test_a_repeat_whose_lease_is_gone_changes_nothing(shed: Shed, wheel: Path) -> None:
    published(shed, wheel)
    lease = again(shed)
    shed.leave(lease, wheel)
    with transaction(shed.database) as session:
        build = session.get_one(Build, lease.build_id)
        builds.give_back(session, build, why="its time ran out")

    shed.collector.collect(N1, lease)

    assert told(shed).verdict is None
    assert shed.build(lease).state == BuildState.QUEUED


def chosen(session: Session, digest: str, wanted: RepeatSection, **project: Any) -> bool:
    of = rows.project(session, f"demo-{session.scalar(select(func.count()).select_from(Project))}")
    for key, value in project.items():
        setattr(of, key, value)
    build = rows.build(session, of, state=BuildState.PUBLISHED)
    session.get_one(UpstreamFile, build.sdist_id).sha256 = digest
    session.flush()
    repeats.want(session, build, node=N1, wanted=wanted)
    repeats.want(session, build, node=N1, wanted=wanted)  # nobody is asked twice
    return session.get(Repeat, build.id) is not None


def test_which_builds_are_in_the_share_follows_from_their_sources(database: Engine) -> None:
    low, high = "3fffffff" + "f" * 56, "40000000" + "0" * 56
    with transaction(database) as session:
        quarter = RepeatSection(share=0.25)
        assert [chosen(session, digest, quarter) for digest in (low, high)] == [True, False]
        assert [chosen(session, digest, RepeatSection()) for digest in ("0" * 64, high)] == [False, False]
        assert [chosen(session, digest, ALL) for digest in ("f" * 64, "0" * 64)] == [True, True]


def test_the_most_downloaded_projects_are_always_in_it(database: Engine) -> None:
    top = RepeatSection(top=2)
    with transaction(database) as session:
        for downloads in (1000, 500, 10):
            rows.project(session, f"known-{downloads}").downloads = downloads
        session.flush()

        assert [chosen(session, "f" * 64, top, downloads=many) for many in (2000, 600, 0)] == [True, False, False]


def test_another_node_that_offers_the_platform_has_a_day_for_it(shed: Shed, wheel: Path) -> None:
    with transaction(shed.database) as session:
        rows.node(session, "n2")
    published(shed, wheel)

    def gets(name: str, days: float) -> int:
        desk = Desk(
            node=NodeName(name), platforms=(rows.PLATFORM,), slots=4, machine=Machine(memory_bytes=0, disk_free_bytes=0)
        )
        with transaction(shed.database) as session:
            return len(choose.choose(session, desk, at=now(session) + timedelta(days=days)))

    assert [gets("n1", 0.9), gets("n2", 0)] == [0, 1]
    assert gets("n1", 1.1) == 1


def test_where_there_is_no_other_the_same_node_builds_it_again(shed: Shed, wheel: Path) -> None:
    with transaction(shed.database) as session:
        rows.node(session, "elsewhere", platforms=["debian13-x86_64-cp313"])
        rows.node(session, "draining", state="draining")

    published(shed, wheel)

    assert (told(shed).not_on, told(shed).not_on_until) == (None, None)


def test_a_repeat_comes_last_even_where_the_longest_begins_and_keeps_no_slot_free(database: Engine) -> None:
    with transaction(database) as session:
        rows.build(session, rows.project(session, "short"), expected_s=1.0, score=-90_000.0, size=0)
        rows.build(session, rows.project(session, "again"), build_number=-1, expected_s=9000.0, score=9.0, size=2)
        rows.build(session, rows.project(session, "later"), build_number=-1, expected_s=1.0, score=8.0, size=0)
        gib = 2**30

        def names(memory_gib: int, running: tuple[int, ...], *, longest_first: bool) -> list[str]:
            machine = Machine(memory_bytes=memory_gib * gib, disk_free_bytes=0)
            desk = Desk(node=N1, platforms=(rows.PLATFORM,), slots=9, machine=machine, running=running)
            return [item.project for item in choose.choose(session, desk, longest_first=longest_first)]

        assert names(64, (), longest_first=True) == ["short", "again", "later"]
        assert names(64, (), longest_first=False) == ["short", "again", "later"]
        assert names(4, (1,), longest_first=False) == ["short", "later"]


def test_the_job_is_that_of_the_first_build_with_the_build_requirements_of_its_time(shed: Shed, wheel: Path) -> None:
    first = published(shed, wheel)
    with transaction(shed.database) as session:
        attempt = session.scalars(select(Attempt).where(Attempt.build_id == first.build_id)).one()
        attempt.started_at -= timedelta(days=3)
        began_at = attempt.started_at
        node = session.get_one(Node, "n1")
        node.slots, node.heard_at = 1, now(session)
        session.flush()
        dispatcher = Dispatcher(recipe_folders=(), limits=Limits(), lease_s=90, silent_after_s=60)

        [(name, job)] = dispatcher.dispatch(session)

    assert (name, job.build_number, job.before) == (N1, 0, began_at)


def test_a_farm_repeats_nothing_unless_it_is_set(shed: Shed, wheel: Path) -> None:
    shed.collector = replace(shed.collector, repeat=RepeatSection())

    published(shed, wheel)

    with transaction(shed.database) as session:
        assert session.query(Repeat).count() == 0


def test_the_figures_are_told_in_the_order_of_the_verdicts() -> None:
    counts = {"identical": 1090, "differs": 10}

    assert shown.sentence(counts) == "1,100 built twice: 1,090 identical (99 %), 10 differs (1 %)"
    assert shown.sentence({}) == ""
