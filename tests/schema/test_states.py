from __future__ import annotations

import re
from pathlib import Path

from schema.states import OPEN_STATES, RETRY, TRANSITIONS, BuildState, FailureClass, RetryPolicy


def test_every_state_has_a_row_and_every_class_of_failure_a_policy() -> None:
    assert set(TRANSITIONS) == set(BuildState)
    assert set(RETRY) == set(FailureClass)


def test_every_open_state_can_end() -> None:
    reachable = {state: set(TRANSITIONS[state]) for state in OPEN_STATES}
    for _ in BuildState:
        for states in reachable.values():
            states |= {after for before in states for after in TRANSITIONS[before]}

    assert all(BuildState.PUBLISHED in states for states in reachable.values())


def test_only_a_collected_build_is_published_and_a_published_one_is_only_withdrawn() -> None:
    assert [state for state in BuildState if BuildState.PUBLISHED in TRANSITIONS[state]] == [BuildState.COLLECTING]
    assert TRANSITIONS[BuildState.PUBLISHED] == {BuildState.WITHDRAWN}


def test_the_pauses_after_a_nodes_own_fault_grow_to_two_hours() -> None:
    policy = RETRY[FailureClass.NODE]

    pauses = [policy.pause_s(failures, retry_s=60) / 60 for failures in range(1, policy.retries + 2)]

    assert pauses == [1, 4, 16, 64, 120, 120]
    assert RETRY[FailureClass.BUILD].pause_s(1, retry_s=60) == 0


def test_the_reference_page_has_the_tables_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "builds.md").read_text()
    told_moves = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*) \|$", page, re.MULTILINE)
    told_policies = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \| (\d+) \| ([^|]*) \| ([^|]*) \|$", page, re.MULTILINE)

    assert told_moves == [(state, ", ".join(sorted(TRANSITIONS[state]))) for state in BuildState]
    assert [(name, *rest) for name, _, *rest in told_policies] == [
        (name, str(policy.retries), _pauses(policy), _where(policy)) for name, policy in RETRY.items()
    ]


def _pauses(policy: RetryPolicy) -> str:
    return ", ".join(f"{pause:g}" for pause in policy.pauses) or ("at once" if policy.retries else "")


def _where(policy: RetryPolicy) -> str:
    if policy.bigger:
        return "another node with more memory, as a size larger"
    return "another node" if policy.elsewhere else "any node" if policy.retries else ""
