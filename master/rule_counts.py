"""How often each rule was used, and how often a wheel came of it: counted when an attempt ends."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from schema.db.models import Attempt, RuleCount
from schema.db.session import insert
from schema.jobs import BuildJob, BuildResult
from schema.states import AttemptOutcome, FailureClass

# What says nothing about the rules of an attempt.
_NOT_COUNTED = frozenset({FailureClass.NODE, FailureClass.LOST, FailureClass.CANCELLED})


def remember(session: Session, jobs: Iterable[BuildJob]) -> None:
    """Note with each attempt that was just granted which rules its job is made of."""
    for job in jobs:
        if job.recipe.rules:
            session.execute(
                update(Attempt)
                .where(Attempt.build_id == job.build_id, Attempt.fence == job.fence)
                .values(rules=list(job.recipe.rules))
                .execution_options(synchronize_session=False)
            )


def count(session: Session, attempt: Attempt, result: BuildResult) -> None:
    """Count an attempt that has ended for each of its rules, and for those that the node tried.

    The node's own faults and cancelled attempts do not count.
    """
    built = attempt.outcome == AttemptOutcome.BUILT
    if not built and (attempt.outcome != AttemptOutcome.FAILED or attempt.failure_class in _NOT_COUNTED):
        return
    tried = {rule for item in result.tries for remedy in item.added for rule in remedy.rule_ids}
    tried = {rule for rule in tried if rule.startswith(f"{attempt.build.project.name}/")}  # a node may say anything
    lasting = {*attempt.rules, *(rule for remedy in result.remedies for rule in remedy.rule_ids)} if built else set()
    for rule in sorted({*attempt.rules, *tried}):  # in one order: two transactions do not wait for each other
        _count(session, rule, worked=rule in lasting, at=attempt.finished_at)


def _count(session: Session, rule: str, *, worked: bool, at: datetime | None) -> None:
    row = insert(session, RuleCount).values(id=rule, uses=1, successes=int(worked), used_at=at)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[RuleCount.id],
            set_={
                "uses": RuleCount.uses + 1,
                "successes": RuleCount.successes + int(worked),
                "used_at": row.excluded.used_at,
            },
        )
    )
