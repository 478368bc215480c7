"""Failed builds are sorted by their cause, and leave their cluster when they are no longer failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from master import builds, failures, ranking
from schema.causes import INSTEAD, RULED_OUT
from schema.db.models import Build, Failure, FailureCluster, Project, UnsortedFailure
from schema.db.session import transaction
from schema.states import BuildState
from tests import rows

FFI = "a.c:1:1: fatal error: ffi.h: No such file or directory"
ARM = "debian12-aarch64-cp311"


def _failed(
    session: Session, of: Project, evidence: str = FFI, *, failure_class: str = "header", **values: str
) -> Build:
    build = rows.build(session, of, state=BuildState.LEASED, leased_to="n1", **values)
    rows.attempt(session, build, outcome="failed", failure_class=failure_class, evidence=evidence, message="exit 1")
    assert builds.move(session, build, BuildState.FAILED, reason=f"{failure_class}: {evidence}")
    return build


def _clusters(session: Session) -> dict[tuple[str, str], tuple[int, int, int, dict[str, int]]]:
    return {
        (row.failure_class, row.subject): (row.builds, row.projects, row.downloads, row.platforms)
        for row in session.scalars(select(FailureCluster))
    }


def test_builds_that_lack_the_same_thing_are_one_cluster_with_projects_and_downloads_counted_once(
    database: Engine,
) -> None:
    with transaction(database) as session:
        cffi, other = rows.project(session, "cffi"), rows.project(session, "other")
        cffi.downloads, other.downloads = 1000, 50
        _failed(session, cffi)
        _failed(session, cffi, version="2.0", platform=ARM)
        _failed(session, other, "b/c.c:9: error: 'ffi.h' file not found")
        _failed(session, other, "error: something else", failure_class="build", version="3.0")
        failures.sort(session)

        assert _clusters(session) == {
            ("header", "ffi.h"): (3, 2, 1050, {rows.PLATFORM: 2, ARM: 1}),
            ("build", "error: something else"): (1, 1, 50, {rows.PLATFORM: 1}),
        }
        assert session.scalars(select(UnsortedFailure)).all() == []


def test_a_build_that_is_tried_again_leaves_its_cluster_and_an_empty_one_goes(database: Engine) -> None:
    with transaction(database) as session:
        cffi = rows.project(session, "cffi")
        cffi.downloads = 1000
        first, second = _failed(session, cffi), _failed(session, cffi, version="2.0", platform=ARM)
        failures.sort(session)
        builds.move(session, first, BuildState.QUEUED, reason="retry")
        failures.sort(session)

        assert _clusters(session) == {("header", "ffi.h"): (1, 1, 1000, {ARM: 1})}

        builds.move(session, second, BuildState.QUEUED, reason="retry")
        failures.sort(session)

        assert _clusters(session) == {}
        assert session.scalars(select(Failure)).all() == []


def test_a_build_that_fails_again_of_something_else_changes_its_cluster(database: Engine) -> None:
    with transaction(database) as session:
        build = _failed(session, rows.project(session, "cffi"))
        failures.sort(session)
        builds.move(session, build, BuildState.QUEUED, reason="retry")
        builds.move(session, build, BuildState.LEASED, reason="lease", leased_to="n1")
        rows.attempt(session, build, outcome="failed", failure_class="timeout", message="too long")
        builds.move(session, build, BuildState.FAILED, reason="timeout: too long")
        failures.sort(session)

        assert list(_clusters(session)) == [("timeout", "")]


def test_what_changes_while_it_is_sorted_is_sorted_once_more(database: Engine) -> None:
    with transaction(database) as session:
        build = _failed(session, rows.project(session, "cffi"))
        failures.mark(session, build.id)
        marked = session.scalars(select(UnsortedFailure)).one()

        assert marked.revision == 2


@pytest.mark.parametrize("reason", [f"{RULED_OUT}no need", f"{INSTEAD}1.0 (x/y: why); it failed with header: x"])
def test_what_a_person_has_decided_is_in_no_cluster(database: Engine, reason: str) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        builds.move(session, build, BuildState.FAILED, reason=reason)
        failures.sort(session)

        assert _clusters(session) == {}


def test_what_the_master_found_out_itself_is_told_by_the_reason(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        builds.move(session, build, BuildState.FAILED, reason="requirement: needs maturin, which failed")
        bare = rows.build(session, session.get_one(Project, build.project_id), version="2.0")
        bare.sdist_id = None
        builds.move(session, bare, BuildState.FAILED, reason="upstream has only wheels")
        failures.sort(session)

        assert set(_clusters(session)) == {("requirement", "maturin"), ("no-source", "")}


def test_many_are_sorted_batch_by_batch(database: Engine) -> None:
    with transaction(database) as session:
        project = rows.project(session)
        for number in range(7):
            _failed(session, project, version=f"{number}.0")

    with transaction(database) as session:
        assert failures.sort(session, limit=5) == 5
    with transaction(database) as session:
        assert failures.sort(session, limit=5) == 2
        assert _clusters(session)["header", "ffi.h"][0] == 7
    assert not failures.turn(database)


def test_a_ranking_weighs_each_cluster_anew_by_its_own_projects(database: Engine, tmp_path: Path) -> None:
    with transaction(database) as session:
        _failed(session, rows.project(session, "cffi"))
        _failed(session, rows.project(session, "lxml"), FFI.replace("ffi.h", "libxml/tree.h"))
        failures.sort(session)
    file = tmp_path / "ranking.csv"
    file.write_text("cffi,123\nlxml,4\n", encoding="utf-8")

    ranking.take(database, file)

    with transaction(database) as session:
        found = _clusters(session)
        assert (found["header", "ffi.h"][2], found["header", "libxml/tree.h"][2]) == (123, 4)


def test_a_farm_whose_builds_failed_before_there_were_clusters_gets_them_sorted(database: Engine) -> None:
    with transaction(database) as session:
        _failed(session, rows.project(session, "cffi"))
        session.execute(text("DELETE FROM unsorted_failures"))
        # what the migration does
        session.execute(text("INSERT INTO unsorted_failures SELECT id, 1 FROM builds WHERE state = 'failed'"))
        failures.sort(session)

        assert list(_clusters(session)) == [("header", "ffi.h")]
