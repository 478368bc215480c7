from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master import builds, rule_counts
from master.dispatch import Dispatcher
from schema.db import rules
from schema.db.models import Attempt, RuleCount
from schema.db.session import transaction
from schema.jobs import BuildResult, Lease, Limits, Outcome
from schema.names import NodeName, Sha256
from schema.recipes import Rule
from schema.remedies import Remedy, Rung, Try
from schema.states import AttemptOutcome, FailureClass
from tests import rows

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
RULE = Rule.parse({"id": "demo/one", "why": "it needs it", "jobs": 1})


def ended(
    session: Session,
    outcome: AttemptOutcome,
    failure: FailureClass | None = None,
    *,
    tried: Sequence[str] = (),
    lasting: Sequence[str] = (),
) -> Attempt:
    """An attempt with two rules that has ended, and was counted; tried, lasting: further ones of the node's."""
    known = session.query(Attempt).count()
    project = rows.project(session, f"p{known}" if known else "demo")
    rules = ["demo/one", "demo/two"]
    attempt = rows.attempt(session, rows.build(session, project), outcome=AttemptOutcome.RUNNING, rules=rules)
    builds.end_attempt(session, attempt, at=NOW, outcome=outcome, failure_class=failure)
    rule_counts.count(session, attempt, result(attempt, tried=tried, lasting=lasting))
    return attempt


def result(attempt: Attempt, *, tried: Sequence[str] = (), lasting: Sequence[str] = ()) -> BuildResult:
    """What the node says: the rules that it tried by itself, and those that the wheel was built with."""
    return BuildResult(
        node=NodeName("n1"),
        lease=Lease(build_id=attempt.build_id, fence=attempt.fence),
        outcome=Outcome.FAILED,
        started_at=NOW,
        finished_at=NOW,
        steps=(),
        log_sha256=Sha256("0" * 64),
        tries=tuple(Try(seconds=1, added=(_as_remedy(rule),)) for rule in tried),
        remedies=tuple(map(_as_remedy, lasting)),
    )


def _as_remedy(rule: str) -> Remedy:
    return Remedy(rung=Rung.RULE, rule=rule, why="it needs it", jobs=1)


def counted(session: Session, rule: str = "demo/one") -> tuple[int, int] | None:
    session.expire_all()
    found = session.get(RuleCount, rule)
    return (found.uses, found.successes) if found else None


def test_an_attempt_counts_for_each_of_its_rules_and_a_wheel_is_a_success(database: Engine) -> None:
    with transaction(database) as session:
        ended(session, AttemptOutcome.BUILT)
        ended(session, AttemptOutcome.FAILED, FailureClass.BUILD)
        ended(session, AttemptOutcome.BUILT)

        assert (counted(session), counted(session, "demo/two")) == ((3, 2), (3, 2))
        assert session.get_one(RuleCount, "demo/one").used_at == NOW


@pytest.mark.parametrize("failure", [FailureClass.NODE, FailureClass.LOST, FailureClass.CANCELLED])
def test_what_is_not_the_projects_fault_says_nothing_about_its_rules(database: Engine, failure: FailureClass) -> None:
    with transaction(database) as session:
        ended(session, AttemptOutcome.FAILED, failure)

        assert counted(session) is None


def test_an_attempt_that_was_lost_or_cancelled_says_nothing_about_its_rules(database: Engine) -> None:
    with transaction(database) as session:
        ended(session, AttemptOutcome.LOST)
        ended(session, AttemptOutcome.CANCELLED)

        assert counted(session) is None


def test_a_rule_that_the_node_tried_counts_and_is_a_success_where_the_wheel_was_built_with_it(
    database: Engine,
) -> None:
    with transaction(database) as session:
        ended(session, AttemptOutcome.BUILT, tried=["demo/three", "demo/four"], lasting=["demo/four"])

        assert counted(session, "demo/three") == (1, 0)
        assert counted(session, "demo/four") == (1, 1)


def test_a_rule_of_another_project_that_a_node_says_it_tried_is_not_counted(database: Engine) -> None:
    with transaction(database) as session:
        ended(session, AttemptOutcome.BUILT, tried=["other/one"], lasting=["other/one"])

        assert counted(session, "other/one") is None


def test_a_job_that_is_given_out_leaves_the_ids_of_its_rules_with_the_attempt(database: Engine, tmp_path: Path) -> None:
    (tmp_path / "demo.toml").write_text('[[rule]]\nid = "one"\nwhy = "it needs it"\njobs = 1\n')
    dispatcher = Dispatcher(recipe_folders=(tmp_path,), limits=Limits(), lease_s=90, silent_after_s=15)
    with transaction(database) as session:
        rows.node(session, slots=2)
        build, other = rows.build(session), rows.build(session, rows.project(session, "other"))
        dispatcher.dispatch(session)

        assert builds.attempt_of(session, Lease(build_id=build.id, fence=1)).rules == ["demo/one"]
        assert builds.attempt_of(session, Lease(build_id=other.id, fence=1)).rules == []


def test_a_rule_that_was_never_used_or_not_for_long_is_told_as_unused(database: Engine) -> None:
    with transaction(database) as session:
        session.add(RuleCount(id="demo/one", uses=4, successes=3, used_at=NOW))
        session.flush()
        other = replace(RULE, id="demo/never")

        def notes(days: int) -> list[tuple[str, ...]]:
            found = rules.report(session, [RULE, other], now=NOW + timedelta(days=days), unused_days=90)
            return [row.notes for row in found]

        assert notes(90) == [(), ("unused",)]
        assert notes(91) == [("unused",), ("unused",)]


def test_a_rule_is_told_as_expired_after_its_last_day(database: Engine) -> None:
    rule = replace(RULE, expires=NOW.date())
    with transaction(database) as session:
        session.add(RuleCount(id="demo/one", uses=1, successes=1, used_at=NOW))
        session.flush()

        [today] = rules.report(session, [rule], now=NOW, unused_days=90)
        [tomorrow] = rules.report(session, [rule], now=NOW + timedelta(days=1), unused_days=90)

        assert (today.notes, tomorrow.notes, today.expires) == ((), ("expired",), "2026-11-27")
