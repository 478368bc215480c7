"""``wheelfarm coverage`` and ``lock``: what of a requirements file needs no compiler, and which wheels to install."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import click

from master import lock_text, wishes
from master.cli.changes import from_files
from master.cli.farm import database, reading
from master.coverage import Covered, is_enough, summary
from master.coverage import coverage as covered
from master.lock import lock as locked
from master.lock_file import is_lock_file
from master.lock_text import Indexes
from master.sources import Sources
from master.store import Store, write_atomically
from master.upstream import Upstream
from schema.door import Door, Group, answer, answer_json, as_json, columns, for_platform, pass_door, progress
from schema.errors import UsageError
from schema.platforms import Platform
from schema.settings import Settings

# It is written into a file in which a space would begin another option.
_PLAIN = re.compile(r"[!-~]+")


@click.command()
@from_files(required=True)
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
        lines = [(item.requirement, item.version, item.status, _sentence(item)) for item in found]
        answer(columns(("REQUIREMENT", "VERSION", "STATUS", "WHEEL, OR WHY NOT"), lines))
        answer(f"\n{summary(found)}")
    return 0 if is_enough(found) else 1


def _sentence(item: Covered) -> str:
    return f"{item.sentence} {item.older} has a wheel." if item.older else item.sentence


@click.command()
@from_files(required=True)
@for_platform
@click.option(
    "--index-url",
    metavar="URL",
    default="",
    help="Where the wheels come from that the farm has not; it is named in what is written. Else the farm's upstream.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["requirements", "pylock"]),
    default="requirements",
    show_default=True,
    help="A requirements file with hashes, or a lock file (PEP 751).",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write there; else to standard output."
)
@pass_door
def lock(
    door: Door,
    *,
    files: tuple[Path, ...],
    platform: Platform | None,
    index_url: str,
    form: str,
    output: Path | None,
) -> None:
    """Pin what the files name, and all that it needs, to wheels: the farm's first, else the upstream's.

    What is written installs with pip and with uv on that platform without a compiler. Exit 1, with nothing written,
    where a wheel is missing, and say why.
    """
    _refuse_misnamed(output, form)
    settings = _with_upstream(door.settings, index_url)
    chosen = _chosen(platform, settings)
    wanted = wishes.on_platform(files, chosen)
    with database(settings, read_only=True) as opened, Upstream.from_settings(settings) as upstream:
        store, url = Store(settings.store), settings.public_url
        sources = Sources(opened, upstream, store, platform=chosen, public_url=url)
        found = locked(wanted, sources=sources, database=opened, settings=settings)
        indexes = Indexes(farm=f"{url}/{chosen.view}/simple/", upstream=upstream.index_url)
    for note in found.notes:
        progress(note)
    own = sum(pin.own for pin in found.pins)
    progress(f"{len(found.pins)} wheels: {own} of the farm, {len(found.pins) - own} of the upstream")
    _write(lock_text.pylock(found, indexes) if form == "pylock" else lock_text.requirements(found, indexes), output)


def _refuse_misnamed(output: Path | None, form: str) -> None:
    """Installers tell the two formats apart by the file's name."""
    if output is None:
        return
    named = "pylock" if is_lock_file(output) else "requirements"
    if named != form:
        which = "a name such as pylock.toml or pylock.web.toml" if form == "pylock" else "--format pylock"
        raise UsageError(f"{output}: pip and uv would not read it for what it is", advice=f"it takes {which}")


def _with_upstream(settings: Settings, index_url: str) -> Settings:
    if not index_url:
        return settings
    if urlsplit(index_url).scheme not in {"http", "https"} or not _PLAIN.fullmatch(index_url):
        raise UsageError(f"--index-url: not an http or https URL: {index_url!r}")
    return replace(settings, upstream=replace(settings.upstream, index_url=index_url))


def _write(text: str, output: Path | None) -> None:
    if output is None:
        answer(text.removesuffix("\n"))
        return
    try:
        write_atomically(output, text.encode())
    except OSError as err:
        raise UsageError(f"{output}: cannot be written: {err.strerror}") from err


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
    """Add these commands to *group*."""
    for command in (coverage, lock):
        group.add_command(command)
