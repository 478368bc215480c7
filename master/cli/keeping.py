"""``wheelfarm scrub``, ``gc``, ``backup``, ``restore``, ``recount``, ``alarms``: housekeeping, and what is wrong."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from sqlalchemy import Engine

from master import audit, builds
from master.cli.farm import database, reading, writing
from master.cli.questions import moment
from master.keep import alarms as table
from master.keep import backup as backups
from master.keep import restore as restoring
from master.keep.gc import Collector, Rubbish
from master.keep.scrub import Damage, Shelf
from master.keep.scrub import scrub as scrub_all
from master.store import Store
from schema.db import totals
from schema.db.models import Alarm
from schema.db.session import transaction
from schema.door import Door, Group, answer, answer_json, as_json, columns, pass_door, progress
from schema.errors import UsageError
from schema.printable import printable
from schema.settings import find

_TOLD_EVERY = 1000
_LISTED = 20


@click.command()
@as_json
@pass_door
def scrub(door: Door, *, as_json: bool) -> int:
    """Read every stored file and compare it with its digest.

    A wheel that needs a damaged or missing file is taken off the index and built again; the file goes to
    store/damaged. Exit 1 if there was one. The master does the same by itself, slowly (keep.scrub_s).
    """
    settings = door.settings

    def tell(files: int, found: Damage | None) -> None:
        if found is not None:
            progress(f"{found.digest} {found.what}: {', '.join(found.wheels) or 'no wheel needs it'}")
        elif files % _TOLD_EVERY == 0:
            progress(f"{files} files read")

    with database(settings) as opened:
        _note(opened, "scrub")
        result = scrub_all(Shelf(database=opened, store=Store(settings.store), site=settings.site), tell=tell)
    if as_json:
        answer_json(asdict(result))
    else:
        answer(f"{result.files} files read ({_mib(result.size_bytes)}), {len(result.damaged)} damaged or missing")
    return 1 if result.damaged else 0


@click.command()
@click.option("--yes", is_flag=True, help="Really remove it; without this it is only shown.")
@click.option("--dry-run", is_flag=True, help="Only show it: what happens without --yes, too.")
@as_json
@pass_door
def gc(door: Door, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Show what nobody needs any more; with --yes, remove it.

    That is: stored files that no wheel names (keep.orphans_s), files of wheels removed long ago (keep.removed_s),
    left-overs of killed processes, old logs (keep.logs_s, keep.failed_logs_s). The master does it daily by itself.
    """
    if yes and dry_run:
        raise UsageError("--yes and --dry-run exclude each other")
    settings = door.settings
    with database(settings) as opened:
        collector = Collector(database=opened, store=Store(settings.store), logs=settings.logs, keep=settings.keep)
        if yes:
            _note(opened, "gc")
        found = list(collector.remove() if yes else collector.find())
    if as_json:
        answer_json({"removed": yes, "items": [asdict(item) for item in found]})
        return
    for item in found[:_LISTED]:
        progress(f"{item.kind}  {item.path}  {item.size_bytes} bytes")
    if len(found) > _LISTED:
        progress(f"… and {len(found) - _LISTED} more (--json lists all)")
    answer(_summary(found, removed=yes))


def _summary(found: list[Rubbish], *, removed: bool) -> str:
    if not found:
        return "there is nothing to remove"
    counts = {kind: sum(item.kind == kind for item in found) for kind in ("file", "left-over", "log")}
    parts = ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items() if count)
    size = _mib(sum(item.size_bytes for item in found))
    return f"removed {parts} ({size})" if removed else f"would remove {parts} ({size}); wheelfarm gc --yes does it"


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Make none: read the newest one in FOLDER again, and compare all digests.")
@as_json
@pass_door
def backup(door: Door, *, folder: Path, check: bool, as_json: bool) -> int:
    """Copy the farm to FOLDER while it runs.

    Database, keys, settings and stored files; only files that are not there yet are copied. THE BACKUP HOLDS THE KEYS
    THAT SIGN: keep FOLDER secret (it is made for you alone, mode 0700). Exit 1 if a stored file was damaged.
    """
    if check:
        return _check(folder, as_json=as_json)
    settings = door.settings
    with database(settings) as opened:
        _note(opened, "backup", folder=folder)
        made = backups.back_up(opened, settings, folder, settings_file=find(door.settings_file), tell=progress)
    for digest in made.damaged:
        progress(f"{digest} is damaged in the store and was left out; wheelfarm scrub deals with it")
    if as_json:
        answer_json(asdict(made))
    else:
        answer(f"{made.folder}: complete; {made.files} stored files, {made.copied} of them new")
    return 1 if made.damaged else 0


