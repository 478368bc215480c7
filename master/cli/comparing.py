"""``wheelfarm compare``: whether two wheels are the same; it needs no farm."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click

from schema.door import Group, answer, answer_json, as_json
from schema.errors import UnavailableError
from schema.printable import printable
from schema.wheels.comparing import Verdict, compare

_WITHIN_S = 900.0
_MOST_REPORT_BYTES = 4 * 2**20
_WHEEL = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("compare")
@click.argument("one", metavar="A.whl", type=_WHEEL)
@click.argument("other", metavar="B.whl", type=_WHEEL)
@click.option(
    "--diffoscope",
    "in_detail",
    is_flag=True,
    help="Let diffoscope tell all that differs. It runs other programs on both: only for wheels that you trust.",
)
@as_json
def compare_wheels(*, one: Path, other: Path, in_detail: bool, as_json: bool) -> int:
    """Say whether two wheels are identical, equivalent, or where they first differ.

    Equivalent are wheels that differ only in what is known to be harmless, which is named: the build number; order,
    times, compression and modes in the archive; the spelling of its folders; RECORD where it is true; build ids of
    ELF files; times in bytecode. No farm and no settings are needed. Exit 0 if they are identical or equivalent, 1 if
    they differ or one is no wheel.
    """
    found = compare(one, other)
    told = _diffoscope(one, other) if in_detail and found.verdict is not Verdict.IDENTICAL else ""
    if as_json:
        answer_json(found.to_json() | ({"diffoscope": told} if in_detail else {}))
    else:
        answer("\n\n".join(filter(None, (str(found), printable(told).rstrip()))))
    return 1 if found.verdict is Verdict.DIFFERS else 0


def _diffoscope(one: Path, other: Path) -> str:
    """Its report; raise UnavailableError if it is not there or makes none."""
    program = shutil.which("diffoscope")
    if program is None:
        raise UnavailableError("diffoscope is not installed", advice="apt-get install diffoscope-minimal")
    limits = ["--no-progress", "--max-text-report-size", str(_MOST_REPORT_BYTES), "--text", "-"]
    try:
        done = subprocess.run(
            [program, *limits, one.absolute(), other.absolute()],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_WITHIN_S,
        )
    except subprocess.TimeoutExpired as err:
        raise UnavailableError(f"diffoscope did not end within {_WITHIN_S:.0f} s") from err
    if done.returncode not in (0, 1):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UnavailableError(f"diffoscope ended with {done.returncode}: {said[-1] if said else 'no word'}")
    return done.stdout.decode(errors="replace")[: 2 * _MOST_REPORT_BYTES]


def add_to(group: Group) -> None:
    """Add this command to *group*."""
    group.add_command(compare_wheels)
