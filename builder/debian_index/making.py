"""Make the index of an image's suite: one SQLite file beside the image, whole or not there at all."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from builder import apt, images, process
from builder.bootstrap import Progress
from builder.debian_index import archive, depends
from builder.images import Image
from schema.errors import ImageError, LimitExceededError, NodeError
from schema.platforms import DEBIAN_ARCHITECTURES
from schema.states import FailureClass
from schema.wheels import machines

# A suite that is out changes at a point release, every two months or so; its security updates bring no new files.
FRESH = timedelta(days=7)
# An archive that does not answer keeps each who asks it waiting; so builds do not ask it each.
_PAUSE = timedelta(hours=1)
_FORMAT = "2"
# Farms of different versions on one machine keep theirs apart.
_NAME = f"debian-index-{_FORMAT}.sqlite"
_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE package (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    version TEXT, -- NULL: it is in no list of packages, so it cannot be installed
    popularity INTEGER NOT NULL DEFAULT 0, in_image INTEGER NOT NULL DEFAULT 0);
CREATE TABLE provides (name TEXT NOT NULL, package INTEGER NOT NULL, PRIMARY KEY (name, package)) WITHOUT ROWID;
CREATE TABLE file (kind TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, package INTEGER NOT NULL,
    PRIMARY KEY (kind, name, path, package)) WITHOUT ROWID;
CREATE TABLE source (name TEXT PRIMARY KEY, version TEXT NOT NULL, build_depends TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE binary_of (name TEXT PRIMARY KEY, source TEXT NOT NULL) WITHOUT ROWID;
"""


def make(
    image: Image, *, progress: Progress, fresh: timedelta = FRESH, cancelled: threading.Event | None = None
) -> Path:
    """The index of the image's suite, made anew if there is none or it is older than *fresh*.

    Where that fails and there is an older one, *progress* is told, and the older one serves.

    image: a base image, not a derived one
    Raise LimitExceededError (CANCELLED) once *cancelled* is set, ImageError if there is no index and none can be made.
    """
    if image.origin is not None:
        raise ImageError(f"no index of what Debian ships for {image.name}, which was imported")
    cancelled = cancelled or threading.Event()
    index = image.folder / _NAME
    if _is_fresh(index, fresh):
        return index
    try:
        with images.locked(image.folder, "debian-index", cancelled=cancelled):
            # Another process may have made it while we waited.
            if not _is_fresh(index, fresh):
                with images.unfinished(image.folder, "debian-index") as making:
                    making.chmod(0o755)
                    _make(making, image, progress, cancelled)
                    (making / _NAME).rename(index)
    except (NodeError, OSError, sqlite3.Error) as err:
        if cancelled.is_set():
            raise LimitExceededError("cancelled", failure_class=FailureClass.CANCELLED) from err
        if not _is_readable(known := about(index)):
            raise ImageError(
                f"no index of what {image.platform.distribution.title} packages: {err}",
                advice=f"look at the package sources in {image.folder}/apt/sources.list.d, and try again",
            ) from err
        progress(f"going on with the index of {known['made_at'][:10]}: {err}", None)
        # When it was tried last.
        with contextlib.suppress(OSError):
            os.utime(index)
        return index
    progress("done", 1.0)
    return index


def about(index: Path) -> dict[str, str]:
    """What is recorded of an index: when it was made, of which architecture, how many rows; empty if it is broken."""
    try:
        with contextlib.closing(sqlite3.connect(f"{index.as_uri()}?mode=ro", uri=True)) as database:
            return dict(database.execute("SELECT key, value FROM about"))
    except sqlite3.Error:
        return {}


def _is_fresh(index: Path, fresh: timedelta) -> bool:
    """Whether it will do: it is new, or a newer one could not be had a short while ago."""
    known, now = about(index), datetime.now(UTC)
    if not _is_readable(known):
        return False
    tried_at = datetime.fromtimestamp(index.stat().st_mtime, UTC)
    return now - datetime.fromisoformat(known["made_at"]) < fresh or now - tried_at < min(fresh, _PAUSE)


def _is_readable(known: dict[str, str]) -> bool:
    try:
        datetime.fromisoformat(known["made_at"])
    except (KeyError, ValueError):
        return False
    return known.get("format") == _FORMAT


