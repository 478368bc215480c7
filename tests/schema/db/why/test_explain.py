"""``why``: which answers there are, in which order, at what cost; each reason's sentence is in test_every_reason."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version
from sqlalchemy import Engine, event, select, text
from sqlalchemy.orm import Session, joinedload

from master.cli import farm as commands
from schema.db.models import Base, Build
from schema.db.session import transaction
from schema.db.why import explain, places
from schema.db.why.answers import Answer, span
from schema.db.why.explain import newest_first, why
from schema.db.why.nearest import nearest
from schema.db.why.reasons import Actor, Reason
from schema.db.why.sentences import about
from schema.db.why.surroundings import Rules, scene
from schema.platforms import Platform
from schema.states import BuildState
from tests import entries
from tests.entries import ARM, HERE, later


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with transaction(database) as opened:
        yield opened


def _ask(session: Session, name: str = "cffi", platform: str = HERE, **options: Any) -> list[Answer]:
    session.flush()
    session.expire_all()
    only = Platform.parse(platform) if platform else None
    return why(session, canonicalize_name(name), rules=Rules(), platform=only, **options)


def _only(session: Session, name: str = "cffi", platform: str = HERE) -> Answer:
    (answer,) = _ask(session, name, platform)
    return answer


def test_the_telling_line_of_the_log_stands_before_the_general_message(session: Session) -> None:
    build = entries.build(session, entries.project(session), state="failed", fence=1)
    line = "src/demo.c:1:10: fatal error: sql.h: No such file or directory"
    entries.attempt(
        session, build, outcome="failed", failure_class="build", message="the backend failed", evidence=line
    )

    sentence = _only(session).sentence

    assert f"(build: {line})" in sentence
    assert "the backend failed" not in sentence


def test_a_failed_rebuild_tells_that_the_earlier_wheel_is_still_there(session: Session) -> None:
    project = entries.project(session)
    entries.wheel(session, entries.build(session, project, state="published"), "cffi-1.17.1-py3-none-any.whl")
    entries.build(session, project, state="failed", build_number=1, reason="the compiler is gone")

    assert _only(session).sentence == (
        "Cannot be built: the compiler is gone. Meanwhile cffi-1.17.1-py3-none-any.whl of an earlier build is served."
    )


def test_a_wheel_that_only_fits_elsewhere_does_not_serve_this_platform(session: Session) -> None:
    build = entries.build(session, entries.project(session), platform=ARM, state="published")
    entries.wheel(session, build, "cffi-1.17.1-cp311-cp311-manylinux_2_34_aarch64.whl")

    assert _only(session).state == "unrequested"


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


def test_upstream_trouble_comes_before_what_is_known_of_the_builds(session: Session) -> None:
    build = entries.build(session, entries.project(session, errors=1, error="time-out"), state="published")
    entries.wheel(session, build, "cffi-1.17.1-py3-none-any.whl")

    assert [answer.state for answer in _ask(session)] == ["upstream-error", "published"]


def test_a_request_that_got_a_newer_release_does_not_ask_for_an_older_one(session: Session) -> None:
    project = entries.project(session)
    entries.build(session, project, "1.17.1")
    entries.request(session, project)

    (answer,) = _ask(session, version=Version("1.16.0"))

    assert answer.sentence.endswith(f" yet: `wheelfarm request cffi==1.16.0 --platform {HERE}` does.")


@pytest.mark.parametrize("values", [{"every_release": True}, {"resolved_at": None}])
def test_a_request_for_every_release_or_not_yet_decided_asks_for_older_ones_too(
    session: Session, values: dict[str, Any]
) -> None:
    project = entries.project(session)
    entries.build(session, project, "1.17.1")
    entries.request(session, project, **values)

    (answer,) = _ask(session, version=Version("1.16.0"))

    assert answer.sentence.startswith("cffi was requested on ")


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

    assert sentence.startswith(r"Held (nice␛]8;;https://evil.example␇link\u202e second line): ")


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


def test_a_version_is_asked_about_alone(session: Session) -> None:
    project = entries.project(session)
    for version in ("1.0", "2.0"):
        entries.build(session, project, version, state="unneeded", reason="upstream has it")

    assert [item.version for item in _ask(session, version=Version("1.0"))] == ["1.0"]
    (answer,) = _ask(session, version=Version("3.0"))
    assert answer.sentence == (
        f"Nobody has asked for cffi==3.0 on {HERE} yet: `wheelfarm request cffi==3.0 --platform {HERE}` does."
    )


def test_each_platform_has_its_own_problem(session: Session) -> None:
    project = entries.project(session)
    problem = f"{ARM}: it needs Python >=3.13, {ARM} has 3.11.2; {HERE}: upstream lists no files of it"
    entries.request(session, project, problem=problem)

    arm, here, other = (_only(session, platform=name) for name in (ARM, HERE, "debian13-x86_64-cp313"))

    assert (arm.reason, here.reason, other.reason) == (Reason.PYTHON, Reason.NO_FILES, Reason.UNRESOLVED)
    assert arm.sentence.endswith(f", but it needs Python >=3.13, {ARM} has 3.11.2.")
    assert here.sentence.endswith(", but upstream lists no files of it.")


def _a_farm_of(session: Session, versions: int) -> None:
    """Builds in every state, chains, wheels, attempts, and what people did."""
    project = entries.project(session)
    helpers = [entries.project(session, f"helper-{number}") for number in range(3)]
    for helper, following in itertools.pairwise(helpers):
        entries.build(session, helper, "1.0", state="waiting", waits_for=following.id)
    entries.node(session)
    for number in range(versions):
        state = list(BuildState)[number % len(BuildState)]
        build = entries.build(
            session,
            project,
            f"{number}.0",
            state=state,
            sdist_id=entries.sdist(session, project, f"{number}.0").id,
            waits_for=helpers[0].id if state == BuildState.WAITING else None,
            leased_to="pi4" if state in {BuildState.LEASED, BuildState.COLLECTING} else None,
            fence=1,
        )
        entries.attempt(session, build, outcome="failed", failure_class="build", message="no compiler")
        entries.wheel(session, build, f"cffi-{number}.0-py3-none-any.whl")
        entries.audit(session, f"build {build.id}")


def test_the_number_of_queries_does_not_grow_with_the_number_of_builds(database: Engine) -> None:
    queries: list[str] = []
    event.listen(database, "before_cursor_execute", lambda *args: queries.append(args[2]))
    counted = []
    for versions in (10, 60):
        with transaction(database) as session:
            for table in reversed(Base.metadata.sorted_tables):
                if table.name != "audit_entries":  # nobody may empty that one
                    session.execute(table.delete())
            _a_farm_of(session, versions)
        queries.clear()
        with transaction(database) as session:
            answers = why(session, canonicalize_name("cffi"), rules=Rules())
        assert len(answers) == versions
        counted.append(len(queries))

    assert counted[0] == counted[1] <= 25


def test_a_list_of_builds_is_told_with_a_fixed_number_of_queries(database: Engine) -> None:
    with transaction(database) as session:
        _a_farm_of(session, 40)
    queries: list[str] = []
    with transaction(database) as session:
        rows = session.scalars(select(Build).options(joinedload(Build.project)).order_by(Build.id)).all()
        event.listen(database, "before_cursor_execute", lambda *args: queries.append(args[2]))
        found = scene(session, rows, rules=Rules())
        assert all(about(build, found).sentence for build in rows)

    assert len(queries) <= 25


def test_the_place_in_the_queue_is_read_from_the_index(session: Session) -> None:
    build = entries.build(session, entries.project(session))
    counting = places.counting([build]).compile(session.connection(), compile_kwargs={"literal_binds": True})
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL enable_seqscan = off"))  # a table of one row is read whole otherwise
        plan = [row[0] for row in session.execute(text(f"EXPLAIN {counting}"))]
    else:
        plan = [row.detail for row in session.execute(text(f"EXPLAIN QUERY PLAN {counting}"))]

    assert any("ix_builds_next" in step for step in plan)
    assert not any("SCAN builds" in step or "Seq Scan on builds" in step for step in plan)


def test_answers_are_plain_data_for_json(session: Session) -> None:
    until = later(hours=1)
    build = entries.build(session, entries.project(session), state="waiting", reason="too young", not_before=until)
    (answer,) = _ask(session)

    data = json.loads(json.dumps(answer.to_json()))

    assert data == {
        "platform": HERE,
        "version": "1.17.1",
        "state": "waiting",
        "reason": "cooldown",
        "sentence": answer.sentence,
        "actor": "farm",
        "since": build.changed_at.isoformat(timespec="seconds"),
        "until": until.isoformat(timespec="seconds"),
        "build_id": build.id,
    }
    assert data["until"].endswith("+00:00")


@pytest.mark.parametrize(
    ("specifier", "text"),
    [
        ("==1.5", "upstream has 1.0 before it and 2.0 after it"),
        ("==1.5.*", "upstream has 1.0 before it and 2.0 after it"),
        (">=9", "upstream has 3.0 before it"),
        ("<0.5", "upstream has 1.0 after it"),
        (">=1.2,<1.8", "upstream has 1.0 before it and 2.0 after it"),
        ("", ""),
        ("no range", ""),
    ],
)
def test_the_versions_next_to_what_was_asked_for(specifier: str, text: str) -> None:
    assert nearest(specifier, ["3.0", "1.0", "odd one", "2.0"]) == text


def test_every_command_that_a_sentence_names_is_there() -> None:
    sources = Path(explain.__file__).parent.glob("*.py")
    named = {name for file in sources for name in re.findall(r"`wheelfarm ((?:node )?[a-z]+)", file.read_text())}

    for name in named:
        group, _, inner = name.partition(" ")
        command = commands.commands[group]
        assert not inner or inner in getattr(command, "commands", {})
    assert {"request", "retry", "release", "why", "log", "master", "node resume"} <= named


def test_versions_are_ordered_as_versions() -> None:
    assert newest_first(["1.9", "1.10", "odd one", "1.10rc1", "1.9"]) == ["1.10", "1.10rc1", "1.9", "odd one"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (345_600, "4 d")],
)
def test_spans_are_written_in_their_two_greatest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text
