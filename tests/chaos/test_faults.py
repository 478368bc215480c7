from __future__ import annotations

import pytest

from tests.chaos.faults import KINDS
from tests.chaos.harness import Plan, run

SEED, BUILDS = 20261126, 20


@pytest.mark.slow
@pytest.mark.usefixtures("image")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_kind_of_fault_once_loses_nothing_and_publishes_nothing_twice(database: str) -> None:
    """R1 … R14, R17, R18; ``make chaos`` does the same for longer."""
    plan = Plan(seed=SEED, builds=BUILDS, faults=len(KINDS), database=database, pause_s=0.8, long_database_share=0.0)

    outcome = run(plan)

    print(f"{outcome.seconds:.0f} s, {outcome.faults.total()} faults: {outcome.ledger}")  # noqa: T201 - the test's report
    assert outcome.ledger.done == BUILDS
    assert not outcome.ledger.faulty, f"{outcome.log}; logs in {outcome.logs}"
