"""``why``: for each reason the situation, made with real rows, and the one right sentence with who must act."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from master import builds, dispatch, fallback, needs, operate, requests, resolve, steer, unasked, withdraw
from master.which import Which
from schema.causes import DAMAGED
from schema.cooldown import Cooldown
from schema.db.models import Build, Leadership, Node, Project, Request
from schema.db.session import now, transaction
from schema.db.why.answers import Answer, moment
from schema.db.why.explain import why
from schema.db.why.reasons import Actor, Reason
from schema.db.why.surroundings import Rules
from schema.jobs import Limits
from schema.platforms import Platform
from schema.states import AttemptOutcome, BuildPolicy, BuildState, FailureClass
from tests import entries
from tests.entries import ARM, HERE, ago, later

Test = Callable[..., None]

WHEEL = "cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl"
PLATFORM = Platform.parse(HERE)

covered: set[Reason] = set()


def covers(*reasons: Reason) -> Callable[[Test], Test]:
    """These are what the test is about."""
    covered.update(reasons)
    return lambda test: test


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with transaction(database) as opened:
        yield opened


def ask(session: Session, name: str = "cffi", platform: str = HERE, **options: Any) -> list[Answer]:
    session.flush()
    session.expire_all()
    return why(session, canonicalize_name(name), rules=Rules(), platform=Platform.parse(platform), **options)


def says(answers: Sequence[Answer], reason: Reason, actor: Actor, sentence: str) -> Answer:
    """The only answer has this code, this actor, and this whole sentence."""
    (answer,) = answers
    assert answer.sentence == sentence
    assert (answer.reason, answer.actor) == (reason, actor)
    return answer


def resolved(session: Session, wish: str = "cffi") -> list[Request]:
    """Requests for *wish* on this platform, decided by the planner."""
    found = requests.add(session, Requirement(wish), platforms=[PLATFORM], policy=BuildPolicy.MISSING, origin="person")
    plan(session, found[0])
    return found


def plan(session: Session, request: Request, *, cooldown: Cooldown | None = None) -> None:
    """Have the planner decide about the project of *request*."""
    resolve.resolve_project(
        session, request.project_id, platforms=[PLATFORM], now=now(session), cooldown=cooldown or Cooldown()
    )


def upstream_wheel(session: Session, project: Project, filename: str, **values: Any) -> None:
    entries.sdist(session, project, filename.split("-")[1], filename=filename, kind="wheel", **values)


def failed(session: Session, failure: FailureClass, *, message: str = "it is broken", evidence: str = "") -> Build:
    """A build whose attempt on pi4 failed, and what the master made of it; pi5 has not tried."""
    for name in ("pi4", "pi5"):
        entries.node(session, name)
    project = entries.project(session)
    build = entries.build(
        session,
        project,
        state="leased",
        sdist_id=entries.sdist(session, project).id,
        leased_to="pi4",
        lease_until=later(minutes=1),
        fence=1,
    )
    entries.attempt(session, build, outcome="failed", failure_class=failure, message=message, evidence=evidence)
    return build


# --- about the project as a whole


@covers(Reason.UNREQUESTED)
def test_nobody_asked_for_it(session: Session) -> None:
    says(
        ask(session, "left-pad"),
        Reason.UNREQUESTED,
        Actor.REQUESTER,
        f"Nobody has asked for left-pad on {HERE} yet: `wheelfarm request left-pad --platform {HERE}` does.",
    )


@covers(Reason.MISTYPED)
def test_a_name_that_upstream_never_had(session: Session) -> None:
    project = entries.project(session, "cfffi", status="missing")
    entries.request(session, project, resolved_at=None)

    says(
        ask(session, "cfffi"),
        Reason.MISTYPED,
        Actor.REQUESTER,
        "The upstream index has no project cfffi: is the name spelt right?",
    )


@covers(Reason.DELETED)
def test_a_project_that_upstream_had_once(session: Session) -> None:
    entries.sdist(session, entries.project(session, status="missing"), gone_at=ago(hours=1))

    says(
        ask(session),
        Reason.DELETED,
        Actor.UPSTREAM,
        "The upstream index has no project cffi any more, so the farm neither builds nor serves it.",
    )


@covers(Reason.QUARANTINED)
def test_a_quarantined_project(session: Session) -> None:
    entries.project(session, status="quarantined", status_reason="malware was reported")

    says(
        ask(session),
        Reason.QUARANTINED,
        Actor.UPSTREAM,
        "Upstream has quarantined the project, so the farm neither builds nor serves it: malware was reported.",
    )


@covers(Reason.ARCHIVED, Reason.DEPRECATED)
@pytest.mark.parametrize("status", [Reason.ARCHIVED, Reason.DEPRECATED])
def test_an_archived_or_deprecated_project_is_noted_beside_its_builds(session: Session, status: Reason) -> None:
    project = entries.project(session, status=status, status_reason="use pycffi")
    entries.wheel(session, entries.build(session, project, state="published"), WHEEL)

    note, build = ask(session)

    sentence = f"Upstream marks the project as {status} (use pycffi): what it has is built all the same."
    says([note], status, Actor.NOBODY, sentence)
    assert build.reason is Reason.PUBLISHED


@covers(Reason.UPSTREAM_ERROR)
def test_an_upstream_that_does_not_answer(session: Session) -> None:
    at = later(hours=1)
    project = entries.project(session, errors=3, error="503 Service Unavailable.", check_at=at)
    entries.request(session, project, resolved_at=None)

    sentence = (
        f"The upstream index failed 3 times in a row (503 Service Unavailable): the next look is at {moment(at)}."
    )
    assert says(ask(session), Reason.UPSTREAM_ERROR, Actor.FARM, sentence).until == at


# --- a request, and no build of it


@covers(Reason.UNREAD)
def test_a_page_that_was_not_read_yet(session: Session) -> None:
    project = entries.project(session, checked_at=None)
    row = entries.request(session, project, resolved_at=None, specifier=">=1.15", because="paramiko 4.0.0 needs it")

    answer = says(
        ask(session),
        Reason.UNREAD,
        Actor.FARM,
        f"cffi>=1.15 was requested on {moment(row.created_at)} (paramiko 4.0.0 needs it);"
        " the farm has yet to read its page at the upstream index.",
    )
    assert (answer.state, answer.since) == ("requested", row.created_at)


@covers(Reason.UNDECIDED)
def test_a_request_that_is_not_decided_yet(session: Session) -> None:
    row = entries.request(session, entries.project(session), resolved_at=None)

    says(
        ask(session),
        Reason.UNDECIDED,
        Actor.FARM,
        f"cffi was requested on {moment(row.created_at)}; the farm has yet to decide what to build for it.",
    )


@covers(Reason.BACKFILL)
def test_a_platform_that_is_planned_in_the_background(session: Session) -> None:
    row = entries.request(session, entries.project(session))
    entries.mark(session, "backfill", done=84_000, total=700_000, started_at=ago(hours=1))

    says(
        ask(session),
        Reason.BACKFILL,
        Actor.FARM,
        f"cffi was requested on {moment(row.created_at)}; the farm plans {HERE} in the background,"
        " and has come to 12 % of the projects.",
    )


def test_a_platform_that_nobody_plans(session: Session) -> None:
    row = entries.request(session, entries.project(session))

    says(
        ask(session),
        Reason.UNRESOLVED,
        Actor.OPERATOR,
        f"cffi was requested on {moment(row.created_at)}, but the farm has planned nothing for {HERE}:"
        " do `farm.platforms` in farm.toml name it?",
    )


def _unresolved(session: Session, wish: str, reason: Reason, actor: Actor, problem: str) -> None:
    (row,) = resolved(session, wish)
    answer = says(ask(session), reason, actor, f"{wish} was requested on {moment(row.created_at)}, but {problem}.")
    assert answer.state == "unresolved"


@covers(Reason.NO_VERSION)
def test_a_range_that_no_version_fits(session: Session) -> None:
    project = entries.project(session)
    for version in ("1.15.1", "1.17.1", "2.0", "2.1"):
        entries.sdist(session, project, version)

    problem = "no version fits ==1.18; upstream has 1.17.1 before it and 2.0 after it"
    _unresolved(session, "cffi==1.18", Reason.NO_VERSION, Actor.REQUESTER, problem)


@covers(Reason.NO_FILES)
def test_a_project_without_files(session: Session) -> None:
    entries.project(session)

    _unresolved(session, "cffi", Reason.NO_FILES, Actor.UPSTREAM, "upstream lists no files of it")


@covers(Reason.NO_DIGEST)
def test_files_without_a_digest(session: Session) -> None:
    entries.sdist(session, entries.project(session), sha256=None)

    problem = f"1.17.1 cannot be had for {HERE}: the index gives no sha256 of its files"
    _unresolved(session, "cffi", Reason.NO_DIGEST, Actor.UPSTREAM, problem)


@covers(Reason.PYTHON)
def test_a_release_for_other_interpreters(session: Session) -> None:
    entries.sdist(session, entries.project(session), requires_python=">=3.13")

    problem = f"1.17.1 cannot be had for {HERE}: it needs Python >=3.13, {HERE} has 3.11.2"
    _unresolved(session, "cffi", Reason.PYTHON, Actor.REQUESTER, problem)


@covers(Reason.YANKED_UPSTREAM)
def test_a_release_that_is_yanked(session: Session) -> None:
    entries.sdist(session, entries.project(session), yanked="it deletes files")

    problem = f"1.17.1 cannot be had for {HERE}: it is yanked (it deletes files)"
    _unresolved(session, "cffi", Reason.YANKED_UPSTREAM, Actor.UPSTREAM, problem)


@covers(Reason.NO_SOURCE)
def test_a_release_of_wheels_for_others_only(session: Session) -> None:
    upstream_wheel(session, entries.project(session), "cffi-1.17.1-cp311-cp311-win_amd64.whl")

    problem = f"1.17.1 cannot be had for {HERE}: it has neither a source distribution nor a wheel for {HERE}"
    _unresolved(session, "cffi", Reason.NO_SOURCE, Actor.UPSTREAM, problem)


def test_a_release_that_is_wanted_from_source_and_has_none(session: Session) -> None:
    project = entries.project(session)
    upstream_wheel(session, project, "cffi-1.17.1-py3-none-any.whl")
    (request,) = requests.add(
        session, Requirement("cffi"), platforms=[PLATFORM], policy=BuildPolicy.ALWAYS, origin="person"
    )
    plan(session, request)

    says(
        ask(session),
        Reason.NO_SOURCE,
        Actor.UPSTREAM,
        "Cannot be built: 1.17.1 has no source distribution upstream,"
        " only wheels such as cffi-1.17.1-py3-none-any.whl.",
    )


@covers(Reason.UNRESOLVED)
def test_a_request_of_an_older_farm(session: Session) -> None:
    row = entries.request(session, entries.project(session), problem="not a platform: 'beos-x86_64-cp311'")

    says(
        ask(session),
        Reason.UNRESOLVED,
        Actor.REQUESTER,
        f"cffi was requested on {moment(row.created_at)}, but not a platform: 'beos-x86_64-cp311'.",
    )


# --- there, or not needed


@covers(Reason.PUBLISHED)
def test_a_published_build_names_its_file(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="published")
    wheel = entries.wheel(session, build, WHEEL)

    sentence = f"Published as {WHEEL} on {moment(wheel.published_at)}."
    answer = says(ask(session), Reason.PUBLISHED, Actor.NOBODY, sentence)
    assert (answer.state, answer.version, answer.build_id, answer.since) == (
        "published",
        "1.17.1",
        build.id,
        build.changed_at,
    )


@covers(Reason.YANKED)
def test_a_wheel_that_is_yanked_with_its_release(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="published")
    wheel = entries.wheel(session, build, WHEEL, yanked="breaks on big endian")

    says(
        ask(session),
        Reason.YANKED,
        Actor.NOBODY,
        f"Published as {WHEEL} on {moment(wheel.published_at)}, and yanked as upstream's release is:"
        " breaks on big endian.",
    )


@covers(Reason.HIDDEN)
def test_a_wheel_whose_source_vanished_once(session: Session) -> None:
    project = entries.project(session)
    sdist = entries.sdist(session, project, gone_at=ago(minutes=3))
    wheel = entries.wheel(session, entries.build(session, project, state="published", sdist_id=sdist.id), WHEEL)

    says(
        ask(session),
        Reason.HIDDEN,
        Actor.UPSTREAM,
        f"Published as {WHEEL} on {moment(wheel.published_at)}, but hidden, for upstream has not listed"
        f" cffi-1.17.1.tar.gz since {moment(sdist.gone_at or ago())}; it comes back with it.",
    )


@covers(Reason.SERVED)
@pytest.mark.parametrize(
    "filename", ["cffi-1.17.1-py3-none-any.whl", "cffi-1.17.1-cp39-abi3-manylinux_2_28_x86_64.whl"]
)
def test_a_wheel_of_another_platform_that_fits_here(session: Session, filename: str) -> None:
    other = "debian11-x86_64-cp39"
    build = entries.build(session, entries.project(session), platform=other, state="published")
    entries.wheel(session, build, filename)

    sentence = f"Served by {filename}, which was built on {other} and fits here too."
    assert says(ask(session), Reason.SERVED, Actor.NOBODY, sentence).state == "served"


def test_a_build_that_another_platforms_wheel_makes_unneeded(session: Session) -> None:
    project = entries.project(session)
    sdist = entries.sdist(session, project)
    built = entries.build(session, project, platform=ARM, state="published", sdist_id=sdist.id)
    entries.wheel(session, built, "cffi-1.17.1-py3-none-any.whl")
    resolved(session)

    sentence = "Not built, for cffi-1.17.1-py3-none-any.whl serves it."
    assert says(ask(session), Reason.SERVED, Actor.NOBODY, sentence).state == "unneeded"


@covers(Reason.UPSTREAM_WHEEL)
def test_a_release_that_upstream_has_a_wheel_of(session: Session) -> None:
    project = entries.project(session)
    entries.sdist(session, project)
    upstream_wheel(session, project, WHEEL)
    resolved(session)

    says(ask(session), Reason.UPSTREAM_WHEEL, Actor.NOBODY, f"Not built, for upstream has {WHEEL}.")


@covers(Reason.REPEATED)
def test_a_rebuild_that_gave_the_same_bytes(session: Session) -> None:
    project = entries.project(session)
    reason = f"gives the very bytes of {WHEEL}: repeatable, so there is nothing new to publish"
    entries.build(session, project, state="unneeded", build_number=1, reason=reason)

    says(ask(session), Reason.REPEATED, Actor.NOBODY, f"Built, and {reason}.")


@covers(Reason.UNASKED)
def test_a_build_that_nobody_asks_for_any_more(session: Session) -> None:
    entries.sdist(session, entries.project(session))
    unasked.withdraw(session, resolved(session), why="it is gone from requirements.txt", now=now(session))

    says(
        ask(session),
        Reason.UNASKED,
        Actor.REQUESTER,
        "Not built, for nobody asks for it any more: it is gone from requirements.txt;"
        " `wheelfarm request cffi==1.17.1` asks for it.",
    )


@covers(Reason.UNNEEDED)
def test_a_build_that_is_unneeded_for_another_reason(session: Session) -> None:
    entries.build(session, entries.project(session), state="unneeded", reason="the policy says so")

    says(ask(session), Reason.UNNEEDED, Actor.NOBODY, "Not built, for the policy says so.")


# --- waiting for a time or for another build


@covers(Reason.COOLDOWN)
def test_a_release_that_cools_down(session: Session) -> None:
    project = entries.project(session)
    uploaded = ago(hours=18, minutes=59)
    sdist = entries.sdist(session, project, uploaded_at=uploaded, seen_at=uploaded)
    plan(session, entries.request(session, project, origin="list", resolved_at=None), cooldown=Cooldown(seconds=86_400))
    build = session.scalars(select(Build)).one()
    until = uploaded + timedelta(days=1)

    answer = says(
        ask(session),
        Reason.COOLDOWN,
        Actor.FARM,
        f"Cools down until {moment(until)}, 5 h from now ({sdist.filename} is new, of {uploaded:%Y-%m-%d %H:%M});"
        f" `wheelfarm release --now {build.id}` builds it at once.",
    )
    assert answer.until == until


@covers(Reason.PAUSE)
def test_a_pause_after_a_failed_attempt(session: Session) -> None:
    build = failed(session, FailureClass.NODE, message="the disk is full")
    builds.fail(session, build, failure_class=FailureClass.NODE, message="the disk is full", retry_s=3630)
    until = build.not_before or ago()

    answer = says(
        ask(session),
        Reason.PAUSE,
        Actor.FARM,
        f"Attempt 1 of 6 on pi4 failed (node: the disk is full): the next may begin at {moment(until)}, in 1 h.",
    )
    assert answer.until == until


def test_a_pause_that_goes_on_after_a_release(session: Session) -> None:
    build = failed(session, FailureClass.NODE, message="the disk is full")
    builds.fail(session, build, failure_class=FailureClass.NODE, message="the disk is full", retry_s=3630)
    steer.hold(session, Which(one=build.id), who="ada")
    steer.release(session, Which(one=build.id), who="ada")

    (answer,) = ask(session)

    assert answer.sentence.startswith("Attempt 1 of 6 on pi4 failed (node: the disk is full): ")


@covers(Reason.DUE)
def test_a_pause_that_is_over(session: Session) -> None:
    entries.build(session, entries.project(session), state="waiting", not_before=ago(seconds=1))

    says(ask(session), Reason.DUE, Actor.FARM, "Its pause is over, so the farm queues it now.")


def _waiting_for(session: Session, build: Build, requirement: str) -> Build | None:
    """*build* ended since *requirement* has no wheel; the requirement's own build, if it was planned."""
    needs.wait(session, build, [requirement])
    return session.scalar(select(Build).where(Build.project_id != build.project_id).order_by(Build.id.desc()))


