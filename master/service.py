"""The master as a process: it hears nodes in its main thread; watch, plan, dispatch, collect and render run beside."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Iterable
from functools import partial

from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from master import (
    abi,
    closure,
    demand,
    farm_wheels,
    hear,
    needs,
    recipes,
    ripen,
    scope,
    sweep,
    tasks,
    watch,
    wishes,
)
from master.collect import Collector
from master.dispatch import Dispatcher
from master.feed import reconcile
from master.feed.choose import Follower
from master.keep import watchdog
from master.keep.gc import Collector as Rubbish
from master.keep.notify import Notifier
from master.keep.room import Room, folders
from master.keep.scrub import Scrubber, Shelf
from master.lateness import Lateness
from master.loops import Loop
from master.planner import Planner
from master.site import Site
from master.store import Store
from master.upstream import Upstream
from schema import wire
from schema.attest.authority import Authority
from schema.db import migrate
from schema.db.models import DirtyPage
from schema.db.session import engine, now, transaction
from schema.errors import FarmError, UnavailableError
from schema.jobs import BuildJob, Heartbeat, Lease, Progress
from schema.names import NodeName
from schema.settings import Settings

log = logging.getLogger(__name__)

_PAGES_AT_ONCE = 50
_DEMAND_S = 5.0
_ABI_S = 30.0


def serve(settings: Settings) -> None:
    """Run the master until SIGTERM or SIGINT; raise UnavailableError if Redis or the database does not answer."""
    database = engine(settings.database_url)
    migrate.upgrade(database)
    recipes.check(settings.farm.recipes)
    app = wire.celery_app(settings.redis_url, name="wheelfarm-master")
    reach_redis(app)
    wire.drop_backlog(app, wire.MASTER_QUEUE)
    service = Service(settings, database=database, app=app)
    service.start()
    try:
        wire.work(app, name="master", queues=[wire.MASTER_QUEUE], threads=2)
    finally:
        service.stop()
        database.dispose()


def reach_redis(app: Celery) -> None:
    """Raise UnavailableError if the broker does not answer; the URL, which may hold a password, is not repeated."""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=6)
    except (OperationalError, OSError) as err:
        raise UnavailableError(
            "Redis does not answer", advice="is it running? redis.url in farm.toml, or WHEELFARM_REDIS_URL, says where"
        ) from err


class Service:
    """The master's parts, wired together; ``tasks`` calls ``on_heartbeat`` and ``on_progress``."""

    def __init__(self, settings: Settings, *, database: Engine, app: Celery) -> None:
        self._settings, self._database, self._app = settings, database, app
        # Rendering writes files, not rows: it reads a snapshot, and nobody waits for its disk.
        self._snapshot = engine(settings.database_url, read_only=True)
        authority = Authority.create(settings.authority)
        store = Store(settings.store)
        self._collector = Collector(
            database=database,
            store=store,
            logs=settings.logs,
            authority=authority,
            farm=settings.farm.name,
            limits=settings.limits,
            retry_s=settings.timing.retry_s,
        )
        self._dispatcher = Dispatcher(
            recipe_folders=settings.farm.recipes,
            limits=settings.limits,
            lease_s=settings.timing.lease_s,
            silent_after_s=3 * settings.timing.heartbeat_s,
            wheels=partial(farm_wheels.wheels_for, store=store, public_url=settings.public_url),
        )
        self._site = Site(settings.site, store, settings.public_url, settings.farm.platforms)
        self._store = store
        self._scope_walk, self._wish_files = scope.Walk(settings), wishes.Files(settings)
        self._asked = demand.Asked(settings)
        self._upstream = Upstream.from_settings(settings)
        self._room = Room(database, folders(settings), free_bytes=settings.keep.free_bytes)
        shelf = Shelf(database=database, store=store, site=settings.site)
        self._scrubber = Scrubber(shelf, scrub_s=settings.keep.scrub_s)
        self._rubbish = Rubbish(database=database, store=store, logs=settings.logs, keep=settings.keep)
        self._notifier = Notifier.from_settings(database, settings.alarms, farm=settings.farm.name)
        self._follower = Follower(database, self._upstream, settings.watch, adopt=self._adopt)
        self._planner = Planner(database, snapshot=self._snapshot, settings=settings)
        self._lateness = Lateness()
        self._results: queue.Queue[tuple[NodeName, Lease]] = queue.Queue()
        self._collecting: set[tuple[NodeName, Lease]] = set()
        # A master that could not hear (it was down, or Redis was) must not blame the nodes for their silence.
        self._deaf_until = time.monotonic() + settings.timing.lease_s
        self._needs_after = (0, 0)
        tick_s = settings.timing.tick_s
        self._loops = {
            name: Loop(name, action, pause_s=pause_s)
            for name, action, pause_s in (
                ("watch", self._watch, tick_s),
                ("feed", self._feed, settings.watch.pause_s),
                ("reconcile", self._reconcile, settings.watch.pause_s),
                ("resolve", self._planner.turn, tick_s),
                ("follow", self._follow, tick_s),
                ("ripen", self._ripen, tick_s),
                ("dispatch", self._dispatch, tick_s),
                ("needs", self._needs, max(settings.timing.lease_s / 20, tick_s)),
                ("sweep", self._sweep, max(settings.timing.lease_s / 10, tick_s)),
                ("collect", self._collect, 0.01),
                ("render", self._render, tick_s),
                ("room", self._room.look, 5.0),
                ("scrub", self._scrubber.turn, 5.0),
                ("gc", self._rubbish.turn, 10.0),
                ("watchdog", self._watchdog, 30.0),
                ("tell", self._notifier.tell, 5.0),
                ("abi", partial(abi.Walks(settings).turn, database), _ABI_S),
                ("scope", self._scope, tick_s),
                ("demand", self._demand, _DEMAND_S),
            )
        }
        tasks.register(app, self)

    def start(self) -> None:
        """Render what a crash may have left unrendered, then start every loop."""
        self._site.place_authority(self._collector.authority.certificate_pem)
        with transaction(self._snapshot) as session:
            self._site.rebuild(session)
        for loop in self._loops.values():
            loop.start()

    def stop(self) -> None:
        """Let each loop end what it is doing."""
        for loop in self._loops.values():
            loop.stop()
        for loop in self._loops.values():
            loop.join()
        self._upstream.close()
        self._snapshot.dispose()

    def on_heartbeat(self, message: Heartbeat) -> None:
        """A node lives: extend its leases, take its results, tell it what nobody waits for."""
        with transaction(self._database) as session:
            heard = hear.heartbeat(
                session,
                message,
                lease_s=self._settings.timing.lease_s,
                lost_message_s=self._settings.timing.lost_message_s,
                lag_s=partial(self._lateness.of, message),
            )
        for lease in heard.collect:
            if (message.node, lease) not in self._collecting:
                self._collecting.add((message.node, lease))
                self._results.put((message.node, lease))
        for lease in heard.forget:
            self._tell(message.node, wire.FORGET, lease)
        for lease in heard.cancel:
            self._tell(message.node, wire.CANCEL, lease)
        self._loops["dispatch"].wake()

    def on_progress(self, message: Progress) -> None:
        """A running build has news."""
        with transaction(self._database) as session:
            held = hear.progress(session, message)
        if held:
            hear.keep_log(self._settings.logs, message, limit_bytes=self._settings.limits.log_bytes)

    def _watch(self) -> None:
        sweep_s, poll_s = self._settings.watch.sweep_s, self._settings.upstream.poll_s
        pause_s = sweep_s if self._follower.tells_events else poll_s
        if watch.look_at_due(self._database, self._upstream, poll_s=pause_s):
            self._loops["watch"].wake()  # there may be more

    def _feed(self) -> None:
        if self._follower.turn():
            self._loops["watch"].wake()

    def _reconcile(self) -> None:
        if not self._follower.reads_list:
            reconcile.look_at_all(self._database)
        elif self._follower.tells_events:
            every_s = self._settings.watch.reconcile_s
            reconcile.turn(self._database, self._upstream, every_s=every_s, adopt=self._adopt)

    def _adopt(self, session: Session, names: Iterable[str]) -> None:
        scope.adopt(session, names, settings=self._settings, now=now(session))

    def _needs(self) -> None:
        with transaction(self._database) as session:
            self._needs_after = needs.sweep(session, after=self._needs_after)

    def _follow(self) -> None:
        closure.follow_due(self._database, self._upstream, self._store)

    def _ripen(self) -> None:
        with transaction(self._database) as session:
            ripe = ripen.ripen(session)
        if ripe:
            self._loops["dispatch"].wake()

    def _dispatch(self) -> None:
        with transaction(self._database) as session:
            granted = self._dispatcher.dispatch(session)
        for node, job in granted:
            self._send(node, job)

    def _send(self, node: NodeName, job: BuildJob) -> None:
        log.info("build %s: %s %s for %s goes to node %s", job.build_id, job.project, job.version, job.platform, node)
        try:
            self._app.send_task(wire.BUILD_WHEEL, [job.to_json()], queue=wire.node_queue(node))
        except OperationalError as err:
            log.warning("build %s: the message to node %s was not sent: %s", job.build_id, node, err)

    def _tell(self, node: NodeName, task: str, lease: Lease) -> None:
        try:
            self._app.send_task(task, [lease.to_json()], queue=wire.node_queue(node))
        except OperationalError as err:
            log.warning("build %s: node %s could not be told (%s): %s", lease.build_id, node, task, err)

    def _sweep(self) -> None:
        try:
            reach_redis(self._app)
        except UnavailableError:
            self._deaf_until = time.monotonic() + self._settings.timing.lease_s
            raise
        if time.monotonic() >= self._deaf_until:
            with transaction(self._database) as session:
                sweep.expired(session)

    def _watchdog(self) -> None:
        with transaction(self._database) as session:
            watchdog.look(session, self._settings.alarms)

    def _collect(self) -> None:
        if not self._room.is_enough:
            time.sleep(0.5)  # the results are safe in the nodes' outboxes
            return
        try:
            node, lease = self._results.get(timeout=0.5)
        except queue.Empty:
            return
        try:
            self._collector.collect(node, lease)
        except FarmError as err:
            log.warning("build %s: its result stays with node %s for now: %s", lease.build_id, node, err)
        else:
            self._tell(node, wire.FORGET, lease)
            for name in ("render", "dispatch", "follow"):
                self._loops[name].wake()
        finally:
            self._collecting.discard((node, lease))

    def _scope(self) -> None:
        self._wish_files.turn(self._database)
        self._scope_walk.turn(self._database)

    def _demand(self) -> None:
        self._asked.turn(self._database)

    def _render(self) -> None:
        """Render what changed, some projects at a time; a page that changed meanwhile stays marked."""
        with transaction(self._snapshot) as session:
            marked = select(DirtyPage.project_id, DirtyPage.revision).limit(_PAGES_AT_ONCE)
            dirty = session.execute(marked).all()
            if not dirty:
                return
            for project_id, _ in dirty:
                self._site.render(session, project_id)
            self._site.render_roots(session)
            self._site.render_constraints(session)
        with transaction(self._database) as session:
            for project_id, revision in dirty:
                session.execute(
                    delete(DirtyPage).where(DirtyPage.project_id == project_id, DirtyPage.revision == revision)
                )
