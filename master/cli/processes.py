"""``wheelfarm run``, ``master``, ``web``, ``settings``: the farm's own processes, and what they are set to."""

from __future__ import annotations

import os
import platform as machine
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from master import audit, lists, service
from master.cli.farm import writing
from master.main_job import MainJob, python
from master.trial import Trial
from schema import log
from schema.door import INTERRUPTED, Door, Group, answer, answer_json, as_json, columns, pass_door
from schema.platforms import this_machine
from schema.printable import printable
from schema.redis_url import address
from schema.settings import Settings, find

_A_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--until-idle", is_flag=True, help="End once nothing is left to do and all was tried; 1 if it failed.")
@click.option(
    "--list",
    "wishes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Request these projects instead of the shipped example list.",
)
@as_json
@pass_door
def run(door: Door, *, until_idle: bool, wishes: Path | None, as_json: bool) -> int:
    """Run the whole farm on this machine until Ctrl-C.

    That is Redis, master, node and web. The projects of the list are requested the first time; a second run goes on
    where the first stopped.
    """
    settings = door.settings
    console = Console(stderr=True)
    job = MainJob(settings, console=console, environment=_environment(door))
    list_file = wishes or lists.EXAMPLE
    projects = lists.read(list_file)  # a fault in it is told before anything starts

    def opened() -> None:
        with writing(settings) as session:
            lists.request(session, list_file, settings=settings)
            audit.note(session, who=audit.person(), action="run", subject=f"list {list_file.name}")
        if not as_json:
            answer(_welcome(settings, projects[-1].name))

    try:
        trials = job.run(until_idle=until_idle, opened=opened)
    except KeyboardInterrupt:
        console.print("Stopped; the next run goes on from here.")
        # Whoever asked for an end gets none; a server that was told to stop has done its work.
        return INTERRUPTED if until_idle else 0
    if as_json:
        answer_json([asdict(trial) for trial in trials])
    else:
        _show(trials)
    return 1 if any(trial.trouble for trial in trials) else 0


def _welcome(settings: Settings, project: str) -> str:
    index = f"{settings.public_url}{_view(settings)}/simple/"
    return f"The farm serves at {settings.public_url}/\nTry it:  pip install --extra-index-url {index} {project}"


def _view(settings: Settings) -> str:
    """The part of the index for this very machine: its distribution's own, else that of the portable wheels."""
    try:
        release = machine.freedesktop_os_release()
    except OSError:
        return ""
    here = f"{release['ID']}{release.get('VERSION_ID', '').replace('.', '')}-{this_machine()}"
    return f"/{here}" if here in {item.view for item in settings.farm.platforms} else ""


def _show(trials: list[Trial]) -> None:
    header = ("PROJECT", "VERSION", "PLATFORM", "VERDICT", "WHY")
    rows = [
        (item.wanted.project, item.wanted.version, item.wanted.platform, item.verdict, item.trouble) for item in trials
    ]
    console = Console()
    if not console.is_terminal:
        answer(columns(header, rows))
        return
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        style = "red" if row[-1] else "green"
        table.add_row(*(Text(printable(cell), style=style) for cell in row))
    console.print(table)


@click.command()
@pass_door
def master(door: Door) -> None:
    """Run the master: watch, plan, dispatch, collect, publish."""
    log.set_up("master")
    service.serve(door.settings)


@click.group(cls=Group, invoke_without_command=True)
@click.option("--host", help="Address to listen on, instead of web.host.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on, instead of web.port.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer.")
@pass_door
@click.pass_context
def web(context: click.Context, door: Door, /, **_: object) -> None:
    """Run the front-end: the index and the pages."""
    os.environ.update(_environment(door))
    if not context.invoked_subcommand:
        become(python("web", *_given(context)))


@click.command("nginx-config")
@click.option("--listen", multiple=True, help="A port, or an address with one: 127.0.0.1:8080. 80 without --redirect.")
@click.option("--redirect", multiple=True, help="The same, where plain HTTP is led to web.public_url. May stand alone.")
@click.option("--certificate", type=_A_FILE, help="For TLS: the certificate with its chain, in PEM.")
@click.option("--key", type=_A_FILE, help="For TLS: its private key.")
@click.option(
    "--acme",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder from which --redirect answers ACME's challenges: certbot --webroot-path.",
)
@click.option("--log", type=_A_FILE, help="Where it notes each wheel it sends, for wheelfarm import-downloads.")
@click.option("--access-log", type=_A_FILE, help="Where it notes all else. Neither log has addresses of clients.")
@click.option("--requests-per-second", type=click.IntRange(min=1), help="Of one address, in the long run.")
@click.pass_context
def nginx_config(context: click.Context, /, **_: object) -> None:
    """Print a configuration for nginx, which then serves pages and wheels without Python.

    What is dynamic or not there it asks the front-end for. Into a file in /etc/nginx/conf.d with it.
    --listen and --redirect may be given several times.
    """
    become(python("web", *_given(context.parent), "nginx-config", *_given(context)))


web.add_command(nginx_config)


@click.command()
@as_json
@pass_door
def settings(door: Door, *, as_json: bool) -> None:
    """The settings in force.

    Defaults are included; URLs are shown without user and password.
    """
    file = find(door.settings_file)
    values = _plain(door.settings)
    if as_json:
        answer_json({"file": file, "settings": values})
        return
    lines = [f"# from {file}" if file else "# no settings file: the defaults"]
    for section, keys in values.items():
        lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
    answer("\n".join(lines))


def become(command: list[str]) -> NoReturn:
    """Let this process go on as another half of the farm, which this half never imports."""
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def _given(context: click.Context | None) -> list[str]:
    """The options that were given, as the other half takes them."""
    options = context.params.items() if context else ()
    several = [(name, value if isinstance(value, tuple) else (value,)) for name, value in options]
    return [f"--{name.replace('_', '-')}={value}" for name, values in several for value in values if value is not None]


def _plain(found: Settings) -> dict[str, dict[str, object]]:
    values: dict[str, dict[str, object]] = asdict(found)
    values["farm"]["platforms"] = [str(item) for item in found.farm.platforms]
    values["redis"]["url"] = address(found.redis_url)
    values["database"]["url"] = address(found.database_url)
    values["upstream"]["index_url"] = address(found.upstream.index_url)
    values["web"]["public_url"] = found.public_url
    return values


def _toml(value: object) -> str:
    if value is None:
        return '""'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _environment(door: Door) -> dict[str, str]:
    """What tells a child which settings file this process was given."""
    return {"WHEELFARM_SETTINGS": str(door.settings_file.resolve())} if door.settings_file else {}


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    for command in (run, master, web, settings):
        group.add_command(command)
