"""The rendered tree on disk: links, order, removal, recovery."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master.site import Site
from master.store import Store
from schema.db.models import Wheel
from schema.db.session import transaction
from schema.errors import StoreError
from schema.names import sha256_of
from schema.platforms import Platform
from tests import published

PLATFORMS = (Platform.parse("debian12-x86_64-cp311"),)
SIDECARS = ("", ".metadata", ".provenance")


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with transaction(database) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, store: Store) -> Site:
    return Site(tmp_path / "site", store, "https://farm.example", PLATFORMS)


def remove(session: Session, wheel: Wheel) -> None:
    wheel.removed_at = datetime(2026, 11, 21, tzinfo=UTC)
    session.flush()


def dead_links(folder: Path) -> list[str]:
    """Files that a page names and that are not there, with their sidecars, byte for byte as promised."""
    found = []
    for page in folder.glob("**/index.json"):
        for entry in json.loads(page.read_bytes()).get("files", ()):
            wheel = folder / "files" / entry["filename"]
            if not wheel.is_file() or sha256_of(wheel) != entry["hashes"]["sha256"]:
                found.append(wheel.name)
            sidecar = wheel.with_name(wheel.name + ".metadata")
            if not sidecar.is_file() or sha256_of(sidecar) != entry["core-metadata"]["sha256"]:
                found.append(sidecar.name)
    return found


def test_files_are_links_into_the_store(session: Session, store: Store, site: Site, tmp_path: Path) -> None:
    file = published.wheel_file(tmp_path, "demo", "1.0")
    row = published.publish(session, store, file)

    site.render(session, row.project_id)

    link = site.folder / "files" / file.name
    assert link.samefile(store.path(sha256_of(file)))
    assert (site.folder / f"files/{file.name}.metadata").read_bytes() == published.metadata_of(file)
    assert json.loads((site.folder / f"files/{file.name}.provenance").read_bytes())["version"] == 1


def test_everybody_may_read_the_site_whatever_the_masters_umask(session: Session, store: Store, tmp_path: Path) -> None:
    site = Site(tmp_path / "site", store, "https://farm.example", PLATFORMS)
    before = os.umask(0o077)
    try:
        published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
        site.rebuild(session)
    finally:
        os.umask(before)

    for path in (site.folder, *site.folder.rglob("*")):
        wanted = 0o755 if path.is_dir() else 0o444
        assert path.stat().st_mode & wanted == wanted, path


def test_files_are_copies_where_the_store_is_another_file_system(session: Session, tmp_path: Path) -> None:
    elsewhere = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="wf-store-"))
    try:
        assert elsewhere.stat().st_dev != tmp_path.stat().st_dev, "this machine has one file system only"
        store = Store(elsewhere)
        site = Site(tmp_path / "site", store, "https://farm.example", PLATFORMS)
        file = published.wheel_file(tmp_path, "demo", "1.0")
        row = published.publish(session, store, file)

        site.render(session, row.project_id)
        copied = (site.folder / "files" / file.name).stat()
        site.render(session, row.project_id)

        assert dead_links(site.folder) == []
        assert (site.folder / "files" / file.name).stat().st_ino == copied.st_ino
    finally:
        shutil.rmtree(elsewhere)


def test_a_removed_wheel_leaves_its_page_and_its_files(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    old, new = (
        published.publish(session, store, published.wheel_file(tmp_path, "demo", version)) for version in ("1.0", "2.0")
    )
    site.render(session, old.project_id)

    remove(session, old)
    site.render(session, old.project_id)

    assert sorted(path.name for path in (site.folder / "files").iterdir()) == [new.filename + end for end in SIDECARS]
    assert json.loads((site.folder / "simple/demo/index.json").read_bytes())["versions"] == ["2.0"]


def test_a_project_without_wheels_has_no_page_and_is_not_listed(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    site.render(session, row.project_id)
    published.render_lists(session, site)

    remove(session, row)
    site.render(session, row.project_id)
    published.render_lists(session, site)

    assert sorted(path.name for path in (site.folder / "simple").iterdir()) == [
        "index.html",
        "index.html.gz",
        "index.html.zst",
        "index.json",
        "index.json.gz",
        "index.json.zst",
    ]
    assert json.loads((site.folder / "simple/index.json").read_bytes())["projects"] == []


def test_a_file_that_the_store_lost_is_left_out_and_the_rest_is_served(
    session: Session, store: Store, site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost, kept = (
        published.publish(session, store, published.wheel_file(tmp_path, "demo", version)) for version in ("1.0", "2.0")
    )
    store.path(sha256_of(tmp_path / lost.filename)).unlink()

    with caplog.at_level(logging.ERROR):
        site.render(session, lost.project_id)

    assert [
        item["filename"] for item in json.loads((site.folder / "simple/demo/index.json").read_bytes())["files"]
    ] == [kept.filename]
    assert f"{lost.filename} is left out of the index: the store has lost" in caplog.text


def test_a_wheel_whose_sidecar_no_file_system_can_name_is_left_out(
    session: Session, store: Store, site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "d" * 228, "1.0"))

    with caplog.at_level(logging.ERROR):
        site.render(session, row.project_id)

    assert "too long" in caplog.text
    assert list((site.folder / "files").iterdir()) == []


def test_a_disk_that_takes_no_more_is_named(
    session: Session, store: Store, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StoreError, match=r"the site cannot take .*: No space left on device \(free some space"):
        site.render(session, row.project_id)


def test_a_lost_folder_is_made_anew_from_the_database(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    for name in ("alpha", "beta"):
        published.publish(session, store, published.wheel_file(tmp_path, name, "1.0"))
    site.rebuild(session)
    before = {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}

    shutil.rmtree(site.folder)
    site.rebuild(session)

    assert {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()} == before


def test_a_rebuild_removes_what_should_not_be_there(session: Session, store: Store, site: Site, tmp_path: Path) -> None:
    published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    site.place_authority("the certificate\n")
    site.rebuild(session)
    before = {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}
    for stray in (
        "simple/evil/index.json",
        "simple/demo/.new-abc",
        "simple/.gone-xyz/index.html",
        "debian10-x86_64/simple/demo/index.json",
        "debian12-x86_64/simple/evil/index.json",
        "files/evil-1.0-py3-none-any.whl",
        "constraints/debian10-x86_64-cp37.txt",
        "stray.txt",
    ):
        (site.folder / stray).parent.mkdir(parents=True, exist_ok=True)
        (site.folder / stray).write_bytes(b"stray")

    site.rebuild(session)

    assert {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()} == before
    assert before[site.folder / "authority.pem"] == b"the certificate\n"


def test_a_reader_never_finds_a_page_that_names_a_missing_file(
    session: Session, store: Store, site: Site, tmp_path: Path
) -> None:
    row = published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0"))
    site.render(session, row.project_id)
    done = threading.Event()
    dead: list[str] = []

    def read() -> None:
        while not done.is_set():
            dead.extend(dead_links(site.folder))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20):
        published.publish(session, store, published.wheel_file(tmp_path, "demo", f"2.{number}"))
        site.render(session, row.project_id)
    done.set()
    reader.join()

    assert dead == []


RENDER = """
import sys
from pathlib import Path
from sqlalchemy.orm import Session
from master.site import Site
from master.store import Store
from schema.db.session import engine, transaction
from schema.platforms import Platform

