"""``wheelfarm check-tags``: whether a folder of wheels can be given to people; it needs no farm."""

from __future__ import annotations

from pathlib import Path

import click

from master.wheelhouse import FINE, Judged, allowed, judge, summary, wheels
from schema.door import Group, answer, answer_json, as_json, columns, progress


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("permitted", metavar="[ALLOWED]...", nargs=-1)
@click.option(
    "--exclude",
    "elsewhere",
    metavar="LIBRARY",
    multiple=True,
    help="A library, or a pattern such as 'libcuda.so.*', that something else brings; may be given several times.",
)
@as_json
def check_tags(*, folder: Path, permitted: tuple[str, ...], elsewhere: tuple[str, ...], as_json: bool) -> int:
    """Name each wheel in DIR that has no portable tag, or one that its files do not keep, and what to do.

    ALLOWED are platform tags that are fine as well: a tag (linux_armv7l), a pattern ('linux_*'), or a release
    (debian12-aarch64, 'debian12-*') whose linux_* wheels are fine if they run there.

    DIR itself is looked at, not the folders inside it. No farm and no settings are needed. Exit 0 if every wheel is
    fine, 1 if one is not, 2 if there is no wheel.
    """
    files = wheels(folder)
    rules = allowed(permitted, files)
    for text in rules.needless:
        progress(f"{text}: portable in any case; it allows nothing more")
    found = [judge(path, rules, elsewhere=elsewhere) for path in files]
    bad = [item for item in found if item.status not in FINE]
    if as_json:
        answer_json({"summary": summary(found), "wheels": [item.to_json() for item in found]})
    else:
        answer(_text(bad, summary(found)))
    return 1 if bad else 0


def _text(bad: list[Judged], last: str) -> str:
    if not bad:
        return last
    rows = [(item.file, fault.status, fault.text, fault.advice) for item in bad for fault in item.faults]
    wanted = sorted({item.requirement for item in bad if item.requirement})
    ask = f"Or a farm builds them from source: wheelfarm request {' '.join(wanted)}\n" if wanted else ""
    return f"{columns(('WHEEL', 'STATUS', 'WHY', 'WHAT TO DO'), rows)}\n\n{ask}{last}"


def add_to(group: Group) -> None:
    """Add this command to *group*."""
    group.add_command(check_tags)
