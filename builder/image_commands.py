"""``wheelfarm-node image``: the images of a machine that builds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from builder import images
from builder.images import Image
from builder.images.tarball import Limits
from schema import names
from schema.door import Door, Group, answer, answer_json, as_json, columns, pass_door, progress
from schema.names import Sha256, sha256_of
from schema.platforms import Platform


@click.group(cls=Group)
def image() -> None:
    """The images that wheels are built in."""


@image.command("list")
@as_json
@pass_door
def list_images(door: Door, *, as_json: bool) -> None:
    """The images of this machine."""
    found = images.installed(door.settings.images.folder)
    if as_json:
        answer_json([_about(item) for item in found])
        return
    header = ("NAME", "PYTHON", "PACKAGES", "EMULATION", "DIGEST", "FOLDER")
    rows = [
        (item.name, item.python, len(item.packages), item.emulation or "", item.digest[:12], item.folder)
        for item in found
    ]
    answer(columns(header, rows))


def _about(image: Image) -> dict[str, object]:
    return {
        "name": image.name,
        "python": image.python,
        "packages": len(image.packages),
        "emulation": image.emulation,
        "origin": None if image.origin is None else asdict(image.origin),
        "interpreter": None if image.interpreter is None else asdict(image.interpreter),
        "digest": image.digest,
        "folder": str(image.folder),
    }


@image.command()
@click.argument("name")
@as_json
@pass_door
def make(door: Door, *, name: str, as_json: bool) -> None:
    """Make the image NAME, such as debian12-x86_64, unless it is there already.

    One whose architecture this machine does not run by itself is made for qemu (wheelfarm-node emulate), as
    images.emulation of farm.toml says.

    With --json each step is a line of its own: {"step": "...", "done": 0.4}.
    """
    settings = door.settings.images
    made = images.make(settings.folder, name, emulated=settings.emulation, progress=_tell_json if as_json else tell)
    _answer_made(made, as_json=as_json)


def _answer_made(made: Image, *, as_json: bool) -> None:
    answer(json.dumps(_about(made))) if as_json else answer(f"{made.name}: {made.folder} ({made.digest})")


def _tell_json(step: str, done: float | None) -> None:
    answer(json.dumps({"step": step, "done": done}))


@image.command("import")
@click.argument("name")
@click.argument("tarball", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--bare",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The tarball of a root to try wheels in, without compilers; else they are tried where they are built.",
)
@click.option(
    "--most-gib", type=click.IntRange(min=1), default=8, show_default=True, help="What may come out of a tarball."
)
@as_json
@pass_door
def import_image(door: Door, *, name: str, tarball: Path, bare: Path | None, most_gib: int, as_json: bool) -> None:
    """Take the root file system in TARBALL as the image NAME, such as debian12-x86_64.

    Of a machine, a container (docker export), or another farm (wheelfarm-node image export): a tar archive, plain or
    compressed by gzip, bzip2, xz or zstd. It is refused where it is not what NAME says, or nothing can be built in it.
    No Debian packages are added to such an image.
    """
    limits = Limits(most_bytes=most_gib * 2**30)
    made = images.adopt(
        door.settings.images.folder, name, tarball, bare=bare, limits=limits, progress=_tell_json if as_json else tell
    )
    _answer_made(made, as_json=as_json)


@image.command("add-python")
@click.argument("platform", type=Platform.parse)
@click.option(
    "--from",
    "tarball",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A relocatable CPython, or what its make install made, as a tar archive.",
)
@click.option("--sha256", type=names.sha256, help="What the tarball's sha256 must be.")
@as_json
@pass_door
def add_python(door: Door, *, platform: Platform, tarball: Path, sha256: Sha256 | None, as_json: bool) -> None:
    """Make the image of PLATFORM, such as debian12-x86_64-cp313, whose distribution has another Python than that.

    It is the distribution's own image, such as debian12-x86_64, and the interpreter in TARBALL: an install_only archive
    of python-build-standalone, or what make install of CPython made below any prefix. It is refused where it does not
    run there, or nothing can be built with it. The distribution's own image stays as it is.

    With --json each step is a line of its own: {"step": "...", "done": 0.4}.
    """
    made = images.add_python(
        door.settings.images.folder, platform, tarball, sha256=sha256, progress=_tell_json if as_json else tell
    )
    _answer_made(made, as_json=as_json)


@image.command("export")
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--bare", is_flag=True, help="The root that wheels are tried in, not the one that they are built in.")
@as_json
@pass_door
def export_image(door: Door, *, name: str, file: Path, bare: bool, as_json: bool) -> None:
    """Write the root of the image NAME to FILE, such as debian12-aarch64.tar.zst, for wheelfarm-node image import."""
    chosen = images.find(door.settings.images.folder, name)
    chosen = images.bare(chosen) if bare else chosen
    images.export(chosen, file, progress=tell)
    told = {"name": name, "file": str(file), "digest": chosen.digest, "sha256": sha256_of(file)}
    answer_json(told) if as_json else answer(f"{file} (sha256 {told['sha256']})")


@image.command("check")
@click.argument("name")
@as_json
@pass_door
def check_image(door: Door, *, name: str, as_json: bool) -> int:
    """Whether the image NAME is whole; exit 1 and what is wrong with it if not."""
    problems = images.check(images.find(door.settings.images.folder, name))
    answer_json({"name": name, "problems": problems}) if as_json else answer("\n".join(problems) or f"{name} is whole")
    return 1 if problems else 0


def tell(step: str, done: float | None = None) -> None:
    """What goes on, and how far it is, for a person."""
    progress(f"{'' if done is None else f'{done:4.0%} '}{step}")
