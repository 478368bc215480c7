"""The master as a process: it stands by until it leads; then it hears nodes, and its loops run beside."""

from __future__ import annotations

import signal
import sys
import threading

from celery import Celery
from sqlalchemy import Engine

from master import rota, tasks
from master.inbox import Inbox
from master.leader import Candidate, Term
from master.loops import Loops
from master.parts import Parts
from master.post import Post
from master.turns import Turns
from schema import recipe_files, wire
from schema.db import migrate
from schema.db.session import engine
from schema.settings import Settings


def serve(settings: Settings) -> None:
    """Run a master until SIGTERM or SIGINT; raise UnavailableError if Redis or the database does not answer.

    Of several, one leads; this one begins whenever it does, each time with nothing in its memory.
    """
    database, snapshot = engine(settings.database_url), engine(settings.database_url, read_only=True)
    migrate.upgrade(database)
    recipe_files.check(settings.farm.recipes)
    Post(_app(settings)).reach()
    candidate = Candidate(database, snapshot, lead_s=settings.timing.lead_s)
    try:
        while True:
            _end_when_told()
            if not _lead(settings, candidate.stand_by()):
                return
    finally:
        snapshot.dispose()
        database.dispose()


def _lead(settings: Settings, term: Term) -> bool:
    """Lead until this process is told to end, or another leads; say whether it is the latter."""
    lost = threading.Event()

    def give_way() -> None:
        lost.set()
        wire.stop_working()

    keeper = threading.Thread(target=term.keep, args=(give_way,), name="lead", daemon=True)
    keeper.start()
    app, database = _app(settings), term.engine(settings.database_url)
    try:
        Post(app).reach()
        wire.drop_backlog(app, wire.MASTER_QUEUE)
        service = Service(settings, database=database, app=app, term=term)
        try:
            service.start()
            wire.work(app, name="master", queues=[wire.MASTER_QUEUE], threads=2)
        finally:
            service.stop()
    finally:
        term.end()
        keeper.join()
        if not lost.is_set():
            term.give_up()
        database.dispose()
    return lost.is_set()


def _app(settings: Settings) -> Celery:
    return wire.celery_app(settings.redis_url, name="wheelfarm-master", tls=settings.redis_tls)


def _end_when_told() -> None:
    """Celery's worker sets its own handlers while it works, and leaves them behind."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))


class Service:
    """The master's parts, its inbox and its loops, for one time of leading."""

    def __init__(self, settings: Settings, *, database: Engine, app: Celery, term: Term) -> None:
        self._parts, self._loops = Parts.of(settings, database), Loops(may_run=term.leads)
        post = Post(app)
        self._inbox = Inbox(self._parts, post, wake=self._loops.wake)
        rota.fill(self._loops, self._parts, self._inbox, Turns(self._parts, post, self._loops))
        tasks.register(app, self._inbox)

    def start(self) -> None:
        """Start every loop; none of them waits for the pages."""
        parts = self._parts
        parts.site.place_authority(parts.collector.authority.certificate_pem)
        self._loops.start()

    def stop(self) -> None:
        """Let each loop end what it is doing."""
        self._loops.stop()
        self._inbox.stop()
        self._parts.close()
