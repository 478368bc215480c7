"""A farm comes up again from its backup (R20), and a backup that is not sound is not believed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData, select

from master import premises
from master.keep import backup, dump, manifest, restore
from master.keep.manifest import BackupError
from master.store import Store
from schema.attest.authority import Authority
from schema.db.models import Attempt, Build, Leadership, Wheel
from schema.db.session import engine, now, transaction
from schema.errors import ToolMissingError, UsageError
from schema.names import NodeName, Sha256
from schema.platforms import Platform
from schema.sections import DatabaseSection, FarmSection
from schema.settings import Settings
from schema.states import BuildState
from tests import published, rows


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Of a farm that has its keys, and an empty database."""
    home = tmp_path / "home"
    home.mkdir()
    platforms = (Platform.parse(rows.PLATFORM),)
    found = Settings(farm=FarmSection(home=home, platforms=platforms), database=DatabaseSection(url=database_url))
    Authority.create(found.authority)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def _publish(database: Engine, settings: Settings, *names: str) -> None:
    source = settings.farm.home.parent / "wheels"
    source.mkdir(exist_ok=True)
    with transaction(database) as session:
        for name in names:
            published.publish(session, Store(settings.store), published.wheel_file(source, name, "1.0"))


def _wipe(settings: Settings) -> None:
    """The disk is gone, and the database is an empty one."""
    shutil.rmtree(settings.farm.home)
    if settings.database_url.startswith("sqlite"):
        Path(settings.database_url.removeprefix("sqlite:///")).unlink()
        return
    made = engine(settings.database_url)
    everything = MetaData()
    everything.reflect(made)
    everything.drop_all(made)
    made.dispose()


def _hashes(database_url: str) -> dict[str, str]:
    made = engine(database_url)
    with transaction(made) as session:
        found = {wheel.filename: wheel.sha256 for wheel in session.scalars(select(Wheel))}
    made.dispose()
    return found


