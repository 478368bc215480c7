"""Many pages taken at once: the same as one by one, and none holds up the others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, select

from master import readings, requests
from master.catalogue import file_of
from master.upstream import Upstream
from schema.db.models import DirtyPage, Project, UpstreamFile
from schema.db.session import transaction
from schema.simple.read import Page
from tests import rows
from tests.looks import look_at_all
from tests.upstream import FakeUpstream

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
NAMES = ("alpha", "beta", "gamma")


@pytest.fixture
def index() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        for name in NAMES:
            server.add_file(name, filename=f"{name}-1.0.tar.gz")
            server.add_file(name, filename=f"{name}-1.0-py3-none-any.whl", requires_python=">=3.8", yanked="broken")
        yield server


@pytest.fixture
def upstream(index: FakeUpstream) -> Iterator[Upstream]:
    with Upstream(index.url, user_agent="wheelfarm/0 (test)", timeout_s=3.0) as client:
        yield client


@pytest.fixture
def wanted(database: Engine) -> Engine:
    """A farm in which somebody wants each of the three."""
    with transaction(database) as session:
        for name in NAMES:
            requests.add(session, Requirement(name), now=NOW)
    return database


def _state(database: Engine, name: str) -> tuple[dict[str, Any], list[Any]]:
    with transaction(database) as session:
        project = session.scalars(select(Project).where(Project.name == name)).one()
        files = select(UpstreamFile).where(UpstreamFile.project_id == project.id).order_by(UpstreamFile.filename)
        columns = ("status", "status_reason", "etag", "serial", "checked_at", "errors", "error", "undecided")
        return {key: getattr(project, key) for key in columns}, [file_of(row) for row in session.scalars(files)]


def _pages(upstream: Upstream, database: Engine) -> dict[int, Page]:
    with transaction(database) as session:
        found = session.scalars(select(Project).order_by(Project.name)).all()
    pages = {project.id: upstream.page(project.name) for project in found}  # type: ignore[arg-type]
    return {number: page for number, page in pages.items() if isinstance(page, Page)}


def test_a_first_reading_in_bulk_is_what_a_later_reading_confirms(upstream: Upstream, wanted: Engine) -> None:
    pages = _pages(upstream, wanted)
    with transaction(wanted) as session:
        assert readings.take(session, pages, poll_s=600, now=NOW) == 3
    before = {name: _state(wanted, name) for name in NAMES}
    assert [file.filename for file in before["beta"][1]] == ["beta-1.0-py3-none-any.whl", "beta-1.0.tar.gz"]
    assert [file.yanked for file in before["beta"][1]] == ["broken", None]

    with transaction(wanted) as session:
        assert readings.take(session, pages, poll_s=600, now=NOW) == 0  # compared one by one, nothing differs

    assert {name: _state(wanted, name) for name in NAMES} == before


def test_a_first_reading_marks_no_page_to_render(upstream: Upstream, wanted: Engine) -> None:
    with transaction(wanted) as session:
        for dirty in session.scalars(select(DirtyPage)):
            session.delete(dirty)

    assert look_at_all(wanted, upstream) == 3

    with transaction(wanted) as session:
        assert session.scalars(select(DirtyPage)).all() == []  # nothing was built yet: there is nothing to show


def test_files_of_a_project_that_is_quarantined_from_the_start_are_not_taken(
    index: FakeUpstream, upstream: Upstream, wanted: Engine
) -> None:
    index.statuses["beta"] = ("quarantined", "malware")

    look_at_all(wanted, upstream)

    project, files = _state(wanted, "beta")
    assert (project["status"], project["status_reason"], files) == ("quarantined", "malware", [])


def test_a_page_that_cannot_be_kept_does_not_hold_up_the_others(upstream: Upstream, wanted: Engine) -> None:
    with transaction(wanted) as session:
        beta = session.scalars(select(Project).where(Project.name == "beta")).one()
        rows.sdist(session, beta)  # though the project was never read: a broken database

    assert look_at_all(wanted, upstream) == 3

    assert [len(_state(wanted, name)[1]) for name in NAMES] == [2, 1, 2]
    project, _ = _state(wanted, "beta")
    assert (project["errors"], project["checked_at"]) == (1, None)
    assert "cannot be taken" in project["error"]