def _in_need(session: Session) -> Build:
    project = entries.project(session)
    sdist = entries.sdist(session, project)
    values: dict[str, Any] = {"state": "leased", "leased_to": "pi4", "sdist_id": sdist.id, "fence": 1}
    return entries.build(session, project, **values)


@covers(Reason.REQUIREMENT)
def test_a_requirement_that_is_being_built(session: Session) -> None:
    build = _in_need(session)
    helper = entries.project(session, "setuptools-scm")
    entries.build(session, helper, "8.1.0", state="leased", leased_to="a")
    entries.build(session, helper, "9.0", state="queued")
    needs.wait(session, build, ["setuptools-scm<9"])

    says(
        ask(session),
        Reason.REQUIREMENT,
        Actor.FARM,
        "Waits for setuptools-scm 8.1.0 on this platform, which is being built on a.",
    )


@pytest.mark.parametrize(
    ("state", "ending", "actor"),
    [
        ({"state": "collecting", "leased_to": "a"}, "was built on a and is being checked", Actor.FARM),
        (
            {"state": "queued"},
            f"is queued, but no node offers {HERE}: start one there with `wheelfarm-node run`",
            Actor.OPERATOR,
        ),
        ({"state": "held"}, "is held until a person acts: `wheelfarm why helper` says more", Actor.OPERATOR),
        ({"state": "poisoned"}, "is poisoned until a person acts: `wheelfarm why helper` says more", Actor.OPERATOR),
    ],
)
def test_the_sentence_ends_with_how_the_requirement_stands(
    session: Session, state: dict[str, Any], ending: str, actor: Actor
) -> None:
    build = _in_need(session)
    entries.build(session, entries.project(session, "helper"), "1.0", **state)
    needs.wait(session, build, ["helper"])

    says(ask(session), Reason.REQUIREMENT, actor, f"Waits for helper 1.0 on this platform, which {ending}.")


