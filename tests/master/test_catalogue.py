from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from master import builds, catalogue
from master.withdraw import withdraw
from schema.db.models import Attempt, Build, DirtyPage, Project, Request, UpstreamFile, Wheel
from schema.db.session import transaction
from schema.errors import UpstreamError
from schema.names import Sha256
from schema.simple.read import File, Listed, Page, file_version
from schema.states import AttemptOutcome, BuildState
from tests import rows

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=11)
DEMO = NormalizedName("demo")


def file(filename: str = "demo-1.0.tar.gz", **fields: Any) -> Listed:
    version = file_version(DEMO, filename)
    assert version is not None
    values = {
        "filename": filename,
        "kind": "wheel" if filename.endswith(".whl") else "sdist",
        "version": str(version),
        "url": f"https://files.example/{filename}",
        "sha256": Sha256("0" * 64),
    }
    return Listed(**{**values, **fields})


def page(*files: Listed, **fields: Any) -> Page:
    return Page(name=DEMO, files=files, **fields)


def take(database: Engine, seen: Page, now: datetime = NOW) -> bool:
    with transaction(database) as session:
        return catalogue.take(session, project(session), seen, now)


def project(session: Session) -> Project:
    return session.scalar(select(Project).where(Project.name == "demo")) or rows.project(session)


def revision(database: Engine) -> int:
    with transaction(database) as session:
        return session.scalar(select(DirtyPage.revision)) or 0


def states(database: Engine) -> list[str]:
    with transaction(database) as session:
        return list(session.scalars(select(Build.state).order_by(Build.id)))


def gone(database: Engine) -> dict[str, datetime | None]:
    with transaction(database) as session:
        return {row.filename: row.gone_at for row in session.scalars(select(UpstreamFile))}


def published(session: Session, version: str = "1.0") -> Build:
    sdist = session.scalars(select(UpstreamFile).where(UpstreamFile.version == version)).one()
    build = Build(
        project_id=sdist.project_id,
        version=version,
        platform=rows.PLATFORM,
        sdist_id=sdist.id,
        policy="always",
        state=BuildState.PUBLISHED,
        created_at=NOW,
        changed_at=NOW,
    )
    builds.insert(session, build)
    return build


@pytest.fixture
def filled(database: Engine) -> Engine:
    """A project with two sdists, seen once."""
    take(database, page(file(), file("demo-2.0.tar.gz"), etag='"one"'))
    return database


def test_what_the_page_lists_becomes_rows(database: Engine) -> None:
    uploaded = NOW - timedelta(days=3)
    sdist = file(requires_python=">=3.8", yanked="bad", uploaded_at=uploaded, size_bytes=7)
    wheel = file("demo-1.0-py3-none-any.whl", metadata_sha256=Sha256("1" * 64))

    assert take(database, page(sdist, wheel, etag='"x"'))

    with transaction(database) as session:
        assert {item.filename: item for item in catalogue.listed_files(session, project(session))} == {
            item.filename: File(**{**item._asdict(), "version": Version(item.version)}) for item in (sdist, wheel)
        }
        assert (project(session).etag, project(session).checked_at) == ('"x"', NOW)
    assert revision(database) == 1


def test_the_same_page_again_changes_nothing(filled: Engine) -> None:
    before = revision(filled)

    assert not take(filled, page(file(), file("demo-2.0.tar.gz"), etag='"two"'), LATER)

    assert revision(filled) == before
    with transaction(filled) as session:
        assert (project(session).etag, project(session).checked_at) == ('"two"', LATER)


def test_a_long_page_needs_few_queries(database: Engine) -> None:
    files = [file(f"demo-{number}.0.tar.gz") for number in range(1, 500)]
    take(database, page(*files))
    counted = []
    listener = lambda *_: counted.append(1)  # noqa: E731 - as the event wants it

    event.listen(database, "before_cursor_execute", listener)
    take(database, page(*files[1:], files[0]._replace(yanked="x")), LATER)
    event.remove(database, "before_cursor_execute", listener)

    assert len(counted) < 20


def test_yanks_and_their_end_are_mirrored_onto_published_wheels(filled: Engine) -> None:
    with transaction(filled) as session:
        name = rows.wheel(session, published(session)).filename

    for reason in ("it is broken", None):
        assert take(filled, page(file(yanked=reason), file("demo-2.0.tar.gz")))

        with transaction(filled) as session:
            assert session.get_one(Wheel, name).yanked == reason


def test_a_change_has_the_requests_resolved_again(filled: Engine) -> None:
    with transaction(filled) as session:
        session.add(
            Request(project_id=project(session).id, policy="missing", origin="person", created_at=NOW, resolved_at=NOW)
        )

    take(filled, page(file(), file("demo-2.0.tar.gz"), file("demo-3.0.tar.gz")))

    with transaction(filled) as session:
        assert session.scalars(select(Request.resolved_at)).one() is None


