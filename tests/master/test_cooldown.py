"""Which builds cool down, and which do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from master import builds, resolve, ripen, undecided
from schema.cooldown import Cooldown
from schema.db.models import Build
from schema.db.session import now as clock
from schema.db.session import transaction
from schema.states import BuildPolicy, BuildState
from tests import rows
from tests.master.test_resolve import BOOKWORM, NOW, SDIST, ask, listed, upstream_has

DAY = Cooldown(seconds=86_400.0)
NONE = Cooldown()
UNTIL = "cooling down until 2026-11-22 09:00 UTC: demo-1.0.tar.gz is new, of 2026-11-21 09:00"
NEW = listed(SDIST, uploaded_at=NOW - timedelta(hours=3))


def resolved(
    database: Engine, cooldown: Cooldown = DAY, *, now: datetime = NOW, again: bool = False
) -> list[tuple[str, str, str]]:
    """Resolve what is to be resolved; version, state and reason of every build."""
    with transaction(database) as session:
        if again:
            undecided.again(session, 1)
        for project_id in undecided.waiting(session):
            assert undecided.take(session, project_id)
            resolve.resolve_project(session, project_id, platforms=[BOOKWORM], now=now, cooldown=cooldown)
    with transaction(database) as session:
        return [(item.version, item.state, item.reason) for item in session.scalars(select(Build).order_by(Build.id))]


def only(session: Session) -> Build:
    return session.scalars(select(Build)).one()


def scope(database: Engine, text: str = "demo", **fields: Any) -> None:
    ask(database, text, **{"origin": "scope", "because": "watch.scope", **fields})


def test_a_new_file_waits_until_it_is_a_day_old_and_is_queued_then(database: Engine) -> None:
    scope(database)
    upstream_has(database, NEW)

    assert resolved(database) == [("1.0", "waiting", UNTIL)]
    with transaction(database) as session:
        build = only(session)
        assert build.not_before == NOW + timedelta(hours=21)
        build.not_before = clock(session)  # as if that much time had passed
        session.flush()
        ripen.ripen(session)
        assert (build.state, build.reason) == ("queued", f"its pause is over ({UNTIL})")


def test_a_build_whose_time_is_over_when_its_project_is_decided_about_is_queued(database: Engine) -> None:
    scope(database)
    upstream_has(database, NEW)
    resolved(database)

    assert resolved(database, again=True, now=NOW + timedelta(hours=21))[0][1] == "queued"


def test_an_old_file_is_built_at_once(database: Engine) -> None:
    scope(database)
    upstream_has(database, listed(SDIST, uploaded_at=NOW - timedelta(hours=24)))

    assert resolved(database)[0][1] == "queued"


def test_where_the_index_tells_no_time_it_counts_from_when_the_farm_saw_the_file(database: Engine) -> None:
    scope(database)
    upstream_has(database, SDIST, now=NOW - timedelta(hours=1))

    assert "until 2026-11-22 11:00 UTC" in resolved(database)[0][2]


@pytest.mark.parametrize(
    ("text", "fields", "state"),
    [
        ("demo", {"origin": "person"}, "queued"),
        ("demo", {"origin": "list", "because": "mine.txt"}, "waiting"),
        ("demo==1.0", {"origin": "list", "because": "pylock.toml"}, "queued"),
        ("demo===1.0", {"origin": "list", "because": "pylock.toml"}, "queued"),
        ("demo==1.*", {"origin": "list", "because": "mine.txt"}, "waiting"),
        ("demo", {"origin": "demand", "because": "a client asked for it"}, "waiting"),
        ("demo==1.0", {"origin": "dependency", "because": "other 1.0 needs it"}, "waiting"),
    ],
)
def test_what_a_person_chose_is_built_at_once(database: Engine, text: str, fields: dict[str, str], state: str) -> None:
    ask(database, text, **fields)
    upstream_has(database, NEW)

    assert resolved(database)[0][1] == state


def test_projects_that_the_settings_exempt_are_built_at_once(database: Engine) -> None:
    scope(database)
    upstream_has(database, NEW)

    assert resolved(database, Cooldown(seconds=86_400.0, exempt=("de*",)))[0][1] == "queued"


def test_a_person_may_have_at_once_what_cools_down(database: Engine) -> None:
    scope(database)
    upstream_has(database, NEW)
    resolved(database)

    ask(database, "demo==1.0", origin="person")

    assert [state for _, state, _ in resolved(database)] == ["queued"]
    assert [state for _, state, _ in resolved(database, again=True)] == ["queued"]
    with transaction(database) as session:
        assert only(session).not_before is None


def test_another_cooldown_reaches_what_waits_already(database: Engine) -> None:
    scope(database)
    upstream_has(database, NEW)
    resolved(database)

    longer = resolved(database, Cooldown(seconds=2 * 86_400.0), again=True)
    none = resolved(database, NONE, again=True)

    assert "until 2026-11-23 09:00 UTC" in longer[0][2]
    assert none == [("1.0", "queued", "upstream has no wheel of 1.0 for debian12-x86_64-cp311")]


def test_an_older_release_stays_served_and_none_is_built_instead_of_the_new_one(database: Engine) -> None:
    scope(database)
    upstream_has(database, listed("demo-0.8.tar.gz", uploaded_at=NOW - timedelta(days=9)))
    resolved(database)
    with transaction(database) as session:
        build = only(session)
        build.state = BuildState.PUBLISHED
        rows.wheel(session, build)

    upstream_has(database, "demo-0.8.tar.gz", listed("demo-0.9.tar.gz", uploaded_at=NOW - timedelta(days=2)), NEW)

    assert [(version, state) for version, state, _ in resolved(database)] == [("0.8", "published"), ("1.0", "waiting")]


@pytest.mark.parametrize("how", ["gone", "yanked", "quarantined"])
def test_a_release_that_is_taken_back_meanwhile_is_never_built(database: Engine, how: str) -> None:
    scope(database)
    upstream_has(database, NEW, "demo-0.9.tar.gz")
    resolved(database)

    if how == "gone":
        upstream_has(database, "demo-0.9.tar.gz")
    elif how == "yanked":
        upstream_has(database, listed(SDIST, yanked="evil"), "demo-0.9.tar.gz")
    else:
        upstream_has(database, status="quarantined")

    assert resolved(database)[0][1] == "withdrawn"


def test_a_source_that_comes_later_to_a_release_cools_down(database: Engine) -> None:
    scope(database, "demo==1.0")
    upstream_has(database, "demo-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "demo-1.0-cp311-cp311-win_amd64.whl")
    wheel = "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    upstream_has(database, wheel)
    assert resolved(database)[0][1] == "failed"

    upstream_has(database, wheel, NEW)

    assert resolved(database) == [("1.0", "waiting", UNTIL)]


def test_a_file_in_the_place_of_the_one_that_was_to_be_built_cools_down(database: Engine) -> None:
    old = listed("demo-1.0.zip", uploaded_at=NOW - timedelta(days=9))
    scope(database)
    upstream_has(database, old)
    assert resolved(database)[0][1] == "queued"

    upstream_has(database, old, NEW)

    assert resolved(database) == [("1.0", "waiting", UNTIL)]


def test_what_waits_for_a_requirement_is_not_taken_for_cooling_down(database: Engine) -> None:
    scope(database, policy=BuildPolicy.ALWAYS)
    upstream_has(database, NEW)
    resolved(database, NONE)
    with transaction(database) as session:
        other = rows.project(session, "other")
        builds.move(session, only(session), BuildState.WAITING, reason="waits for other", waits_for=other.id)

    assert resolved(database, NONE, again=True) == [("1.0", "waiting", "waits for other")]


@pytest.mark.parametrize("claimed", [NOW + timedelta(days=3650), datetime.max.replace(tzinfo=UTC)])
def test_an_upload_that_an_index_dates_in_the_future_counts_from_when_the_farm_saw_the_file(
    database: Engine, claimed: datetime
) -> None:
    scope(database)
    upstream_has(database, listed(SDIST, uploaded_at=claimed), now=NOW - timedelta(hours=1))

    resolved(database)

    with transaction(database) as session:
        assert only(session).not_before == NOW + timedelta(hours=23)
