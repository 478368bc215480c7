"""What a farm has to show after all that was done to it: page, database and store must agree, for each build once."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from sqlalchemy import func, select

from master.store import Store
from schema.attest import verify
from schema.db.models import Attempt, AuditEntry, Build, BuildCount, Project, Wheel
from schema.errors import TrustError
from schema.names import Sha256, sha256_of
from schema.states import OPEN_STATES, AttemptOutcome, BuildState
from tests.chaos.fleet import Fleet
from tests.chaos.sdists import MODULE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Counts; ``faulty`` says which of those are not what they must be.

    lost: builds without a published wheel; stuck: builds and attempts that are still under way
    orphans: files in the store that no row names (allowed); strays: files in the site that no row names
    poisoned wrongly, killers at large: a killer's build is poisoned after exactly two nodes
    miscounted: rows of ``BuildCount`` that are not the real counts
    trespasses, refused: what a node's user of Redis was let do, and was not; or a login where a stranger answers
    resumed, pardoned, host_keys: what an operator had to do for honest nodes and builds, and for machines set up anew
    caught: lies that were found out
    fell: processes that ended although nobody ended them (such as a master that found no Redis when it started)
    """

    builds: int = 0
    done: int = 0
    lost: int = 0
    published_twice: int = 0
    wrong_bytes: int = 0
    pages_wrong: int = 0
    unproven: int = 0
    strays: int = 0
    stuck: int = 0
    killers_at_large: int = 0
    miscounted: int = 0
    trespasses: int = 0
    orphans: int = 0
    killers: int = 0
    attempts: int = 0
    audit_rows: int = 0
    resumed: int = 0
    pardoned: int = 0
    host_keys: int = 0
    caught: int = 0
    refused: int = 0
    fell: int = 0

    @property
    def faulty(self) -> dict[str, int]:
        """What should be zero and is not."""
        served = ("lost", "published_twice", "wrong_bytes", "pages_wrong", "unproven", "strays")
        names = (*served, "stuck", "killers_at_large", "miscounted", "trespasses")
        return {name: count for name in names if (count := getattr(self, name))}

    def __add__(self, other: Self) -> Self:
        """The sum of two runs."""
        return type(self)(**{item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(self)})

    def __str__(self) -> str:
        """One line."""
        return ", ".join(f"{item.name.replace('_', ' ')} {getattr(self, item.name)}" for item in fields(self))


def ledger(fleet: Fleet) -> Ledger:
    """Read everything again from database, store and site of a farm that is quiet."""
    with fleet.reading() as session:
        builds = session.execute(
            select(Project.name, Build.id, Build.state, Build.platform).join(Build.project).order_by(Build.id)
        ).all()
        wheels = list(session.scalars(select(Wheel).where(Wheel.removed_at.is_(None))))
        projects = dict(session.execute(select(Wheel.filename, Project.name).join(Wheel.project)).all())
        counted = {(row.platform, row.state): row.builds for row in session.scalars(select(BuildCount)) if row.builds}
        attempts = Counter(session.scalars(select(Attempt.outcome)))
        audit_rows = session.scalar(select(func.count()).select_from(AuditEntry)) or 0
        lost_nodes = _lost_nodes(session)
    published = {name for name, _, state, _ in builds if state == BuildState.PUBLISHED}
    real = Counter((platform, str(state)) for _, _, state, platform in builds)
    store, site = Store(fleet.settings.store), fleet.settings.site
    named = {wheel.filename for wheel in wheels}
    poisoned = {name for name, _, state, _ in builds if state == BuildState.POISONED}
    return Ledger(
        builds=len(fleet.projects),
        done=len(published & set(fleet.projects)),
        lost=len(set(fleet.projects) - published),
        published_twice=sum(1 for count in Counter(projects.values()).values() if count > 1),
        wrong_bytes=sum(not _bytes_right(site / "files" / wheel.filename, wheel, store) for wheel in wheels),
        pages_wrong=sum(
            _listed(site, name) != {item.filename: item.sha256 for item in wheels if projects[item.filename] == name}
            for name in fleet.projects
        ),
        unproven=sum(not _proven(wheel, store, fleet) for wheel in wheels),
        strays=sum(
            file.name.removesuffix(".metadata").removesuffix(".provenance") not in named
            for file in (site / "files").iterdir()
        ),
        stuck=sum(state in OPEN_STATES for _, _, state, _ in builds) + attempts[AttemptOutcome.RUNNING],
        killers_at_large=sum(name not in poisoned or lost_nodes.get(name) != 2 for name in fleet.killers),
        miscounted=len(set(counted.items()) ^ set(real.items())) if counted else 0,
        orphans=len(set(store.digests()) - {digest for wheel in wheels for digest in _digests(wheel)}),
        killers=len(fleet.killers),
        attempts=sum(attempts.values()),
        audit_rows=audit_rows,
        trespasses=fleet.trespasses,
        resumed=sum(fleet.operator.resumed[name] for name in fleet.nodes),
        pardoned=fleet.operator.pardoned,
        host_keys=fleet.operator.host_keys,
        caught=fleet.caught,
        refused=fleet.refused,
        fell=sum(len(program.fell) for program in fleet.programs),
    )


def _lost_nodes(session: Any) -> dict[str, int]:
    rows = session.execute(
        select(Project.name, func.count(Attempt.node.distinct()))
        .select_from(Attempt)
        .join(Attempt.build)
        .join(Build.project)
        .where(Attempt.outcome == AttemptOutcome.LOST)
        .group_by(Project.name)
    )
    return dict(rows.all())


def _digests(wheel: Wheel) -> tuple[str, str, str]:
    return wheel.sha256, wheel.metadata_sha256, wheel.provenance_sha256


def _bytes_right(served: Path, wheel: Wheel, store: Store) -> bool:
    """What is served has the digest that the row says, in the store too, and is what the sdist makes."""
    stored = store.path(Sha256(wheel.sha256))
    if not served.is_file() or sha256_of(served) != wheel.sha256 or sha256_of(stored) != wheel.sha256:
        return False
    with zipfile.ZipFile(served) as archive:
        return archive.read(f"{wheel.filename.partition('-')[0]}.py") == MODULE.encode()


def _proven(wheel: Wheel, store: Store, fleet: Fleet) -> bool:
    """Whether a client could verify it."""
    try:
        provenance = json.loads(store.path(Sha256(wheel.provenance_sha256)).read_bytes())
        pem = (fleet.settings.authority / "authority.pem").read_text()
        verify.provenance(provenance, filename=wheel.filename, sha256=Sha256(wheel.sha256), authority_pem=pem)
    except (TrustError, OSError, ValueError):
        return False
    return True


def _listed(site: Path, name: str) -> dict[str, str]:
    """What the project's page lists, in both of its forms."""
    folder = site / "simple" / name
    try:
        page = json.loads((folder / "index.json").read_text())
        html = (folder / "index.html").read_text()
    except (OSError, ValueError):
        return {}
    listed = {file["filename"]: file["hashes"]["sha256"] for file in page["files"]}
    return {file: sha256 for file, sha256 in listed.items() if f"{file}#sha256={sha256}" in html}
