"""``why``: one right sentence for each state and reason, and who must act."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from schema.db.answers import Actor, Answer, span
from schema.db.explain import newest_first, why
from schema.db.session import transaction
from schema.platforms import Platform
from schema.states import BuildState, FailureClass
from tests import entries
from tests.entries import ARM, HERE, ago, later


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with transaction(database) as opened:
        yield opened


def _ask(session: Session, name: str = "cffi", platform: str = HERE, **options: Any) -> list[Answer]:
    session.flush()
    session.expire_all()
    return why(session, canonicalize_name(name), platform=Platform.parse(platform) if platform else None, **options)


def _only(session: Session, name: str = "cffi", platform: str = HERE) -> Answer:
    (answer,) = _ask(session, name, platform)
    return answer


def test_a_published_build_names_its_file(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="published")
    entries.wheel(session, build, "cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl")

    answer = _only(session)

    assert answer.state == "published"
    assert answer.sentence.startswith("Published as cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl on 20")
    assert (answer.actor, answer.build_id, answer.version) == (Actor.NOBODY, build.id, "1.17.1")


def test_a_yanked_wheel_says_why(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="published")
    entries.wheel(session, build, "cffi-1.17.1-py3-none-any.whl", yanked="breaks on big endian")

    assert "It is yanked, as upstream's release is: breaks on big endian." in _only(session).sentence


def test_a_removed_wheel_says_why(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="published")
    entries.wheel(session, build, "cffi-1.17.1-py3-none-any.whl", removed_at=ago(), removed_because="it was malware")

    assert _only(session).sentence.endswith(": it was malware.")


def test_a_build_that_upstream_makes_unneeded(session: Session) -> None:
    entries.build(session, entries.project(session), state="unneeded", reason="upstream has cffi-1.17.1-cp311-abi3.whl")

    answer = _only(session)

    assert answer.sentence == "Not built: upstream has cffi-1.17.1-cp311-abi3.whl."
    assert answer.actor is Actor.NOBODY


def test_a_build_that_cools_down_says_until_when(session: Session) -> None:
    until = later(hours=5)
    entries.build(
        session, entries.project(session), state="waiting", reason="the release is too young", not_before=until
    )

    answer = _only(session)

    assert answer.sentence == f"Waits until {until:%Y-%m-%d %H:%M} UTC: the release is too young."
    assert answer.actor is Actor.FARM


def test_a_build_that_waits_for_something_else(session: Session) -> None:
    entries.build(session, entries.project(session), state="waiting", reason="it needs pycparser first")

    assert _only(session).sentence == "Waits: it needs pycparser first."


def test_a_pause_between_two_attempts(session: Session) -> None:
    reason = "again after node: the disk is full"
    entries.build(session, entries.project(session), state="queued", reason=reason, not_before=later(hours=1))

    answer = _only(session)

    assert answer.sentence.startswith("Pauses until ")
    assert answer.sentence.endswith(": again after node: the disk is full.")
    assert answer.actor is Actor.FARM


def test_queued_while_all_nodes_are_busy(session: Session) -> None:
    project = entries.project(session)
    entries.build(session, project)
    for version, name in (("1.0", "pi4"), ("1.1", "pi5")):
        entries.node(session, name)
        entries.build(session, project, version, state="leased", leased_to=name, lease_until=later(minutes=1))
    entries.build(session, entries.project(session, "numpy"), "2.0")

    answer = _ask(session)[0]

    assert answer.sentence == (f"Queued: all 2 nodes for {HERE} are busy (pi4, pi5); 1 other build is queued for it.")
    assert answer.actor is Actor.FARM


def test_queued_while_a_node_is_free(session: Session) -> None:
    entries.node(session)
    entries.build(session, entries.project(session))

    assert _only(session).sentence == f"Queued: a node for {HERE} is free, so it begins soon."


def test_queued_without_any_node_for_the_platform(session: Session) -> None:
    entries.node(session, platforms=[ARM])
    entries.build(session, entries.project(session))

    answer = _only(session)

    assert answer.sentence == f"Queued, but no node offers {HERE}: start one there with `wheelfarm-node run`."
    assert answer.actor is Actor.OPERATOR


def test_queued_while_the_nodes_are_silent(session: Session) -> None:
    heard = ago(hours=2)
    entries.node(session, "pi4", heard_at=heard)
    entries.node(session, "pi5", heard_at=None)
    entries.build(session, entries.project(session))

    answer = _only(session)

    assert answer.sentence == (
        f"Queued, but all 2 nodes for {HERE} are silent:"
        f" pi4 silent since {heard:%Y-%m-%d %H:%M} UTC, pi5 never heard yet."
    )
    assert answer.actor is Actor.OPERATOR


def test_queued_while_the_only_node_drains(session: Session) -> None:
    entries.node(session, state="draining", state_reason="new disk")
    entries.build(session, entries.project(session))

    answer = _only(session)

    assert answer.sentence == f"Queued, but the only node for {HERE} is set aside: pi4 draining (new disk)."
    assert answer.actor is Actor.OPERATOR


def test_queued_for_another_node_than_the_one_it_failed_on(session: Session) -> None:
    entries.node(session)
    build = entries.build(session, entries.project(session), fence=1)
    entries.attempt(session, build, outcome="failed", failure_class="build", message="no compiler")

    answer = _only(session)

    assert answer.sentence == f"Queued, but it failed on pi4, and no other node for {HERE} answers."
    assert answer.actor is Actor.OPERATOR


def test_being_built_tells_node_time_and_step(session: Session) -> None:
    build = entries.build(
        session,
        entries.project(session),
        state="leased",
        leased_to="pi4",
        leased_at=ago(minutes=4),
        lease_until=later(hours=1),
        fence=2,
    )
    entries.attempt(session, build, fence=1, outcome="lost")
    steps = [
        {"name": "fetch", "started_at": ago(minutes=4).isoformat(), "seconds": 1.5, "note": ""},
        {"name": "build", "started_at": ago(minutes=3).isoformat(), "seconds": None, "note": ""},
    ]
    entries.attempt(session, build, steps=steps)

    answer = _only(session)

    assert answer.sentence.startswith("Being built on pi4 for 4 min")
    assert answer.sentence.endswith(", now at step “build”, attempt 2.")
    assert answer.actor is Actor.FARM


def test_a_lease_that_ran_out_is_no_build_that_runs(session: Session) -> None:
    heard = ago(minutes=10)
    entries.node(session, heard_at=heard)
    entries.build(session, entries.project(session), state="leased", leased_to="pi4", lease_until=ago(minutes=5))

    assert _only(session).sentence == (
        f"Was given to pi4, which is silent since {heard:%Y-%m-%d %H:%M} UTC: the farm gives it to a node again."
    )


def test_collecting(session: Session) -> None:
    entries.build(session, entries.project(session), state="collecting", leased_to="pi4")

    assert _only(session).sentence == "Built on pi4: the master is fetching and checking the result."


@pytest.mark.parametrize("failure", FailureClass)
def test_each_class_of_failure_says_what_happened_and_who_can_help(session: Session, failure: FailureClass) -> None:
    build = entries.build(session, entries.project(session), state="failed", reason=f"{failure}: broken", fence=1)
    entries.attempt(session, build, outcome="failed", failure_class=failure, message="it is broken")

    answer = _only(session)

    assert answer.sentence.startswith(f"Failed on pi4 ({failure}: it is broken). ")
    assert answer.actor in {Actor.OPERATOR, Actor.UPSTREAM}
    if answer.actor is Actor.OPERATOR:
        assert f"`wheelfarm retry {build.id}`" in answer.sentence


def test_the_telling_line_of_the_log_stands_before_the_general_message(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="failed", fence=1)
    line = "src/demo.c:1:10: fatal error: sql.h: No such file or directory"
    entries.attempt(
        session, build, outcome="failed", failure_class="build", message="the backend failed", evidence=line
    )

    sentence = _only(session).sentence

    assert f"(build: {line})" in sentence
    assert "the backend failed" not in sentence


def test_a_release_without_a_source_distribution_fails_without_an_attempt(session: Session) -> None:
    entries.build(session, entries.project(session), state="failed", reason="upstream has no source distribution of it")

    answer = _only(session)

    assert answer.sentence == "Failed: upstream has no source distribution of it."
    assert answer.actor is Actor.UPSTREAM


def test_held_poisoned_and_withdrawn(session: Session) -> None:
    project = entries.project(session)
    held = entries.build(session, project, "3.0", state="held", reason="a new .pth file")
    poisoned = entries.build(session, project, "2.0", state="poisoned", fence=2)
    entries.attempt(session, poisoned, fence=1, outcome="lost", node="pi5")
    entries.attempt(session, poisoned, fence=2, outcome="lost", node="pi4")
    entries.build(session, project, "1.0", state="withdrawn", reason="upstream deleted it")

    first, second, third = _ask(session)

    assert first.sentence == f"Held: a new .pth file. `wheelfarm retry {held.id}` releases it."
    assert second.sentence.startswith("Set aside: it was lost 2 times with pi4, pi5,")
    assert f"`wheelfarm retry {poisoned.id}`" in second.sentence
    assert third.sentence == "Withdrawn: upstream deleted it."
    assert [item.actor for item in (first, second, third)] == [Actor.OPERATOR, Actor.OPERATOR, Actor.NOBODY]


def test_a_failed_rebuild_tells_that_the_earlier_wheel_is_still_there(session: Session) -> None:
    project = entries.project(session)
    entries.wheel(session, entries.build(session, project, state="published"), "cffi-1.17.1-py3-none-any.whl")
    entries.build(session, project, state="failed", build_number=1, reason="the compiler is gone")

    assert _only(session).sentence == (
        "Failed: the compiler is gone. Meanwhile cffi-1.17.1-py3-none-any.whl of an earlier build is served."
    )


def test_a_pure_wheel_of_another_platform_serves_this_one(session: Session) -> None:
    build = entries.build(session, entries.project(session, "click"), "8.3.1", platform=ARM, state="published")
    entries.wheel(session, build, "click-8.3.1-py3-none-any.whl")

    answer = _only(session, "click")

    assert answer.state == "served"
    assert answer.sentence == f"Served by click-8.3.1-py3-none-any.whl, which was built on {ARM} and fits here too."


def test_a_wheel_that_only_fits_elsewhere_does_not_serve_this_platform(session: Session) -> None:
    build = entries.build(session, entries.project(session), platform=ARM, state="published")
    entries.wheel(session, build, "cffi-1.17.1-cp311-cp311-manylinux_2_34_aarch64.whl")

    assert _only(session).state == "unrequested"


def test_a_request_that_nobody_looked_at_yet(session: Session) -> None:
    project = entries.project(session, checked_at=None)
    row = entries.request(session, project, resolved_at=None, specifier=">=1.15", because="paramiko 4.0.0 needs it")
    asked = row.created_at

    answer = _only(session)

    assert answer.sentence == (
        f"cffi>=1.15 was requested on {asked:%Y-%m-%d %H:%M} UTC (paramiko 4.0.0 needs it);"
        " the farm has not yet read its page at the upstream index."
    )
    assert (answer.state, answer.actor) == ("requested", Actor.FARM)


def test_a_request_that_is_not_decided_yet(session: Session) -> None:
    entries.request(session, entries.project(session), resolved_at=None)

    assert _only(session).sentence.endswith("; the farm has not yet decided what to build for it.")


def test_a_request_that_no_version_fits(session: Session) -> None:
    entries.request(session, entries.project(session), specifier=">=99", problem="no release of cffi fits >=99")

    answer = _only(session)

    assert answer.sentence.endswith(", but no release of cffi fits >=99.")
    assert (answer.state, answer.actor) == ("unresolved", Actor.REQUESTER)


def test_a_request_that_no_build_fits_is_told_beside_the_builds(session: Session) -> None:
    project = entries.project(session)
    entries.build(session, project, state="unneeded", reason="upstream has it")
    entries.request(session, project, specifier=">=1")
    entries.request(session, project, specifier="==99", extras="test", problem="no release of cffi fits ==99")
    entries.request(session, project, specifier=">=2", resolved_at=None)

    answers = _ask(session)

    assert [item.state for item in answers] == ["unneeded", "unresolved", "requested"]
    assert answers[1].sentence.startswith("cffi[test]==99 was requested on ")
    assert answers[1].sentence.endswith(", but no release of cffi fits ==99.")


def test_a_project_that_upstream_does_not_have(session: Session) -> None:
    project = entries.project(session, "cfffi", status="missing")
    entries.request(session, project, resolved_at=None)

    answer = _only(session, "cfffi")

    assert answer.sentence == "The upstream index has no project cfffi; is the name spelt right?"
    assert (answer.state, answer.actor) == ("missing", Actor.REQUESTER)


def test_a_quarantined_project(session: Session) -> None:
    entries.project(session, status="quarantined", status_reason="malware was reported")

    answer = _only(session)

    assert answer.sentence.endswith(": malware was reported.")
    assert answer.actor is Actor.UPSTREAM


def test_an_upstream_that_does_not_answer(session: Session) -> None:
    project = entries.project(session, errors=3, error="503 Service Unavailable", check_at=later(hours=1))
    entries.request(session, project, resolved_at=None)

    answer = _only(session)

    assert answer.sentence.startswith(
        "The upstream index failed 3 times in a row (503 Service Unavailable); next look at "
    )
    assert (answer.state, answer.actor) == ("upstream-error", Actor.FARM)


def test_upstream_trouble_comes_before_what_is_known_of_the_builds(session: Session) -> None:
    build = entries.build(session, entries.project(session, errors=1, error="time-out"), state="published")
    entries.wheel(session, build, "cffi-1.17.1-py3-none-any.whl")

    assert [answer.state for answer in _ask(session)] == ["upstream-error", "published"]


@pytest.mark.parametrize(("platform", "option"), [(HERE, f" --platform {HERE}"), ("", "")])
def test_a_project_that_nobody_asked_for_tells_the_command(session: Session, platform: str, option: str) -> None:
    answer = _only(session, "left-pad", platform)

    assert answer.sentence.endswith(f" yet: `wheelfarm request left-pad{option}` does.")
    assert (answer.state, answer.actor) == ("unrequested", Actor.REQUESTER)


def test_without_a_platform_each_of_them_is_answered_the_newest_version_first(session: Session) -> None:
    project = entries.project(session)
    for version in ("1.9", "1.10"):
        for platform in (HERE, ARM):
            entries.build(session, project, version, platform=platform, state="unneeded", reason="upstream has it")
    farm = (Platform.parse(HERE), Platform.parse("debian13-x86_64-cp313"))

    answers = _ask(session, platform="", platforms=farm)

    assert [(item.platform, item.version) for item in answers] == [
        (ARM, "1.10"),
        (ARM, "1.9"),
        (HERE, "1.10"),
        (HERE, "1.9"),
        ("debian13-x86_64-cp313", ""),
    ]


def test_hostile_texts_come_out_on_one_inert_line(session: Session) -> None:
    reason = "nice\x1b]8;;https://evil.example\x07link\u202e\nsecond line"
    entries.build(session, entries.project(session), state="held", reason=reason)

    sentence = _only(session).sentence

    assert sentence.startswith(r"Held: nice␛]8;;https://evil.example␇link\u202e second line.")


def test_what_a_node_says_about_its_steps_is_only_shown(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="leased", leased_to="pi4", fence=1)
    entries.attempt(session, build, steps={"not": "a list"})

    assert _only(session).sentence.startswith("Being built on pi4 for ")


def test_every_state_has_its_sentence(session: Session) -> None:
    project = entries.project(session)
    for number, state in enumerate(BuildState):
        leased = "pi4" if state in {BuildState.LEASED, BuildState.COLLECTING} else None
        entries.build(session, project, f"{number}.0", state=state, leased_to=leased)

    answers = _ask(session)

    assert {item.state for item in answers} == set(BuildState)
    assert all(item.sentence.endswith(".") for item in answers)


def test_the_number_of_queries_does_not_grow_with_the_number_of_builds(database: Engine) -> None:
    with transaction(database) as session:
        project = entries.project(session)
        for number in range(60):
            build = entries.build(session, project, f"{number}.0", state="published", fence=1)
            entries.attempt(session, build, outcome="built")
            entries.wheel(session, build, f"cffi-{number}.0-py3-none-any.whl")
    queries: list[str] = []
    event.listen(database, "before_cursor_execute", lambda *args: queries.append(args[2]))

    with transaction(database) as session:
        answers = why(session, canonicalize_name("cffi"))

    assert len(answers) == 60
    assert len(queries) <= 10


def test_answers_are_plain_data_for_json(session: Session) -> None:
    assert _only(session, "left-pad").to_json() == {
        "platform": HERE,
        "version": "",
        "state": "unrequested",
        "sentence": f"Nobody has asked for left-pad on {HERE} yet:"
        f" `wheelfarm request left-pad --platform {HERE}` does.",
        "actor": "requester",
        "build_id": None,
    }


def test_versions_are_ordered_as_versions() -> None:
    assert newest_first(["1.9", "1.10", "odd one", "1.10rc1", "1.9"]) == ["1.10", "1.10rc1", "1.9", "odd one"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (345_600, "4 d")],
)
def test_spans_are_written_in_their_two_greatest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text
