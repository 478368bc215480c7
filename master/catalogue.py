"""What the upstream has, as rows: a page is compared with them, and only what differs is touched.

Bad news is believed slowly (R15): a file that is missing is hidden at once, which can be undone; it is taken for
removed when an event told of a change, and a second look, ten minutes later or more, misses it too. An empty page
after a full one is a fault.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from packaging.version import Version
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from master import builds, undecided
from master.withdraw import withdraw
from schema.db.models import Build, Project, UpstreamFile, Wheel
from schema.errors import UpstreamError
from schema.names import Sha256
from schema.simple.read import File, Listed, Page
from schema.states import BuildState

log = logging.getLogger(__name__)

CONFIRMED_AFTER = timedelta(minutes=10)

_MAY_BE_LIFTED = frozenset({"yanked", "requires_python"})

# What a row repeats of the page; kind and version follow from the file's name.
_COLUMNS = ("url", "sha256", "size_bytes", "requires_python", "metadata_sha256", "yanked", "uploaded_at")


def take(session: Session, project: Project, page: Page, now: datetime) -> bool:
    """Bring the rows of *project* in line with *page*; say whether anything differs. Safe to repeat.

    Raise UpstreamError for an empty page where files were listed: the rows stay as they are.
    """
    rows = {row.filename: row for row in _rows(session, project)}
    quarantined = page.status == "quarantined"
    if not page.files and not quarantined and any(row.gone_at is None for row in rows.values()):
        raise UpstreamError(f"the page of {project.name} is empty, though {len(rows)} files were known")
    told = _told(project)
    changed = _set_status(project, page.status, page.status_reason)
    if not quarantined:  # whose page lists nothing, whatever the project has
        changed |= _take_files(session, project, rows, page, now, told=told)
    if page.skipped:
        log.debug("%s: %s entries of its page are no wheel or sdist of it", project.name, page.skipped)
    project.etag, project.last_modified = page.etag, page.last_modified
    project.serial = max(project.serial, page.serial, project.event_serial)
    _looked(project, now)
    return _settle(session, project, changed=changed)


def confirm(session: Session, project: Project, now: datetime) -> bool:
    """The page is what it was at the last look (304): a second look all the same."""
    _looked(project, now)
    return _settle(session, project, changed=_withdraw_gone(session, project, _rows(session, project), now))


def missing(session: Session, project: Project, now: datetime) -> bool:
    """The upstream has no such project (404): hidden at once, its files gone like any others (S-10)."""
    rows = _rows(session, project)
    told = _told(project)
    changed = _set_status(project, "missing", "")
    changed |= _hide(rows, now, told=told)
    project.serial = max(project.serial, project.event_serial)
    changed |= _withdraw_gone(session, project, rows, now)
    project.etag = project.last_modified = ""
    _looked(project, now)
    return _settle(session, project, changed=changed)


def unconfirmed(session: Session, project: Project, now: datetime) -> bool:
    """Whether a file went missing so lately that a second look must follow soon."""
    lately = exists().where(UpstreamFile.project_id == project.id, UpstreamFile.gone_at > now - CONFIRMED_AFTER)
    return bool(session.scalar(select(lately)))


def listed_files(session: Session, project: Project) -> list[File]:
    """What the upstream lists now, as pure values."""
    return [file_of(row) for row in _rows(session, project) if row.gone_at is None]


def file_of(row: UpstreamFile) -> File:
    """A row as the page said it."""
    return File(
        filename=row.filename,
        kind="wheel" if row.kind == "wheel" else "sdist",
        version=Version(row.version),
        url=row.url,
        sha256=Sha256(row.sha256) if row.sha256 else None,
        size_bytes=row.size_bytes,
        requires_python=row.requires_python,
        yanked=row.yanked,
        uploaded_at=row.uploaded_at,
        metadata_sha256=Sha256(row.metadata_sha256) if row.metadata_sha256 else None,
    )


def _rows(session: Session, project: Project) -> list[UpstreamFile]:
    return list(session.scalars(select(UpstreamFile).where(UpstreamFile.project_id == project.id)))


def _looked(project: Project, now: datetime) -> None:
    project.checked_at = now
    project.errors, project.error = 0, ""


def _set_status(project: Project, status: str, reason: str) -> bool:
    if (project.status, project.status_reason) == (status, reason):
        return False
    if project.status != status:
        log.info("%s: upstream says it is %s (it was %s)", project.name, status, project.status)
    project.status, project.status_reason = status, reason
    return True


def _told(project: Project) -> bool:
    """Whether an event spoke of a change since the last reading; where none ever did, the page itself must do (R15)."""
    return project.event_serial == 0 or project.event_serial > project.serial


def _hide(rows: Iterable[UpstreamFile], now: datetime, *, told: bool) -> bool:
    """Hide what is missing from the page; say whether that is news."""
    changed = False
    for row in rows:
        if row.gone_at is None:
            row.gone_at, row.gone_told, changed = now, told, True
        elif told and not row.gone_told:
            row.gone_told = True
    return changed


def _take_files(
    session: Session, project: Project, rows: dict[str, UpstreamFile], page: Page, now: datetime, *, told: bool
) -> bool:
    changed = False
    listed = {file.filename for file in page.files}
    for file in page.files:
        row = rows.get(file.filename)
        if row is None:
            session.add(_new_row(project, file, now))
            changed = True
        else:
            changed |= _update(session, row, file, now)
    unlisted = [row for row in rows.values() if row.filename not in listed]
    for row in unlisted:
        if row.gone_at is None:
            log.warning("%s: upstream no longer lists %s; it is hidden", project.name, row.filename)
    changed |= _hide(unlisted, now, told=told)
    return changed | _withdraw_gone(session, project, rows.values(), now)


def _new_row(project: Project, file: Listed, now: datetime) -> UpstreamFile:
    if file.kind == "sdist" and project.checked_at is not None:
        log.info("%s: new on the upstream: %s", project.name, file.filename)
    return UpstreamFile(project_id=project.id, seen_at=now, **file._asdict())


def _update(session: Session, row: UpstreamFile, file: Listed, now: datetime) -> bool:
    values = {column: getattr(file, column) for column in _COLUMNS}
    differing = {key: value for key, value in values.items() if getattr(row, key) != value}
    # An upstream that tells a digest, size or time in one answer and not in the next has not changed the file.
    differing = {key: value for key, value in differing.items() if value is not None or key in _MAY_BE_LIFTED}
    if row.gone_at is not None:
        differing |= {"gone_at": None, "gone_told": False}
    if row.sha256 and differing.get("sha256", row.sha256) != row.sha256:
        _replaced(session, row, now)
    if "yanked" in differing:
        log.info("%s is %s upstream", row.filename, "not yanked any more" if file.yanked is None else "yanked")
    for key, value in differing.items():
        setattr(row, key, value)
    return bool(differing.keys() - {"url"})


def _replaced(session: Session, row: UpstreamFile, now: datetime) -> None:
    """No honest index does that: what was built from the other bytes is not that release any more (T17)."""
    log.error("%s: upstream gives its name to other bytes; what was built from it is withdrawn", row.filename)
    for build in session.scalars(select(Build).where(Build.sdist_id == row.id)):
        withdraw(session, build, f"{row.filename} has other bytes now", now)


def _withdraw_gone(session: Session, project: Project, rows: Iterable[UpstreamFile], now: datetime) -> bool:
    """Withdraw what was built from files that two looks have missed, and of whose change an event told."""
    sure = {
        row.id: row
        for row in rows
        if row.gone_told and row.gone_at is not None and now - row.gone_at >= CONFIRMED_AFTER
    }
    if not sure:
        return False
    session.flush()
    found = select(Build).where(
        Build.project_id == project.id,
        Build.sdist_id.is_not(None),
        Build.state.not_in([BuildState.WITHDRAWN, BuildState.UNNEEDED]),
    )
    changed = False
    for build in session.scalars(found).all():
        if build.sdist_id in sure:
            changed |= withdraw(session, build, f"{sure[build.sdist_id].filename} is no longer listed", now)
    return changed


def _settle(session: Session, project: Project, *, changed: bool) -> bool:
    """What follows from a change: wheels take over yanks, requests are resolved again, pages are rendered again."""
    if changed:
        session.flush()
        _mirror_yanks(session, project)
        undecided.again(session, project.id)
        builds.touch_page(session, project.id)
    return changed


def _mirror_yanks(session: Session, project: Project) -> None:
    """A wheel is yanked exactly while the sdist that it was built from is (I-18)."""
    pairs = (
        select(Wheel, UpstreamFile.yanked)
        .join(Build, Wheel.build_id == Build.id)
        .join(UpstreamFile, Build.sdist_id == UpstreamFile.id)
        .where(Wheel.project_id == project.id)
    )
    for wheel, yanked in session.execute(pairs).all():
        if wheel.yanked != yanked:
            wheel.yanked = yanked