@pytest.mark.parametrize(
    ("reason", "ending"),
    [("the release is young", "cools down until"), ("again after node: no disk", "failed once and is tried again at")],
)
def test_a_requirement_that_waits_for_a_time(session: Session, reason: str, ending: str) -> None:
    build, until = _in_need(session), later(hours=1)
    helper = entries.project(session, "helper")
    entries.build(session, helper, "1.0", state="waiting", reason=reason, not_before=until)
    needs.wait(session, build, ["helper"])

    sentence = f"Waits for helper 1.0 on this platform, which {ending} {moment(until)}."
    says(ask(session), Reason.REQUIREMENT, Actor.FARM, sentence)


@pytest.mark.parametrize(
    ("checked_at", "ending"),
    [(None, "the farm has yet to look up at the upstream index"), (ago(), "the farm has yet to plan")],
)
def test_a_requirement_that_has_no_build_yet(session: Session, checked_at: datetime | None, ending: str) -> None:
    build = _in_need(session)
    entries.project(session, "helper", checked_at=checked_at)
    needs.wait(session, build, ["helper"])

    sentence = f"Waits for helper on this platform, which {ending}."
    says(ask(session), Reason.REQUIREMENT, Actor.FARM, sentence)


def test_a_chain_is_told_to_its_end(session: Session) -> None:
    build = _in_need(session)
    one, two = entries.project(session, "one"), entries.project(session, "two")
    entries.build(session, one, "1.0", state="waiting", waits_for=two.id, needs=["two>=2"])
    entries.build(session, two, "2.0", state="leased", leased_to="pi5")
    needs.wait(session, build, ["one"])

    says(
        ask(session),
        Reason.REQUIREMENT,
        Actor.FARM,
        "Waits for one 1.0 on this platform, which waits for two 2.0, which is being built on pi5.",
    )


