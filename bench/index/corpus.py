"""A farm's index of any size: real wheels in a store, their rows, and the site that the master renders of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename
from sqlalchemy import Engine, insert, select

from master.site import Site
from master.store import Store
from schema.db import migrate
from schema.db.models import Project, Wheel
from schema.db.session import engine, transaction
from schema.names import Sha256, sha256_of
from schema.platforms import Platform
from schema.states import BuildState
from tests import rows
from tests.published import metadata_of, wheel_file

PLATFORM = Platform.parse(rows.PLATFORM)
SMALL, HEAVY, SIZED = "project-0001", "heavy", "sized"
PER_PROJECT = 10
IN_HEAVY = 2000
WHEEL_100_KB, WHEEL_20_MB = "sized-1.0-py3-none-any.whl", "sized-2.0-py3-none-any.whl"
_SIZES = {"1.0": 100_000, "2.0": 20_000_000}
_AT_ONCE = 2000
_LONG_AGO = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What was made below *folder*.

    flat: all wheels in one folder; by_project: a folder of wheels for each project; both are links to the store's files
    """

    folder: Path
    database: Engine
    store: Store
    site: Site

    @property
    def flat(self) -> Path:
        """All wheels in one folder."""
        return self.folder / "flat"

    @property
    def by_project(self) -> Path:
        """A folder for each project."""
        return self.folder / "by-project"

    @property
    def settings_file(self) -> Path:
        """The settings of a farm that has all this."""
        return self.folder / "farm.toml"


def make(folder: Path, *, files: int) -> Corpus:
    """Make about *files* wheels: ten of each project, a tenth or 2,000 of one, two large ones; render all."""
    source = folder / "wheels"
    source.mkdir(parents=True)
    database = engine(f"sqlite:///{folder / 'farm.sqlite'}")
    migrate.upgrade(database)
    store = Store(folder / "store")
    made = Corpus(
        folder=folder,
        database=database,
        store=store,
        site=Site(folder / "site", store, "http://127.0.0.1", [PLATFORM]),
    )
    made.settings_file.write_text(f'[farm]\nhome = "{folder}"\nplatforms = ["{PLATFORM}"]\n[watch]\ndemand = false\n')
    wheels = _wheels(source, files)
    with _not_waiting_for_the_disk():
        while batch := list(islice(wheels, _AT_ONCE)):
            _add(made, batch)
        with transaction(database) as session:
            made.site.rebuild(session)
    return made


@contextmanager
def _not_waiting_for_the_disk() -> Iterator[None]:
    """Nobody keeps this corpus; a farm waits for its disk at each wheel and page."""
    fsync = os.fsync
    os.fsync = lambda _: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = fsync


def _wheels(source: Path, files: int) -> Iterator[Path]:
    in_heavy = min(IN_HEAVY, files // PER_PROJECT)
    for number in range((files - in_heavy) // PER_PROJECT):
        for minor in range(PER_PROJECT):
            yield wheel_file(source, f"project-{number:04}", f"1.{minor}", requires_python=">=3.8")
    for number in range(in_heavy):
        yield wheel_file(source, HEAVY, f"{number // 100}.{number % 100}", requires_python=">=3.8")
    for version, size_bytes in _SIZES.items():
        yield wheel_file(source, SIZED, version, padding_bytes=size_bytes)


def _add(made: Corpus, wheels: list[Path]) -> None:
    """Put them into store and folders without waiting for the disk, and add the rows that publishing leaves."""
    by_name: dict[str, list[Path]] = {}
    for wheel in wheels:
        by_name.setdefault(canonicalize_name(parse_wheel_filename(wheel.name)[0]), []).append(wheel)
    with transaction(made.database) as session:
        for name, of_name in by_name.items():
            project = session.scalar(select(Project).where(Project.name == name)) or rows.project(session, name)
            build = rows.build(session, project, version=of_name[0].name.split("-")[1], state=BuildState.PUBLISHED)
            session.execute(insert(Wheel), [_row(made, project.id, build.id, wheel) for wheel in of_name])


def _row(made: Corpus, project_id: int, build_id: int, wheel: Path) -> dict[str, object]:
    _, version, _, tags = parse_wheel_filename(wheel.name)
    metadata, provenance = metadata_of(wheel), json.dumps({"version": 1, "of": wheel.name}).encode()
    folder = made.by_project / wheel.name.partition("-")[0].replace("_", "-")
    digest, size_bytes = sha256_of(wheel), wheel.stat().st_size
    for place in (made.flat / wheel.name, folder / wheel.name, made.store.path(digest)):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(wheel)
    wheel.unlink()
    return {
        "filename": wheel.name,
        "project_id": project_id,
        "build_id": build_id,
        "version": str(version),
        "tags": " ".join(sorted(map(str, tags))),
        "sha256": digest,
        "size_bytes": size_bytes,
        "metadata_sha256": _stored(made.store, metadata),
        "provenance_sha256": _stored(made.store, provenance),
        "requires_python": ">=3.8",
        "published_at": _LONG_AGO,
    }


def _stored(store: Store, data: bytes) -> Sha256:
    digest = Sha256(hashlib.sha256(data).hexdigest())
    if digest not in store:
        store.path(digest).parent.mkdir(parents=True, exist_ok=True)
        store.path(digest).write_bytes(data)
    return digest
