"""The anatomies of published wheels: made when a wheel is published, or afterwards for those that have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from master.store import Store
from schema.db.models import Wheel, WheelAnatomy
from schema.db.session import transaction
from schema.errors import UsageError, WheelRejectedError
from schema.names import Sha256
from schema.wheels.anatomy import FORMAT, Anatomy
from schema.wheels.examine import examine

_ADVICE = "wheelfarm scrub looks after files that are damaged or lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What came of examining the wheels that had no anatomy; failed: file name → why."""

    wheels: int
    failed: dict[str, str]


def keep(session: Session, found: Anatomy) -> None:
    """Keep the anatomy of a wheel that has its row, in the place of one that is there."""
    session.merge(WheelAnatomy(filename=found.filename, format=FORMAT, found=found.to_json()))


def of_published(session: Session, store: Store, filename: str) -> dict[str, Any]:
    """The anatomy of a published wheel, as it was kept, else made now; raise UsageError if there is no such wheel."""
    wheel = session.get(Wheel, filename)
    if wheel is None or wheel.removed_at is not None:
        raise UsageError(
            f"neither a file nor a published wheel: {filename!r}",
            advice="the project's page lists its wheels; a wheel on this machine is named by its path",
        )
    kept = session.get(WheelAnatomy, filename)
    if kept is not None and kept.format == FORMAT:
        return dict(kept.found)
    try:
        return _examine(store, filename, Sha256(wheel.sha256)).to_json()
    except OSError as err:
        raise UsageError(f"{filename} cannot be read from the store: {err.strerror}", advice=_ADVICE) from err


def examine_missing(database: Engine, store: Store, *, tell: Callable[[str], object], page: int = 100) -> Examined:
    """Examine each published wheel that has no anatomy of this format, one after the other; may be broken off."""
    count, failed = 0, {}
    for filename, digest in _missing(database, page=page):
        try:
            found = _examine(store, filename, digest)
        except OSError as err:
            failed[filename] = f"cannot be read from the store: {err.strerror}"
        except WheelRejectedError as err:
            failed[filename] = str(err)
        else:
            with transaction(database) as session:
                keep(session, found)
            count += 1
        tell(f"{filename}: {failed.get(filename, 'examined')}")
    return Examined(wheels=count, failed=failed)


def _missing(database: Engine, *, page: int) -> Iterator[tuple[str, Sha256]]:
    """By name, a page of names at a time: no transaction stays open meanwhile."""
    after = ""
    while True:
        query = (
            select(Wheel.filename, Wheel.sha256)
            .outerjoin(WheelAnatomy, WheelAnatomy.filename == Wheel.filename)
            .where(Wheel.filename > after, Wheel.removed_at.is_(None))
            .where(func.coalesce(WheelAnatomy.format, 0) != FORMAT)
            .order_by(Wheel.filename)
            .limit(page)
        )
        with transaction(database) as session:
            found = [(filename, Sha256(digest)) for filename, digest in session.execute(query)]
        if not found:
            return
        yield from found
        after, _ = found[-1]


def _examine(store: Store, filename: str, digest: Sha256) -> Anatomy:
    return examine(store.path(digest), filename=filename, sha256=digest)
