from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from master import builds, catalogue, operate, requests, resolve, undecided
from schema.db.models import Build, DirtyPage, Project, Request, UpstreamFile
from schema.db.session import transaction
from schema.names import Sha256
from schema.platforms import Platform
from schema.simple.read import Listed, Page, file_version
from schema.states import BuildPolicy, BuildState
from tests import rows

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOOKWORM = Platform.parse("debian12-x86_64-cp311")
TRIXIE = Platform.parse("debian13-x86_64-cp313")
DEMO = NormalizedName("demo")
SDIST = "demo-1.0.tar.gz"
WHEEL = "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"


def listed(filename: str, **fields: Any) -> Listed:
    version = file_version(DEMO, filename)
    assert version is not None
    return Listed(
        filename=filename,
        kind="wheel" if filename.endswith(".whl") else "sdist",
        version=str(version),
        url=f"https://files.example/{filename}",
        sha256=Sha256("0" * 64),
        **fields,
    )


def upstream_has(database: Engine, *files: Listed | str, now: datetime = NOW, **fields: Any) -> None:
    """The upstream's page of demo is this one now."""
    seen = tuple(listed(item) if isinstance(item, str) else item for item in files)
    with transaction(database) as session:
        project = session.scalars(select(Project).where(Project.name == "demo")).one()
        catalogue.take(session, project, Page(name=DEMO, files=seen, **fields), now)


def ask(database: Engine, text: str = "demo", **fields: Any) -> None:
    with transaction(database) as session:
        requests.add(session, Requirement(text), now=NOW, **{"policy": BuildPolicy.ALWAYS, **fields})


def resolved(database: Engine, *platforms: Platform, recipes: Sequence[Path] = ()) -> list[tuple[str, str, str]]:
    """Resolve what is to be resolved; version, platform and state of every build."""
    with transaction(database) as session:
        for project_id in undecided.waiting(session):
            assert undecided.take(session, project_id)
            resolve.resolve_project(
                session, project_id, platforms=platforms or (BOOKWORM,), now=NOW, recipe_folders=recipes
            )
    with transaction(database) as session:
        found = session.scalars(select(Build).order_by(Build.id))
        return [(build.version, build.platform, build.state) for build in found]


def states(database: Engine, recipes: Sequence[Path] = ()) -> list[str]:
    return [state for *_, state in resolved(database, recipes=recipes)]


def only(session: Session) -> Build:
    return session.scalars(select(Build)).one()


def problem(database: Engine) -> str:
    with transaction(database) as session:
        return session.scalars(select(Request.problem)).one()


def test_nothing_is_resolved_before_the_upstream_was_asked(database: Engine) -> None:
    ask(database)

    assert resolved(database) == []
    with transaction(database) as session:
        assert session.scalars(select(Request.resolved_at)).one() is None


def test_a_request_becomes_a_queued_build_on_each_platform(database: Engine) -> None:
    ask(database)
    upstream_has(database, "demo-0.9.tar.gz", SDIST)

    assert resolved(database, BOOKWORM, TRIXIE) == [
        ("1.0", str(BOOKWORM), BuildState.QUEUED),
        ("1.0", str(TRIXIE), BuildState.QUEUED),
    ]
    with transaction(database) as session:
        build = session.scalars(select(Build).order_by(Build.id)).first()
        assert build is not None
        assert build.sdist is not None
        assert (build.sdist.filename, build.policy, build.origin) == (SDIST, "always", "person")
        assert build.reason == "upstream has no wheel of 1.0 for debian12-x86_64-cp311"
        assert session.get(DirtyPage, build.project_id) is not None


def test_resolving_again_changes_nothing(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST)
    before = resolved(database)

    with transaction(database) as session:
        undecided.again(session, session.scalars(select(Project.id)).one())

    assert resolved(database) == before
    with transaction(database) as session:
        assert session.scalars(select(Request.resolved_at)).one() == NOW


def test_a_request_for_one_platform_is_built_there_only(database: Engine) -> None:
    ask(database, platforms=[TRIXIE])
    upstream_has(database, SDIST)

    assert resolved(database, BOOKWORM) == [("1.0", str(TRIXIE), BuildState.QUEUED)]


