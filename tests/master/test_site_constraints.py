"""What the constraints files hold back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master.site import Site
from master.store import Store
from schema.db.models import Project, UpstreamFile
from schema.db.session import now, transaction
from schema.platforms import Platform
from schema.states import BuildState
from tests import published, rows

BOOKWORM = "debian12-x86_64-cp311"
TRIXIE = "debian13-aarch64-cp313"


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with transaction(database) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, store: Store) -> Site:
    platforms = (Platform.parse(BOOKWORM), Platform.parse(TRIXIE))
    return Site(tmp_path / "site", store, "https://farm.example", platforms)


@pytest.fixture
def demo(session: Session, store: Store, tmp_path: Path) -> Project:
    """A project whose version 1.0 is published."""
    return published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0")).project


def lines(session: Session, site: Site, platform: str = BOOKWORM) -> list[str]:
    """The constraints of a platform, without the comments; each is one that pip can read."""
    published.render_lists(session, site)
    text = (site.folder / f"constraints/{platform}.txt").read_text()
    found = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(Requirement(line) for line in found)
    return found


def upstream_wheel(session: Session, of: Project, filename: str, version: str) -> UpstreamFile:
    row = UpstreamFile(
        project_id=of.id,
        filename=filename,
        version=version,
        kind="wheel",
        url="",
        sha256="1" * 64,
        seen_at=now(session),
    )
    session.add(row)
    session.flush()
    return row


@pytest.mark.parametrize(
    "state", [BuildState.FAILED, BuildState.HELD, BuildState.POISONED, BuildState.WAITING, BuildState.QUEUED]
)
def test_a_newer_version_without_a_wheel_is_held_back(
    state: BuildState, session: Session, site: Site, demo: Project
) -> None:
    rows.build(session, demo, version="2.0", state=state, reason="gcc: error: no such file")

    assert lines(session, site) == ["demo<=1.0"]
    text = (site.folder / f"constraints/{BOOKWORM}.txt").read_text()
    assert f"# 2.0 is {state}: gcc: error: no such file\n" in text


def test_nothing_held_back_is_a_file_that_says_so(session: Session, site: Site, demo: Project) -> None:
    rows.build(session, demo, version="0.9", state=BuildState.FAILED)

    assert lines(session, site) == []
    assert (site.folder / f"constraints/{BOOKWORM}.txt").read_text() == (
        f"# What is held back on {BOOKWORM}: newer versions have no wheel there.\n# Nothing is.\n"
    )


def test_each_platform_has_a_file_of_its_own(
    session: Session, store: Store, site: Site, demo: Project, tmp_path: Path
) -> None:
    rows.build(session, demo, version="2.0", state=BuildState.FAILED)
    wheel = published.wheel_file(tmp_path, "demo", "2.0", tag="cp313-cp313-linux_aarch64")
    published.publish(session, store, wheel, view="debian13-aarch64", platform=TRIXIE)

    assert lines(session, site, BOOKWORM) == ["demo<=1.0"]
    assert lines(session, site, TRIXIE) == []


@pytest.mark.parametrize("state", [BuildState.PUBLISHED, BuildState.UNNEEDED])
def test_a_version_that_has_a_wheel_is_not_held_back(
    state: BuildState, session: Session, site: Site, demo: Project
) -> None:
    rows.build(session, demo, version="2.0", state=state)

    assert lines(session, site) == []


def test_the_newest_wheel_counts_wherever_it_is(session: Session, site: Site, demo: Project) -> None:
    upstream_wheel(session, demo, "demo-1.5-cp311-cp311-manylinux_2_28_x86_64.whl", "1.5")
    upstream_wheel(session, demo, "demo-1.7-cp311-cp311-win_amd64.whl", "1.7")
    rows.build(session, demo, version="2.0", state=BuildState.FAILED)

    assert lines(session, site) == ["demo<=1.5"]


def test_a_failed_version_older_than_an_upstream_wheel_holds_nothing_back(
    session: Session, site: Site, demo: Project
) -> None:
    upstream_wheel(session, demo, "demo-3.0-py3-none-any.whl", "3.0")
    rows.build(session, demo, version="2.0", state=BuildState.FAILED)

    assert lines(session, site) == []


def test_nothing_is_held_back_where_no_version_has_a_wheel(session: Session, site: Site) -> None:
    rows.build(session, rows.project(session, "never"), version="2.0", state=BuildState.FAILED)

    assert lines(session, site) == []


def test_versions_that_no_installer_takes_hold_nothing_back(session: Session, site: Site, demo: Project) -> None:
    yanked, gone, too_new = (
        rows.build(session, demo, version=version, state=BuildState.FAILED).sdist for version in ("2.0", "3.0", "4.0")
    )
    rows.build(session, demo, version="5.0rc1", state=BuildState.FAILED)
    assert yanked
    assert gone
    assert too_new
    yanked.yanked = "broken"
    gone.gone_at = datetime(2026, 11, 20, tzinfo=UTC)
    too_new.requires_python = ">=3.12"
    session.flush()

    assert lines(session, site) == []


def test_wheels_that_no_installer_takes_are_not_what_to_stay_at(
    session: Session, store: Store, site: Site, demo: Project, tmp_path: Path
) -> None:
    yanked = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.1"))
    yanked.yanked = ""
    removed = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.2"))
    removed.removed_at = datetime(2026, 11, 20, tzinfo=UTC)
    published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.3", requires_python=">=3.12"))
    published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.4b1"))
    rows.build(session, demo, version="2.0", state=BuildState.FAILED)

    assert lines(session, site) == ["demo<=1.0"]


def test_the_newest_of_several_failures_is_named(session: Session, site: Site, demo: Project) -> None:
    for version in ("1.9", "1.10", "1.2"):
        rows.build(session, demo, version=version, state=BuildState.FAILED, reason=f"because of {version}")

    assert lines(session, site) == ["demo<=1.0"]
    assert "# 1.10 is failed: because of 1.10" in (site.folder / f"constraints/{BOOKWORM}.txt").read_text()


def test_a_reason_cannot_add_a_constraint(session: Session, site: Site, demo: Project) -> None:
    reason = "x\ndemo==6.6.6\r-r http://evil/\u2028evil==1\x1b[31m" + "y" * 1000
    rows.build(session, demo, version="2.0", state=BuildState.FAILED, reason=reason)

    assert lines(session, site) == ["demo<=1.0"]
    assert max(map(len, (site.folder / f"constraints/{BOOKWORM}.txt").read_text().splitlines())) < 300


def test_a_hidden_project_holds_nothing_back(session: Session, site: Site, demo: Project) -> None:
    rows.build(session, demo, version="2.0", state=BuildState.FAILED)
    demo.status = "quarantined"
    session.flush()

    assert lines(session, site) == []


def test_a_local_version_is_kept_by_its_public_part(session: Session, store: Store, site: Site, tmp_path: Path) -> None:
    local = published.publish(session, store, published.wheel_file(tmp_path, "local", "1.0+farm.1"))
    rows.build(session, local.project, version="2.0", state=BuildState.FAILED)

    assert lines(session, site) == ["local<=1.0"]
