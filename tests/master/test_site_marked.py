"""Pages that follow the database, and the walk over all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, select, update

from master import builds
from master.leader import Candidate, NotLeadingError
from master.site import Site
from master.site.listing import Listing
from master.site.marked import Marked
from master.site.walk import MARK, Walk
from master.store import Store
from schema.db.models import DirtyPage, Leadership, Mark
from schema.db.session import now, transaction
from schema.platforms import Platform
from tests import published

URL = "https://farm.example"
Publish = Callable[..., list[int]]
PLATFORMS = [Platform.parse("debian12-x86_64-cp311")]


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Site:
    return Site(tmp_path / "site", store, URL, PLATFORMS)


@pytest.fixture
def marked(site: Site, database: Engine, snapshot: Engine) -> Marked:
    return made(site, database, snapshot)


def made(site: Site, database: Engine, snapshot: Engine, fenced: Engine | None = None) -> Marked:
    listing = Listing(site=site, snapshot=snapshot)
    return Marked(site=site, listing=listing, snapshot=snapshot, database=fenced or database, unfenced=database)


@pytest.fixture
def publish(database: Engine, store: Store, tmp_path: Path) -> Publish:
    """Publish a wheel of each of those projects, without a mark at their pages; return the projects' ids."""

    def all_of(*names: str) -> list[int]:
        with transaction(database) as session:
            rows = [published.publish(session, store, published.wheel_file(tmp_path, name, "1.0")) for name in names]
            session.flush()
            session.execute(delete(DirtyPage))
            return [row.project_id for row in rows]

    return all_of


def _dirty(database: Engine) -> list[int]:
    with transaction(database) as session:
        return sorted(session.scalars(select(DirtyPage.project_id)))


def _files(site: Site) -> dict[Path, int]:
    return {path: path.stat().st_ctime_ns for path in site.folder.rglob("*") if path.is_file()}


def test_a_marked_page_is_rendered_and_its_mark_goes(
    marked: Marked, site: Site, database: Engine, publish: Publish
) -> None:
    [project_id] = publish("demo")
    with transaction(database) as session:
        builds.touch_page(session, project_id)

    assert marked.turn()

    assert (site.folder / "simple/demo/index.json").is_file()
    assert _dirty(database) == []


def test_a_page_that_was_rendered_after_another_master_took_over_is_marked_again(
    site: Site, database: Engine, snapshot: Engine, publish: Publish
) -> None:
    [project_id] = publish("demo")
    candidate = Candidate(database, snapshot, lead_s=15.0)
    term = candidate.take()
    assert term is not None
    fenced = term.engine(database.url.render_as_string(hide_password=False))
    late = made(site, database, snapshot, fenced)
    with transaction(database) as session:
        builds.touch_page(session, project_id)
        session.execute(update(Leadership).values(until=now(session) - timedelta(seconds=1)))
    assert candidate.take() is not None

    with pytest.raises(NotLeadingError):
        late.turn()

    with transaction(database) as session:
        assert session.scalars(select(DirtyPage.revision)).one() == 2
    fenced.dispose()


def test_what_a_killed_process_left_in_the_site_goes_with_the_first_quiet_turn(
    marked: Marked, site: Site, publish: Publish
) -> None:
    publish("demo")
    for stray in ("simple/.new-index.json", "files/.new-abc-1", "files/gone-1.0-py3-none-any.whl"):
        (site.folder / stray).parent.mkdir(parents=True, exist_ok=True)
        (site.folder / stray).write_bytes(b"stray")

    marked.turn()

    assert not any(path.read_bytes() == b"stray" for path in _files(site))


def _walk(site: Site, database: Engine, url: str = URL, *, at_once: int = 200) -> Walk:
    return Walk(site=site, public_url=url, database=database, lost=not site.is_there, at_once=at_once)


def test_the_first_walk_marks_every_project_with_wheels(site: Site, database: Engine, publish: Publish) -> None:
    found = publish("alpha", "beta")

    _walk(site, database).turn()

    assert _dirty(database) == sorted(found)


def test_a_restart_renders_nothing_anew_whose_page_is_right(
    marked: Marked, site: Site, database: Engine, publish: Publish
) -> None:
    publish("alpha", "beta")
    _walk(site, database).turn()
    marked.turn()
    before = _files(site)

    again = _walk(site, database).turn()
    marked.turn()

    assert not again
    assert _dirty(database) == []
    assert _files(site) == before


def test_another_public_url_has_every_page_rendered_anew(
    marked: Marked, site: Site, database: Engine, publish: Publish
) -> None:
    found = publish("alpha", "beta")
    _walk(site, database).turn()
    marked.turn()

    _walk(site, database, "https://other.example").turn()

    assert _dirty(database) == sorted(found)


def test_a_lost_folder_is_rendered_anew(marked: Marked, site: Site, database: Engine, publish: Publish) -> None:
    found = publish("alpha", "beta")
    _walk(site, database).turn()
    marked.turn()
    shutil.rmtree(site.folder)

    _walk(site, database).turn()

    assert _dirty(database) == sorted(found)


def test_a_walk_goes_on_where_it_was_and_waits_while_much_is_to_be_rendered(
    marked: Marked, site: Site, database: Engine, publish: Publish
) -> None:
    found = publish("a", "b", "c")
    first = _walk(site, database, at_once=2)

    begun = first.turn()
    waited = first.turn()
    marked.turn()
    _walk(site, database, at_once=2).turn()

    assert (begun, waited) == (True, False)
    assert _dirty(database) == [max(found)]
    with transaction(database) as session:
        assert session.get_one(Mark, MARK).finished_at is not None
