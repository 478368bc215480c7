"""Repair a wheel that links against libraries of its image: auditwheel and patchelf, inside the sandbox (B-12, T11)."""

from __future__ import annotations

from pathlib import Path

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from builder import collecting, toolbox
from builder.images import Image
from builder.plain import plain
from builder.room import Room
from builder.rootfs import Root
from builder.sandbox import Bind
from schema.jobs import BuildJob
from schema.states import Bundle

_AT_MOST_S = 1800.0
# Of the libraries that are left out, which a hostile wheel may name as it likes.
_MOST_TOLD = 20


def repair(room: Room, image: Image, wheel: Path, *, bare: Image, job: BuildJob, epoch: int) -> tuple[Path, str]:
    """Return the wheel to go on with, and one line about it for people.

    A pure wheel stays as it is. One that auditwheel cannot repair, and one that goes on needing a library beyond the
    policies (``Bundle``), keeps its ``linux_*`` tag, which promises nothing beyond this platform.

    image: what it was built in; bare: what its users have
    """
    _, _, _, tags = parse_wheel_filename(wheel.name)
    if all(tag.platform == "any" for tag in tags):
        return wheel, "pure Python"
    if not toolbox.repairs(image.platform):
        return wheel, f"not repaired: auditwheel knows no {image.platform.arch}"
    out = room.folder.make("repaired")
    inside = f"/wheel/{wheel.name}"
    bundle = job.recipe.bundle or Bundle.ALWAYS
    answer = room.run(
        "repair",
        {
            "wheel": inside,
            "out": "/out",
            "bundle": bundle,
            "there": sorted(_libraries(bare)) if bundle is Bundle.WHEN_MISSING else [],
        },
        image=image,
        binds=[Bind(source=wheel, target=inside), Bind(source=out, target="/out", writable=True)],
        environment={"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"},
        at_most_s=_AT_MOST_S,
    )
    left = [plain(str(name)) for name in answer.data.get("left") or ()][:_MOST_TOLD]
    exit_code = answer.data.get("exit_code", 1)
    if exit_code is None:
        return wheel, f"nothing bundled ({bundle}): it needs {', '.join(left)}"
    if exit_code != 0:
        return wheel, f"not repaired: {_last_line(answer.output)}"
    into = room.kept / "repaired"
    into.mkdir()
    repaired = collecting.wheel(
        out, project=job.project, version=Version(job.version), max_bytes=job.limits.wheel_bytes, into=into
    )
    tag = repaired.name.removesuffix(".whl").rpartition("-")[2]
    return repaired, f"{tag}; not bundled ({bundle}): {', '.join(left)}" if left else tag


def _libraries(image: Image) -> set[str]:
    """The shared libraries that its dynamic linker finds by name."""
    with Root(image.root) as root:
        folders = [
            folder
            for top in ("lib", "usr/lib")
            for folder in (top, *(f"{top}/{name}" for name in root.names(top) if "-linux-gnu" in name))
        ]
        return {name for folder in folders for name in root.names(folder) if ".so" in name}


def _last_line(output: str) -> str:
    lines = [line for line in map(plain, output.splitlines()) if line]
    return lines[-1] if lines else "auditwheel gave no reason"
