from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from packaging.version import Version
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master import what_worked
from schema.db.models import Build, WhatWorked
from schema.db.session import transaction
from schema.platforms import Platform
from schema.recipes import Rule
from schema.remedies import Remedy, Rung, of_rule
from tests import rows

DEBIAN = Remedy(rung=Rung.DEBIAN, why="lber.h is missing", debian_packages=("libldap-dev",))
OLDER = Remedy(rung=Rung.REQUIREMENTS, why="before Cython 3", build_constraints=("cython<3",))
RULE = Rule.parse({"id": "demo/one", "why": "it needs it", "after": ["build"], "jobs": 1})
TODAY = datetime(2026, 11, 27, tzinfo=UTC).date()


def recall(session: Session, build: Build, *rules: Rule, platform: str = "") -> tuple[Remedy, ...]:
    return what_worked.recall(
        session,
        build.project_id,
        version=Version(build.version),
        platform=Platform.parse(platform or build.platform),
        rules=rules,
        today=TODAY,
    )


def test_what_a_project_was_built_with_is_recalled_for_it_and_for_no_other(database: Engine) -> None:
    with transaction(database) as session:
        build, other = rows.build(session), rows.build(session, rows.project(session, "other"))
        what_worked.remember(session, build, (DEBIAN, OLDER))

        assert recall(session, build) == (DEBIAN, OLDER)
        assert recall(session, other) == ()


def test_on_a_platform_where_it_was_never_built_what_worked_elsewhere_is_recalled(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        what_worked.remember(session, build, (DEBIAN,))

        assert recall(session, build, platform="debian13-aarch64-cp313") == (DEBIAN,)


def test_of_several_platforms_its_own_counts_else_the_one_built_last(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        what_worked.remember(session, build, (DEBIAN,))
        known = session.get_one(WhatWorked, (build.project_id, build.platform))
        later = known.built_at + timedelta(hours=1)
        newer = WhatWorked(
            project_id=build.project_id,
            platform="debian13-aarch64-cp313",
            version="1.0",
            remedies=[OLDER.to_json()],
            built_at=later,
        )
        session.add(newer)
        session.flush()

        assert recall(session, build) == (DEBIAN,)
        assert recall(session, build, platform="debian11-armv7l-cp39") == (OLDER,)


def test_a_later_version_that_needs_nothing_has_it_forgotten(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        what_worked.remember(session, build, (DEBIAN,))
        what_worked.remember(session, build, ())

        assert recall(session, build) == ()


def test_an_older_version_changes_nothing(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        old = rows.build(session, build.project, version="0.9")
        what_worked.remember(session, build, (DEBIAN,))
        for worked in ((), (OLDER,)):
            what_worked.remember(session, old, worked)

            assert recall(session, build) == (DEBIAN,)


def test_a_rule_that_worked_is_what_it_says_today_and_is_left_out_once_it_is_gone(database: Engine) -> None:
    changed = Rule.parse({"id": "demo/one", "why": "it needs it", "after": ["build"], "jobs": 2})
    with transaction(database) as session:
        build = rows.build(session)
        what_worked.remember(session, build, (of_rule(RULE), DEBIAN))

        assert recall(session, build, changed) == (of_rule(changed), DEBIAN)
        assert recall(session, build) == (DEBIAN,)


@pytest.mark.parametrize("kept", [[{"rung": "magic", "why": "?"}], "nonsense", [7]])
def test_what_cannot_be_read_any_more_is_as_if_nothing_was_known(database: Engine, kept: object) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        what_worked.remember(session, build, (DEBIAN,))
        session.get_one(WhatWorked, (build.project_id, build.platform)).remedies = kept
        session.flush()

        assert recall(session, build) == ()