def test_a_chain_is_not_followed_for_ever(session: Session) -> None:
    projects = [entries.project(session, f"p{number}") for number in range(8)]
    for project, following in itertools.pairwise(projects):
        entries.build(session, project, "1.0", state="waiting", waits_for=following.id)

    says(
        ask(session, "p0"),
        Reason.REQUIREMENT,
        Actor.FARM,
        "Waits for p1 1.0 on this platform, which waits for p2 1.0, which waits for p3 1.0, which waits for p4 1.0,"
        " which waits for p5 1.0, which waits for others in turn.",
    )


@covers(Reason.CIRCLE)
def test_builds_that_wait_for_each_other(session: Session) -> None:
    project, other = entries.project(session), entries.project(session, "pycparser")
    entries.build(session, project, state="waiting", waits_for=other.id)
    entries.build(session, other, "2.22", state="waiting", waits_for=project.id)

    says(
        ask(session),
        Reason.CIRCLE,
        Actor.FARM,
        "Waits for pycparser 2.22 on this platform, which waits for cffi 1.17.1:"
        " they wait for each other, and the farm is about to give up one of them.",
    )


def test_a_circle_that_was_given_up(session: Session) -> None:
    build = _in_need(session)
    needs.wait(session, build, ["cffi"])

    says(
        ask(session),
        Reason.CIRCLE,
        Actor.OPERATOR,
        f"Failed, for it needs itself to build: a recipe may break the circle, then `wheelfarm retry {build.id}`.",
    )


@covers(Reason.WAITING)
def test_a_build_that_waits_for_something_else(session: Session) -> None:
    entries.build(session, entries.project(session), state="waiting", reason="a new planner decides")

    says(ask(session), Reason.WAITING, Actor.FARM, "Waits: a new planner decides.")


# --- waiting for a node


@covers(Reason.NO_LEADER)
def test_no_master_leads(session: Session) -> None:
    until = ago(minutes=5)
    session.add(Leadership(id=1, holder="master-a", epoch=3, until=until))
    entries.node(session)
    entries.build(session, entries.project(session))

    says(
        ask(session),
        Reason.NO_LEADER,
        Actor.OPERATOR,
        f"Queued, but no master leads the farm since {moment(until)}: start one with `wheelfarm master`.",
    )


@covers(Reason.INTAKE_STOPPED)
def test_the_intake_is_stopped(session: Session) -> None:
    entries.mark(session, "intake", note="only 1.0 GiB are free in /srv, so no build is given out")
    entries.node(session)
    entries.build(session, entries.project(session))

    says(
        ask(session),
        Reason.INTAKE_STOPPED,
        Actor.OPERATOR,
        "Queued, but only 1.0 GiB are free in /srv, so no build is given out.",
    )


