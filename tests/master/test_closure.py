from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, select

from master import closure, requests, resolve, undecided, watch
from master.store import Store
from master.upstream import Upstream
from schema.db.models import Build, Project, Request
from schema.db.session import transaction
from schema.platforms import Platform
from schema.states import BuildPolicy, BuildState
from tests import rows
from tests.upstream import FakeUpstream, metadata_text

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
BOOKWORM = Platform.parse("debian12-x86_64-cp311")
TRIXIE = Platform.parse("debian13-x86_64-cp313")
WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def index() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        yield server


@pytest.fixture
def upstream(index: FakeUpstream) -> Iterator[Upstream]:
    with Upstream(index.url, user_agent="wheelfarm/0 (test)", timeout_s=2.0) as client:
        yield client


def ask(database: Engine, text: str, **fields: object) -> None:
    with transaction(database) as session:
        requests.add(session, Requirement(text), now=NOW, **fields)  # type: ignore[arg-type]


def turn(database: Engine, upstream: Upstream, store: Store, *, after_s: float = 0) -> int:
    """What the master's loops do, once: look, resolve, follow; how many were followed."""
    now = NOW + timedelta(seconds=after_s)
    with transaction(database) as session:
        projects = watch.due(session, now)
    for project_id in projects:
        watch.look(database, upstream, project_id, poll_s=600, now=now)
    with transaction(database) as session:
        for project_id in undecided.waiting(session):
            assert undecided.take(session, project_id)
            resolve.resolve_project(session, project_id, platforms=[BOOKWORM], now=now)
        due = closure.due(session, now)
    return sum(closure.follow(database, build_id, upstream=upstream, store=store, now=now) for build_id in due)


def wanted(database: Engine) -> dict[str, tuple[str, str, str]]:
    """What was requested as a dependency: name → range, policy, because."""
    with transaction(database) as session:
        found = session.scalars(select(Request).where(Request.origin == "dependency")).all()
        return {item.project.name: (item.specifier, item.policy, item.because) for item in found}


def test_what_upstreams_wheel_needs_is_requested(
    index: FakeUpstream, upstream: Upstream, database: Engine, store: Store
) -> None:
    index.add_wheel(
        "demo",
        WHEEL,
        requires_dist=[
            "first>=1.2",
            'second; python_version < "3.12"',
            'never; python_version >= "3.12"',
            'windows; sys_platform == "win32"',
            'extra-only; extra == "fast"',
            "by-url @ https://index.example/x.whl",
            "not a requirement",
        ],
    )
    ask(database, "demo")

    assert turn(database, upstream, store) == 1

    because = "demo 1.0 needs it"
    assert wanted(database) == {"first": (">=1.2", "missing", because), "second": ("", "missing", because)}
    with transaction(database) as session:
        assert session.scalars(select(Request.platform).where(Request.origin == "dependency")).all() == [
            str(BOOKWORM),
            str(BOOKWORM),
        ]
        assert session.scalars(select(Build.followed_at)).one() == NOW


def test_extras_that_are_asked_for_count(
    index: FakeUpstream, upstream: Upstream, database: Engine, store: Store
) -> None:
    index.add_wheel("demo", WHEEL, requires_dist=['quick; extra == "fast"', 'slow; extra == "slow"'])
    ask(database, "demo[fast]")

    turn(database, upstream, store)

    assert set(wanted(database)) == {"quick"}


def test_extras_that_are_asked_for_later_count_too(
    index: FakeUpstream, upstream: Upstream, database: Engine, store: Store
) -> None:
    index.add_wheel("demo", WHEEL, requires_dist=['quick; extra == "fast"'])
    ask(database, "demo")
    turn(database, upstream, store)
    assert wanted(database) == {}

    ask(database, "demo[fast]")
    turn(database, upstream, store)

    assert set(wanted(database)) == {"quick"}


def test_what_a_published_wheel_needs_is_read_from_the_store(
    index: FakeUpstream, upstream: Upstream, database: Engine, store: Store
) -> None:
    digest = store.put_bytes(metadata_text("Demo", "1.0", requires_dist=["first"]))
    index.add_wheel("demo", WHEEL, requires_dist=["other"])
    ask(database, "demo", policy=BuildPolicy.ALWAYS)
    index.add_file("demo", filename="demo-1.0.tar.gz")
    turn(database, upstream, store)
    assert wanted(database) == {}
    with transaction(database) as session:
        build = session.scalars(select(Build)).one()
        build.state = BuildState.PUBLISHED
        rows.wheel(session, build, metadata_sha256=digest)

    assert turn(database, upstream, store) == 1

    assert set(wanted(database)) == {"first"}
    with transaction(database) as session:
        assert session.scalars(select(Project.title).where(Project.name == "demo")).one() == "Demo"


