"""What a wheel needs is wanted too: the requirements of every published wheel, and of every upstream wheel that serves.

METADATA is fetched outside any transaction. Where it cannot be had, that build is tried again later; no other waits.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from sqlalchemy import Engine, or_, select
from sqlalchemy.orm import Session, joinedload

from master import plan, requests, undecided
from master.catalogue import listed_files
from master.resolve import built
from master.store import Store
from master.upstream import Upstream
from master.wheel_metadata import Needs, needs
from schema.db.models import Build, Project, Request, Wheel
from schema.db.session import now as clock
from schema.db.session import transaction
from schema.errors import StoreError, UpstreamError, UsageError
from schema.names import Sha256
from schema.platforms import Platform
from schema.printable import one_line
from schema.simple.read import File
from schema.states import BuildPolicy, BuildState

log = logging.getLogger(__name__)

_HAS_WHEEL = frozenset({BuildState.PUBLISHED, BuildState.UNNEEDED})
_SHORTEST_PAUSE_S = 10.0
_LONGEST_PAUSE_S = 3600.0
_UNREAD = "; what it needs is not known yet: "


def due(session: Session, now: datetime, *, limit: int = 50) -> list[int]:
    """Builds whose wheels are there, here or upstream, and whose requirements were not requested yet."""
    query = (
        select(Build.id)
        .where(
            Build.state.in_(_HAS_WHEEL),
            Build.followed_at.is_(None),
            or_(Build.not_before.is_(None), Build.not_before <= now),
        )
        .order_by(Build.not_before, Build.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def follow_due(database: Engine, upstream: Upstream, store: Store, *, limit: int = 20) -> int:
    """Follow the wheels that are due, *limit* at most; count those that could be followed."""
    with transaction(database) as session:
        found = due(session, clock(session), limit=limit)
    return sum(follow(database, build_id, upstream=upstream, store=store) for build_id in found)


def follow(database: Engine, build_id: int, *, upstream: Upstream, store: Store, now: datetime | None = None) -> bool:
    """Request what the wheel of that build needs on its platform; say whether that was possible.

    The policy is what the requests of the build say about dependencies. now: None for the database's clock
    """
    with transaction(database) as session:
        build = session.get_one(Build, build_id)
        source = _source(session, build)
        if not source.follows:  # the farm wants all that there is: what it needs is wanted already
            build.followed_at = now or clock(session)
            return True
    try:
        metadata = _metadata(source, upstream, store)
        needed = needs(metadata, source.platform.marker_environment, extras=source.extras)
    except (UpstreamError, StoreError) as err:
        with transaction(database) as session:
            _postpone(session, build_id, err, now or clock(session))
        return False
    with transaction(database) as session:
        build = session.get_one(Build, build_id)
        if build.followed_at is None and build.state == source.state:
            _request_all(session, build, needed, source.dependencies, now or clock(session))
            if build.state == BuildState.PUBLISHED:
                _spare_others(session, build)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where METADATA comes from: the store by its digest, or a wheel upstream; None and None: nowhere now."""

    state: str
    name: str
    platform: Platform
    extras: frozenset[str]
    dependencies: BuildPolicy
    stored: Sha256 | None
    file: File | None
    follows: bool = True


def _source(session: Session, build: Build) -> _Source:
    platform = Platform.parse(build.platform)
    asking = [request for request in _requests(session, build) if _asks_for(request, build)]
    stored = _own_metadata(session, build, platform)
    return _Source(
        state=build.state,
        name=f"{build.project.name} {build.version}",
        platform=platform,
        extras=frozenset[str]().union(*map(requests.extras_of, asking)),
        dependencies=requests.stronger(*(request.dependencies for request in asking)),
        stored=stored,
        file=None if stored else _upstream_wheel(session, build, platform),
        follows=not asking or any(map(requests.follows, asking)),
    )


def _requests(session: Session, build: Build) -> Sequence[Request]:
    return session.scalars(
        select(Request).where(Request.project_id == build.project_id, Request.platform.in_(["", build.platform]))
    ).all()


def _asks_for(request: Request, build: Build) -> bool:
    return SpecifierSet(request.specifier).contains(build.version, prereleases=True)


