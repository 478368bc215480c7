"""A result whose wheel and statement the master has checked itself: whatever becomes of it, its attempt is over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from master import builds, cures, rule_counts
from schema.db import scoring
from schema.db.models import Build
from schema.jobs import BuildResult, Lease
from schema.names import NodeName
from schema.states import AttemptOutcome
from schema.wheels.check import WheelFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A result whose wheel and statement the master has checked itself."""

    farm: str
    node: NodeName
    lease: Lease
    platform: str
    wheel: Path
    facts: WheelFacts
    attestation: dict[str, Any]
    result: BuildResult

    def end_attempt(self, session: Session, build: Build) -> None:
        """Note that the attempt gave a wheel, and what can be learnt from it for the next builds."""
        attempt = builds.attempt_of(session, self.lease)
        builds.end_attempt(session, attempt, at=self.result.finished_at, outcome=AttemptOutcome.BUILT)
        builds.keep_details(attempt, self.result)
        rule_counts.count(session, attempt, self.result)
        cures.learn(session, self.result.tries)
        scoring.learn(session, build, self.result.resources, built=True)
