"""The main job: everything that one farm on one machine needs, started in order and kept alive in the foreground.

Redis, the database, the local node's key, the image, master, node, web; then what was asked for, shown as it is built.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine

from master import embedded_redis, idle, premises
from master.display import Display, snapshot, step_by_step
from master.enrol import enrol_local
from master.supervisor import Program, Supervisor, tail
from master.trial import Trial, try_all
from schema import ports
from schema.db import migrate
from schema.db.session import engine, transaction
from schema.errors import FarmError, UnavailableError
from schema.platforms import this_machine
from schema.settings import Settings

_LOOK_S = 0.5
# The farm is idle after so many looks in a row that found nothing to do: one look may fall between two steps.
_IDLE_LOOKS = 6
_FRONT_END_S = 60.0


class MainJob:
    """One run of a whole farm.

    environment: added to that of every child, such as where the settings file is
    """

    def __init__(self, settings: Settings, *, console: Console, environment: dict[str, str]) -> None:
        self._settings, self._console, self._environment = settings, console, environment

    def run(self, *, until_idle: bool, opened: Callable[[], None]) -> list[Trial]:
        """Run the farm until KeyboardInterrupt, or until it is idle.

        opened: called once, as soon as the index answers
        Returned are the trials of what was asked for. Raise SettingsError for a taken port, UnavailableError for a
        Redis or database that does not answer. Whatever happens, no process is left.
        """
        settings = self._settings
        with premises.occupied(settings, say=self._say) as lock:
            ports.refuse_taken(settings.web.host, settings.web.port)
            with Supervisor(say=self._say, held=[lock]) as supervisor:
                self._lay_ground(supervisor)
                self._start_parts(supervisor)
                opened()
                database = engine(settings.database_url, read_only=True)
                try:
                    self._show(database, supervisor, until_idle=until_idle)
                    return self._trials(database, supervisor)
                finally:
                    database.dispose()

    def _lay_ground(self, supervisor: Supervisor) -> None:
        """Redis answers, the database is of this version, the local node has its certificate."""
        settings = self._settings
        if settings.redis.url:
            embedded_redis.ping(settings.redis.url, settings.redis_tls)
        else:
            server = embedded_redis.program(say=self._say)
            argv = embedded_redis.command(server, settings.redis_socket)
            supervisor.start(self._program("redis", argv, serves_others=True))
            embedded_redis.wait(settings.redis_url)
        database = engine(settings.database_url)
        try:
            migrate.upgrade(database)
            enrol_local(database, settings)
        finally:
            database.dispose()

    def _start_parts(self, supervisor: Supervisor) -> None:
        for platform in self._settings.farm.platforms:
            if platform.arch == this_machine():
                self._make_image(supervisor, platform.image)
        supervisor.start(self._program("master", python("master.cli", "master")))
        supervisor.start(self._program("web", python("web")))
        supervisor.start(self._program("node", python("builder.cli", "run")))
        web = self._settings.web
        deadline = time.monotonic() + _FRONT_END_S
        while not premises.answers(web.host, web.port):
            if time.monotonic() > deadline:
                said = tail(self._log_file("web"))
                raise UnavailableError(f"the front-end does not answer after {_FRONT_END_S:g} s; it said:\n{said}")
            supervisor.tend()
            time.sleep(0.1)

    def _make_image(self, supervisor: Supervisor, name: str) -> None:
        """Have the node's half make the image, or say that it is there already."""
        program = self._program("image", python("builder.cli", "image", "make", name, "--json"))
        with step_by_step(self._console, f"image {name}") as tell:
            code = supervisor.run(program, on_line=lambda line: tell(*_progress(line)))
        if code != 0:
            raise FarmError(f"the image {name} could not be made:\n{tail(program.log_file)}")

    def _show(self, database: Engine, supervisor: Supervisor, *, until_idle: bool) -> None:
        """Show what happens until the farm is idle, if that is asked for; else for ever."""
        idle_looks, complaint = 0, ""
        with Display(self._console) as display:
            while idle_looks < _IDLE_LOOKS:
                supervisor.tend()
                is_idle = False
                try:
                    with transaction(database) as session:
                        display.show(snapshot(session))
                        is_idle = until_idle and not idle.left_to_do(session)
                    complaint = ""
                except UnavailableError as err:
                    # The database may come back, and the children wait for it too.
                    if str(err) != complaint:
                        self._say(str(err))
                    complaint = str(err)
                idle_looks = idle_looks + 1 if is_idle else 0
                time.sleep(_LOOK_S)

    def _trials(self, database: Engine, supervisor: Supervisor) -> list[Trial]:
        settings = self._settings
        with transaction(database) as session:
            wanted = idle.wanted(session, platforms=[str(item) for item in settings.farm.platforms])
        return try_all(
            wanted,
            public_url=settings.public_url,
            command=python("builder.cli", "try"),
            log_file=self._log_file("try"),
            supervisor=supervisor,
            say=self._say,
        )

    def _program(self, name: str, argv: Sequence[str], *, serves_others: bool = False) -> Program:
        return Program(
            name=name,
            argv=argv,
            log_file=self._log_file(name),
            environment=self._environment,
            serves_others=serves_others,
        )

    def _log_file(self, name: str) -> Path:
        return self._settings.farm.home / "log" / f"{name}.log"

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def python(module: str, *arguments: str) -> list[str]:
    """The command of one of our own modules; ``-P`` keeps files of the current folder from taking its place."""
    return [sys.executable, "-P", "-m", module, *arguments]


def _progress(line: str) -> tuple[str, float | None]:
    """A step of an image's making, as ``wheelfarm-node image make --json`` tells it; "" for anything else."""
    try:
        told = json.loads(line)
        return str(told["step"]), told["done"]
    except (ValueError, KeyError, TypeError):
        return "", None
