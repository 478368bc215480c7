"""``wheelfarm request``, ``rebuild``, ``remove``: which wheels people want, and which not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from packaging.utils import NormalizedName

from master import abi, audit, operate, requests, wishes
from master.cli.farm import writing
from master.cli.steering import dry_run, tell
from schema import names
from schema.db.models import Build
from schema.door import Door, Group, Release, answer, answer_json, as_json, for_platform, pass_door, release
from schema.errors import UsageError
from schema.platforms import Platform
from schema.states import BuildPolicy

Command = TypeVar("Command", bound=Callable[..., Any])


def from_files(*, required: bool) -> Callable[[Command], Command]:
    """The option ``-r``, whose files ``wishes.read`` reads."""
    return click.option(
        "-r",
        "--requirement",
        "files",
        multiple=True,
        required=required,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A requirements file, wish list (TOML) or pylock.toml; may be given several times.",
    )


@click.command()
@click.argument("requirements", nargs=-1, metavar="NAME[==VERSION]...")
@from_files(required=False)
@for_platform
@click.option(
    "--build",
    "policy",
    type=click.Choice([item.value for item in BuildPolicy]),
    help="Build where the upstream has no usable wheel (missing), or in any case (always); else as farm.build says.",
)
@as_json
@pass_door
def request(
    door: Door,
    *,
    requirements: tuple[str, ...],
    files: tuple[Path, ...],
    platform: Platform | None,
    policy: str | None,
    as_json: bool,
) -> None:
    """Ask for projects, and for all that their wheels need."""
    settings = door.settings
    named = (platform,) if platform else ()
    wanted = [wishes.Wish(requirement=names.requirement(text)) for text in requirements]
    for file in files:
        wanted += wishes.read(file, platforms=named or settings.farm.platforms)
    if not wanted:
        raise UsageError("nothing to request", advice="name a project, or a requirements file with -r")
    who = audit.person()
    with writing(settings) as session:
        for item in wanted:
            requests.add(
                session,
                item.requirement,
                platforms=named or item.platforms,
                farm_platforms=settings.farm.platforms,
                policy=BuildPolicy(policy) if policy else item.build or settings.farm.build,
                dependencies=item.dependencies or settings.farm.build,
            )
            audit.note(
                session,
                who=who,
                action="request",
                subject=f"project {names.project_name(item.requirement.name)}",
                after={"requirement": str(item.requirement), "platforms": [str(each) for each in named]},
            )
    told = [str(item.requirement) for item in wanted]
    answer_json({"requested": told}) if as_json else answer(
        f"requested {', '.join(told)}; wheelfarm why NAME tells more"
    )


@click.command()
@click.argument("name_version", metavar="[NAME==VERSION]", type=release, required=False)
@click.option(
    "--because-of",
    metavar="NAME==VERSION",
    type=release,
    help="Instead: every published build that was made with an older release of NAME.",
)
@for_platform
@dry_run
@as_json
@pass_door
def rebuild(
    door: Door,
    *,
    name_version: Release | None,
    because_of: Release | None,
    platform: Platform | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build a published release again, under the next build number; or all that was built with an older release."""
    if (name_version is None) == (because_of is None):
        raise UsageError("what is to be built again?", advice="name either a release, or one with --because-of")
    name, version = name_version or because_of or ("", None)
    if version is None:
        raise UsageError(f"which version of {name}?", advice=f"write {name}==VERSION")
    if because_of is not None:
        cause = abi.Release(name=because_of[0], version=version, series=False)
        _rebuild_dependents(door, cause, platform, dry_run=dry_run, as_json=as_json)
        return
    with writing(door.settings, keep=not dry_run) as session:
        found = operate.rebuild(session, NormalizedName(name), version, platform, who=audit.person())
        tell(found, as_json=as_json, dry_run=dry_run)


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


@click.command()
@click.argument("name_version", metavar="NAME[==VERSION]", type=release)
@click.option("--reason", default="an operator removed it", show_default=True, help="Shown to whoever asks why.")
@dry_run
@as_json
@pass_door
def remove(door: Door, *, name_version: Release, reason: str, dry_run: bool, as_json: bool) -> None:
    """Take wheels off the index for good.

    Their file names stay taken: nobody will ever get other bytes under them.
    """
    name, version = name_version
    with writing(door.settings, keep=not dry_run) as session:
        found = operate.remove(session, name, version, who=audit.person(), reason=reason)
        removed = [wheel.filename for wheel in found]
    said = "would remove" if dry_run else "removed"
    answer_json({"removed": removed}) if as_json else answer("\n".join(f"{said} {item}" for item in removed))


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    for command in (request, rebuild, remove):
        group.add_command(command)