def test_a_new_wheel_spares_the_platforms_that_it_serves(
    index: FakeUpstream, upstream: Upstream, database: Engine, store: Store
) -> None:
    index.add_file("demo", filename="demo-1.0.tar.gz")
    ask(database, "demo", platforms=[BOOKWORM])
    ask(database, "demo", platforms=[TRIXIE])
    turn(database, upstream, store)
    with transaction(database) as session:
        first, second = session.scalars(select(Build).order_by(Build.id))
        assert (first.state, second.state) == (BuildState.QUEUED, BuildState.QUEUED)
        first.state = BuildState.PUBLISHED
        rows.wheel(session, first, metadata_sha256=store.put_bytes(metadata_text("demo", "1.0")))

    turn(database, upstream, store)
    turn(database, upstream, store)

    with transaction(database) as session:
        second = session.scalars(select(Build).where(Build.platform == str(TRIXIE))).one()
        assert (second.state, second.reason) == (BuildState.UNNEEDED, "demo-1.0-py3-none-any.whl serves it")
        assert second.followed_at is not None


def test_the_policy_of_a_list_reaches_all_that_it_needs(
    index: FakeUpstream, upstream: Upstream, database: Engine, store: Store
) -> None:
    index.add_wheel("demo", WHEEL, requires_dist=["first"])
    index.add_wheel("first", "first-1.0-py3-none-any.whl", requires_dist=["second"])
    index.add_wheel("second", "second-1.0-py3-none-any.whl")
    ask(database, "demo", origin="list", because="my.toml", dependencies=BuildPolicy.ALWAYS)

    turn(database, upstream, store)
    index.add_file("first", filename="first-1.0.tar.gz")
    turn(database, upstream, store)
    with transaction(database) as session:
        first = session.scalars(select(Build).where(Build.policy == "always")).one()
        assert first.state == BuildState.QUEUED
        first.state = BuildState.PUBLISHED
        rows.wheel(
            session, first, metadata_sha256=store.put_bytes(metadata_text("first", "1.0", requires_dist=["second"]))
        )
    turn(database, upstream, store)

    assert {name: policy for name, (_, policy, _) in wanted(database).items()} == {
        "first": "always",
        "second": "always",
    }


def test_circles_of_requirements_end(index: FakeUpstream, upstream: Upstream, database: Engine, store: Store) -> None:
    index.add_wheel("demo", WHEEL, requires_dist=["other"])
    index.add_wheel("other", "other-1.0-py3-none-any.whl", requires_dist=["demo", "other[more]"])
    ask(database, "demo")

    followed = [turn(database, upstream, store) for _ in range(6)]

    assert followed[-2:] == [0, 0]
    with transaction(database) as session:
        assert len(session.scalars(select(Build)).all()) == 2


def test_metadata_that_cannot_be_had_is_tried_again_and_keeps_nobody_else(
    index: FakeUpstream, upstream: Upstream, database: Engine, store: Store
) -> None:
    index.add_wheel("demo", WHEEL, requires_dist=["first"])
    index.add_wheel("other", "other-1.0-py3-none-any.whl", requires_dist=["second"])
    ask(database, "demo")
    ask(database, "other")
    index.fail(f"/files/demo/{WHEEL}", status=500)

    assert turn(database, upstream, store) == 1

    assert set(wanted(database)) == {"second"}
    with transaction(database) as session:
        build = session.scalars(select(Build).where(Build.followed_at.is_(None))).first()
        assert build is not None
        assert build.not_before is not None
        assert "what it needs is not known yet" in build.reason
        assert build.reason.count("500") == 1
        assert closure.due(session, NOW) == []
    index.mend()

    turn(database, upstream, store, after_s=600)
    assert set(wanted(database)) == {"first", "second"}
    with transaction(database) as session:
        reasons = session.scalars(select(Build.reason)).all()
        assert "upstream has demo-1.0-py3-none-any.whl" in reasons


@pytest.mark.parametrize("state", [BuildState.QUEUED, BuildState.FAILED, BuildState.WITHDRAWN])
def test_nothing_is_followed_that_nobody_can_install(database: Engine, state: BuildState) -> None:
    with transaction(database) as session:
        rows.build(session, state=state)

        assert closure.due(session, NOW) == []


def test_a_store_that_lost_metadata_is_told_and_tried_again(
    upstream: Upstream, database: Engine, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=BuildState.PUBLISHED, changed_at=NOW)
        rows.wheel(session, build)
        build_id = build.id

    assert not closure.follow(database, build_id, upstream=upstream, store=store, now=NOW)

    assert "cannot be read from the store" in caplog.text
    with transaction(database) as session:
        assert (session.get_one(Build, build_id).not_before or NOW) > NOW


def test_metadata_without_end_is_not_followed_without_end(
    index: FakeUpstream, upstream: Upstream, database: Engine, store: Store
) -> None:
    index.add_wheel("demo", WHEEL, requires_dist=[f"need-{number}" for number in range(700)])
    ask(database, "demo")

    turn(database, upstream, store)

    assert len(wanted(database)) == 500