def test_where_upstream_has_a_wheel_the_policy_decides(database: Engine) -> None:
    ask(database, policy=BuildPolicy.MISSING)
    upstream_has(database, SDIST, WHEEL)
    assert resolved(database) == [("1.0", str(BOOKWORM), BuildState.UNNEEDED)]

    ask(database, policy=BuildPolicy.ALWAYS)
    assert resolved(database) == [("1.0", str(BOOKWORM), BuildState.QUEUED)]

    ask(database, policy=BuildPolicy.MISSING, origin="dependency", because="other 1.0 needs it")
    assert resolved(database) == [("1.0", str(BOOKWORM), BuildState.QUEUED)]


def test_a_new_version_upstream_becomes_a_new_build(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST)
    resolved(database)

    upstream_has(database, SDIST, "demo-2.0.tar.gz")

    assert [(version, state) for version, _, state in resolved(database)] == [("1.0", "queued"), ("2.0", "queued")]


def test_who_pins_a_version_gets_that_one(database: Engine) -> None:
    ask(database, "demo==1.0")
    upstream_has(database, SDIST, "demo-2.0.tar.gz")

    assert [version for version, _, _ in resolved(database)] == ["1.0"]


def test_people_come_before_lists_and_lists_before_requirements(database: Engine) -> None:
    found: list[tuple[str, float]] = []
    ask(database, origin="dependency", because="other 1.0 needs it")
    upstream_has(database, SDIST)
    for origin in ("dependency", "list", "person", "dependency"):
        ask(database, origin=origin, because=origin)
        resolved(database)
        with transaction(database) as session:
            found.append((only(session).origin, only(session).score))

    assert [origin for origin, _ in found] == ["dependency", "list", "person", "person"]
    assert found[0][1] < found[1][1] < found[2][1]


@pytest.mark.parametrize(
    ("files", "text", "said"),
    [
        ([], "demo", "upstream lists no files of it"),
        ([SDIST], "demo>=2", "no version fits >=2; the newest upstream is 1.0"),
    ],
)
def test_what_cannot_be_had_is_told_with_the_request(database: Engine, files: list[str], text: str, said: str) -> None:
    ask(database, text)
    upstream_has(database, *files)

    assert resolved(database) == []
    assert problem(database) == said


def test_a_version_without_source_fails_and_is_built_once_it_has_one(database: Engine) -> None:
    ask(database, "demo==1.0")
    upstream_has(database, WHEEL)
    assert resolved(database) == [("1.0", str(BOOKWORM), BuildState.FAILED)]
    assert "no source distribution" in problem(database)

    upstream_has(database, WHEEL, SDIST)

    assert resolved(database) == [("1.0", str(BOOKWORM), BuildState.QUEUED)]
    assert problem(database) == ""


def test_a_build_that_really_failed_is_left_to_people(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST)
    resolved(database)
    with transaction(database) as session:
        only(session).state = BuildState.FAILED

    upstream_has(database, SDIST, listed("demo-0.9.tar.gz"))

    assert resolved(database) == [("1.0", str(BOOKWORM), BuildState.FAILED)]


def test_a_wheel_built_elsewhere_makes_the_same_build_here_unneeded(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST)
    resolved(database, BOOKWORM, TRIXIE)
    with transaction(database) as session:
        first = session.scalars(select(Build).where(Build.platform == str(BOOKWORM))).one()
        first.state = BuildState.PUBLISHED
        rows.wheel(session, first)
        undecided.again(session, first.project_id)

    assert [state for _, _, state in resolved(database, BOOKWORM, TRIXIE)] == ["published", "unneeded"]
    with transaction(database) as session:
        second = session.scalars(select(Build).where(Build.platform == str(TRIXIE))).one()
        assert second.reason == "demo-1.0-py3-none-any.whl serves it"


def test_a_persons_rebuild_is_not_made_unneeded(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST)
    resolved(database)
    with transaction(database) as session:
        first = only(session)
        first.state = BuildState.PUBLISHED
        rows.wheel(session, first)
        values = {"version": "1.0", "platform": str(BOOKWORM), "policy": "always", "created_at": NOW, "changed_at": NOW}
        session.add(
            Build(
                project_id=first.project_id, sdist_id=first.sdist_id, build_number=1, state=BuildState.QUEUED, **values
            )
        )
        undecided.again(session, first.project_id)

    assert [state for _, _, state in resolved(database)] == ["published", "queued"]


def test_a_queued_build_is_withdrawn_when_its_source_goes_and_returns_with_it(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST, "demo-0.9.tar.gz")
    resolved(database)

    upstream_has(database, "demo-0.9.tar.gz")
    assert [(version, state) for version, _, state in resolved(database)] == [("1.0", "withdrawn"), ("0.9", "queued")]

    upstream_has(database, SDIST, "demo-0.9.tar.gz")
    assert [(version, state) for version, _, state in resolved(database)] == [("1.0", "queued"), ("0.9", "queued")]