def test_a_missing_file_is_hidden_at_once_and_comes_back(filled: Engine) -> None:
    assert take(filled, page(file()))
    assert gone(filled) == {"demo-1.0.tar.gz": None, "demo-2.0.tar.gz": NOW}

    assert take(filled, page(file(), file("demo-2.0.tar.gz")), LATER)
    assert gone(filled) == {"demo-1.0.tar.gz": None, "demo-2.0.tar.gz": None}


@pytest.mark.parametrize("second", ["the same page", "not modified"])
def test_only_a_second_look_later_withdraws_what_is_gone(filled: Engine, second: str) -> None:
    with transaction(filled) as session:
        published(session, "2.0")

    take(filled, page(file()))
    take(filled, page(file()), NOW + timedelta(minutes=9))
    assert states(filled) == [BuildState.PUBLISHED]
    if second == "the same page":
        take(filled, page(file()), LATER)
    else:
        with transaction(filled) as session:
            catalogue.confirm(session, project(session), LATER)

    with transaction(filled) as session:
        build = session.scalars(select(Build)).one()
        assert build.state == BuildState.WITHDRAWN
        assert build.reason == "upstream took it back: demo-2.0.tar.gz is no longer listed"


def test_an_empty_page_after_a_full_one_is_a_fault_and_no_news(filled: Engine) -> None:
    with pytest.raises(UpstreamError, match="empty"):
        take(filled, page())

    assert set(gone(filled).values()) == {None}


def test_an_empty_page_of_a_new_project_is_taken_as_it_is(database: Engine) -> None:
    assert not take(database, page())


def test_a_quarantined_project_keeps_its_rows_but_is_marked(filled: Engine) -> None:
    assert take(filled, page(status="quarantined", status_reason="malware"))

    assert set(gone(filled).values()) == {None}
    with transaction(filled) as session:
        assert (project(session).status, project(session).status_reason) == ("quarantined", "malware")
    assert take(filled, page(file(), file("demo-2.0.tar.gz")))


def test_an_archived_project_is_told_so(filled: Engine) -> None:
    assert take(filled, page(file(), file("demo-2.0.tar.gz"), status="archived"))


def test_a_project_that_is_missing_hides_everything_at_once(filled: Engine) -> None:
    with transaction(filled) as session:
        assert catalogue.missing(session, project(session), NOW)
    with transaction(filled) as session:
        assert not catalogue.missing(session, project(session), NOW)
        assert (project(session).status, project(session).etag) == ("missing", "")
    assert set(gone(filled).values()) == {NOW}


def test_other_bytes_under_an_old_name_withdraw_what_was_built(
    filled: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction(filled) as session:
        published(session)

    take(filled, page(file(sha256=Sha256("f" * 64)), file("demo-2.0.tar.gz")))

    assert states(filled) == [BuildState.WITHDRAWN]
    assert "other bytes" in caplog.text


def test_what_one_answer_leaves_out_is_not_forgotten(database: Engine) -> None:
    uploaded = NOW - timedelta(days=3)
    take(database, page(file(uploaded_at=uploaded, size_bytes=7, requires_python=">=3.8")))

    assert not take(database, page(file(sha256=None, requires_python=">=3.8")), LATER)

    with transaction(database) as session:
        row = session.scalars(select(UpstreamFile)).one()
        assert (row.uploaded_at, row.size_bytes, row.sha256) == (uploaded, 7, "0" * 64)


def test_a_moved_file_is_no_change_for_anybody_else(filled: Engine) -> None:
    before = revision(filled)

    take(filled, page(file(url="https://elsewhere.example/demo-1.0.tar.gz"), file("demo-2.0.tar.gz")))

    assert revision(filled) == before
    with transaction(filled) as session:
        assert "elsewhere" in session.scalars(select(UpstreamFile.url).where(UpstreamFile.version == "1.0")).one()


def test_withdrawing_a_running_build_ends_its_attempt(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=BuildState.LEASED, fence=1, leased_to="pi")
        session.add(Attempt(build_id=build.id, fence=1, node="pi", outcome=AttemptOutcome.RUNNING, started_at=NOW))
        session.flush()

        assert withdraw(session, build, "it is gone", NOW)

        attempt = session.scalars(select(Attempt)).one()
        assert (build.state, build.leased_to) == (BuildState.WITHDRAWN, None)
        assert (attempt.outcome, attempt.finished_at) == (AttemptOutcome.CANCELLED, NOW)


def test_versions_are_kept_in_their_canonical_form(database: Engine) -> None:
    take(database, page(file("demo-1.0-1.tar.gz")))

    with transaction(database) as session:
        assert session.scalars(select(UpstreamFile.version)).one() == str(Version("1.0.post1"))
