"""How many real source distributions turn green without a person: each from the plain image, then from memory.

``make bench-heal`` builds the projects below as a node does, with the recipes that ship, and prints for each what
healed it, in how many tries, and the time that failed tries took; then again from what worked. ``make bench-heal
NAMES="lxml pycups"``: only those. Sdists and build requirements come from the index that pip here is set to use.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from builder import build as building
from builder import images
from builder.log import Log
from builder.workshop import Workshop
from master.pages import Listed, Page
from master.recipes import rules_for
from master.upstream import Upstream
from schema.errors import JobError, NodeError
from schema.jobs import BuildJob, FarmWheel, Limits, Sdist
from schema.names import Sha256, sha256_of
from schema.platforms import Platform
from schema.recipes import Rule, applicable, combined, done, remedies
from schema.remedies import Remedy, Try
from schema.settings import Settings, load

# What each lacks on a plain Debian was measured before the farm could heal anything; some lack nothing.
PROJECTS = (
    "pycurl", "psycopg2", "pycairo", "netifaces", "gssapi", "pycups", "kerberos", "pykerberos", "PyGObject",
    "libvirt-python", "pycrypto", "cffi", "cryptography", "lxml", "Pillow", "mysqlclient", "python-ldap", "pyodbc",
    "dbus-python", "pygraphviz", "h5py", "pyzmq", "greenlet", "uwsgi", "pysqlcipher3", "M2Crypto", "pyaudio",
    "RPi.GPIO", "smbus2", "spidev", "evdev", "numpy", "scikit-learn", "markupsafe", "pyyaml",
)  # fmt: skip
PLATFORM = "debian12-{arch}-cp311"
_FIRST_UID = 64800
_LIMITS = Limits(wall_s=3600.0, memory_bytes=6 * 2**30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one project.

    failure: its class and evidence, "" where a wheel came of it; missing: build requirements without a wheel
    needed: build requirements that it got from what was built here
    instead: the version to build instead, then that it was built instead
    """

    project: str
    version: str
    wall_s: float = 0.0
    tries: tuple[Try, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    runtime_packages: tuple[str, ...] = ()
    failure: str = ""
    missing: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    instead: str | None = None
    wheel: str = ""

    @property
    def lost_s(self) -> float:
        """What failed tries took."""
        return sum(item.seconds for item in self.tries if item.failure_class is not None)


def main(names: Sequence[str], out: Path | None) -> int:
    """Build them twice; 0 if the second run needed at most 1.1 tries a project that can be built."""
    settings = replace(load(), limits=_LIMITS)
    with tempfile.TemporaryDirectory(prefix="wf-heal-") as name, _serving(Path(name) / "wheels") as shelf:
        folder = Path(name)
        folder.chmod(0o755)
        first = _Run(settings, folder / "first", shelf, {}).all(names)
        _print("from the plain image", first)
        green = [row for row in first if row.wheel]
        memory = {row.project: row for row in green}
        second = _Run(settings, folder / "second", shelf, memory).all([row.project for row in green])
        _print("again, from memory of what worked", second)
    if out is not None:
        out.write_text(json.dumps([[_plain(row) for row in rows] for rows in (first, second)], indent=1))
    return 0 if sum(len(row.tries) for row in second) <= 1.1 * len(second) else 1  # noqa: PLR2004 - the goal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shelf:
    """The wheels that were built, where a build that requires one of them finds it, as on a farm."""

    folder: Path
    url: str

    def add(self, wheel: Path) -> None:
        shutil.copyfile(wheel, self.folder / wheel.name)

    def wheels(self, wanted: Sequence[str]) -> tuple[FarmWheel, ...]:
        """Those of the projects that these requirements name."""
        projects = {canonicalize_name(Requirement(text).name) for text in wanted}
        return tuple(
            FarmWheel(
                filename=path.name,
                url=f"{self.url}/{path.name}",
                sha256=sha256_of(path),
                size_bytes=path.stat().st_size,
            )
            for path in sorted(self.folder.iterdir())
            if parse_wheel_filename(path.name)[0] in projects
        )


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[_Shelf]:
    folder.mkdir(parents=True)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield _Shelf(folder=folder, url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@dataclass(frozen=True, slots=True)
class _Run:
    """One run over all projects; memory: what each was built with before."""

    settings: Settings
    folder: Path
    shelf: _Shelf
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
        job, rules = _job(number, name, version, self.settings)
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
                self.shelf.add(built.wheel)
                row = replace(row, tries=built.tries, remedies=built.remedies, wheel=built.facts.filename)
                row = replace(row, runtime_packages=built.runtime_packages)
        except (JobError, NodeError) as err:
            row = replace(row, **_failure(err, job, rules, log))
        row = replace(row, wall_s=time.monotonic() - started)
        print(f"  {_line(row)}", file=sys.stderr, flush=True)
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


def _job(number: int, name: str, version: str | None, settings: Settings) -> tuple[BuildJob, tuple[Rule, ...]]:
    """The job that the master would send, and the rules of the project.

    version: None for the newest final release that is for the image's interpreter and has an sdist
    """
    project = canonicalize_name(name)
    with Upstream.from_settings(settings) as upstream:
        page = upstream.page(project)
    if not isinstance(page, Page):
        raise SystemExit(f"{name}: the index has no such project")
    platform = Platform.parse(PLATFORM.format(arch=os.uname().machine))
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


def _print(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}:")
    for row in sorted(rows, key=lambda row: (not row.wheel, row.project.lower())):
        print(f"  {_line(row)}")
    green = [row for row in rows if row.wheel]
    tries, lost = sum(len(row.tries) for row in green), sum(row.lost_s for row in rows)
    by_rung: dict[str, int] = {}
    for row in green:
        rungs = [*(remedy.rung for remedy in row.remedies), *(["another version"] if row.instead else [])]
        key = " + ".join(dict.fromkeys(rungs)) or "nothing needed"
        by_rung[key] = by_rung.get(key, 0) + 1
    print(f"  green {len(green)} of {len(rows)} ({100 * len(green) / max(len(rows), 1):.0f} %)")
    print("  by " + ", ".join(f"{key}: {many}" for key, many in sorted(by_rung.items(), key=lambda item: -item[1])))
    print(f"  {tries / max(len(green), 1):.2f} tries a green project; {lost:.0f} s in failed tries, of all projects")


def _line(row: Row) -> str:
    how = ", ".join(_short(remedy) for remedy in row.remedies) or ("plain" if row.wheel else "")
    how += f"; needs {', '.join(row.runtime_packages)}" if row.runtime_packages else ""
    how += "; instead of the newest" if row.instead else ""
    end = how if row.wheel else f"NOT GREEN {row.failure[:110]}"
    return (
        f"{row.project:<16} {row.version:<10} {len(row.tries)} tries {row.wall_s:6.1f} s, {row.lost_s:6.1f} lost  {end}"
    )


def _short(remedy: Remedy) -> str:
    does = [str(getattr(remedy, name)) for name in done(remedy) if name != "debian_packages"]
    return f"{remedy.rung} {' '.join((*remedy.debian_packages, *does))}"


def _plain(row: Row) -> dict[str, object]:
    return {
        "project": row.project,
        "version": row.version,
        "wall_s": row.wall_s,
        "lost_s": row.lost_s,
        "tries": [item.to_json() for item in row.tries],
        "remedies": [remedy.to_json() for remedy in row.remedies],
        "runtime_packages": row.runtime_packages,
        "instead": row.instead,
        "failure": row.failure,
        "wheel": row.wheel,
    }


if __name__ == "__main__":
    where = os.environ.get("WHEELFARM_HEAL_JSON")
    sys.exit(main(sys.argv[1:] or PROJECTS, Path(where) if where else None))
