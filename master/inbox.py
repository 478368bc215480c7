"""What comes from the nodes: their messages, and then the results that they say they have."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from sqlalchemy.exc import DBAPIError

from master import crash, hear
from master.lanes import Lanes
from master.lateness import Lateness
from master.newest import Newest
from master.parts import Parts
from master.post import Post
from schema import wire
from schema.db.session import transaction
from schema.errors import FarmError
from schema.jobs import Heartbeat, Lease, Progress
from schema.names import NodeName

log = logging.getLogger(__name__)

_FULL_DISK_S = 0.5
_STOP_S = 10.0


class Inbox:
    """Hears nodes (``tasks`` calls ``on_heartbeat`` and ``on_progress``) and takes their results, of each few at once.

    A heartbeat is only put aside at first: ``hear`` hears the newest of each node.

    wake: is called with the names of loops that have something to do now
    """

    def __init__(self, parts: Parts, post: Post, *, wake: Callable[..., None]) -> None:
        self._parts, self._post, self._wake = parts, post, wake
        self._lateness, self._newest = Lateness(), Newest()
        self._lanes = Lanes(self._take)

    def __len__(self) -> int:
        """How many results wait to be taken."""
        return len(self._lanes)

    def on_heartbeat(self, message: Heartbeat) -> None:
        """A node lives; whatever it said before that nobody has heard yet is out of date."""
        self._newest.put(message)
        self._wake("hear")

    def hear(self) -> None:
        """Hear each node's newest heartbeat; one that cannot be handled now is followed by another."""
        for message in self._newest.take():
            try:
                self._heed(message)
            except (FarmError, DBAPIError) as err:
                log.warning("a heartbeat of node %s could not be handled now: %s", message.node, err)
            except Exception:
                log.exception("a heartbeat of node %s could not be handled", message.node)

    def _heed(self, message: Heartbeat) -> None:
        """Extend the node's leases, take its results, tell it what nobody waits for."""
        timing = self._parts.settings.timing
        with transaction(self._parts.database) as session:
            heard = hear.heartbeat(
                session,
                message,
                lease_s=timing.lease_s,
                lost_message_s=timing.lost_message_s,
                native_only=self._parts.settings.farm.native_only,
                lag_s=partial(self._lateness.of, message),
                authority_pem=self._parts.collector.authority.certificate_pem,
            )
        crash.point("heartbeat-committed")
        for lease in heard.collect:
            self.expect(message.node, lease)
        for lease in heard.forget:
            self._post.tell(message.node, wire.FORGET, lease)
        for lease in heard.cancel:
            self._post.tell(message.node, wire.CANCEL, lease)
        self._wake("dispatch")

    def on_progress(self, message: Progress) -> None:
        """A running build has news."""
        settings = self._parts.settings
        with transaction(self._parts.database) as session:
            held = hear.progress(session, message)
        if held:
            hear.keep_log(settings.logs, message, limit_bytes=settings.limits.log_bytes)

    def expect(self, node: NodeName, lease: Lease) -> None:
        """Have that result taken, unless it is about to be."""
        self._lanes.put(node, lease)

    def collect(self) -> None:
        """Begin to take the results that wait; wait a moment for one."""
        if not self._parts.room.is_enough:
            time.sleep(_FULL_DISK_S)  # the results are safe in the nodes' outboxes
            return
        self._lanes.turn()

    def stop(self) -> None:
        """Let what is being taken come to its end, for a while: what is not taken by then stays with its node."""
        self._lanes.settle(_STOP_S)

    def _take(self, node: NodeName, lease: Lease) -> None:
        self._parts.collector.collect(node, lease)
        self._post.tell(node, wire.FORGET, lease)
        crash.point("forget-sent")
        self._wake("render", "dispatch", "follow")
