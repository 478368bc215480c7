"""Files that name what a farm is to have: wish lists (TOML), lock files (``pylock.toml``) and requirements files.

Those of ``watch.files`` are read at each start and once a day; what is gone from a file is no longer asked for.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from sqlalchemy import Engine, Select, func, select, text
from sqlalchemy.orm import Session

from master import lists, lock_file, marks, requests, unasked
from master.requirements_file import read_requirements
from schema import names
from schema.db.models import Mark, Request
from schema.db.session import now as clock
from schema.db.session import transaction
from schema.errors import FarmError, UsageError
from schema.platforms import Platform
from schema.printable import one_line
from schema.settings import Settings
from schema.states import BuildPolicy

log = logging.getLogger(__name__)

MARK = "files"

_AGAIN_S = 86_400.0
_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One line of a file.

    platforms: () for all that the farm builds for; build, dependencies: None where the farm's own policy counts
    """

    requirement: Requirement
    platforms: tuple[Platform, ...] = ()
    build: BuildPolicy | None = None
    dependencies: BuildPolicy | None = None


def read(file: Path, *, platforms: Sequence[Platform]) -> list[Wish]:
    """What a file of any of the three kinds names; its name tells which it is.

    platforms: those of the farm. Raise UsageError or SettingsError with the file and what is wrong in it.
    """
    if lock_file.is_lock_file(file):
        locked = lock_file.read(file, platforms=platforms)
        for note in locked.notes:
            log.warning("%s: left out: %s", file, note)
        return [Wish(requirement=pin, platforms=takers) for pin, takers in locked.pins]
    if file.suffix == ".toml":
        found = lists.load(file)
        return [
            Wish(requirement=item, platforms=found.platforms, build=found.build, dependencies=found.dependencies)
            for item in found.projects
        ]
    return [Wish(requirement=item) for item in read_requirements(file)]


def on_platform(files: Iterable[Path], platform: Platform) -> list[Requirement]:
    """What *files* ask for on one platform: markers are evaluated and gone, and each project is there once, in order.

    What several lines say of a project counts together, as it does for an installer. Raise what ``read`` raises.
    """
    found: dict[str, Requirement] = {}
    for file in files:
        for wish in read(file, platforms=[platform]):
            if wish.platforms and platform not in wish.platforms:
                continue
            if _applies(wish.requirement, platform, file):
                name = names.project_name(wish.requirement.name)
                joined = found.setdefault(name, Requirement(name))
                joined.specifier &= wish.requirement.specifier
                joined.extras |= wish.requirement.extras
    return list(found.values())


def _applies(requirement: Requirement, platform: Platform, file: Path) -> bool:
    try:
        return requirement.marker is None or requirement.marker.evaluate(dict(platform.marker_environment))
    except (UndefinedComparison, UndefinedEnvironmentName) as err:
        raise UsageError(
            f"{file}: {requirement.name}: the marker cannot be evaluated: {requirement.marker}",
            advice="compare versions with versions; extras and groups mean something in a lock file only",
        ) from err


class Files:
    """The files of ``watch.files``; ``turn`` reads them when it is time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._again_at = 0.0

    def turn(self, database: Engine) -> bool:
        """Read the files if that was not done since the start, or not for a day; say whether it was done.

        A file that cannot be read is told in the log and by the mark ``files``; what it named before stays wanted.
        """
        if time.monotonic() < self._again_at:
            return False
        with transaction(database) as session:
            now, before = clock(session), _names_before(session)
        by_name, troubles = self._read()
        for name, wishes in by_name.items():
            if wishes is not None:
                self._ask(database, name, wishes, now)
        for name in sorted(before - by_name.keys()):
            _withdraw(database, name, frozenset(), f"{name} is no longer one of watch.files", now)
        with transaction(database) as session:
            _keep_mark(session, sorted(by_name), troubles, now)
        self._again_at = time.monotonic() + _AGAIN_S
        return True

    def _read(self) -> tuple[dict[str, list[Wish] | None], list[str]]:
        """By file name: what is wished for, None where that cannot be told; and what is wrong."""
        found: dict[str, list[Wish] | None] = {}
        troubles: list[str] = []
        for file in self._settings.watch.files:
            try:
                wishes = read(file, platforms=self._settings.farm.platforms)
            except FarmError as err:
                log.error("watch.files: %s; what it named before stays wanted", err)  # noqa: TRY400 - says it all
                troubles.append(one_line(str(err), limit=300))
                found[file.name] = None
                continue
            known = found.setdefault(file.name, [])
            if known is not None:
                known += wishes
        return found, troubles

    def _ask(self, database: Engine, name: str, wishes: Sequence[Wish], now: datetime) -> None:
        there: set[int] = set()
        for start in range(0, len(wishes), _BATCH):
            with transaction(database) as session:
                for wish in wishes[start : start + _BATCH]:
                    there.update(self._requests(session, wish, name, now))
        _withdraw(database, name, frozenset(there), f"it is gone from {name}", now)

    def _requests(self, session: Session, wish: Wish, name: str, now: datetime) -> Iterator[int]:
        default = self._settings.farm.build
        try:
            found = requests.add(
                session,
                wish.requirement,
                platforms=wish.platforms,
                farm_platforms=self._settings.farm.platforms,
                policy=wish.build or default,
                dependencies=wish.dependencies or default,
                origin="list",
                because=name,
                now=now,
            )
        except FarmError as err:
            log.warning("%s: left out: %s", name, err)
            return
        session.flush()
        yield from (request.id for request in found)


def _withdraw(database: Engine, name: str, there: frozenset[int], why: str, now: datetime) -> None:
    """Take back what the file *name* asked for, except the requests *there*."""
    with transaction(database) as session:
        gone = [item for item in session.scalars(_listed(name)) if item not in there]
    for start in range(0, len(gone), _BATCH):
        with transaction(database) as session:
            batch = session.scalars(select(Request).where(Request.id.in_(gone[start : start + _BATCH]))).all()
            unasked.withdraw(session, batch, why=why, now=now)
    if gone:
        log.info("%s requests are taken back: %s", len(gone), why)


def counts(session: Session) -> dict[str, int]:
    """How many requests there are by list or file."""
    listed = select(Request.because, func.count()).where(text("origin = 'list'")).group_by(Request.because)
    return dict(session.execute(listed.order_by(Request.because)).all())


def _listed(name: str) -> Select[int]:
    # Written out, not bound: only so both databases see that the partial index has all of them.
    return select(Request.id).where(text("origin = 'list'"), Request.because == name)


def _names_before(session: Session) -> set[str]:
    mark = session.get(Mark, MARK)
    return set(json.loads(mark.cursor)) if mark is not None and mark.cursor else set()


def _keep_mark(session: Session, names: Sequence[str], troubles: Sequence[str], now: datetime) -> None:
    mark = marks.at(session, MARK)
    mark.cursor, mark.done, mark.total = json.dumps(list(names)), len(names) - len(troubles), len(names)
    mark.finished_at = now
    mark.note = "; ".join(troubles)
