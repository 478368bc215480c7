"""Whatever stands in the rows, ``why`` gives one sentence: no error, one line, nothing that a terminal would obey."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema import causes
from schema.db.models import Attempt, AuditEntry, Build, Leadership, Mark, Node, Project, Request, UpstreamFile, Wheel
from schema.db.why import asked
from schema.db.why.answers import Answer
from schema.db.why.chains import Link
from schema.db.why.reasons import Reason
from schema.db.why.sentences import about
from schema.db.why.surroundings import Scene
from schema.printable import one_line
from schema.states import AttemptOutcome, BuildState, FailureClass
from tests.entries import HERE

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "why.md"
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOSTILE = "\x1b[31m\u202e`evil`\n\x00"

moments = st.integers(-10_000, 10_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
CAUSES = [value for name, value in vars(causes).items() if name.isupper()]
beginnings = st.sampled_from(["", *CAUSES, "requirement: needs ", "requirement: needs itself", "upstream has "])
texts = st.builds(str.__add__, beginnings, st.text(max_size=60) | st.just(HOSTILE))
names = st.sampled_from(["pi4", "pi5", HOSTILE])


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    return Node(
        name=draw(names),
        platforms=draw(st.sampled_from([[HERE], [], None, {"not": "a list"}])),
        slots=draw(st.integers(0, 3)),
        memory_bytes=draw(st.sampled_from([0, 2**30, 2**40])),
        disk_free_bytes=draw(st.sampled_from([0, 2**30, 2**40])),
        allowed_platforms=draw(st.sampled_from([[HERE], [], None])),
        unfit=draw(st.just("") | texts),
        state=draw(st.sampled_from(["probation", "active", "draining", "quarantined"])),
        state_reason=draw(texts),
        heard_at=draw(st.none() | moments),
    )


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    return Attempt(
        build_id=1,
        fence=draw(st.integers(0, 3)),
        node=draw(names),
        outcome=draw(st.sampled_from(AttemptOutcome)),
        failure_class=draw(st.none() | st.sampled_from(FailureClass) | st.just("of a newer farm")),
        message=draw(texts),
        evidence=draw(texts),
        steps=draw(st.sampled_from([[], None, "x", [1], [{"name": HOSTILE}], [{"name": "build", "seconds": 2}]])),
    )


@st.composite
def builds(draw: st.DrawFn, number: int = 1) -> Build:
    return Build(
        id=number,
        project_id=number,
        project=Project(id=number, name=draw(names), title="x"),
        version=draw(st.sampled_from(["1.0", "odd one", HOSTILE])),
        platform=draw(st.sampled_from([HERE, "of an older farm"])),
        build_number=draw(st.integers(0, 1)),
        size=draw(st.none() | st.integers(0, 9)),
        sdist_id=draw(st.none() | st.just(1)),
        state=draw(st.sampled_from(BuildState)),
        reason=draw(texts),
        needs=draw(st.sampled_from([[], None, [HOSTILE], ["x>=1"]])),
        fence=draw(st.integers(0, 3)),
        pardoned_fence=draw(st.integers(0, 3)),
        waits_for=draw(st.none() | st.integers(1, 3)),
        not_before=draw(st.none() | moments),
        leased_to=draw(st.none() | names),
        leased_at=draw(st.none() | moments),
        lease_until=draw(st.none() | moments),
        changed_at=draw(moments),
        expected_s=draw(st.none() | st.floats(0, 1e6)),
    )


@st.composite
def wheels(draw: st.DrawFn) -> Wheel:
    return Wheel(
        filename=draw(texts),
        project_id=1,
        build_id=draw(st.integers(1, 2)),
        build=Build(id=2, platform=HERE),
        version="1.0",
        published_at=draw(moments),
        yanked=draw(st.none() | texts),
        removed_at=draw(st.none() | moments),
        removed_because=draw(texts),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    others = {number: draw(builds(number)) for number in (2, 3)}
    links = {
        number: Link(project=draw(projects()), build=draw(st.sampled_from([None, *others.values()])))
        for number in draw(st.sets(st.integers(1, 3)))
    }
    entry = AuditEntry(at=NOW, who=draw(names), action=draw(st.sampled_from(["hold", "cancel"])), reason=draw(texts))
    mark = Mark(name="x", note=draw(texts), done=1, total=draw(st.integers(0, 2)))
    published = draw(st.lists(wheels(), max_size=2))
    return Scene(
        now=NOW,
        nodes=draw(st.lists(nodes(), max_size=3)),
        running={"pi4": [0, 2]},
        queued={HERE: draw(st.integers(0, 3))},
        ahead=draw(st.dictionaries(st.integers(1, 3), st.integers(0, 1001))),
        attempts={1: draw(st.lists(attempts(), max_size=3))},
        wheels=published,
        made={1: published},
        sdists={1: UpstreamFile(id=1, filename=draw(texts), gone_at=draw(st.none() | moments))},
        links=links,
        people={"build 1": entry} if draw(st.booleans()) else {},
        leader=draw(st.none() | st.builds(Leadership, until=moments)),
        marks=draw(st.sampled_from([{}, {"intake": mark}, {"backfill": mark}])),
    )


@st.composite
def projects(draw: st.DrawFn) -> Project:
    return Project(
        id=1,
        name=draw(names),
        status=draw(st.sampled_from(["active", "archived", "deprecated", "quarantined", "missing"])),
        status_reason=draw(texts),
        errors=draw(st.integers(0, 2)),
        error=draw(texts),
        checked_at=draw(st.none() | moments),
        check_at=draw(moments),
    )


def _holds(answer: Answer) -> None:
    assert answer.sentence.strip()
    assert answer.sentence == one_line(answer.sentence, limit=1000)
    assert answer.reason in Reason
    assert answer.sentence[0].isupper() or answer.sentence[0] in "pi␛"  # a request begins with the project's name


@given(build=builds(), scene=scenes())
@settings(max_examples=500, deadline=None)
def test_any_build_has_its_sentence(build: Build, scene: Scene) -> None:
    _holds(about(build, scene))


@given(
    project=projects(),
    request=st.builds(
        Request,
        specifier=st.sampled_from(["", ">=1"]),
        extras=st.sampled_from(["", "test"]),
        because=texts,
        problem=texts,
        created_at=moments,
        resolved_at=st.none() | moments,
    ),
    scene=scenes(),
    known=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_any_request_and_project_has_its_sentence(
    project: Project,
    request: Request,
    scene: Scene,
    known: bool,  # noqa: FBT001 - Hypothesis gives it by name
) -> None:
    _holds(asked.about_request(project, HERE, request, scene))
    for answer in (
        *asked.blocked(project, platform=HERE, known=known, scene=scene),
        *asked.notes(project, platform=""),
    ):
        _holds(answer)


@pytest.mark.parametrize("state", BuildState)
@pytest.mark.parametrize("failure", [None, *FailureClass])
def test_each_state_after_each_class_of_failure_has_an_answer(state: BuildState, failure: FailureClass | None) -> None:
    values: dict[str, Any] = {"version": "1.0", "platform": HERE, "build_number": 0, "fence": 1, "pardoned_fence": 0}
    build = Build(id=1, project_id=1, project=Project(name="x"), reason="", changed_at=NOW, state=state, **values)
    attempt = Attempt(fence=1, node="pi4", outcome="failed", failure_class=failure, message="no", evidence="", steps=[])

    answer = about(build, Scene(now=NOW, attempts={1: [attempt]}))

    _holds(answer)
    if state == BuildState.FAILED and failure is not None:
        assert answer.reason == f"failed-{failure}"


def test_the_page_of_the_reasons_names_each_with_a_line_of_its_own() -> None:
    codes = re.findall(r"^\| `([a-z-]+)` \| .+ \|$", PAGE.read_text().partition("## The codes")[2], re.MULTILINE)

    assert codes == [reason.value for reason in Reason]
