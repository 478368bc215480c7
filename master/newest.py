"""The newest heartbeat of each node that nobody has heard yet: a busy master would never catch up with all of them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from schema.jobs import Heartbeat
from schema.names import NodeName

log = logging.getLogger(__name__)

# Anybody who may push to the master's queue may name any node.
_MOST_NODES = 10_000


@dataclass(frozen=True, slots=True)
class Newest:
    """Keeps one heartbeat a node; each tells the whole of what its node does, so an older one adds nothing to it."""

    _waiting: dict[NodeName, Heartbeat] = field(default_factory=dict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def put(self, heartbeat: Heartbeat) -> None:
        """Have it heard, in the place of one that was said before it."""
        node = heartbeat.node
        with self._one_at_a_time:
            held = self._waiting.get(node)
            if held is None and len(self._waiting) >= _MOST_NODES:
                log.warning("a heartbeat of node %s is dropped: those of %d others wait", node, len(self._waiting))
            elif held is None or not _is_older(heartbeat, held):
                self._waiting[node] = heartbeat

    def take(self) -> list[Heartbeat]:
        """All that wait, which do not then any more; who waits longest is first."""
        with self._one_at_a_time:
            taken = list(self._waiting.values())
            self._waiting.clear()
        return taken


def _is_older(heartbeat: Heartbeat, than: Heartbeat) -> bool:
    """Two threads may hand them over in another order than they came."""
    return bool(heartbeat.boot) and heartbeat.boot == than.boot and heartbeat.uptime_s < than.uptime_s