@covers(Reason.REDIS_AWAY)
def test_redis_does_not_answer(session: Session) -> None:
    entries.mark(session, "redis", note="Redis does not answer the master since 2026-01-05 12:00 UTC: start it there")
    node = entries.node(session)
    node.heard_at = None  # of course it is silent, too
    entries.build(session, entries.project(session))

    says(
        ask(session),
        Reason.REDIS_AWAY,
        Actor.OPERATOR,
        "Queued, but Redis does not answer the master since 2026-01-05 12:00 UTC: start it there.",
    )


@covers(Reason.NO_NODE)
def test_no_node_offers_the_platform(session: Session) -> None:
    entries.node(session, platforms=[ARM])
    entries.build(session, entries.project(session))

    says(
        ask(session),
        Reason.NO_NODE,
        Actor.OPERATOR,
        f"Queued, but no node offers {HERE}: start one there with `wheelfarm-node run`.",
    )


@covers(Reason.NODES_QUARANTINED)
def test_the_only_node_lied(session: Session) -> None:
    entries.node(session, state="quarantined", state_reason="its result of build 3 was refused")
    entries.build(session, entries.project(session))

    says(
        ask(session),
        Reason.NODES_QUARANTINED,
        Actor.OPERATOR,
        f"Queued, but the only node for {HERE} is set aside (pi4 quarantined: its result of build 3 was refused):"
        " `wheelfarm node resume pi4` takes one back.",
    )


@covers(Reason.NODES_UNFIT)
def test_the_nodes_may_not_build(session: Session) -> None:
    entries.node(session, platforms=[], allowed_platforms=[HERE], unfit="its agent is too old: upgrade the node")
    entries.build(session, entries.project(session))

    says(
        ask(session),
        Reason.NODES_UNFIT,
        Actor.OPERATOR,
        "Queued, but node pi4 may not build: its agent is too old: upgrade the node.",
    )


@covers(Reason.NODES_PROBATION)
def test_the_nodes_are_on_probation(session: Session) -> None:
    entries.node(session, state="probation", state_reason="3 of 20 canaries came out as they are known")
    entries.node(session, "pi5", state="quarantined")
    entries.build(session, entries.project(session))

    says(
        ask(session),
        Reason.NODES_PROBATION,
        Actor.OPERATOR,
        f"Queued, but no node for {HERE} is let in yet (pi4 probation: 3 of 20 canaries came out as they are known):"
        " `wheelfarm node list` tells how they stand.",
    )


@covers(Reason.NODES_DRAINING)
def test_the_nodes_drain(session: Session) -> None:
    entries.node(session, state="draining", state_reason="new disk")
    entries.node(session, "pi5", state="quarantined")
    entries.build(session, entries.project(session))

    says(
        ask(session),
        Reason.NODES_DRAINING,
        Actor.OPERATOR,
        f"Queued, but all 2 nodes for {HERE} are set aside (pi4 draining: new disk, pi5 quarantined):"
        " `wheelfarm node resume pi4` takes one back.",
    )


@covers(Reason.NODES_SILENT)
def test_the_nodes_are_silent(session: Session) -> None:
    heard = ago(hours=2)
    entries.node(session, heard_at=heard)
    entries.node(session, "pi5", heard_at=None)
    entries.build(session, entries.project(session))

    says(
        ask(session),
        Reason.NODES_SILENT,
        Actor.OPERATOR,
        f"Queued, but all 2 nodes for {HERE} are silent: pi4 silent since {moment(heard)}, pi5 never heard yet.",
    )


@covers(Reason.NODES_TRIED)
def test_it_failed_on_each_node_that_answers(session: Session) -> None:
    builds.fail(
        session,
        failed(session, FailureClass.BUILD),
        failure_class=FailureClass.BUILD,
        message="no compiler",
        retry_s=60,
    )
    for node in session.scalars(select(Node).where(Node.name == "pi5")):
        node.heard_at = ago(hours=1)

    says(
        ask(session),
        Reason.NODES_TRIED,
        Actor.OPERATOR,
        f"Queued, but it failed on pi4, and no other node for {HERE} answers.",
    )


@covers(Reason.NODES_TOO_SMALL)
def test_every_node_is_too_small(session: Session) -> None:
    entries.node(session, memory_bytes=2 * 2**30)
    entries.build(session, entries.project(session), size=2)

    says(
        ask(session),
        Reason.NODES_TOO_SMALL,
        Actor.OPERATOR,
        f"Queued, but no node for {HERE} has room for it: pi4 has 2.0 GiB of memory, the build may take 3.0 GiB.",
    )


def test_a_node_has_a_free_slot_but_no_room_beside_what_it_works_on(session: Session) -> None:
    entries.node(session, memory_bytes=4 * 2**30, slots=2)
    entries.build(
        session,
        entries.project(session, "scipy"),
        size=2,
        state="leased",
        leased_to="pi4",
        lease_until=later(minutes=1),
    )
    entries.build(session, entries.project(session), size=2)

    says(
        ask(session),
        Reason.NODES_BUSY,
        Actor.FARM,
        f"Queued: the only node for {HERE} is busy (pi4 has 1.0 GiB of memory to spare beside its builds,"
        " the build may take 3.0 GiB); it comes next.",
    )


def _busy_farm(session: Session) -> Project:
    project = entries.project(session)
    for version, name in (("1.0", "pi4"), ("1.1", "pi5")):
        entries.node(session, name)
        entries.build(session, project, version, state="leased", leased_to=name, lease_until=later(minutes=1))
    return project


@covers(Reason.NODES_BUSY)
def test_all_nodes_are_busy(session: Session) -> None:
    entries.build(session, _busy_farm(session))
    entries.build(session, entries.project(session, "numpy"), "2.0", score=5.0, size=2)
    entries.build(session, entries.project(session, "scipy"), "2.0", score=-5.0)

    sentence = f"Queued: all 2 nodes for {HERE} are busy (pi4, pi5); 1 build is ahead of it."
    says(ask(session)[:1], Reason.NODES_BUSY, Actor.FARM, sentence)