def _own_metadata(session: Session, build: Build, platform: Platform) -> Sha256 | None:
    """Of the build's own wheel, else of a farm's wheel of that version that serves the platform."""
    wheels = session.scalars(
        select(Wheel)
        .join(Build, Wheel.build_id == Build.id)
        .where(
            Wheel.project_id == build.project_id,
            Wheel.version == build.version,
            Wheel.removed_at.is_(None),
            Build.state == BuildState.PUBLISHED,
        )
        .order_by(Wheel.published_at)
    ).all()
    own = [wheel for wheel in wheels if wheel.build_id == build.id]
    serving = [wheel for wheel in wheels if plan.serves(built(wheel), platform)]
    return next((Sha256(wheel.metadata_sha256) for wheel in (*own, *serving)), None)


def _upstream_wheel(session: Session, build: Build, platform: Platform) -> File | None:
    files = [file for file in listed_files(session, build.project) if file.version == Version(build.version)]
    pin = SpecifierSet(f"==={build.version}")
    return plan.choose(files, specifier=pin, platform=platform).wheel


def _metadata(source: _Source, upstream: Upstream, store: Store) -> bytes:
    if source.stored is not None:
        try:
            return store.path(source.stored).read_bytes()
        except OSError as err:
            raise StoreError(f"METADATA of {source.name} cannot be read from the store: {err.strerror}") from err
    if source.file is None:
        raise UpstreamError(f"no wheel of {source.name} for {source.platform} is to be seen now")
    return upstream.metadata(source.file)


def _request_all(session: Session, build: Build, needed: Needs, policy: BuildPolicy, now: datetime) -> None:
    _learn_title(build.project, needed.title)
    because = f"{build.project.title} {build.version} needs it"
    for requirement in sorted(needed.requirements, key=lambda item: canonicalize_name(item.name)):  # one order of locks
        try:
            _request(session, build, requirement, policy=policy, because=because, now=now)
        except UsageError as err:
            log.warning("%s %s: a requirement is left out: %s", build.project.name, build.version, err)
    if needed.left_out:
        log.warning(
            "%s %s: requirements that no index can satisfy are left out: %s",
            build.project.name,
            build.version,
            "; ".join(text[:100] for text in needed.left_out[:5]),
        )
    build.followed_at, build.not_before = now, None
    build.reason = build.reason.partition(_UNREAD)[0]


def _spare_others(session: Session, build: Build) -> None:
    """Other platforms may be served by the new wheel (B-13): what is not begun there is decided again."""
    queued = session.scalar(
        select(Build.id)
        .where(
            Build.project_id == build.project_id,
            Build.version == build.version,
            Build.state.in_([BuildState.QUEUED, BuildState.WAITING]),
        )
        .limit(1)
    )
    if queued is not None:
        undecided.again(session, build.project_id)


def _request(
    session: Session, build: Build, requirement: Requirement, *, policy: BuildPolicy, because: str, now: datetime
) -> None:
    requests.add(
        session,
        requirement,
        platforms=[Platform.parse(build.platform)],
        policy=policy,
        dependencies=policy,
        origin="dependency",
        because=because,
        now=now,
    )


def _learn_title(project: Project, title: str) -> None:
    """METADATA spells the name as its project does; it is a spelling only, never another name."""
    if title != project.title and len(title) <= 255 and canonicalize_name(title) == project.name:  # noqa: PLR2004
        project.title = title


def _postpone(session: Session, build_id: int, err: UpstreamError | StoreError, now: datetime) -> None:
    """Try again after as long as it was tried already, but neither at once nor once in a blue moon."""
    build = session.get_one(Build, build_id, options=[joinedload(Build.project)])
    if build.followed_at is not None or build.state not in _HAS_WHEEL:
        return
    tried_s = (now - build.changed_at).total_seconds()
    asked_s = (err.retry_after_s if isinstance(err, UpstreamError) else None) or 0.0
    pause_s = max(min(max(tried_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S), asked_s)
    build.not_before = now + timedelta(seconds=pause_s * random.uniform(0.85, 1.15))  # noqa: S311 - spreads load only
    build.reason = f"{build.reason.partition(_UNREAD)[0]}{_UNREAD}{one_line(str(err))}"
    log.warning("what %s %s needs is not known yet: %s", build.project.name, build.version, err)
