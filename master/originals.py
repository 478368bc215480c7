"""A wheel that is to be repeated, with what its farm's node and master signed about it: from this farm or any other."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from master.store import Store
from master.verify import home_of, verify
from schema import fields
from schema.attest.report import Report
from schema.db.models import Wheel
from schema.errors import StoreError, UpstreamError, UsageError, WheelRejectedError
from schema.names import Sha256
from schema.settings import Settings
from schema.transport import Transport
from schema.wheels import filename

_WITHIN_S = 900.0
_HTTP_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A wheel under its own name, who built it from what, and the address of its farm (with a slash at the end)."""

    wheel: Path
    report: Report
    home: str


def of_build(session: Session, number: int, *, settings: Settings, folder: Path) -> Original:
    """The wheel of a build of this farm, copied into *folder*; raise UsageError if it gave none that is served.

    Raise StoreError if its files cannot be read.
    """
    row = session.scalar(
        select(Wheel).where(Wheel.build_id == number, Wheel.removed_at.is_(None)).order_by(Wheel.filename).limit(1)
    )
    if row is None:
        raise UsageError(f"build {number} has no wheel", advice="wheelfarm builds lists the builds")
    store = Store(settings.store)
    wheel = folder / row.filename
    try:
        shutil.copyfile(store.path(Sha256(row.sha256)), wheel)
        shutil.copyfile(store.path(Sha256(row.provenance_sha256)), wheel.with_name(f"{wheel.name}.provenance"))
    except OSError as err:
        raise StoreError(f"{row.filename} cannot be copied out of the store: {err}", advice="wheelfarm scrub") from err
    report = verify(wheel, settings=settings, index_url=None, authority=None)
    return Original(wheel=wheel, report=report, home=home_of(settings.public_url))


def of_url(url: str, *, settings: Settings, authority: Path | None, folder: Path) -> Original:
    """The wheel at *url*, in the folder ``files/`` of any farm, fetched into *folder*.

    authority: as for ``verify``. Raise UsageError for another address, UpstreamError if it cannot be had, TrustError if
    nobody signed for it.
    """
    base, _, last = urlsplit(url).path.rpartition("/")
    name = _wheel_name(unquote(last))
    if not base.endswith("/files") or not name:
        raise UsageError(
            f"not the address of a farm's wheel: {url.rpartition('@')[2]!r}",
            advice="it ends with /files/NAME.whl, as pip -v shows",
        )
    home = urlsplit(url)._replace(path=base.removesuffix("files"), query="", fragment="").geturl()
    wheel = folder / name
    agent = f"wheelfarm/{version('wheelfarm')} (rebuild)"
    with Transport(home, user_agent=agent, timeout_s=_WITHIN_S) as farm, wheel.open("xb") as file:
        answer = farm.download(url, file.write, limit_bytes=settings.limits.wheel_bytes)
    if answer.status != _HTTP_OK:
        raise UpstreamError(f"{urlsplit(url).path}: the farm answers {answer.status}")
    return _checked(wheel, index_url=home, settings=settings, authority=authority)


def of_file(path: Path, *, settings: Settings, index_url: str | None, authority: Path | None) -> Original:
    """A downloaded wheel; index_url, authority: as for ``verify``. Raise UsageError if there is no such file."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}", advice="name a build by its number, or by its wheel")
    return _checked(path, index_url=index_url, settings=settings, authority=authority)


def _wheel_name(text: str) -> str:
    """It becomes the name of a file: "" unless it is a wheel's, and nothing else."""
    try:
        return filename.parse(fields.file_name(text)).text
    except (WheelRejectedError, ValueError):
        return ""


def _checked(wheel: Path, *, index_url: str | None, settings: Settings, authority: Path | None) -> Original:
    report = verify(wheel, settings=settings, index_url=index_url, authority=authority)
    return Original(wheel=wheel, report=report, home=home_of(index_url or settings.public_url))