url, folder, store = sys.argv[1:]
database = engine(url, read_only=True)
with transaction(database) as session:
    print("ready", flush=True)
    platforms = [Platform.parse("debian12-x86_64-cp311")]
    Site(Path(folder), Store(Path(store)), "https://farm.example", platforms).rebuild(session)
database.dispose()
"""


@pytest.mark.slow
def test_a_render_killed_at_any_moment_leaves_no_dead_link_and_is_finished_by_the_next(
    database: Engine, store: Store, tmp_path: Path, servers: Path
) -> None:
    del servers  # PostgreSQL's URL lies in there
    with transaction(database) as session:
        for number in range(30):
            published.publish(session, store, published.wheel_file(tmp_path, f"demo{number % 10}", f"1.{number}"))
    url = database.url.render_as_string(hide_password=False)
    rendered = tmp_path / "site"
    chance = random.Random(20261121)

    for _ in range(8):
        _kill_after(chance.uniform(0.0, 0.25), [RENDER, url, str(rendered), str(store.folder)])
        assert dead_links(rendered) == []
    subprocess.run([sys.executable, "-c", RENDER, url, rendered, store.folder], check=True, stdout=subprocess.DEVNULL)

    assert len(list((rendered / "files").iterdir())) == 30 * len(SIDECARS)
    assert not [path for path in rendered.rglob("*") if path.name.startswith(".")]


def _kill_after(pause_s: float, arguments: list[str], *, wait: Callable[[float], None] = time.sleep) -> None:
    process = subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    wait(pause_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