@pytest.mark.parametrize(("text", "state"), [("demo", "withdrawn"), ("demo==1.0", "queued")])
def test_a_yank_withdraws_a_queued_build_unless_somebody_pins_it(database: Engine, text: str, state: str) -> None:
    ask(database, text)
    upstream_has(database, SDIST)
    resolved(database)

    upstream_has(database, listed(SDIST, yanked="broken"))

    assert resolved(database) == [("1.0", str(BOOKWORM), state)]


@pytest.mark.parametrize("state", [BuildState.QUEUED, BuildState.LEASED])
def test_a_quarantine_stops_even_what_runs(database: Engine, state: BuildState) -> None:
    ask(database)
    upstream_has(database, SDIST)
    resolved(database)
    if state is BuildState.LEASED:
        with transaction(database) as session:
            rows.node(session, "pi")
            rows.lease(session, only(session), node=rows.heartbeat("pi").node, lease_s=90)

    upstream_has(database, status="quarantined", status_reason="malware")

    assert resolved(database) == [("1.0", str(BOOKWORM), BuildState.WITHDRAWN)]
    assert problem(database) == "demo is quarantined upstream: malware"


def test_a_project_that_upstream_does_not_have_is_told_as_such(database: Engine) -> None:
    ask(database)
    with transaction(database) as session:
        catalogue.missing(session, session.scalars(select(Project)).one(), NOW)

    assert resolved(database) == []
    assert problem(database) == "the upstream index has no project demo"


def test_what_a_person_withdrew_stays_withdrawn(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST)
    resolved(database)
    with transaction(database) as session:
        builds.move(session, only(session), BuildState.WITHDRAWN, reason="removed: it is evil")

    upstream_has(database, SDIST, "demo-0.9.tar.gz")

    assert resolved(database) == [("1.0", str(BOOKWORM), BuildState.WITHDRAWN)]


def test_what_a_person_removed_is_not_built_again_by_itself(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST)
    resolved(database)
    with transaction(database) as session:
        build = only(session)
        build.state = BuildState.PUBLISHED
        rows.wheel(session, build)
        session.flush()
        operate.remove(session, DEMO, None, who="ada", reason="it is evil")
        build.state = BuildState.UNNEEDED  # as a repeated rebuild leaves it

    assert [state for _, _, state in resolved(database)] == [BuildState.UNNEEDED]
    assert problem(database) == "demo-1.0-py3-none-any.whl was removed here: it is evil"


def test_a_platform_that_the_farm_takes_on_later_gets_its_builds(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST)
    resolved(database, BOOKWORM)

    with transaction(database) as session:
        undecided.again(session, session.scalars(select(Project.id)).one())

    assert [platform for _, platform, _ in resolved(database, BOOKWORM, TRIXIE)] == [str(BOOKWORM), str(TRIXIE)]


def test_a_request_for_a_platform_that_is_no_more_is_told_so(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST)
    with transaction(database) as session:
        session.scalars(select(Request)).one().platform = "debian7-sparc-cp20"

    assert resolved(database) == []
    assert "debian7-sparc-cp20" in problem(database)


def test_a_release_that_was_published_and_comes_back_takes_the_next_number(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST, "demo-0.9.tar.gz")
    resolved(database)
    with transaction(database) as session:
        build = only(session)
        build.state = BuildState.PUBLISHED
        rows.wheel(session, build)
    upstream_has(database, "demo-0.9.tar.gz")
    upstream_has(database, "demo-0.9.tar.gz", now=NOW + timedelta(minutes=11))

    upstream_has(database, SDIST, "demo-0.9.tar.gz")
    resolved(database)

    with transaction(database) as session:
        found = session.scalars(select(Build).where(Build.version == "1.0").order_by(Build.id))
        assert [(build.build_number, build.state) for build in found] == [(0, "withdrawn"), (1, "queued")]


def test_upstreams_wheel_spares_a_build_that_is_still_queued(database: Engine) -> None:
    ask(database, policy=BuildPolicy.MISSING)
    upstream_has(database, SDIST)
    resolved(database)

    upstream_has(database, SDIST, WHEEL)

    assert resolved(database) == [("1.0", str(BOOKWORM), BuildState.UNNEEDED)]


