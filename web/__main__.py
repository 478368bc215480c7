"""The door of the front-end: ``python -m web`` serves index and pages with granian until it is told to stop."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from schema import door, ports
from schema import log as logs
from schema.settings import Settings, load
from web import nginx
from web.app import create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("web")

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_THREADS = 128  # of one worker, made when needed: so many slow downloads of large wheels go on at once
_STOP_S = 10
_A_PATH = click.Path(path_type=Path)


@click.group(invoke_without_command=True)
@click.pass_context
@door.settings_file
@click.option("--host", help="Address to listen on, instead of web.host.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on, instead of web.port.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer.")
def main(context: click.Context, settings_file: Path | None, host: str | None, port: int | None, workers: int) -> None:
    """Serve the index and the pages."""
    settings = load(settings_file)
    web = dataclasses.replace(settings.web, host=host or settings.web.host, port=port or settings.web.port)
    settings = dataclasses.replace(settings, web=web)
    if context.invoked_subcommand:
        context.obj = settings
        return
    logs.set_up("web")
    _serve(settings, workers=workers)


@main.command("nginx-config")
@click.option("--listen", multiple=True)
@click.option("--redirect", multiple=True)
@click.option("--certificate", type=_A_PATH)
@click.option("--key", type=_A_PATH)
@click.option("--acme", type=_A_PATH)
@click.option("--log", type=_A_PATH)
@click.option("--access-log", type=_A_PATH)
@click.option("--requests-per-second", type=int)
@click.pass_obj
def nginx_config(settings: Settings, /, **wanted: Any) -> None:  # noqa: ANN401 - Wanted has their types
    """Write an nginx configuration."""
    door.answer(nginx.config(settings, nginx.Wanted(**wanted)))


def _serve(settings: Settings, *, workers: int) -> None:
    """Answer requests until SIGTERM or SIGINT.

    The workers are forks of this process, which has made the application already: it takes time and memory once.
    """
    ports.refuse_taken(settings.web.host, settings.web.port)
    server = Server(
        "web",
        address=settings.web.host,
        port=settings.web.port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=_THREADS,
        websockets=False,
        log_level=LogLevels.error,
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_S,
    )
    multiprocessing.set_start_method("fork")
    app = _patiently(create_app(settings).wsgi_app)
    gc.freeze()  # the collector of a worker writes to none of this, so that all of them go on sharing it
    log.info("serving %s on %s port %s", settings.public_url, settings.web.host, settings.web.port)
    server.serve(target_loader=partial(_in_worker, app), wrap_loader=False)
    log.info("stopped")


def _in_worker(app: WSGIApplication) -> WSGIApplication:
    """*app*, once it is sure that the worker ends with its parent, even by SIGKILL.

    granian shares the port among processes, so an orphan would go on answering beside the next farm's workers.
    """
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    logs.set_up("web")
    return app


def _patiently(app: WSGIApplication) -> WSGIApplication:
    """*app*, whose threads let each other finish.

    A thread that is woken for a request drives out the one that holds Python's lock, only to wait for that lock.
    Threads of a batch (sched(7)) do not, which saves a tenth to a fifth of the processor time.
    """
    known = threading.local()

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if not hasattr(known, "patient"):
            known.patient = True
            with suppress(OSError):  # where a container or a unit forbids it, it only costs more
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # 0: this thread
        return app(environ, start)

    return answer


if __name__ == "__main__":
    door.run(main, name="web")
