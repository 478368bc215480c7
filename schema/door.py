"""The manners that every command shares: answers on stdout, progress on stderr, and one place for exit codes."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from schema.errors import FarmError
from schema.platforms import Platform
from schema.printable import one_line, printable
from schema.settings import Settings, load

INTERRUPTED = 130
_AGAIN_S = 0.05
_NOBODY_READS = 141  # as a shell counts a process that SIGPIPE ended

_EXIT_CODES = """\b
Exit codes:
  0    done, or the answer is yes
  1    the answer is no, or something failed
  2    wrong usage or settings
  3    Redis or the database cannot be reached
  130  interrupted"""


class Group(click.Group):
    """A group of commands, each of which tells its exit codes."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add *cmd*, with the exit codes at the end of its help."""
        cmd.epilog = cmd.epilog or _EXIT_CODES
        super().add_command(cmd, name)


Group.group_class = Group


class Door:
    """What one call of a command knows: the settings, read once, when first asked for."""

    def __init__(self, settings_file: Path | None) -> None:
        self.settings_file = settings_file
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The settings in force; raise SettingsError."""
        if self._settings is None:
            self._settings = load(self.settings_file)
        return self._settings


pass_door = click.make_pass_decorator(Door)
as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
for_platform = click.option(
    "--platform", type=Platform.parse, metavar="PLATFORM", help="Such as debian12-x86_64-cp311."
)
settings_file = click.option(
    "--settings",
    "settings_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings file; else $WHEELFARM_SETTINGS, ./farm.toml, /etc/wheelfarm/farm.toml, or the defaults.",
)


def run(command: click.Command, *, name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run *command* with *arguments* (else the process's own), and end the process with its exit code.

    A command, or the one that a group hands over to, gives its exit code back, or None for 0.
    """
    try:
        with _signals_interrupt():
            code = command.main(args=arguments, prog_name=name, standalone_mode=False)
    except FarmError as err:
        click.secho(f"{name}: {printable(str(err))}", fg="red", err=True)
        sys.exit(err.exit_code)
    except click.ClickException as err:
        err.show()
        sys.exit(err.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{name}: interrupted", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal end a command in the same orderly way as Ctrl-C, with all that it would clean up.

    SIGINT is among them because a shell that starts a command in the background has it ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    hook, sys.unraisablehook = sys.unraisablehook, _signal_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
        # Python remembers an interrupt that left an ``exec`` of text, as dataclasses use, although it was caught, and
        # kills ``python -m`` by SIGINT at its end: until the next one.
        exec("")  # noqa: S102


def _signal_again(lost: sys.UnraisableHookArgs) -> None:
    """What a handler raises is lost where the signal came while Python cleared something away: then it comes again."""
    if lost.exc_type not in {KeyboardInterrupt, SystemExit}:
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(_AGAIN_S, signal.pthread_kill, [threading.main_thread().ident, signal.SIGTERM])
    again.daemon = True
    again.start()


def answer(text: str) -> None:
    """Write *text* to stdout; end the process quietly when nobody reads it any more (``wheelfarm builds | head``)."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Else the interpreter flushes once more at its exit, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_NOBODY_READS)


def answer_json(data: object) -> None:
    """Write *data* to stdout as JSON: times as ISO 8601 in UTC; what else JSON does not know as its text."""
    answer(json.dumps(data, indent=2, default=_plain))


def _plain(value: object) -> str:
    return value.astimezone(UTC).isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def progress(text: str) -> None:
    """Tell on stderr what goes on."""
    click.echo(printable(text), err=True)


def columns(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Plain aligned text, one row a line: readable by people, and by ``awk`` as well."""
    lines = [list(header), *([one_line(str("" if cell is None else cell)) or "-" for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
