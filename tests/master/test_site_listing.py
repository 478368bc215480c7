"""The lists are written beside the pages, and cost what changed, however many projects there are."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from master.site import Site
from master.site.listing import Listing
from master.store import Store
from schema.db.models import Project
from schema.db.session import now, transaction
from schema.errors import StoreError
from schema.platforms import Platform
from schema.simple import write
from schema.states import BuildState
from tests import published, rows

PLATFORMS = [Platform.parse("debian12-x86_64-cp311"), Platform.parse("debian13-aarch64-cp313")]
Publish = Callable[..., int]


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Site:
    return Site(tmp_path / "site", store, "https://farm.example", PLATFORMS)


@pytest.fixture
def listing(site: Site, snapshot: Engine) -> Listing:
    return Listing(site=site, snapshot=snapshot)


@pytest.fixture
def publish(database: Engine, store: Store, tmp_path: Path) -> Publish:
    def one(name: str, version: str = "1.0", **special: str) -> int:
        with transaction(database) as session:
            wheel = published.wheel_file(tmp_path, name, version, **special)  # type: ignore[arg-type]
            return published.publish(session, store, wheel).project_id

    return one


def turn(listing: Listing) -> None:
    listing._not_before = 0.0  # not to wait for the pause
    listing.turn()


def names(site: Site, view: str = "simple") -> list[str]:
    return [item["name"] for item in json.loads((site.folder / view / "index.json").read_bytes())["projects"]]


def inodes(site: Site) -> dict[str, int]:
    """A file that is written anew is another one."""
    return {str(path.relative_to(site.folder)): path.stat().st_ino for path in site.folder.rglob("*") if path.is_file()}


def written(site: Site, before: dict[str, int]) -> set[str]:
    return {path for path, inode in inodes(site).items() if before.get(path) != inode}


def test_a_new_farm_has_its_empty_lists_at_once(listing: Listing, site: Site) -> None:
    listing.turn()

    assert names(site) == []
    assert (site.folder / "constraints/debian12-x86_64-cp311.txt").is_file()


def test_a_new_project_writes_the_lists_that_it_is_in_and_nothing_else(
    listing: Listing, site: Site, publish: Publish, database: Engine
) -> None:
    for number in range(30):
        publish(f"p{number}")
    turn(listing)
    before = inodes(site)

    listing.note([publish("native", tag="cp311-cp311-linux_x86_64")])
    with transaction(database) as session:
        session.get_one(Project, 31).wheels[0].view = "debian12-x86_64"
    turn(listing)

    forms = [f"index.{kind}{packed}" for kind in ("json", "html") for packed in ("", ".gz", ".zst")]
    assert written(site, before) == {f"debian12-x86_64/simple/{form}" for form in forms}
    assert "native" in names(site, "debian12-x86_64/simple")


def test_another_version_of_a_known_project_writes_no_list(listing: Listing, site: Site, publish: Publish) -> None:
    publish("demo")
    turn(listing)
    before = inodes(site)

    listing.note([publish("demo", "2.0")])
    turn(listing)

    assert written(site, before) == set()


def test_what_is_held_back_writes_the_constraints_of_its_platform_only(
    listing: Listing, site: Site, publish: Publish, database: Engine
) -> None:
    project_id = publish("demo")
    turn(listing)
    before = inodes(site)

    with transaction(database) as session:
        rows.build(session, session.get_one(Project, project_id), version="2.0", state=BuildState.FAILED)
    listing.note([project_id])
    turn(listing)

    file = f"constraints/{PLATFORMS[0]}.txt"
    assert written(site, before) == {file, f"{file}.gz", f"{file}.zst"}


def test_a_project_that_goes_leaves_the_lists(listing: Listing, site: Site, publish: Publish, database: Engine) -> None:
    gone, _ = publish("alpha"), publish("beta")
    turn(listing)
    with transaction(database) as session:
        session.get_one(Project, gone).wheels[0].removed_at = now(session)

    listing.note([gone])
    turn(listing)

    assert names(site) == ["beta"]


def test_a_change_asks_the_database_as_much_on_a_large_farm_as_on_a_small_one(
    listing: Listing, publish: Publish, snapshot: Engine
) -> None:
    asked: list[str] = []
    event.listen(snapshot, "before_cursor_execute", lambda _c, _k, sql, *_: asked.append(sql))
    publish("first")
    turn(listing)
    costs = []
    for many in (1, 40):
        for number in range(many):
            listing.note([publish(f"p{many}-{number}")])
        turn(listing)
        asked.clear()
        listing.note([publish(f"last{many}")])
        turn(listing)
        costs.append(len(asked))

    assert costs[0] == costs[1]


def test_a_change_that_could_not_be_read_is_read_the_next_time(
    listing: Listing, site: Site, publish: Publish, snapshot: Engine
) -> None:
    turn(listing)
    listing.note([publish("demo")])

    def away(*_: object) -> None:
        raise ConnectionError("the database is away")

    event.listen(snapshot, "before_cursor_execute", away)
    with pytest.raises(ConnectionError):
        turn(listing)
    event.remove(snapshot, "before_cursor_execute", away)
    turn(listing)

    assert names(site) == ["demo"]


def test_a_list_that_could_not_be_written_is_written_the_next_time(
    listing: Listing, site: Site, publish: Publish
) -> None:
    turn(listing)
    folder = site.folder / "simple"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_text("in its place")
    listing.note([publish("demo")])
    with pytest.raises(StoreError):
        turn(listing)
    folder.unlink()

    turn(listing)

    assert names(site) == names(site, "debian12-x86_64/simple") == ["demo"]


def test_lists_that_are_being_written_are_not_swept_away(site: Site, snapshot: Engine, publish: Publish) -> None:
    """Both happen when a master begins."""
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            with transaction(snapshot) as session:
                site.sweep(session)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for number in range(8):
            fresh = Listing(site=site, snapshot=snapshot)
            publish(f"p{number}")
            fresh.turn()
    finally:
        stop.set()
        sweeper.join()

    assert names(site) == [f"p{number}" for number in range(8)]


def test_until_the_pause_is_over_nothing_is_written(listing: Listing, site: Site, publish: Publish) -> None:
    listing.turn()
    listing._not_before += 3600
    listing.note([publish("demo")])
    listing.turn()
    waited = names(site)
    turn(listing)

    assert (waited, names(site)) == ([], ["demo"])


def test_names_are_written_as_json_writes_them() -> None:
    listed = ["a", "a-b-c", "z9"]

    assert json.loads(write.root_json(listed)) == {
        "meta": {"api-version": "1.4"},
        "projects": [{"name": name} for name in listed],
    }