def test_one_node_is_busy_and_one_is_down(session: Session) -> None:
    entries.build(session, _busy_farm(session))
    heard = ago(hours=3)
    entries.node(session, "pi6", heard_at=heard)

    sentence = f"Queued: all 2 nodes for {HERE} are busy (pi4, pi5), pi6 silent since {moment(heard)}; it comes next."
    says(ask(session)[:1], Reason.NODES_BUSY, Actor.FARM, sentence)


def test_a_long_queue_is_not_counted_to_its_end(session: Session) -> None:
    project = _busy_farm(session)
    for number in range(1100):
        session.add(
            Build(
                project_id=project.id,
                version=f"3.{number}",
                platform=HERE,
                policy="always",
                state="queued",
                score=1.0,
                created_at=ago(),
                changed_at=ago(),
            )
        )
    builds.recount(session)
    entries.build(session, entries.project(session, "last"), score=-1.0)

    sentence = (
        f"Queued: all 2 nodes for {HERE} are busy (pi4, pi5);"
        " more than 1,000 of the 1,101 builds in the queue are ahead of it."
    )
    says(ask(session, "last"), Reason.NODES_BUSY, Actor.FARM, sentence)


@covers(Reason.NEXT)
def test_a_node_is_free(session: Session) -> None:
    entries.node(session)
    entries.build(session, entries.project(session))

    sentence = f"Queued: a node for {HERE} is free, so it begins soon; it comes next."
    says(ask(session), Reason.NEXT, Actor.FARM, sentence)


# --- with a node


@covers(Reason.BUILDING)
def test_being_built_tells_node_time_and_step(session: Session) -> None:
    entries.node(session)
    build = entries.build(
        session,
        entries.project(session),
        state="leased",
        leased_to="pi4",
        leased_at=ago(minutes=4, seconds=20),
        lease_until=later(hours=1),
        fence=2,
        expected_s=600,
    )
    entries.attempt(session, build, fence=1, outcome="lost")
    steps = [
        {"name": "fetch", "started_at": ago(minutes=4).isoformat(), "seconds": 1.5, "note": ""},
        {"name": "build", "started_at": ago(minutes=3).isoformat(), "seconds": None, "note": ""},
    ]
    entries.attempt(session, build, steps=steps)

    (answer,) = ask(session)

    assert answer.sentence.startswith("Being built on pi4 for 4 min ")
    assert answer.sentence.endswith(" s, now at step “build”, attempt 2, usually done in 10 min.")
    assert (answer.reason, answer.actor) == (Reason.BUILDING, Actor.FARM)


@covers(Reason.NODE_SILENT)
def test_a_node_that_is_silent_and_still_holds_the_lease(session: Session) -> None:
    heard, until = ago(minutes=2), later(seconds=30)
    entries.node(session, heard_at=heard)
    entries.build(session, entries.project(session), state="leased", leased_to="pi4", lease_until=until)

    says(
        ask(session),
        Reason.NODE_SILENT,
        Actor.FARM,
        f"Was given to pi4, which is silent since {moment(heard)}: unless it speaks until {moment(until)},"
        " the farm gives the build to a node again.",
    )


@covers(Reason.LEASE_OVER)
def test_a_lease_that_ran_out(session: Session) -> None:
    heard = ago(minutes=10)
    entries.node(session, heard_at=heard)
    entries.build(session, entries.project(session), state="leased", leased_to="pi4", lease_until=ago(minutes=5))

    says(
        ask(session),
        Reason.LEASE_OVER,
        Actor.FARM,
        f"Was given to pi4, which is silent since {moment(heard)}: the farm gives it to a node again.",
    )


@covers(Reason.CHECKING)
def test_the_master_checks_the_result(session: Session) -> None:
    entries.build(session, entries.project(session), state="collecting", leased_to="pi4")

    sentence = "Built on pi4: the master is fetching and checking the result."
    says(ask(session), Reason.CHECKING, Actor.FARM, sentence)


# --- failed

RECIPE = "a recipe may help (recipes/cffi.toml), then `wheelfarm retry {id}`"
PACKAGE = "add its Debian package to a recipe (recipes/cffi.toml), then `wheelfarm retry {id}`"
LIMIT = "if it needs more, raise the limit in farm.toml, then `wheelfarm retry {id}`"
FAILURES: dict[FailureClass, tuple[Actor, str]] = {
    FailureClass.BUILD: (Actor.OPERATOR, RECIPE),
    FailureClass.SDIST: (Actor.UPSTREAM, "only a new release upstream can help"),
    FailureClass.BACKEND: (Actor.UPSTREAM, "its own build settings are broken, so only a new release can help"),
    FailureClass.REQUIREMENT: (Actor.OPERATOR, "once that requirement can be had, `wheelfarm retry {id}`"),
    FailureClass.REQUIREMENT_TOO_NEW: (
        Actor.OPERATOR,
        f"older build requirements may build it: add build constraints; {RECIPE}",
    ),
    FailureClass.REQUIREMENT_TOO_OLD: (
        Actor.OPERATOR,
        f"newer build requirements may build it: mend its build constraints; {RECIPE}",
    ),
    FailureClass.PYTHON_MODULE: (
        Actor.UPSTREAM,
        "it does not list that module as a build requirement, so only a new release can help",
    ),
    FailureClass.HEADER: (Actor.OPERATOR, f"that header is missing: {PACKAGE}"),
    FailureClass.PKG_CONFIG: (Actor.OPERATOR, f"that module of pkg-config is missing: {PACKAGE}"),
    FailureClass.PROGRAM: (Actor.OPERATOR, f"that program is missing: {PACKAGE}"),
    FailureClass.LIBRARY: (Actor.OPERATOR, f"that library is missing: {PACKAGE}"),
    FailureClass.LIBRARY_VERSION: (
        Actor.OPERATOR,
        "the image's version of that library does not fit: request another version, or build it on another image",
    ),
    FailureClass.COMPILER: (Actor.OPERATOR, f"that compiler is missing: {PACKAGE}"),
    FailureClass.TOOLCHAIN: (
        Actor.OPERATOR,
        "the image's version of that tool does not fit: build it on another image, or request another version",
    ),
    FailureClass.INTERPRETER: (
        Actor.REQUESTER,
        "it is not for this Python: request another version, or another platform",
    ),
    FailureClass.TESTS: (Actor.OPERATOR, f"its own tests failed while it was built; {RECIPE}"),
    FailureClass.SOURCE: (Actor.UPSTREAM, "its own code does not compile here, so only a new release can help"),
    FailureClass.NETWORK: (Actor.OPERATOR, f"no network is there while its code runs; {RECIPE}"),
    FailureClass.MEMORY: (Actor.OPERATOR, LIMIT),
    FailureClass.PROCESSES: (Actor.OPERATOR, LIMIT),
    FailureClass.DISK: (Actor.OPERATOR, LIMIT),
    FailureClass.LOG: (Actor.OPERATOR, LIMIT),
    FailureClass.TIMEOUT: (Actor.OPERATOR, LIMIT),
    FailureClass.SILENCE: (Actor.OPERATOR, LIMIT),
    FailureClass.WHEEL: (Actor.OPERATOR, f"its wheel is not safe to serve as it is; {RECIPE}"),
    FailureClass.IMPORT: (Actor.OPERATOR, f"it built, but does not work; {RECIPE}"),
    FailureClass.NODE: (Actor.OPERATOR, "mend the node, then `wheelfarm retry {id}`"),
    FailureClass.LOST: (Actor.OPERATOR, "look at the node, then `wheelfarm retry {id}`"),
    FailureClass.CANCELLED: (Actor.OPERATOR, "it was stopped; `wheelfarm retry {id}` tries again"),
}


