"""What clients ask for and do not find: counted without anybody waiting, within bounds, whatever the database does."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, select

from schema.db import migrate
from schema.db.models import Demand
from schema.db.session import engine, transaction
from schema.platforms import Platform
from schema.sections import DatabaseSection, FarmSection, WatchSection
from schema.settings import Settings
from tests.entries import ARM, HERE, ago
from tests.web.server import settings_file, started
from web.app import create_app
from web.demand import Demands, write

VIEW = "debian12-x86_64"
NOWHERE = "postgresql://farm@/farm?host=/nonexistent"


def asked(database: Engine) -> dict[tuple[str, str], int]:
    with transaction(database) as session:
        return {(row.name, row.view): row.asks for row in session.scalars(select(Demand))}


def demands(url: str) -> Demands:
    """Written down by ``flush`` only: its thread sleeps for longer than any test."""
    return Demands(url, views={VIEW}, pause_s=3600)


def app(tmp_path: Path, url: str, *, demand: bool = True) -> Flask:
    platforms = (Platform.parse(HERE), Platform.parse(ARM))
    settings = Settings(
        farm=FarmSection(home=tmp_path / "home", platforms=platforms),
        database=DatabaseSection(url=url),
        watch=WatchSection(demand=demand),
    )
    return create_app(settings, counts_pause_s=3600)


def test_a_page_that_is_not_there_is_demand_in_every_view(database: Engine, database_url: str, tmp_path: Path) -> None:
    made = app(tmp_path, database_url)
    client = made.test_client()

    for path in ("/simple/numpy/", f"/{VIEW}/simple/numpy/", f"/{VIEW}/simple/numpy/"):
        assert client.get(path).status_code == 404
    made.extensions["demand"].flush()

    assert asked(database) == {("numpy", ""): 1, ("numpy", VIEW): 2}


@pytest.mark.parametrize(
    "path",
    ["/simple/", "/simple/a/b/", "/debian13-x86_64/simple/numpy/", "/files/numpy-1.0.tar.gz", f"/simple/{'x' * 201}/"],
)
def test_what_is_no_project_of_ours_to_be_is_no_demand(
    database: Engine, database_url: str, tmp_path: Path, path: str
) -> None:
    made = app(tmp_path, database_url)

    assert made.test_client().get(path).status_code in {301, 404}
    made.extensions["demand"].flush()

    assert asked(database) == {}


def test_a_page_that_is_there_is_no_demand(database: Engine, database_url: str, tmp_path: Path) -> None:
    made = app(tmp_path, database_url)
    page = tmp_path / "home" / "site" / "simple" / "numpy" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("here", encoding="utf-8")

    assert made.test_client().get("/simple/numpy/", headers={"Accept": "text/html"}).status_code == 200
    made.extensions["demand"].flush()

    assert asked(database) == {}


def test_what_a_filter_hides_is_no_demand_but_what_is_nowhere_is(
    database: Engine, database_url: str, tmp_path: Path
) -> None:
    made = app(tmp_path, database_url)
    page = tmp_path / "home" / "site" / "simple" / "numpy" / "index.json"
    page.parent.mkdir(parents=True)
    page.write_text('{"name":"numpy","files":[]}', encoding="utf-8")

    for name in ("numpy", "scipy"):
        assert made.test_client().get(f"/age/7d/simple/{name}/").status_code == 404
    made.extensions["demand"].flush()

    assert asked(database) == {("scipy", ""): 1}


def test_where_the_settings_do_not_ask_for_it_nothing_is_counted(tmp_path: Path, database_url: str) -> None:
    made = app(tmp_path, database_url, demand=False)

    assert made.test_client().get("/simple/numpy/").status_code == 404
    assert made.extensions["demand"] is None


def test_counts_add_up_in_the_table(database: Engine, database_url: str) -> None:
    found = demands(database_url)
    for asks in (2, 3):
        for _ in range(asks):
            found.count("numpy", "")
        found.flush()

    assert asked(database) == {("numpy", ""): 5}


def test_a_flood_of_names_leaves_bounded_rows(database: Engine, database_url: str) -> None:
    found = demands(database_url)
    for number in range(10_000):
        found.count(f"flood{number}", "")

    found.flush()

    assert len(asked(database)) == 1_000


def test_a_full_table_still_counts_the_names_that_it_has(database: Engine) -> None:
    with transaction(database) as session:
        write(session, {("a", ""): 1, ("b", ""): 5, ("c", ""): 3}, most_rows=2)
    with transaction(database) as session:
        write(session, {("a", ""): 9, ("b", ""): 1, ("d", ""): 9}, most_rows=2)

    assert asked(database) == {("b", ""): 6, ("c", ""): 3}


def test_while_the_database_is_away_the_counts_are_kept(
    database: Engine, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = demands(NOWHERE)
    found.count("numpy", "")
    found.flush()
    found.flush()
    assert caplog.text.count("cannot be written down now") == 1

    found._url = database_url  # it is back
    found.count("numpy", "")
    found.flush()

    assert asked(database) == {("numpy", ""): 2}


def test_a_database_that_was_never_made_is_not_founded(tmp_path: Path) -> None:
    found = demands(f"sqlite:///{tmp_path / 'farm.sqlite'}")
    found.count("numpy", "")

    found.flush()

    assert not (tmp_path / "farm.sqlite").exists()


def test_a_database_without_the_table_is_as_good_as_away(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'farm.sqlite'}"
    with engine(url).connect():
        pass
    found = demands(url)
    found.count("numpy", "")

    found.flush()

    made = engine(url)
    migrate.upgrade(made)
    found.flush()
    assert asked(made) == {("numpy", ""): 1}
    made.dispose()


def test_two_workers_that_write_at_once_lose_nothing(database: Engine, database_url: str) -> None:
    workers = [demands(database_url) for _ in range(4)]
    for worker in workers:
        for number in range(50):
            worker.count(f"p{number}", "")

    threads = [threading.Thread(target=worker.flush) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(asked(database).values()) == {4}
    assert len(asked(database)) == 50


def test_a_page_does_not_wait_for_a_locked_database(database: Engine, database_url: str, tmp_path: Path) -> None:
    made = app(tmp_path, database_url)
    made.extensions["demand"].count("first", "")
    with transaction(database) as session:
        session.add(Demand(name="first", view="", asks=1, asked_at=ago()))
        session.flush()  # whoever writes that name now waits for this transaction to end
        writer = threading.Thread(target=made.extensions["demand"].flush)
        writer.start()

        for number in range(200):
            assert made.test_client().get(f"/simple/p{number}/").status_code == 404

    writer.join()
    assert asked(database) == {("first", ""): 2}


@pytest.mark.slow
def test_the_real_server_writes_down_what_its_workers_saw(
    database: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEELFARM_DATABASE_URL", database_url)
    file = settings_file(tmp_path / "home")
    file.write_text(file.read_text(encoding="utf-8") + "[watch]\ndemand = true\n", encoding="utf-8")

    with started(file, "--workers", "2") as server:
        for number in range(40):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{server.url}/simple/p{number}/", timeout=30)  # noqa: S310 - our own server
        deadline = time.monotonic() + 60
        while len(asked(database)) < 40 and time.monotonic() < deadline:
            time.sleep(0.2)

        assert len(asked(database)) == 40


@pytest.mark.slow
def test_the_real_server_serves_a_flood_while_the_database_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEELFARM_DATABASE_URL", NOWHERE)
    file = settings_file(tmp_path / "home")
    file.write_text(file.read_text(encoding="utf-8") + "[watch]\ndemand = true\n", encoding="utf-8")

    with started(file) as server:
        for number in range(300):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{server.url}/simple/p{number}/", timeout=30)  # noqa: S310 - our own server
        assert "Traceback" not in server.log.read_text(encoding="utf-8")
