"""Build each project as a node does, for ``bench.heal``."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from bench.heal.shelf import Shelf
from bench.heal.table import Row, line
from builder import build as building
from builder import images
from builder.log import Log
from builder.workshop import Workshop
from master.upstream import Upstream
from schema.errors import JobError, NodeError
from schema.jobs import BuildJob, Sdist
from schema.names import Sha256
from schema.platforms import Platform
from schema.recipe_files import rules_for
from schema.recipes import Rule, applicable, combined, remedies
from schema.settings import Settings
from schema.simple.read import Listed, Page

_PLATFORM = "debian12-{arch}-cp311"
_FIRST_UID = 64800


@dataclass(frozen=True, slots=True)
class Run:
    """One run over all projects; memory: what each was built with before."""

    settings: Settings
    folder: Path
    shelf: Shelf
    memory: Mapping[str, Row]

    def all(self, names: Sequence[str]) -> list[Row]:
        """Build each; afterwards those once more that required what was built only now, as a farm has them wait."""
        (self.folder / "logs").mkdir(mode=0o755, parents=True)
        with ThreadPoolExecutor(int(os.environ.get("WHEELFARM_HEAL_SLOTS", "2"))) as pool:
            rows = list(pool.map(self._one, range(len(names)), names))
            again = [(number, row) for number, row in enumerate(rows) if row.missing and self.shelf.wheels(row.missing)]
            for (number, _), row in zip(again, pool.map(lambda item: self._again(*item), again), strict=True):
                rows[number] = row
        return rows

    def _again(self, number: int, row: Row) -> Row:
        return self._one(number, row.project, needs=row.missing)

    def _one(self, number: int, name: str, *, needs: Sequence[str] = ()) -> Row:
        known = self.memory.get(name)
        first = self._build(number, name, known.version if known else None, known=known, needs=needs)
        if first.instead is None:
            return first
        other = self._build(number, name, first.instead, known=None, needs=needs)
        return replace(
            other,
            wall_s=first.wall_s + other.wall_s,
            tries=(*first.tries, *other.tries),
            instead=other.version,
        )

    def _build(self, number: int, name: str, version: str | None, *, known: Row | None, needs: Sequence[str]) -> Row:
        job, rules = job_of(number, name, version, self.settings)
        needs = known.needed if known else needs
        job = replace(job, known=known.remedies if known else (), wheels=self.shelf.wheels(needs) if needs else ())
        shop = Workshop.from_settings(self.settings, uid=_FIRST_UID + number if os.geteuid() == 0 else None)
        log = Log(self.folder / "logs" / f"{name}-{job.version}.log", limit_bytes=job.limits.log_bytes)
        started = time.monotonic()
        row = Row(project=name, version=job.version, needed=tuple(needs))
        try:
            with building.build(
                job,
                replace(shop, workspace=self.folder),
                log=log,
                on_step=lambda _: None,
                cancelled=threading.Event(),
            ) as built:
                row = replace(
                    row,
                    tries=built.tries,
                    remedies=built.remedies,
                    runtime_packages=built.runtime_packages,
                    portability=built.portability,
                    wheel=built.facts.filename,
                    repeated=self.shelf.compare(built.wheel),
                )
                self.shelf.add(built.wheel)
        except (JobError, NodeError) as err:
            row = replace(row, **_failure(err, job, rules, log))
        row = replace(row, wall_s=time.monotonic() - started)
        print(f"  {line(row)}", file=sys.stderr, flush=True)
        if logs := os.environ.get("WHEELFARM_HEAL_LOGS"):
            shutil.copyfile(log.path, Path(logs) / log.path.name)
        return row


def _failure(err: JobError | NodeError, job: BuildJob, rules: Sequence[Rule], log: Log) -> dict[str, Any]:
    if isinstance(err, NodeError):
        return {"failure": f"node: {err}"}
    holding = applicable(
        rules,
        version=Version(job.version),
        platform=Platform.parse(job.platform),
        failures=[(err.failure_class, log.tail(2**22))],
        today=datetime.now(UTC).date(),
    )
    return {
        "failure": f"{err.failure_class}: {err.evidence or err}",
        "tries": err.tries,
        "missing": err.missing,
        "instead": next((rule.build_instead for rule in holding if rule.build_instead), None),
    }


def job_of(
    number: int, name: str, version: str | None, settings: Settings, *, arch: str = ""
) -> tuple[BuildJob, tuple[Rule, ...]]:
    """The job that the master would send, and the rules of the project.

    version: None for the newest final release that is for the image's interpreter and has an sdist
    arch: "" for this machine's own
    """
    project = canonicalize_name(name)
    with Upstream.from_settings(settings) as upstream:
        page = upstream.page(project)
    if not isinstance(page, Page):
        raise SystemExit(f"{name}: the index has no such project")
    platform = Platform.parse(_PLATFORM.format(arch=arch or os.uname().machine))
    python = images.find(settings.images.folder, platform.view).python
    released = [file for file in page.files if _fits(file, python) and version in (None, str(Version(file.version)))]
    file = max(released, key=lambda file: Version(file.version))
    sdist = Sdist(filename=file.filename, url=file.url, sha256=Sha256(file.sha256 or ""), uploaded_at=file.uploaded_at)
    rules, today = rules_for(project), datetime.now(UTC).date()
    newest = Version(file.version)
    job = BuildJob(
        build_id=number,
        fence=1,
        project=project,
        version=str(newest),
        platform=str(platform),
        sdist=sdist,
        limits=settings.limits,
        recipe=combined(applicable(rules, version=newest, platform=platform, today=today)),
        remedies=remedies(rules, version=newest, platform=platform, today=today),
    )
    return job, rules


def _fits(file: Listed, python: str) -> bool:
    if file.kind != "sdist" or file.sha256 is None or file.yanked is not None or Version(file.version).is_prerelease:
        return False
    try:
        return SpecifierSet(file.requires_python or "").contains(python)
    except InvalidSpecifier:
        return True
