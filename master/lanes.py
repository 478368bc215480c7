"""Take what several nodes have at once, of each node little: who is slow or dead keeps waiting nobody but itself."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from schema.errors import FarmError, UnreachableError
from schema.jobs import Lease
from schema.names import NodeName

log = logging.getLogger(__name__)

_SHORTEST_REST_S = 5.0
_LONGEST_REST_S = 300.0

_Item = tuple[NodeName, Lease]


class Lanes:
    """Calls *take* for each item in a thread that lives as long as that call; what waits holds no thread.

    each: so many of one node at once; monotonic_s: tells the time
    A node that does not answer rests, each time twice as long, up to five minutes: its items wait. Those that *take*
    could not take for another reason are dropped, and come again with the node's next heartbeat.
    """

    def __init__(
        self,
        take: Callable[[NodeName, Lease], None],
        *,
        each: int = 2,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take, self._each, self._now_s = take, each, monotonic_s
        self._changed = threading.Condition()
        self._waiting: dict[_Item, None] = {}
        self._taken: set[_Item] = set()
        self._busy: Counter[NodeName] = Counter()
        self._rests: dict[NodeName, tuple[float, float]] = {}  # until when, how long

    def __len__(self) -> int:
        """How many items wait."""
        with self._changed:
            return len(self._waiting)

    def put(self, node: NodeName, lease: Lease) -> None:
        """Have it taken, unless it waits already or is being taken."""
        with self._changed:
            if (node, lease) not in self._taken:
                self._waiting.setdefault((node, lease))
                self._changed.notify_all()

    def turn(self, *, wait_s: float = 0.5) -> None:
        """Begin with all that may begin; wait *wait_s* seconds at most for something."""
        with self._changed:
            ready = self._ready()
            if not ready:
                self._changed.wait(wait_s)
                ready = self._ready()
            for node, lease in ready:
                del self._waiting[node, lease]
                self._taken.add((node, lease))
                self._busy[node] += 1
        for node, lease in ready:
            threading.Thread(target=self._run, args=(node, lease), name=f"collect {node} {lease}", daemon=True).start()

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing is being taken, *timeout_s* seconds at most; say whether that came."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._taken, timeout_s)

    def _ready(self) -> list[_Item]:
        free = {node: self._each - self._busy[node] for node, _ in self._waiting}
        found = []
        for node, lease in self._waiting:
            if free[node] > 0 and self._rests.get(node, (0.0, 0.0))[0] <= self._now_s():
                free[node] -= 1
                found.append((node, lease))
        return found

    def _run(self, node: NodeName, lease: Lease) -> None:
        try:
            self._take(node, lease)
        except UnreachableError as err:
            log.warning("build %s: its result stays with node %s for now: %s", lease.build_id, node, err)
            self._end(node, lease, answers=False)
        except (FarmError, DBAPIError) as err:
            log.warning("build %s: its result stays with node %s for now: %s", lease.build_id, node, err)
            self._end(node, lease, answers=True)
        except Exception:
            log.exception("build %s: its result stays with node %s for now", lease.build_id, node)
            self._end(node, lease, answers=True)
        else:
            self._end(node, lease, answers=True)

    def _end(self, node: NodeName, lease: Lease, *, answers: bool) -> None:
        with self._changed:
            self._taken.discard((node, lease))
            self._busy[node] -= 1
            until, rest_s = self._rests.pop(node, (0.0, 0.0))
            if not answers:
                if until <= self._now_s():
                    rest_s = min(max(2 * rest_s, _SHORTEST_REST_S), _LONGEST_REST_S)
                    until = self._now_s() + rest_s
                self._rests[node] = (until, rest_s)
                # First again: what was not begun with still counts as being built, so it fills the node's slots, and no
                # more is given to a node whose results nobody can fetch.
                self._waiting = {(node, lease): None, **self._waiting}
            self._changed.notify_all()