def _check(folder: Path, *, as_json: bool) -> int:
    chosen = backups.newest(folder)
    wrong = list(backups.faults(chosen))
    if as_json:
        answer_json({"folder": chosen, "faults": wrong})
    else:
        answer(printable("\n".join(wrong)) if wrong else f"{chosen}: sound")
    return 1 if wrong else 0


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the farm that is there; its files are moved aside, not removed.")
@click.option(
    "--incomplete", is_flag=True, help="Go on without stored files that are damaged; their wheels are built again."
)
@as_json
@pass_door
def restore(door: Door, *, folder: Path, force: bool, incomplete: bool, as_json: bool) -> None:
    """Bring the farm up again from the newest backup in FOLDER.

    FOLDER may be one backup, too. All of it is verified first. The farm must not run; a PostgreSQL database must be
    there, and with --force what is in it is replaced. Settings are not changed: the backup has a copy of the file.
    """
    done = restoring.restore(door.settings, folder, force=force, incomplete=incomplete, tell=progress)
    with database(door.settings) as opened:
        _note(opened, "restore", backup=done.backup)
    if as_json:
        answer_json(asdict(done))
        return
    if done.aside is not None:
        progress(f"what was there before is in {done.aside}")
    answer(
        f"restored {done.backup} of {moment(done.made_at)} UTC: {done.files} stored files,"
        f" {done.given_back} interrupted builds queued again"
    )


@click.command()
@click.option("--check", is_flag=True, help="Exit 1 if one is open: for cron and monitoring.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="So many that ended.")
@as_json
@pass_door
def alarms(door: Door, *, check: bool, limit: int, as_json: bool) -> int:
    """What a person should look at: open alarms, then those that ended."""
    with reading(door.settings) as session:
        rows = table.recent(session, limit=limit)
    if as_json:
        answer_json([_plain(row) for row in rows])
    elif rows:
        header = ("ALARM", "STATE", "SINCE (UTC)", "ENDED (UTC)", "WHAT")
        answer(
            columns(
                header,
                [
                    (
                        row.name,
                        "ended" if row.ended_at else "open",
                        moment(row.raised_at),
                        moment(row.ended_at),
                        row.text,
                    )
                    for row in rows
                ],
            )
        )
    else:
        answer("no alarm")
    return 1 if check and any(row.ended_at is None for row in rows) else 0


def _plain(row: Alarm) -> dict[str, object]:
    return {"name": row.name, "text": row.text, "raised_at": row.raised_at, "ended_at": row.ended_at}


@click.command()
@as_json
@pass_door
def recount(door: Door, *, as_json: bool) -> int:
    """Count all builds and wheels, and correct the counts that the farm keeps.

    It reads each of them once, which takes seconds for millions; the farm may run. Exit 1 if a count was wrong: every
    change keeps the counts, so somebody has written to the database by hand, or it is a bug.
    """
    with writing(door.settings) as session:
        wrong = {f"{platform} {state}": missing for (platform, state), missing in builds.recount(session).items()}
        wrong |= totals.recount(session)
        audit.note(session, who=audit.person(), action="recount", subject=audit.FARM, after=wrong)
    if as_json:
        answer_json({"corrected": wrong})
    elif wrong:
        answer("\n".join(f"{what}: {missing:+d}" for what, missing in wrong.items()))
    else:
        answer("every count is right")
    return 1 if wrong else 0


def _note(opened: Engine, action: str, **after: Path) -> None:
    """What changes much, in many transactions, is noted before it begins."""
    with transaction(opened) as session:
        plain = {key: str(value) for key, value in after.items()}
        audit.note(session, who=audit.person(), action=action, subject=audit.FARM, after=plain)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB"


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    for command in (scrub, gc, backup, restore, recount, alarms):
        group.add_command(command)
