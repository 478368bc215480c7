"""``make chaos SEED=…``: the fault harness at any size; prints each run's ledger, and their sum."""
# ruff: noqa: T201 - this is a command: it prints its answer

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter

from tests.chaos.faults import KINDS
from tests.chaos.harness import Outcome, Plan, run
from tests.chaos.ledger import Ledger


def main() -> int:
    """Run the seeds that the command line names; 1 if any ledger shows what must not be."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is stopped
    options = _options()
    outcomes = []
    for seed in range(options.seed, options.seed + options.seeds):
        plan = Plan(
            seed=seed,
            builds=options.builds,
            faults=options.faults,
            database=options.database,
            nodes=options.nodes,
            names=tuple(options.kind),
        )
        outcomes.append(run(plan))
        _tell(outcomes[-1])
    total = sum((item.ledger for item in outcomes), Ledger())
    faults = sum((item.faults for item in outcomes), Counter[str]())
    print(f"\n{len(outcomes)} seed(s), {faults.total()} faults of {len(faults)} kinds on {options.database}")
    print(f"  {total}")
    print(f"  faults: {', '.join(f'{name} {count}' for name, count in sorted(faults.items()))}")
    for line, count in sum((item.tracebacks for item in outcomes), Counter[str]()).most_common(30):
        print(f"  traceback {count} times: {line}")
    print(f"  must be zero: {total.faulty or 'all zero'}")
    return 1 if total.faulty else 0


def _tell(outcome: Outcome) -> None:
    plan = outcome.plan
    print(
        f"seed {plan.seed}: {outcome.faults.total()} faults, {plan.builds} builds, {plan.database},"
        f" {outcome.seconds:.0f} s: {outcome.ledger}",
        flush=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed; it alone says what happens")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--builds", type=int, default=100)
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--kind", action="append", default=[], choices=[kind.name for kind in KINDS])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