@covers(*(Reason(f"failed-{failure}") for failure in FailureClass))
@pytest.mark.parametrize("failure", FailureClass)
def test_each_class_of_failure_says_what_happened_and_who_can_help(session: Session, failure: FailureClass) -> None:
    build = failed(session, failure, evidence="error: sql.h: No such file")
    builds.move(session, build, BuildState.FAILED, reason=f"{failure}: it is broken")
    actor, advice = FAILURES[failure]

    says(
        ask(session),
        Reason(f"failed-{failure}"),
        actor,
        f"Failed on pi4 ({failure}: error: sql.h: No such file): {advice.format(id=build.id)}.",
    )


@covers(Reason.REQUIREMENT_FAILED)
def test_a_requirement_that_failed(session: Session) -> None:
    helper = entries.project(session, "helper")
    entries.build(session, helper, "1.0", state="failed", reason="build: no compiler")
    build = _in_need(session)
    needs.wait(session, build, ["helper"])
    for request in session.scalars(select(Request)):
        request.resolved_at = now(session)
    needs.sweep(session)

    says(
        ask(session),
        Reason.REQUIREMENT_FAILED,
        Actor.OPERATOR,
        "Failed, for it needs helper to build, which cannot be had: helper 1.0: build: no compiler;"
        " it is tried again with that.",
    )


@covers(Reason.FAILED)
def test_a_failure_of_which_nothing_was_recorded(session: Session) -> None:
    project = entries.project(session)
    build = entries.build(session, project, state="failed", sdist_id=entries.sdist(session, project).id)

    says(
        ask(session),
        Reason.FAILED,
        Actor.OPERATOR,
        f"Failed: no reason was recorded. `wheelfarm retry {build.id}` tries again.",
    )


@covers(Reason.RULED_OUT)
def test_a_build_that_a_rule_keeps_from_being_built(session: Session, tmp_path: Path) -> None:
    (tmp_path / "cffi.toml").write_text('[[rule]]\nid = "board"\nwhy = "it needs a board"\ndo_not_build = true\n')
    entries.node(session)
    project = entries.project(session)
    build = entries.build(session, project, sdist_id=entries.sdist(session, project).id)
    dispatch.Dispatcher(recipe_folders=[tmp_path], limits=Limits(), lease_s=90, silent_after_s=90).dispatch(session)

    says(
        ask(session),
        Reason.RULED_OUT,
        Actor.OPERATOR,
        "Not built, for a rule says so (cffi/board: it needs a board): take the rule away, then"
        f" `wheelfarm retry {build.id}`.",
    )


@covers(Reason.INSTEAD)
def test_a_build_in_whose_place_a_rule_has_another_version_built(session: Session, tmp_path: Path) -> None:
    (tmp_path / "cffi.toml").write_text(
        '[[rule]]\nid = "older"\nwhy = "1.16 needs no such header"\nafter = ["header"]\nbuild_instead = "1.16"\n'
    )
    build = failed(session, FailureClass.HEADER)
    builds.fail(session, build, failure_class=FailureClass.HEADER, message="it is broken", retry_s=60)
    fallback.follow(session, build, (FailureClass.HEADER, ""), recipe_folders=[tmp_path], today=now(session).date())

    says(
        [answer for answer in ask(session) if answer.build_id == build.id],
        Reason.INSTEAD,
        Actor.NOBODY,
        "Failed on pi4 (header: it is broken); built instead: 1.16, for 1.16 needs no such header (cffi/older).",
    )


# --- set aside until a person acts


@covers(Reason.POISONED)
def test_a_build_that_two_nodes_were_lost_with(session: Session) -> None:
    build = failed(session, FailureClass.LOST)
    build.attempts[0].outcome = AttemptOutcome.LOST
    build.fence = 2
    entries.attempt(session, build, fence=2, node="pi5")
    builds.give_back(session, build, why="node pi5 went silent")

    says(
        ask(session),
        Reason.POISONED,
        Actor.OPERATOR,
        "Set aside, for it was lost 2 times with pi4, pi5 and may be what takes nodes down:"
        f" look at its log (`wheelfarm log {build.id}`), then `wheelfarm retry {build.id}`.",
    )


