"""One turn of each of the master's loops; ``master.rota`` says how often."""

from __future__ import annotations

import logging
from functools import partial

from master import closure, crash, failures, needs, ripen, sweep, watch
from master.feed import reconcile
from master.hearing import Hearing
from master.keep import watchdog
from master.loops import Loops
from master.parts import Parts, adopt
from master.post import Post
from schema.db import hours
from schema.db.session import transaction

log = logging.getLogger(__name__)


class Turns:
    """What the loops do; each method is safe to repeat after any fault."""

    def __init__(self, parts: Parts, post: Post, loops: Loops) -> None:
        self._parts, self._post, self._loops = parts, post, loops
        self._settings, self._database = parts.settings, parts.database
        self._hearing = Hearing(parts.database, post.reach, patience_s=parts.settings.timing.lease_s)
        self._needs_after = (0, 0)

    def watch(self) -> None:
        """Look at projects whose turn has come."""
        sweep_s, poll_s = self._settings.watch.sweep_s, self._settings.upstream.poll_s
        pause_s = sweep_s if self._parts.follower.tells_events else poll_s
        parts = self._parts
        if watch.look_at_due(self._database, parts.upstream, poll_s=pause_s, reader=parts.reader):
            self._loops.wake("watch")  # there may be more

    def feed(self) -> None:
        """Ask the upstream what changed."""
        if self._parts.follower.turn():
            self._loops.wake("watch")

    def reconcile(self) -> None:
        """Compare the whole catalogue with the upstream's list, when that is due."""
        follower = self._parts.follower
        if not follower.reads_list:
            reconcile.look_at_all(self._database)
        elif follower.tells_events:
            reconcile.turn(
                self._database,
                self._parts.upstream,
                every_s=self._settings.watch.reconcile_s,
                adopt=partial(adopt, self._settings),
            )

    def follow(self) -> None:
        """Request what published wheels need."""
        closure.follow_due(self._database, self._parts.upstream, self._parts.store)

    def needs(self) -> None:
        """Bring a batch of builds that wait for a requirement up to date."""
        with transaction(self._database) as session:
            self._needs_after = needs.sweep(session, after=self._needs_after)

    def ripen(self) -> None:
        """Queue what waited for a time that has come."""
        with transaction(self._database) as session:
            ripe = ripen.ripen(session)
        crash.point("ripened")
        if ripe:
            self._loops.wake("dispatch")

    def dispatch(self) -> None:
        """Lease builds to free slots, then send them."""
        with transaction(self._database) as session:
            granted = self._parts.dispatcher.dispatch(session)
        for node, job in granted:
            crash.point("lease-committed")
            self._post.send(node, job)
            crash.point("job-sent")

    def sweep(self) -> None:
        """Take back what ran out of its lease, unless it was the master who could not hear."""
        if self._hearing.look():
            with transaction(self._database) as session:
                sweep.expired(session)
            crash.point("swept")

    def watchdog(self) -> None:
        """Raise and end alarms."""
        with transaction(self._database) as session:
            watchdog.look(session, self._settings.alarms)

    def abi(self) -> None:
        """Look for what was compiled against an older series of another project."""
        self._parts.abi.turn(self._database)

    def rescore(self) -> None:
        """Give builds their score by weights that are new."""
        self._parts.rescore.turn(self._database)

    def scope(self) -> None:
        """Request what is in the farm's scope by now."""
        self._parts.wish_files.turn(self._database)
        self._parts.scope_walk.turn(self._database)

    def demand(self) -> None:
        """Request what clients asked the index for."""
        self._parts.asked.turn(self._database)

    def failures(self) -> None:
        """Sort what failed by its cause."""
        if failures.turn(self._database):
            self._loops.wake("failures")  # there may be more

    def hours(self) -> None:
        """Note how much is left to do."""
        with transaction(self._database) as session:
            hours.sample(session)

    def render(self) -> None:
        """Render pages that changed."""
        if self._parts.marked.turn():
            self._loops.wake("render")  # there may be more