def _make(making: Path, image: Image, progress: Progress, cancelled: threading.Event) -> None:
    progress("fetching the suite's lists of files and sources", 0.0)
    architecture, triplet = DEBIAN_ARCHITECTURES[image.platform.arch], machines.multiarch(image.platform.arch)
    suite = image.platform.distribution.suite
    found = apt.fetch_indexes(
        making, image.root, (architecture,), suite, sources=image.folder / "apt", cancelled=cancelled
    )
    with contextlib.closing(sqlite3.connect(making / _NAME)) as database:
        database.executescript(_TABLES)
        for number, file in enumerate(found["contents"]):
            progress("reading the lists of files", 0.2 + 0.5 * number / len(found["contents"]))
            with process.reading(apt.cat_file(file), cancelled=cancelled) as stream:
                files = archive.shipped(stream, triplet, _minor(image.python))
                database.executemany("INSERT OR IGNORE INTO file VALUES (?, ?, ?, ?)", _rows(files, database))
        progress("reading the list of sources", 0.7)
        popularity: Counter[str] = Counter()
        for file in found["sources"]:
            with process.reading(apt.cat_file(file), cancelled=cancelled) as stream:
                for source in archive.sources(stream):
                    _keep(source, database)
                    popularity.update(set(depends.names(source.build_depends)))
        progress("reading the list of packages", 0.9)
        shipping = {name for (name,) in database.execute("SELECT name FROM package")}
        stand_ins: dict[str, set[str]] = {}
        for file in found["packages"]:
            with process.reading(apt.cat_file(file), cancelled=cancelled) as stream:
                for binary in archive.binaries(stream):
                    _keep_binary(binary, database)
                    if binary.name in popularity and binary.name not in shipping:
                        stand_ins[binary.name] = set(depends.names(binary.depends))
        # libldap2-dev ships nothing: who asks for it wants the libldap-dev that it depends on.
        popularity.update({name: popularity[asked] for asked, names in stand_ins.items() for name in names})
        database.executemany(
            "UPDATE package SET popularity = ? WHERE name = ?", [(many, name) for name, many in popularity.items()]
        )
        database.executemany("UPDATE package SET in_image = 1 WHERE name = ?", [(name,) for name in image.packages])
        known = {
            "format": _FORMAT,
            "made_at": datetime.now(UTC).isoformat(),
            "suite": suite,
            "architecture": architecture,
            "triplet": triplet,
            "files": _count("file", database),
            "sources": _count("source", database),
        }
        database.executemany("INSERT INTO about VALUES (?, ?)", known.items())
        database.commit()


def _minor(version: str) -> str:
    """3.11 of 3.11.2."""
    return ".".join(version.split(".")[:2])


def _count(table: str, database: sqlite3.Connection) -> str:
    return str(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own names


def _rows(files: Iterable[archive.Shipped], database: sqlite3.Connection) -> Iterator[tuple[str, str, str, int]]:
    numbers: dict[str, int] = dict(database.execute("SELECT name, id FROM package"))
    for file in files:
        for package in file.packages:
            if package not in numbers:
                numbers[package] = len(numbers) + 1
                database.execute("INSERT INTO package (id, name) VALUES (?, ?)", (numbers[package], package))
            yield file.kind, file.name, file.path, numbers[package]


def _keep(source: archive.Source, database: sqlite3.Connection) -> None:
    """The last one counts: apt tells updates and security after the suite itself."""
    database.execute(
        "INSERT OR REPLACE INTO source VALUES (?, ?, ?)", (source.name, source.version, source.build_depends)
    )
    database.executemany(
        "INSERT OR REPLACE INTO binary_of VALUES (?, ?)", [(binary, source.name) for binary in source.binaries]
    )


def _keep_binary(binary: archive.Binary, database: sqlite3.Connection) -> None:
    database.execute(
        "INSERT INTO package (name, version) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET version = excluded.version",
        (binary.name, binary.version),
    )
    database.executemany(
        "INSERT OR IGNORE INTO provides SELECT ?, id FROM package WHERE name = ?",
        [(provided, binary.name) for provided in depends.names(binary.provides)],
    )