def rule(folder: Path, text: str) -> list[Path]:
    """A folder with one rule about demo."""
    (folder / "demo.toml").write_text(f'[[rule]]\nid = "one"\nwhy = "it needs a board"\n{text}\n')
    return [folder]


def test_what_a_rule_says_not_to_build_fails_with_the_rule_and_its_reason(database: Engine, tmp_path: Path) -> None:
    folders = rule(tmp_path, "do_not_build = true")
    ask(database)
    upstream_has(database, SDIST)

    assert resolved(database, recipes=folders) == [("1.0", "debian12-x86_64-cp311", "failed")]
    assert problem(database) == "a rule keeps it from being built: demo/one: it needs a board"


def test_a_rule_ends_the_waiting_of_a_queued_build_and_without_the_rule_it_is_queued_again(
    database: Engine, tmp_path: Path
) -> None:
    ask(database)
    upstream_has(database, SDIST)
    assert states(database) == ["queued"]

    folders = rule(tmp_path, "do_not_build = true")
    upstream_has(database, SDIST, "demo-0.9.tar.gz")
    assert states(database, folders) == ["failed"]

    upstream_has(database, SDIST)
    assert states(database) == ["queued"]


@pytest.mark.parametrize(
    "terms",
    ['versions = "<1.0"', 'platforms = ["debian13-*"]', "expires = 2026-11-20"],
    ids=["version", "platform", "day"],
)
def test_a_rule_that_does_not_fit_keeps_nothing_from_being_built(database: Engine, tmp_path: Path, terms: str) -> None:
    ask(database)
    upstream_has(database, SDIST)

    assert states(database, rule(tmp_path, f"do_not_build = true\n{terms}")) == ["queued"]


def test_a_wheel_that_is_there_serves_whatever_a_rule_says(database: Engine, tmp_path: Path) -> None:
    ask(database, policy=BuildPolicy.MISSING)
    upstream_has(database, SDIST, WHEEL)

    assert states(database, rule(tmp_path, "do_not_build = true")) == ["unneeded"]


def test_a_rule_has_upstreams_wheel_serve_although_all_is_built_here(database: Engine, tmp_path: Path) -> None:
    ask(database)
    upstream_has(database, SDIST, WHEEL)

    assert states(database, rule(tmp_path, "use_upstream_wheel = true")) == ["unneeded"]
    with transaction(database) as session:
        assert only(session).policy == "always"
        assert only(session).reason == f"upstream has {WHEEL}"


def test_where_upstream_has_no_wheel_that_rule_changes_nothing(database: Engine, tmp_path: Path) -> None:
    ask(database)
    upstream_has(database, SDIST)

    assert states(database, rule(tmp_path, "use_upstream_wheel = true")) == ["queued"]


def test_a_faulty_file_of_rules_is_left_to_the_dispatcher_to_tell(database: Engine, tmp_path: Path) -> None:
    ask(database)
    upstream_has(database, SDIST)

    assert states(database, rule(tmp_path, "nonsense = true")) == ["queued"]


def test_a_wanted_extra_has_the_requirements_read_again(database: Engine) -> None:
    ask(database, policy=BuildPolicy.MISSING)
    upstream_has(database, SDIST, WHEEL)
    resolved(database)
    with transaction(database) as session:
        only(session).followed_at = NOW

    ask(database, "demo[fast]", policy=BuildPolicy.MISSING)
    resolved(database)

    with transaction(database) as session:
        assert only(session).followed_at is None


def test_different_problems_are_told_for_each_platform(database: Engine) -> None:
    ask(database)
    upstream_has(database, listed(SDIST, requires_python="<3"))

    resolved(database, BOOKWORM, TRIXIE)

    assert problem(database).startswith("debian12-x86_64-cp311: 1.0 cannot be had for debian12-x86_64-cp311")
    assert "debian13-x86_64-cp313: 1.0 cannot be had" in problem(database)


def test_rows_of_other_projects_are_left_alone(database: Engine) -> None:
    ask(database)
    upstream_has(database, SDIST)
    with transaction(database) as session:
        other = rows.build(session, rows.project(session, "other"))
        other_id = other.id

    upstream_has(database, SDIST, "demo-2.0.tar.gz", status="quarantined")
    resolved(database)

    with transaction(database) as session:
        assert session.get_one(Build, other_id).state == BuildState.QUEUED
        assert session.scalars(
            select(UpstreamFile.gone_at).where(UpstreamFile.project_id == other.project_id)
        ).all() == [None]
