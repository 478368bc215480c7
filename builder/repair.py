"""Repair a wheel that links against libraries of its image: auditwheel and patchelf, inside the sandbox (B-12, T11)."""

from __future__ import annotations

from pathlib import Path

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from builder import collecting
from builder.images import Image
from builder.plain import plain
from builder.room import Room
from builder.sandbox import Bind
from schema.jobs import BuildJob

_AT_MOST_S = 1800.0


def repair(room: Room, image: Image, wheel: Path, *, job: BuildJob, epoch: int) -> tuple[Path, str]:
    """Return the wheel to go on with, and one line about it for people.

    A pure wheel stays as it is. So does one that auditwheel cannot repair: it keeps its ``linux_*`` tag, which promises
    nothing beyond this platform.
    """
    _, _, _, tags = parse_wheel_filename(wheel.name)
    if all(tag.platform == "any" for tag in tags):
        return wheel, "pure Python"
    out = room.folder.make("repaired")
    inside = f"/wheel/{wheel.name}"
    answer = room.run(
        "repair",
        {"wheel": inside, "out": "/out"},
        image=image,
        binds=[Bind(source=wheel, target=inside), Bind(source=out, target="/out", writable=True)],
        environment={"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"},
        at_most_s=_AT_MOST_S,
    )
    if answer.data.get("exit_code") != 0:
        return wheel, f"not repaired: {_last_line(answer.output)}"
    into = room.kept / "repaired"
    into.mkdir()
    repaired = collecting.wheel(
        out, project=job.project, version=Version(job.version), max_bytes=job.limits.wheel_bytes, into=into
    )
    return repaired, repaired.name.removesuffix(".whl").rpartition("-")[2]


def _last_line(output: str) -> str:
    lines = [line for line in map(plain, output.splitlines()) if line]
    return lines[-1] if lines else "auditwheel gave no reason"
