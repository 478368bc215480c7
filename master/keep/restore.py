"""Bring a farm up again from a backup: everything is verified first, nothing that is there is lost."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, delete, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from master import builds, premises
from master.keep import backup, damage, dump, manifest
from master.keep.manifest import BackupError, Manifest
from master.leader import who_leads
from master.site import Site
from master.store import Store
from schema.db import migrate
from schema.db.models import Build, Leadership, LoginSession
from schema.db.session import engine, transaction
from schema.errors import UnavailableError, UsageError
from schema.names import Sha256
from schema.settings import Settings

log = logging.getLogger(__name__)

_OURS = ("authority", "store", "site", "node", "logs")
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did.

    given_back: builds that some node was at when the backup was made; aside: where what was there before lies now
    """

    backup: Path
    made_at: datetime
    files: int
    given_back: int
    aside: Path | None


def restore(
    settings: Settings,
    folder: Path,
    *,
    force: bool = False,
    incomplete: bool = False,
    tell: Callable[[str], None] = lambda _text: None,
) -> Restored:
    """Make the farm of *settings* what the newest backup in *folder* is.

    Raise BackupError where the backup is not sound, UsageError where the farm runs, or where there is one already and
    not *force*.

    incomplete: go on without stored files that are damaged in the backup; what needs them is built again
    """
    chosen = backup.newest(folder)
    found = Manifest.read(chosen)
    if found.database != dump.kind_of(settings.database_url):
        raise UsageError(
            f"{chosen} was made with {found.database}, and this farm is set to another database", advice="database.url"
        )
    tell(f"verifying {chosen}")
    if wrong := list(found.faults(chosen)):
        raise BackupError(f"{chosen} is not sound: {'; '.join(wrong[:_SHOWN])}")
    lost = backup.stored_faults(chosen)
    if lost and not incomplete:
        raise BackupError(
            f"{chosen} is not sound: {'; '.join(list(lost.values())[:_SHOWN])}",
            advice="--incomplete goes on without; their wheels are built again",
        )
    with premises.occupied(settings, say=tell):
        return _restore(settings, chosen, found, lost=set(lost), force=force, tell=tell)


def _restore(
    settings: Settings, chosen: Path, found: Manifest, *, lost: set[Sha256], force: bool, tell: Callable[[str], None]
) -> Restored:
    _refuse_running(settings)
    there = list(_there(settings))
    if there and not force:
        raise UsageError(
            f"there is a farm already ({', '.join(there)})", advice="--force replaces it; its files are moved aside"
        )
    aside = _move_aside(settings) if there else None
    try:
        files = _bring_files(settings, chosen, found, lost, tell)
        tell("bringing the database")
        dump.load(chosen / dump.file_name(found.database), settings.database_url)
    except OSError as err:
        raise BackupError(f"{settings.farm.home} cannot be written: {err.strerror}") from err
    database = engine(settings.database_url)
    try:
        migrate.upgrade(database)
        given_back = give_back(database)
        for digest in sorted(lost):
            damage.withdraw(database, Store(settings.store), settings.site, digest, why="was damaged in the backup")
        tell("rendering the pages")
        site = Site(settings.site, Store(settings.store), settings.public_url, settings.farm.platforms)
        with transaction(database) as session:
            site.rebuild(session)
    finally:
        database.dispose()
    return Restored(backup=chosen, made_at=found.made_at, files=files, given_back=given_back, aside=aside)


def give_back(database: Engine) -> int:
    """No node works for a farm that was just restored: queue what the backup says is being built, and blame nobody.

    Nobody is logged in, either.
    """
    with transaction(database) as session:
        session.execute(delete(Leadership))
        session.execute(delete(LoginSession))  # who logged out since the backup stays logged out
        held = session.scalars(select(Build).where(Build.leased_to.is_not(None)).order_by(Build.id)).all()
        for build in held:
            builds.give_back(session, build, why="the farm was restored from a backup", blame=False)
    return len(held)


def _refuse_running(settings: Settings) -> None:
    """``wheelfarm run`` holds its home; a master that runs alone leads, by the database's clock."""
    if dump.kind_of(settings.database_url) == "sqlite" and not _sqlite_file(settings).is_file():
        return
    opened = engine(settings.database_url)
    try:
        with transaction(opened) as session:
            leader = who_leads(session)
    except (SQLAlchemyError, UnavailableError):  # an empty database, or one that is past reading: nobody leads in it
        return
    finally:
        opened.dispose()
    if leader:
        raise UsageError(f"the master {leader.holder} runs", advice="stop every master first")


def _there(settings: Settings) -> Iterator[str]:
    """What a restore would replace."""
    for name in ("authority", "store"):
        folder = settings.farm.home / name
        if folder.is_dir() and any(folder.iterdir()):
            yield str(folder)
    if dump.kind_of(settings.database_url) == "sqlite":
        if _sqlite_file(settings).exists():
            yield str(_sqlite_file(settings))
        return
    opened = engine(settings.database_url)
    try:
        with transaction(opened) as session:
            empty = dump.is_empty(session)
        if not empty:
            yield "the database"
    finally:
        opened.dispose()


def _move_aside(settings: Settings) -> Path:
    aside = settings.farm.home / f"replaced-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
    aside.mkdir(mode=0o700)
    moved = [settings.farm.home / name for name in _OURS]
    if dump.kind_of(settings.database_url) == "sqlite":
        file = _sqlite_file(settings)
        moved += [file, *(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm"))]
    for path in moved:
        if path.exists():
            shutil.move(path, aside / path.name)
    log.warning("what was in %s is in %s now", settings.farm.home, aside)
    return aside


def _bring_files(
    settings: Settings, chosen: Path, found: Manifest, lost: set[Sha256], tell: Callable[[str], None]
) -> int:
    for path in found.files:
        if path not in {manifest.BLOBS, dump.file_name(found.database), "farm.toml"}:
            target = settings.farm.home / path
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(chosen / path, target)
            target.chmod(0o600)
    tell("bringing the store")
    source, target_store, files = backup.store_of(chosen), Store(settings.store), 0
    for digest in manifest.blobs(chosen):
        if digest in lost:
            continue
        target_store.put(source.path(digest), expected=digest)
        files += 1
    return files


def _sqlite_file(settings: Settings) -> Path:
    return Path(str(make_url(settings.database_url).database))
