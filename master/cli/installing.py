"""``wheelfarm coverage``: how much of what somebody wants to install needs no compiler."""

from __future__ import annotations

from pathlib import Path

import click

from master import wishes
from master.cli.farm import reading
from master.coverage import coverage as covered
from master.coverage import is_enough, summary
from schema.door import Door, Group, answer, answer_json, as_json, columns, for_platform, pass_door
from schema.errors import UsageError
from schema.platforms import Platform
from schema.settings import Settings

_files = click.option(
    "-r",
    "--requirement",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A requirements file, wish list (TOML) or pylock.toml; may be given several times.",
)


@click.command()
@_files
@for_platform
@as_json
@pass_door
def coverage(door: Door, *, files: tuple[Path, ...], platform: Platform | None, as_json: bool) -> int:
    """How much of what the files name can be installed from wheels, and why the rest cannot.

    Exit 0 if each requirement has a wheel, here or upstream, or a build that goes on by itself.
    """
    settings = door.settings
    chosen = _chosen(platform, settings)
    wanted = wishes.on_platform(files, chosen)
    with reading(settings) as session:
        found = covered(session, wanted, platform=chosen, settings=settings)
    if as_json:
        rows = [item.to_json() for item in found]
        answer_json({"platform": str(chosen), "summary": summary(found), "requirements": rows})
    else:
        rows_of_text = [(item.requirement, item.version, item.status, item.sentence) for item in found]
        answer(columns(("REQUIREMENT", "VERSION", "STATUS", "WHEEL, OR WHY NOT"), rows_of_text))
        answer(f"\n{summary(found)}")
    return 0 if is_enough(found) else 1


def _chosen(platform: Platform | None, settings: Settings) -> Platform:
    """The platform that was named, or the only one; raise UsageError for one that the farm does not build for."""
    known = settings.farm.platforms
    if platform is None and len(known) == 1:
        return known[0]
    if platform not in known:
        which = f"the farm does not build for {platform}" if platform else "for which platform?"
        raise UsageError(which, advice=f"--platform takes one of farm.platforms: {', '.join(map(str, known))}")
    return platform


def add_to(group: Group) -> None:
    """Add this command to *group*."""
    group.add_command(coverage)
