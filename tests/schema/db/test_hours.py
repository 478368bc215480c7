"""What ended in each hour is counted as it happens, and told by day; what is old is forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from schema.db import counts, hours
from schema.db.models import HourCount
from schema.db.session import now, transaction

HERE, ARM = "debian12-x86_64-cp311", "debian12-aarch64-cp311"


def test_what_ends_is_counted_by_platform_and_told_by_day(database: Engine) -> None:
    with transaction(database) as session:
        for platform, what in ((HERE, "built"), (HERE, "built"), (ARM, "header"), (ARM, "built")):
            hours.note(session, platform, what)
    with transaction(database) as session:
        days = hours.days(session, most=14)

        assert len(days) == 14
        assert days[-1].ended == {"built": 3, "header": 1}
        assert all(not day.ended and day.open is None for day in days[:-1])
        assert hours.since(session) == {"built": 3, "header": 1}
        assert hours.rates(session) == {ARM: pytest.approx(2 / 24), HERE: pytest.approx(2 / 24)}


def test_what_is_rolled_back_was_never_counted(database: Engine) -> None:
    with transaction(database) as session:
        hours.note(session, HERE, "built")
        savepoint = session.begin_nested()
        hours.note(session, HERE, "header")
        savepoint.rollback()
    with transaction(database) as session:
        assert hours.since(session) == {"built": 1}


def test_the_last_sample_of_a_day_tells_what_was_left_to_do(database: Engine) -> None:
    with transaction(database) as session:
        counts.note(session, HERE, entered="queued", builds=5)
        counts.note(session, ARM, entered="waiting", builds=2)
        counts.note(session, ARM, entered="published", builds=9)
        hours.sample(session)
        counts.note(session, HERE, left="queued", builds=4)
        hours.sample(session)
    with transaction(database) as session:
        assert hours.days(session, most=2)[-1].open == 3
        assert hours.since(session) == {}


def test_hours_of_long_ago_are_forgotten(database: Engine) -> None:
    with transaction(database) as session:
        old = now(session).replace(minute=0, second=0, microsecond=0) - hours.KEPT - timedelta(hours=1)
        session.add(HourCount(hour=old, platform=HERE, what="built", builds=1))
        session.flush()
        hours.sample(session)

        assert session.scalars(select(HourCount)).all() == []
