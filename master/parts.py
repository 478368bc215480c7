"""What a master works with, made once from its settings and handed to its loops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master import abi, demand, farm_wheels, rescore, scope, wishes
from master.collect import Collector
from master.dispatch import Dispatcher
from master.feed.choose import Follower
from master.keep.gc import Collector as Rubbish
from master.keep.notify import Notifier
from master.keep.room import Room, folders
from master.keep.scrub import Scrubber, Shelf
from master.outboxes import Reach
from master.planner import Planner
from master.reader import Reader
from master.site import Site
from master.site.listing import Listing
from master.site.marked import Marked
from master.site.walk import Walk
from master.store import Store
from master.upstream import Upstream
from master.webhooks.sender import Letterhead, Sender
from schema.attest.authority import Authority
from schema.db.session import engine, now
from schema.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that the loops share.

    database: refuses to begin a transaction once another master leads
    snapshot: reads only, and waits for no writer
    unfenced: for the little that a process may still write that leads no more
    """

    settings: Settings
    database: Engine
    snapshot: Engine
    unfenced: Engine
    store: Store
    site: Site
    listing: Listing
    marked: Marked
    pages: Walk
    upstream: Upstream
    reader: Reader
    collector: Collector
    planner: Planner
    dispatcher: Dispatcher
    room: Room
    scrubber: Scrubber
    rubbish: Rubbish
    notifier: Notifier
    sender: Sender
    follower: Follower
    scope_walk: scope.Walk
    wish_files: wishes.Files
    asked: demand.Asked
    abi: abi.Walks
    rescore: rescore.Walk

    @classmethod
    def of(cls, settings: Settings, database: Engine) -> Self:
        """Wire them together; the caller keeps *database*, and closes the rest with ``close``."""
        store, upstream = Store(settings.store), Upstream.from_settings(settings)
        snapshot, unfenced = engine(settings.database_url, read_only=True), engine(settings.database_url)
        site = Site(settings.site, store, settings.public_url, settings.farm.platforms)
        listing = Listing(site=site, snapshot=snapshot)
        shelf = Shelf(database=database, store=store, site=settings.site)
        return cls(
            settings=settings,
            database=database,
            snapshot=snapshot,
            unfenced=unfenced,
            store=store,
            site=site,
            listing=listing,
            marked=Marked(site=site, listing=listing, snapshot=snapshot, database=database, unfenced=unfenced),
            pages=Walk(site=site, public_url=settings.public_url, database=database, lost=not site.is_there),
            upstream=upstream,
            reader=Reader(settings),
            collector=_collector(settings, database, store),
            planner=Planner(database, snapshot=snapshot, settings=settings),
            dispatcher=_dispatcher(settings, store),
            room=Room(database, folders(settings), free_bytes=settings.keep.free_bytes),
            scrubber=Scrubber(shelf, scrub_s=settings.keep.scrub_s),
            rubbish=Rubbish(database=database, store=store, logs=settings.logs, keep=settings.keep),
            notifier=Notifier.from_settings(database, settings.alarms, farm=settings.farm.name),
            sender=Sender(database=database, snapshot=snapshot, letterhead=Letterhead.of(settings)),
            follower=Follower(database, upstream, settings.watch, adopt=partial(adopt, settings)),
            scope_walk=scope.Walk(settings),
            wish_files=wishes.Files(settings),
            asked=demand.Asked(settings),
            abi=abi.Walks(settings),
            rescore=rescore.Walk(settings.score),
        )

    def close(self) -> None:
        """Close every connection that was opened here."""
        self.sender.stop()
        self.upstream.close()
        self.reader.close()
        self.snapshot.dispose()
        self.unfenced.dispose()


def adopt(settings: Settings, session: Session, names: Iterable[str]) -> None:
    """Request those of the upstream's *names* that are in the farm's scope."""
    scope.adopt(session, names, settings=settings, now=now(session))


def _collector(settings: Settings, database: Engine, store: Store) -> Collector:
    return Collector(
        recipe_folders=settings.farm.recipes,
        database=database,
        store=store,
        logs=settings.logs,
        authority=Authority.create(settings.authority),
        farm=settings.farm.name,
        limits=settings.limits,
        reach=Reach(identity=settings.ssh),
        retry_s=settings.timing.retry_s,
        repeat=settings.repeat,
    )


def _dispatcher(settings: Settings, store: Store) -> Dispatcher:
    return Dispatcher(
        recipe_folders=settings.farm.recipes,
        limits=settings.limits,
        lease_s=settings.timing.lease_s,
        silent_after_s=3 * settings.timing.heartbeat_s,
        canaries=settings.nodes.canaries,
        bundle=settings.bundle,
        wheels=partial(farm_wheels.wheels_for, store=store, public_url=settings.public_url),
    )
