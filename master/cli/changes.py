"""``wheelfarm request``, ``remove``: which wheels people want, and which not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from master import audit, operate, wishes
from master.cli.farm import writing
from master.cli.steering import dry_run
from schema import names
from schema.door import Door, Group, answer, answer_json, as_json, for_platform, pass_door
from schema.errors import UsageError
from schema.names import Release, release
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
            operate.request(
                session,
                item,
                platforms=named,
                policy=BuildPolicy(policy) if policy else None,
                farm=settings.farm,
                who=who,
            )
    told = [str(item.requirement) for item in wanted]
    answer_json({"requested": told}) if as_json else answer(
        f"requested {', '.join(told)}; wheelfarm why NAME tells more"
    )


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
    for command in (request, remove):
        group.add_command(command)
