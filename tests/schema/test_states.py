from __future__ import annotations

from schema.states import OPEN_STATES, RETRY, TRANSITIONS, BuildState, FailureClass


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


def test_pauses_grow_and_end_at_two_hours() -> None:
    policy = RETRY[FailureClass.NODE]

    assert [policy.pause(failures) for failures in (1, 2, 3)] == [5, 10, 20]
    assert policy.pause(1000) == 7200