@covers(Reason.HELD)
def test_a_build_that_a_person_holds(session: Session) -> None:
    build = entries.build(session, entries.project(session))
    steer.hold(session, Which(one=build.id), who="ada@farm", reason="it needs a look")
    session.refresh(build)

    says(
        ask(session),
        Reason.HELD,
        Actor.OPERATOR,
        f"Held by ada@farm on {moment(build.changed_at)} (it needs a look):"
        f" `wheelfarm release {build.id}` lets it go on.",
    )


@covers(Reason.CANCELLED)
def test_a_build_that_a_person_cancelled(session: Session) -> None:
    build = _in_need(session)
    entries.attempt(session, build)
    steer.cancel(session, Which(one=build.id), who="ada@farm", reason="it eats the disk")
    session.refresh(build)

    says(
        ask(session),
        Reason.CANCELLED,
        Actor.OPERATOR,
        f"Cancelled by ada@farm on {moment(build.changed_at)} (it eats the disk):"
        f" `wheelfarm release {build.id}` lets it go on.",
    )


@covers(Reason.HELD_RECIPE)
def test_a_build_whose_recipe_is_faulty(session: Session, tmp_path: Path) -> None:
    (tmp_path / "cffi.toml").write_text("frobnicate = 1\n")
    entries.node(session)
    project = entries.project(session)
    build = entries.build(session, project, sdist_id=entries.sdist(session, project).id)
    dispatch.Dispatcher(recipe_folders=[tmp_path], limits=Limits(), lease_s=90, silent_after_s=90).dispatch(session)

    (answer,) = ask(session)

    assert answer.sentence.startswith(f"Held, for its recipe is faulty ({tmp_path}/cffi.toml: frobnicate: unknown key")
    assert answer.sentence.endswith(f"): mend it, then `wheelfarm release {build.id}` lets it go on.")
    assert (answer.reason, answer.actor) == (Reason.HELD_RECIPE, Actor.OPERATOR)


# --- taken back


@covers(Reason.REMOVED)
def test_a_wheel_that_a_person_removed(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="published")
    entries.wheel(session, build, WHEEL)
    operate.remove(session, canonicalize_name("cffi"), None, who="ada", reason="it was a mistake")
    session.refresh(build)

    says(
        ask(session),
        Reason.REMOVED,
        Actor.NOBODY,
        f"Removed by ada on {moment(build.changed_at)} (it was a mistake);"
        f" `wheelfarm retry {build.id}` builds it again.",
    )


@covers(Reason.DAMAGED)
def test_a_wheel_whose_file_was_damaged_and_cannot_be_built_again(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="published")
    builds.move(session, build, BuildState.WITHDRAWN, reason=f"{DAMAGED}3f2a… has other bytes")

    says(
        ask(session),
        Reason.DAMAGED,
        Actor.OPERATOR,
        "Withdrawn, for a stored file of it was damaged (3f2a… has other bytes);"
        f" `wheelfarm retry {build.id}` builds it again.",
    )


@covers(Reason.WITHDRAWN_DELETED, Reason.WITHDRAWN_QUARANTINED, Reason.WITHDRAWN_YANKED, Reason.WITHDRAWN_REPLACED)
@pytest.mark.parametrize(
    ("sdist", "status", "reason", "why"),
    [
        (
            {"gone_at": ago(hours=1), "gone_told": True},
            "active",
            Reason.WITHDRAWN_DELETED,
            "cffi-1.17.1.tar.gz is no longer listed",
        ),
        ({"yanked": "it leaks"}, "active", Reason.WITHDRAWN_YANKED, "1.17.1 is yanked (it leaks)"),
        ({}, "quarantined", Reason.WITHDRAWN_QUARANTINED, "cffi is quarantined upstream"),
    ],
)
def test_a_release_that_upstream_took_back(
    session: Session, sdist: dict[str, Any], status: str, reason: Reason, why: str
) -> None:
    project = entries.project(session, status=status)
    entries.build(session, project, sdist_id=entries.sdist(session, project, **sdist).id)
    withdraw.withdraw_lost(session, project, [], now(session))

    answers = ask(session)

    says(answers[-1:], reason, Actor.UPSTREAM, f"Withdrawn, for upstream took it back: {why}.")


def test_a_release_whose_bytes_upstream_replaced(session: Session) -> None:
    build = entries.build(session, entries.project(session))
    withdraw.withdraw(session, build, "cffi-1.17.1.tar.gz has other bytes now", now(session))

    sentence = "Withdrawn, for upstream took it back: cffi-1.17.1.tar.gz has other bytes now."
    says(ask(session), Reason.WITHDRAWN_REPLACED, Actor.UPSTREAM, sentence)


@covers(Reason.WITHDRAWN)
def test_a_build_that_was_withdrawn_for_another_reason(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="withdrawn", reason="an older farm did it")

    says(
        ask(session),
        Reason.WITHDRAWN,
        Actor.OPERATOR,
        f"Withdrawn (an older farm did it); `wheelfarm retry {build.id}` builds it again.",
    )


# --- beside it


def test_the_earlier_wheel_is_served_while_it_is_built_again(session: Session) -> None:
    project = entries.project(session)
    sdist = entries.sdist(session, project)
    build = entries.build(session, project, state="published", sdist_id=sdist.id)
    entries.wheel(session, build, WHEEL)
    entries.node(session)
    operate.rebuild(session, canonicalize_name("cffi"), Version("1.17.1"), None, who="ada")

    sentence = (
        f"Queued: a node for {HERE} is free, so it begins soon; it comes next."
        f" Meanwhile {WHEEL} of an earlier build is served."
    )
    says(ask(session), Reason.NEXT, Actor.FARM, sentence)


def test_a_damaged_wheel_is_not_served_while_it_is_built_again(session: Session) -> None:
    build = entries.build(session, entries.project(session))
    wheel = entries.wheel(session, build, WHEEL, removed_at=ago(minutes=5), removed_because=f"{DAMAGED}it is gone")

    (answer,) = ask(session)

    assert answer.reason is Reason.NO_NODE
    assert answer.sentence.endswith(
        f" Meanwhile {WHEEL} is not served: it was found damaged on {moment(wheel.removed_at or ago())}."
    )


def test_every_reason_has_its_test() -> None:
    assert covered == set(Reason)
