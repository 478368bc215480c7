"""``wheelfarm hold``, ``release``, ``cancel``, ``priority``, ``retry``: how people steer builds; ``audit``: who did."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial

import click
from sqlalchemy.orm import Session

from master import audit as trail
from master import steer
from master.cli.farm import reading, writing
from master.cli.questions import moment
from master.which import Which
from schema import names
from schema.db import audit as entries
from schema.db.models import AuditEntry, Build
from schema.door import Door, Group, answer, answer_json, as_json, columns, for_platform, pass_door
from schema.errors import UsageError
from schema.names import Release
from schema.platforms import Platform

dry_run = click.option("--dry-run", is_flag=True, help="Only show it.")
for_reason = click.option("--reason", default="", help="Kept in the audit trail, and told to whoever asks why.")


def _points(text: str) -> float:
    """+N or -N; 0 for none."""
    if not re.fullmatch(r"[+-][0-9]{1,9}(\.[0-9]{1,9})?|0", text):
        raise UsageError(f"not a number of points: {text!r}", advice="write +N, -N, or 0 to take all back")
    return float(text)


some = click.argument("some", nargs=-1, required=True, type=names.some, metavar="BUILD|NAME[==VERSION]...")


@click.command()
@some
@for_platform
@for_reason
@dry_run
@as_json
@pass_door
def hold(
    door: Door, *, some: tuple[int | Release, ...], platform: Platform | None, reason: str, dry_run: bool, as_json: bool
) -> None:
    """Keep builds from being built until they are released.

    What waits, is queued, failed or was poisoned can be held; wheelfarm cancel ends what runs.
    """
    doing = partial(steer.hold, who=trail.person(), reason=reason)
    _steer(door, doing, some, platform, dry_run=dry_run, as_json=as_json)


@click.command("release")
@some
@for_platform
@click.option("--now", "at_once", is_flag=True, help="Do not wait for the rest of a pause or cooldown, either.")
@dry_run
@as_json
@pass_door
def release_(
    door: Door,
    *,
    some: tuple[int | Release, ...],
    platform: Platform | None,
    at_once: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let held builds go on where they stood; with --now also those that pause."""
    doing = partial(steer.release, who=trail.person(), at_once=at_once)
    _steer(door, doing, some, platform, dry_run=dry_run, as_json=as_json)


@click.command()
@some
@for_platform
@for_reason
@dry_run
@as_json
@pass_door
def cancel(
    door: Door, *, some: tuple[int | Release, ...], platform: Platform | None, reason: str, dry_run: bool, as_json: bool
) -> None:
    """End running builds, and hold them.

    The node stops at its next heartbeat; whatever it still brings changes nothing. wheelfarm release, or retry, brings
    a cancelled build back.
    """
    doing = partial(steer.cancel, who=trail.person(), reason=reason)
    _steer(door, doing, some, platform, dry_run=dry_run, as_json=as_json)


@click.command(context_settings={"ignore_unknown_options": True})
@some
@click.argument("points", type=_points, metavar="+N|-N|0")
@for_platform
@for_reason
@dry_run
@as_json
@pass_door
def priority(
    door: Door,
    *,
    some: tuple[int | Release, ...],
    points: float,
    platform: Platform | None,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add points to the score of builds, or take some away.

    The highest score is built first. 0 takes back all that people added.
    """
    doing = partial(steer.boost, by=points, who=trail.person(), reason=reason)
    _steer(door, doing, some, platform, dry_run=dry_run, as_json=as_json, shown=_score)


@click.command()
@some
@for_platform
@dry_run
@as_json
@pass_door
def retry(
    door: Door, *, some: tuple[int | Release, ...], platform: Platform | None, dry_run: bool, as_json: bool
) -> None:
    """Queue builds again.

    For those that failed, were poisoned, held or withdrawn; earlier attempts count no more.
    """
    _steer(door, partial(steer.retry, who=trail.person()), some, platform, dry_run=dry_run, as_json=as_json)


@click.command()
@click.option("--subject", default="", help="Only of this one: 'build 12', 'node pi4', 'project numpy', 'farm'.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]), help="In UTC.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@as_json
@pass_door
def audit(door: Door, *, subject: str, since: datetime | None, limit: int, as_json: bool) -> None:
    """What people had the farm do, the newest first.

    No row of this trail is ever changed or removed.
    """
    after = since.replace(tzinfo=UTC) if since else None
    with reading(door.settings) as session:
        found = entries.entries(session, limit=limit, subject=subject, since=after)
    if as_json:
        answer_json([_plain(entry) for entry in found])
        return
    header = ("WHEN (UTC)", "WHO", "DID", "TO", "CHANGE", "REASON")
    rows = [(moment(row.at), row.who, row.action, row.subject, entries.change(row), row.reason) for row in found]
    answer(columns(header, rows))


def _plain(entry: AuditEntry) -> dict[str, object]:
    keys = ("id", "at", "who", "action", "subject", "before", "after", "reason")
    return {key: getattr(entry, key) for key in keys}


def _steer(
    door: Door,
    doing: Callable[[Session, Which], list[Build]],
    some: Iterable[int | Release],
    platform: Platform | None,
    *,
    dry_run: bool,
    as_json: bool,
    shown: Callable[[Build], str] | None = None,
) -> None:
    """Do it to each of *some*, all of them or none, and tell."""
    with writing(door.settings, keep=not dry_run) as session:
        done = [build for one in dict.fromkeys(some) for build in doing(session, Which(one=one, platform=platform))]
        tell(done, as_json=as_json, dry_run=dry_run, shown=shown)


def tell(
    found: Iterable[Build], *, as_json: bool, dry_run: bool = False, shown: Callable[[Build], str] | None = None
) -> None:
    """Say how builds stand now, or would."""
    if as_json:
        answer_json([_row(build) for build in found])
        return
    said = "would be" if dry_run else "is"
    for build in found:
        rest = f"{shown(build)}" if shown else f"{said} {build.state}"
        answer(f"build {build.id} of {build.project.name} {build.version} for {build.platform} {rest}")


def _row(build: Build) -> dict[str, object]:
    return {
        "build": build.id,
        "project": build.project.name,
        "version": build.version,
        "platform": build.platform,
        "state": build.state,
        "boost": build.boost,
    }


def _score(build: Build) -> str:
    return f"has {build.boost:+g} points by people"


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    for command in (hold, release_, cancel, priority, retry, audit):
        group.add_command(command)