@pytest.fixture
def served(settings: Settings) -> Iterator[str]:
    """The rendered site behind a plain web server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(settings.site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/simple/"
    server.shutdown()
    server.server_close()


def test_the_drill_a_farm_is_backed_up_while_it_publishes_and_wiped_and_every_wheel_can_be_downloaded_again(
    database: Engine, settings: Settings, folder: Path, served: str, tmp_path: Path
) -> None:
    _publish(database, settings, *(f"before{number}" for number in range(5)))
    stop, count = threading.Event(), 0

    def go_on_publishing() -> None:
        nonlocal count
        while not stop.is_set():
            _publish(database, settings, f"during{count}")
            count += 1

    publishing = threading.Thread(target=go_on_publishing)
    publishing.start()
    try:
        while count < 2:
            stop.wait(0.01)
        made = backup.back_up(database, settings, folder)
    finally:
        stop.set()
        publishing.join()
    database.dispose()
    _wipe(settings)

    restore.restore(settings, folder)

    hashes = _hashes(settings.database_url)
    assert len(hashes) >= 7
    assert list(backup.faults(made.folder)) == []
    target = tmp_path / "downloaded"
    names = [f"{name.partition('-')[0]}==1.0" for name in hashes]
    options = ["--disable-pip-version-check", "--no-cache-dir", "--index-url", served, "--dest", str(target)]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--isolated", "--no-deps", *options, *names],
        check=True,
        capture_output=True,
    )
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.iterdir()} == hashes


def test_keys_come_back_as_secret_as_they_were(database: Engine, settings: Settings, folder: Path) -> None:
    before = Authority.open(settings.authority).fingerprint
    made = backup.back_up(database, settings, folder)
    assert made.folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in made.folder.rglob("*") if path.is_file())
    database.dispose()
    _wipe(settings)

    restore.restore(settings, folder)

    assert Authority.open(settings.authority).fingerprint == before


def test_what_was_being_built_is_queued_again_and_nobody_is_blamed(
    database: Engine, settings: Settings, folder: Path
) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        rows.lease(session, build, node=NodeName("n1"), lease_s=90)
    backup.back_up(database, settings, folder)
    database.dispose()
    _wipe(settings)

    result = restore.restore(settings, folder)

    assert result.given_back == 1
    made = engine(settings.database_url)
    with transaction(made) as session:
        again = session.get_one(Build, build.id)
        assert (again.state, again.leased_to) == (BuildState.QUEUED, None)
        assert again.reason == "again: the farm was restored from a backup"
        assert session.scalars(select(Attempt.outcome)).all() == ["cancelled"]
    made.dispose()


def test_a_second_backup_copies_only_what_is_new(database: Engine, settings: Settings, folder: Path) -> None:
    _publish(database, settings, "one")
    first = backup.back_up(database, settings, folder)
    _publish(database, settings, "two")

    second = backup.back_up(database, settings, folder)

    assert ((first.files, first.copied), (second.files, second.copied)) == ((3, 3), (6, 3))
    assert backup.newest(folder) == second.folder
    assert list(backup.faults(first.folder)) == []


def test_the_settings_file_goes_with_it(database: Engine, settings: Settings, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text("[farm]\n")

    made = backup.back_up(database, settings, folder, settings_file=file)

    assert (made.folder / "farm.toml").read_text() == "[farm]\n"


def test_a_backup_that_fails_leaves_nothing_that_looks_like_one(
    database: Engine, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="cannot be written"):
        backup.back_up(database, settings, folder, settings_file=tmp_path / "missing.toml")

    assert list(folder.iterdir()) == []
    with pytest.raises(BackupError, match="there is no backup"):
        backup.newest(folder)


Harm = Callable[[Path], None]


def _harms() -> dict[str, tuple[Harm, str]]:
    def store_file(made: Path) -> Path:
        store = backup.store_of(made)
        return store.path(next(store.digests()))

    def rot(path: Path) -> None:
        data = path.read_bytes()
        path.unlink()  # it may be one file with the farm's own
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])

    return {
        "stored file": (lambda made: rot(store_file(made)), "is damaged"),
        "stored file gone": (lambda made: store_file(made).unlink(), "is missing"),
        "database": (lambda made: rot(next(made.glob("farm.*"))), "is damaged"),
        "key": (lambda made: rot(made / "authority" / "authority.key"), "is damaged"),
        "list of files": (lambda made: rot(made / manifest.BLOBS), "is damaged"),
        "manifest": (lambda made: rot(made / manifest.NAME), "cannot be read"),
        "manifest gone": (lambda made: (made / manifest.NAME).unlink(), "there is no backup"),
    }


@pytest.mark.parametrize("harm", _harms())
def test_a_backup_that_is_not_sound_is_not_restored(
    database: Engine, settings: Settings, folder: Path, harm: str
) -> None:
    _publish(database, settings, "one")
    made = backup.back_up(database, settings, folder)
    do, says = _harms()[harm]
    do(made.folder)

    with pytest.raises(BackupError, match=says):
        restore.restore(settings, folder, force=True)

    assert _hashes(settings.database_url) != {}


def test_a_backup_with_a_damaged_stored_file_can_be_restored_without_it(
    database: Engine, settings: Settings, folder: Path
) -> None:
    _publish(database, settings, "one", "two")
    made = backup.back_up(database, settings, folder)
    with transaction(database) as session:
        lost = session.get_one(Wheel, "one-1.0-py3-none-any.whl")
    backup.store_of(made.folder).path(Sha256(lost.sha256)).unlink()
    database.dispose()
    _wipe(settings)

    restore.restore(settings, folder, incomplete=True)

    opened = engine(settings.database_url)
    with transaction(opened) as session:
        row = session.get_one(Wheel, lost.filename)
        assert (row.removed_at is not None, row.build.state) == (True, BuildState.QUEUED)
    opened.dispose()
    assert sorted(path.name for path in (settings.site / "simple").iterdir() if path.is_dir()) == ["two"]


def test_a_path_that_leads_out_of_the_backup_is_refused(database: Engine, settings: Settings, folder: Path) -> None:
    made = backup.back_up(database, settings, folder)
    file = made.folder / manifest.NAME
    file.write_text(file.read_text().replace("authority/authority.key", "../../evil"))

    with pytest.raises(BackupError, match=r"a file '\.\./"):
        restore.restore(settings, folder, force=True)


def test_a_damaged_file_of_the_store_is_left_out_and_named(
    database: Engine, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(database, settings, "one")
    store = Store(settings.store)
    rotten = next(store.digests())
    store.path(rotten).chmod(0o644)
    store.path(rotten).write_bytes(b"rotten")

    def no_links(_self: Path, _target: Path) -> None:
        raise OSError(18, "another file system")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    made = backup.back_up(database, settings, folder)

    assert (made.damaged, made.files) == ((rotten,), 2)
    assert list(backup.faults(made.folder)) == []


def test_a_farm_that_is_there_is_not_replaced_unless_that_is_wanted(
    database: Engine, settings: Settings, folder: Path
) -> None:
    _publish(database, settings, "one")
    backup.back_up(database, settings, folder)
    _publish(database, settings, "two")
    database.dispose()
    with pytest.raises(UsageError, match="there is a farm already"):
        restore.restore(settings, folder)
    assert len(_hashes(settings.database_url)) == 2

    result = restore.restore(settings, folder, force=True)

    assert list(_hashes(settings.database_url)) == ["one-1.0-py3-none-any.whl"]
    assert result.aside is not None
    assert len(list(Store(result.aside / "store").digests())) == 6


def test_a_running_farm_is_not_restored(database: Engine, settings: Settings, folder: Path) -> None:
    backup.back_up(database, settings, folder)

    with premises.occupied(settings, say=print), pytest.raises(UsageError, match="another `wheelfarm run`"):
        restore.restore(settings, folder, force=True)


def test_a_master_that_leads_is_not_restored_under(database: Engine, settings: Settings, folder: Path) -> None:
    backup.back_up(database, settings, folder)
    with transaction(database) as session:
        session.add(Leadership(id=1, holder="m1", epoch=1, until=now(session) + timedelta(seconds=30)))

    with pytest.raises(UsageError, match="the master m1 runs"):
        restore.restore(settings, folder, force=True)


def test_a_backup_of_the_other_kind_of_database_is_refused(database: Engine, settings: Settings, folder: Path) -> None:
    made = backup.back_up(database, settings, folder)
    file = made.folder / manifest.NAME
    other = {"sqlite": "postgresql", "postgresql": "sqlite"}[dump.kind_of(settings.database_url)]
    file.write_text(file.read_text().replace(f'"database": "{database.dialect.name}"', f'"database": "{other}"'))

    with pytest.raises(UsageError, match="set to another database"):
        restore.restore(settings, folder, force=True)


def test_pages_are_rendered_anew(database: Engine, settings: Settings, folder: Path) -> None:
    _publish(database, settings, "one")
    backup.back_up(database, settings, folder)
    database.dispose()
    _wipe(settings)

    restore.restore(settings, folder)

    assert (settings.site / "simple" / "one" / "index.html").is_file()


def _program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def on_postgresql(settings: Settings) -> None:
    if settings.database_url.startswith("sqlite"):
        pytest.skip("SQLite needs no program")


def test_a_missing_pg_dump_is_said_so(  # noqa: PLR0917 - fixtures
    database: Engine,
    settings: Settings,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_postgresql: None,  # noqa: ARG001
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))

    with pytest.raises(ToolMissingError, match="pg_dump is not installed"):
        backup.back_up(database, settings, folder)


def test_a_pg_dump_that_is_too_old_is_said_so(  # noqa: PLR0917 - fixtures
    database: Engine,
    settings: Settings,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_postgresql: None,  # noqa: ARG001
) -> None:
    _program(tmp_path / "bin", "pg_dump", "echo 'pg_dump (PostgreSQL) 9.6.24'")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    with pytest.raises(BackupError, match="pg_dump is too old"):
        backup.back_up(database, settings, folder)


def test_a_password_is_never_on_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin", "pg_restore", f'echo "$@" > {tmp_path}/said; echo "$PGPASSWORD" > {tmp_path}/secret')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    dump.load(tmp_path / "x.pgdump", "postgresql+psycopg://farm:s3cret@db.example:5433/farm?sslmode=require")

    assert "s3cret" not in (tmp_path / "said").read_text()
    assert "postgresql://farm@db.example:5433/farm?sslmode=require" in (tmp_path / "said").read_text()
    assert (tmp_path / "secret").read_text() == "s3cret\n"


def test_a_database_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database" * 1000)

    with pytest.raises(BackupError, match="cannot be copied"):
        dump._copy_sqlite(broken, tmp_path / "copy.sqlite")
