"""``wheelfarm rebuild``: build again, in the farm for its index, or on this machine to compare."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from packaging.utils import NormalizedName

from master import abi, audit, locally, operate, originals
from master.cli.farm import reading, writing
from master.cli.steering import dry_run, tell
from master.main_job import python
from master.originals import Original
from schema.db.models import Build
from schema.door import Door, Group, answer, answer_json, as_json, for_platform, pass_door
from schema.errors import NodeError, UsageError
from schema.names import Release, release
from schema.platforms import Platform


@click.command()
@click.argument("name_version", metavar="[NAME==VERSION]", type=release, required=False)
@click.option(
    "--because-of",
    metavar="NAME==VERSION",
    type=release,
    help="Instead: every published build that was made with an older release of NAME.",
)
@click.option(
    "--locally",
    "build",
    metavar="BUILD",
    help="Instead: repeat this build on this machine, and compare: its number in this farm, the address of its wheel in"
    " any farm (…/files/NAME.whl), or a downloaded wheel.",
)
@click.option("--compare", is_flag=True, help="Have the farm build the release once more only to compare.")
@click.option("--index", "index_url", metavar="URL", help="The farm that a downloaded wheel came from; else this one.")
@click.option(
    "--authority",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The certificate (PEM) of the authority of another farm; else that which it offers itself.",
)
@click.option("--into", type=click.Path(path_type=Path), help="A new folder to keep the repeated build in.")
@for_platform
@dry_run
@as_json
@pass_door
def rebuild(
    door: Door,
    *,
    name_version: Release | None,
    because_of: Release | None,
    build: str | None,
    compare: bool,
    index_url: str | None,
    authority: Path | None,
    into: Path | None,
    platform: Platform | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Build a published release again, under the next build number; or all that was built with an older release.

    With --compare the second wheel is never published; the verdict stands on the pages of both builds.

    With --locally nothing changes in any farm: this machine's node repeats the build from what its attestation says, in
    an image of its platform. Exit 0 if the wheels are identical or equivalent (see wheelfarm compare), else 1.
    """
    if sum(item is not None for item in (name_version, because_of, build)) != 1:
        raise UsageError(
            "what is to be built again?", advice="name a release, or one with --because-of, or a build with --locally"
        )
    if compare and name_version is None:
        raise UsageError("which release is to be compared?", advice="wheelfarm rebuild NAME==VERSION --compare")
    if build is not None:
        return _repeat(door, build, index_url=index_url, authority=authority, into=into, as_json=as_json)
    name, version = name_version or because_of or ("", None)
    if version is None:
        raise UsageError(f"which version of {name}?", advice=f"write {name}==VERSION")
    if because_of is not None:
        cause = abi.Release(name=because_of[0], version=version, series=False)
        _rebuild_dependents(door, cause, platform, dry_run=dry_run, as_json=as_json)
        return 0
    with writing(door.settings, keep=not dry_run) as session:
        again = operate.repeat if compare else operate.rebuild
        found = again(session, NormalizedName(name), version, platform, who=audit.person())
        tell(found, as_json=as_json, dry_run=dry_run)
    return 0


def _rebuild_dependents(
    door: Door, cause: abi.Release, platform: Platform | None, *, dry_run: bool, as_json: bool
) -> None:
    """Some in a transaction, so that the master is not held up for long."""
    used: dict[int, str] = {}
    told: list[Build] = []
    after: int | None = None
    who, where = audit.person(), str(platform) if platform else None
    with writing(door.settings) as session:
        abi.known(session, cause)
    while after != 0:
        with writing(door.settings) as session:
            batch, after = abi.dependents(session, cause, after=after or 0, platform=where)
            made = [item.build if dry_run else abi.again(session, item, cause, who=who) for item in batch]
        used |= {build.id: item.used for build, item in zip(made, batch, strict=True)}
        told += made
    if not dry_run:
        with writing(door.settings) as session:
            abi.settle(session, cause.name, where)
    said = "would be built again" if dry_run else "is queued"
    tell(told, as_json=as_json, shown=lambda build: f"{said}: built against {cause.name} {used[build.id]}")


def _repeat(
    door: Door, build: str, *, index_url: str | None, authority: Path | None, into: Path | None, as_json: bool
) -> int:
    def on_this_machine(job: Path, folder: Path) -> bytes:
        chosen = ["--settings", str(door.settings_file)] if door.settings_file else []
        command = python("builder.cli", *chosen, "build", str(job), "--into", str(folder), "--json")
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
        if done.returncode > 1:
            raise NodeError("this machine cannot build it; wheelfarm-node said why")
        return done.stdout

    with _folder(into) as folder:
        original = _original(door, build, index_url=index_url, authority=authority, folder=folder)
        found = locally.rebuild(original, settings=door.settings, into=folder, build=on_this_machine)
        answer_json(found.to_json()) if as_json else answer("\n".join(found.sentences))
    return 0 if found.is_the_same else 1


def _original(door: Door, build: str, *, index_url: str | None, authority: Path | None, folder: Path) -> Original:
    settings = door.settings
    if build.isascii() and build.isdigit():
        with reading(settings) as session:
            return originals.of_build(session, int(build), settings=settings, folder=folder)
    if build.startswith(("https://", "http://")):
        return originals.of_url(build, settings=settings, authority=authority, folder=folder)
    return originals.of_file(Path(build), settings=settings, index_url=index_url, authority=authority)


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    """The *chosen* one, which must be new, else one that is gone afterwards."""
    if chosen is None:
        with tempfile.TemporaryDirectory(prefix="wheelfarm-rebuild-") as name:
            yield Path(name)
        return
    try:
        chosen.mkdir(parents=True)
    except OSError as err:
        raise UsageError(f"{chosen}: cannot be made: {err.strerror}", advice="name a folder that is not there") from err
    yield chosen


def add_to(group: Group) -> None:
    """Add this command to *group*."""
    group.add_command(rebuild)
