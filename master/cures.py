"""What mended a cause of failures before, in whatever project: learned when a build that was healed gives a wheel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sqlalchemy.orm import Session

from schema.db.models import Cure
from schema.db.session import insert, now
from schema.failure_causes import cause
from schema.recipes import done
from schema.remedies import Rung, Try


def learn(session: Session, tries: Sequence[Try]) -> None:
    """Keep, for each failure of an attempt that gave a wheel in the end, the one remedy that ended it.

    What was remembered, or is a rule of that one project, tells nothing new about others.
    """
    for failed, mended in pairwise(tries):
        if failed.failure_class is None or not mended.helped or mended.from_memory or len(mended.added) != 1:
            continue
        found, remedy = cause(failed.failure_class, failed.evidence), mended.added[0]
        if not found.subject or remedy.rung in {Rung.RULE, Rung.BUILD_DEPENDS}:
            continue
        actions = {name: getattr(remedy, name) for name in done(remedy)}
        learned = insert(session, Cure).values(
            failure_class=found.failure_class,
            kind=found.kind,
            subject=found.subject,
            actions=actions,
            builds=1,
            cured_at=now(session),
        )
        renewed = {"actions": learned.excluded.actions, "cured_at": learned.excluded.cured_at}
        session.execute(
            learned.on_conflict_do_update(
                index_elements=[Cure.failure_class, Cure.kind, Cure.subject],
                set_={**renewed, "builds": Cure.builds + 1},
            )
        )
