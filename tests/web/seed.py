"""A farm in mid-work, for the tests of the pages: every state of a build, wheels, nodes, a log."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from master import failures
from schema.db.models import Build, HourCount, WheelAnatomy
from schema.names import Sha256
from schema.settings import Settings
from schema.wheels import anatomy
from schema.wheels.anatomy import (
    Anatomy,
    CompiledFile,
    GraftedLibrary,
    Hardening,
    Kind,
    Library,
    Licenses,
    MemberGroup,
    Place,
    Portability,
    Relro,
)
from schema.wheels.grafted import Package
from schema.wheels.symbols import Kept
from tests import entries
from tests.entries import ARM, HERE, ago, later

STEPS = ["fetch", "unpack", "requirements", "build", "repair", "check", "import", "sign"]


TRIES = [
    {"seconds": 12.5, "failure_class": "header", "evidence": "fatal error: ffi.h: No such file", "line": 18},
    {
        "seconds": 30.0,
        "added": [
            {"rung": "debian", "why": "the header ffi.h is missing: libffi-dev", "debian_packages": ["libffi-dev"]}
        ],
        "helped": True,
        "failure_class": "build",
        "evidence": "error: something else",
    },
    {"rung": "not a try"},
]


def steps(count: int, *, running: bool = False) -> list[dict[str, object]]:
    """The first *count* steps of an attempt that began five minutes ago; the last of them may still run."""
    made: list[dict[str, object]] = []
    for number, name in enumerate(STEPS[:count]):
        last = running and number == count - 1
        began = ago(seconds=300 - 10 * number).isoformat()
        seconds = None if last else 0.7 + 11.3 * number
        made.append({"name": name, "started_at": began, "seconds": seconds, "note": "3 files" if number == 2 else ""})
    return made


HEALTH = {"load": 2.4, "memory_free_bytes": 3_100_000_000, "temperature_c": 61.5, "throttled": 0, "clock_s": 0.2}
MATERIALS = [
    {"kind": "image", "name": "debian12-x86_64", "version": "2026-11-20", "sha256": entries.digest("image")},
    {"kind": "requirement", "name": "setuptools", "version": "82.0.1", "sha256": entries.digest("setuptools")},
    {"kind": "debian", "name": "libffi-dev", "version": "3.4.4-1", "sha256": None},
]
ENVIRONMENT = {"SOURCE_DATE_EPOCH": "1725000000", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
RESOURCES = {"wall_s": 83.2, "cpu_s": 140.9, "peak_memory_bytes": 412_000_000.0, "disk_bytes": 61_000_000.0}
USAGE = [
    {"at_s": at_s, "cpu_s": at_s * 1.7 - 0.4, "memory_bytes": 4_000_000 * (at_s if at_s < 70 else 140 - at_s)}
    for at_s in range(1, 84)
]
ANATOMY = Anatomy(
    filename="cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl",
    sha256=Sha256(entries.digest("cffi")),
    size_bytes=467_218,
    unpacked_bytes=1_480_000,
    members=44,
    portability=Portability(
        tags=("manylinux_2_34_x86_64",),
        arch="x86_64",
        policy="manylinux_2_17_x86_64",
        beyond=("manylinux_2_12: '_cffi_backend.cpython-311-x86_64-linux-gnu.so': needs GLIBC_2.14 of libc.so.6",),
        versions={"GLIBC": "2.14"},
    ),
    licenses=Licenses(expression="MIT", files=("LICENSE",)),
    grafted=(
        GraftedLibrary(
            name="libffi-1a2b3c4d.so.8.1.2",
            size_bytes=40_312,
            package="libffi8",
            version="3.4.4-1",
            licenses=("Expat",),
        ),
    ),
    packages=(Package(name="libffi8", version="3.4.4-1", path_sha256=entries.digest("libffi")),),
    files=(
        CompiledFile(
            name="_cffi_backend.cpython-311-x86_64-linux-gnu.so",
            size_bytes=1_068_000,
            kind=Kind.EXTENSION,
            libraries=(
                Library(name="libffi-1a2b3c4d.so.8.1.2", place=Place.WHEEL, versions={"LIBFFI_BASE": "8.0"}),
                Library(name="libc.so.6", place=Place.POLICY, versions={"GLIBC": "2.14"}),
            ),
            versions={"GLIBC": "2.14", "LIBFFI_BASE": "8.0"},
            rpath=("$ORIGIN/cffi.libs",),
            hardening=Hardening(
                pie=None,
                relro=Relro.FULL,
                bind_now=True,
                executable_stack=False,
                stack_protector=True,
                fortified=False,
            ),
            kept=Kept.NOTHING,
        ),
        CompiledFile(name="cffi/broken.so", size_bytes=4, kind=Kind.MALFORMED, fault="not an ELF header"),
    ),
    files_left_out=0,
    others=(MemberGroup(suffix=".py", files=20, size_bytes=371_000),),
)
LOG = "".join(f"[{number:4}] gcc -O2 -c src/part_{number}.c -o build/part_{number}.o\n" for number in range(1200))


def farm(session: Session, settings: Settings) -> dict[str, Build]:
    """Fill an empty database; the builds by state, and the published one of a rebuild by ``again``."""
    made: dict[str, Build] = {}
    entries.node(
        session,
        "pi4-a",
        facts={"kernel": "6.12.0", "memory": "group"},
        platforms=[HERE, ARM],
        slots=2,
        cores=4,
        memory_bytes=8_160_437_862,
        disk_free_bytes=21_474_836_480,
        health=HEALTH,
    )
    entries.node(session, "pi4-b", heard_at=ago(hours=3), platforms=[ARM])
    entries.node(session, "builder-of-many-names", state="draining", state_reason="gets a new disk")
    cffi = entries.project(session, "cffi")
    sdist = entries.sdist(session, cffi)
    entries.sdist(session, cffi, "1.17.0", yanked="broken on aarch64")
    for version in ("1.16.0", "1.15.1", "1.15.0"):
        entries.sdist(session, cffi, version)
    entries.request(session, cffi, origin="list", policy="always")
    entries.request(session, cffi, specifier=">=1.4.1", origin="dependency", because="PyNaCl 1.6.2 needs it")
    made["published"] = _published(
        session, settings, cffi_build=entries.build(session, cffi, state="published", sdist_id=sdist.id, fence=1)
    )
    reason = "build: src/c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory"
    made["failed"] = entries.build(
        session, cffi, platform=ARM, state="failed", reason=reason, sdist_id=sdist.id, fence=2
    )
    for fence in (1, 2):
        entries.attempt(
            session,
            made["failed"],
            fence=fence,
            node="pi4-b",
            outcome="failed",
            failure_class="build",
            message="the backend ended with exit code 1",
            evidence="src/c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory",
            line=18,
            tries=TRIES,
            finished_at=ago(minutes=4),
            steps=steps(4),
        )
        _log(settings, made["failed"], fence, LOG + "src/c/_cffi_backend.c:15:10: fatal error: ffi.h\n")
    older = entries.build(session, cffi, "1.17.0", platform=ARM, state="published", fence=1)
    entries.wheel(
        session,
        older,
        "cffi-1.17.0-cp311-cp311-manylinux_2_34_aarch64.whl",
        yanked="broken on aarch64",
        published_at=ago(days=5),
    )
    paramiko = entries.project(session, "paramiko", title="Paramiko")
    made["unneeded"] = entries.build(
        session,
        entries.project(session, "cryptography"),
        "46.0.3",
        state="unneeded",
        reason="upstream has cryptography-46.0.3-cp311-abi3-manylinux_2_34_x86_64.whl",
    )
    made["leased"] = entries.build(
        session,
        paramiko,
        "4.0.0",
        state="leased",
        sdist_id=entries.sdist(session, paramiko, "4.0.0").id,
        leased_to="pi4-a",
        leased_at=ago(minutes=5),
        lease_until=later(days=1),
        fence=1,
    )
    entries.attempt(session, made["leased"], node="pi4-a", steps=steps(4, running=True))
    _log(settings, made["leased"], 1, LOG)
    made["collecting"] = entries.build(session, paramiko, "3.5.1", state="collecting", leased_to="pi4-a", fence=1)
    made["queued"] = entries.build(session, entries.project(session, "pycurl"), "7.45.7")
    made["waiting"] = entries.build(
        session,
        entries.project(session, "pynacl", title="PyNaCl"),
        "1.6.2",
        state="waiting",
        reason="it needs cffi first",
    )
    made["held"] = entries.build(
        session, entries.project(session, "numpy"), "2.4.1", state="held", reason="a new .pth file: numpy-nspkg.pth"
    )
    made["poisoned"] = entries.build(session, entries.project(session, "forkbomb"), "1.0", state="poisoned", fence=2)
    for fence, node in ((1, "pi4-a"), (2, "pi4-b")):
        entries.attempt(
            session,
            made["poisoned"],
            fence=fence,
            node=node,
            outcome="lost",
            failure_class="lost",
            message="node went silent",
            finished_at=ago(hours=1),
        )
    made["withdrawn"] = entries.build(
        session, entries.project(session, "left-pad"), "1.0", state="withdrawn", reason="upstream deleted it"
    )
    entries.request(session, entries.project(session, "nosuchthing", status="missing"), resolved_at=None)
    click = entries.project(session, "click")
    pure = entries.build(session, click, "8.3.1", platform=ARM, state="published", fence=1)
    entries.wheel(
        session,
        pure,
        "click-8.3.1-py3-none-any.whl",
        size_bytes=108_274,
        published_at=ago(minutes=3),
        repeated=False,
        repeated_note="a build date stands in click/_date.py",
    )
    history(session)
    return made


def history(session: Session) -> None:
    """Two weeks of work behind the farm, with the failed builds sorted by their cause."""
    hour = ago().replace(minute=0, second=0, microsecond=0)
    for day in range(14):
        at = hour - timedelta(days=day)
        ended = {
            "built": 90 + 7 * day % 40,
            "header": 9,
            "build": 14 - day % 5,
            "library": 4,
            "timeout": 2,
            "memory": 1,
            "tests": 3,
        }
        ended["open"] = 40 + 17 * day % 60
        for what, builds in ended.items():
            session.add(HourCount(hour=at, platform=HERE, what=what, builds=builds))
    session.flush()
    failures.sort(session)


PORTABILITY = [
    {"image": "debian11-x86_64", "fate": "not claimed", "why": ""},
    {"image": "debian13-x86_64", "fate": "loads", "why": "cp313 is not what it is for"},
]


def _published(session: Session, settings: Settings, *, cffi_build: Build) -> Build:
    entries.attempt(
        session,
        cffi_build,
        node="pi4-a",
        outcome="built",
        finished_at=ago(minutes=3),
        steps=steps(8),
        materials=MATERIALS,
        environment=ENVIRONMENT,
        resources=RESOURCES,
        usage=USAGE,
    )
    _log(settings, cffi_build, 1, "a short log\n")
    made = entries.wheel(
        session,
        cffi_build,
        "cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl",
        repeated=True,
        requires_python=">=3.8",
        portability=PORTABILITY,
    )
    session.add(WheelAnatomy(filename=made.filename, format=anatomy.FORMAT, found=ANATOMY.to_json()))
    files = settings.site / "files"
    files.mkdir(parents=True, exist_ok=True)
    (files / made.filename).write_bytes(b"a wheel\n")
    metadata = (
        "Metadata-Version: 2.4\nName: cffi\nVersion: 1.17.1\nRequires-Dist: pycparser; os_name != 'nt'\n\nText.\n"
    )
    (files / f"{made.filename}.metadata").write_text(metadata, encoding="utf-8")
    return cffi_build


def _log(settings: Settings, build: Build, fence: int, text: str) -> None:
    file = settings.logs / str(build.id) / f"{fence}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
