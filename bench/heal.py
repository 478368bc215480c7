"""How many real source distributions turn green without a person: each from the plain image, then from memory.

``make bench-heal`` builds the projects below as a node does, with no recipe of people's, and prints for each what
healed it, in how many tries, and the time that failed tries took; then again from what worked. ``make bench-heal
NAMES="lxml pycups"``: only those. Sdists and build requirements come from the index that pip here is set to use.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from builder import build as building
from builder import images
from builder.log import Log
from builder.workshop import Workshop
from master.pages import Listed, Page
from master.upstream import Upstream
from schema.errors import JobError, NodeError
from schema.jobs import BuildJob, Limits, Sdist
from schema.names import Sha256
from schema.platforms import Platform
from schema.recipes import done
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
    """What came of one project; failure: its class and evidence, "" where a wheel came of it."""

    project: str
    version: str
    wall_s: float
    tries: tuple[Try, ...]
    remedies: tuple[Remedy, ...]
    failure: str = ""
    wheel: str = ""

    @property
    def lost_s(self) -> float:
        """What failed tries took."""
        return sum(item.seconds for item in self.tries if item.failure_class is not None)


def main(names: Sequence[str], out: Path | None) -> int:
    """Build them twice; 0 if the second run needed at most 1.1 tries a project that can be built."""
    settings = replace(load(), limits=_LIMITS)
    with tempfile.TemporaryDirectory(prefix="wf-heal-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        first = _run(names, {}, settings, folder / "first")
        _print("from the plain image", first)
        green = [row for row in first if row.wheel]
        memory = {row.project: row.remedies for row in green}
        second = _run([row.project for row in green], memory, settings, folder / "second")
        _print("again, from memory of what worked", second)
    if out is not None:
        out.write_text(json.dumps([[_plain(row) for row in rows] for rows in (first, second)], indent=1))
    return 0 if sum(len(row.tries) for row in second) <= 1.1 * len(second) else 1  # noqa: PLR2004 - the goal


def _run(names: Sequence[str], memory: dict[str, tuple[Remedy, ...]], settings: Settings, folder: Path) -> list[Row]:
    logs = Path(os.environ.get("WHEELFARM_HEAL_LOGS", folder / "logs"))
    logs.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.mkdir(mode=0o755, exist_ok=True)

    def build(number: int, name: str) -> Row:
        job = replace(_job(number, name, settings), known=memory.get(name, ()))
        shop = Workshop.from_settings(settings, uid=_FIRST_UID + number if os.geteuid() == 0 else None)
        return _build(name, job, replace(shop, workspace=folder), logs / f"{name}.log")

    with ThreadPoolExecutor(int(os.environ.get("WHEELFARM_HEAL_SLOTS", "2"))) as pool:
        return list(pool.map(build, range(len(names)), names))


def _build(name: str, job: BuildJob, shop: Workshop, log: Path) -> Row:
    started = time.monotonic()
    kept = Log(log, limit_bytes=job.limits.log_bytes)
    try:
        with building.build(job, shop, log=kept, on_step=lambda _: None, cancelled=threading.Event()) as built:
            came = Row(
                project=name,
                version=job.version,
                wall_s=time.monotonic() - started,
                tries=built.tries,
                remedies=built.remedies,
                wheel=built.facts.filename,
            )
    except (JobError, NodeError) as err:
        came = Row(
            project=name,
            version=job.version,
            wall_s=time.monotonic() - started,
            tries=getattr(err, "tries", ()),
            remedies=(),
            failure=f"{getattr(err, 'failure_class', 'node')}: {getattr(err, 'evidence', '') or err}",
        )
    print(f"  {_line(came)}", file=sys.stderr, flush=True)
    return came


def _job(number: int, name: str, settings: Settings) -> BuildJob:
    """The newest final release that is for the image's interpreter and has an sdist, as the master would send it."""
    project = canonicalize_name(name)
    with Upstream.from_settings(settings) as upstream:
        page = upstream.page(project)
    if not isinstance(page, Page):
        raise SystemExit(f"{name}: the index has no such project")
    platform = PLATFORM.format(arch=os.uname().machine)
    python = images.find(settings.images.folder, Platform.parse(platform).view).python
    released = [file for file in page.files if _fits(file, python)]
    file = max(released, key=lambda file: Version(file.version))
    sdist = Sdist(filename=file.filename, url=file.url, sha256=Sha256(file.sha256 or ""), uploaded_at=file.uploaded_at)
    return BuildJob(
        build_id=number,
        fence=1,
        project=project,
        version=str(Version(file.version)),
        platform=platform,
        sdist=sdist,
        limits=settings.limits,
    )


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
        key = " + ".join(dict.fromkeys(remedy.rung for remedy in row.remedies)) or "nothing needed"
        by_rung[key] = by_rung.get(key, 0) + 1
    print(f"  green {len(green)} of {len(rows)} ({100 * len(green) / max(len(rows), 1):.0f} %)")
    print("  by " + ", ".join(f"{key}: {many}" for key, many in sorted(by_rung.items(), key=lambda item: -item[1])))
    print(f"  {tries / max(len(green), 1):.2f} tries a green project; {lost:.0f} s in failed tries, of all projects")


def _line(row: Row) -> str:
    how = ", ".join(_short(remedy) for remedy in row.remedies) or ("plain" if row.wheel else "")
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
        "failure": row.failure,
        "wheel": row.wheel,
    }


if __name__ == "__main__":
    where = os.environ.get("WHEELFARM_HEAL_JSON")
    sys.exit(main(sys.argv[1:] or PROJECTS, Path(where) if where else None))
