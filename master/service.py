"""The master as a process: it hears nodes in its main thread; watch, plan, dispatch, collect and render run beside."""

from __future__ import annotations

from celery import Celery
from sqlalchemy import Engine

from master import recipes, resolve, rota, tasks
from master.inbox import Inbox
from master.loops import Loops
from master.parts import Parts
from master.post import Post
from master.turns import Turns
from schema import wire
from schema.db import migrate
from schema.db.session import engine, transaction
from schema.settings import Settings


def serve(settings: Settings) -> None:
    """Run the master until SIGTERM or SIGINT; raise UnavailableError if Redis or the database does not answer."""
    database = engine(settings.database_url)
    migrate.upgrade(database)
    recipes.check(settings.farm.recipes)
    app = wire.celery_app(settings.redis_url, name="wheelfarm-master")
    Post(app).reach()
    wire.drop_backlog(app, wire.MASTER_QUEUE)
    service = Service(settings, database=database, app=app)
    service.start()
    try:
        wire.work(app, name="master", queues=[wire.MASTER_QUEUE], threads=2)
    finally:
        service.stop()
        database.dispose()


class Service:
    """The master's parts, its inbox and its loops."""

    def __init__(self, settings: Settings, *, database: Engine, app: Celery) -> None:
        self._parts, self._loops = Parts.of(settings, database), Loops()
        post = Post(app)
        inbox = Inbox(self._parts, post, wake=self._loops.wake)
        rota.fill(self._loops, self._parts, inbox, Turns(self._parts, post, self._loops))
        tasks.register(app, inbox)

    def start(self) -> None:
        """Render what a crash may have left unrendered, plan for what the settings now say, then start every loop."""
        parts = self._parts
        with transaction(parts.database) as session:
            resolve.reconsider(session)
        parts.site.place_authority(parts.collector.authority.certificate_pem)
        with transaction(parts.snapshot) as session:
            parts.site.rebuild(session)
        self._loops.start()

    def stop(self) -> None:
        """Let each loop end what it is doing."""
        self._loops.stop()
        self._parts.close()
