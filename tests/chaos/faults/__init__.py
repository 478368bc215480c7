"""The kinds of faults, and the promises of the farm's reliability that each of them tests.

========================================  =======================================================================
kind                                      promises
========================================  =======================================================================
kill -9 node, SIGTERM                     R1   a worker dies in the middle of a build: it is built again
half-open, black hole, cut, slow wire     R2   a partition ends, and everybody is back to work
kill -9 Redis, FLUSHALL                   R3   nothing that matters was in Redis
kill -9 master                            R4   a publish is whole or not at all
forged and doubled messages, garbage      R5   at most one published file, whatever is delivered how often (R10)
clock two hours off                       R6   no decision by a node's clock
disk full, EIO                            R7, R8   of the node and of the store
damaged transfer                          R9   wrong bytes are never stored
lying node                                R11  it is refused and set aside; the build goes elsewhere
job that kills nodes                      R12  at most two nodes
database away                             R13
upstream away                             R14
SIGTERM                                   R17  processes are replaced while builds run
SIGSTOP, also beyond the lease            R18  the fence
========================================  =======================================================================

R15 and R16 (what the upstream says) are held by the tests of the feed; R19 and R20 (bit rot, restore) by those of
``master.keep``.
"""

from __future__ import annotations

from tests.chaos.faults import links, malice, messages, processes, storage
from tests.chaos.faults.fault import Fault

KINDS: tuple[type[Fault], ...] = (
    processes.KillNode,
    processes.KillMaster,
    processes.StopProcess,
    processes.Freeze,
    processes.LongFreeze,
    processes.WrongClock,
    links.KillRedis,
    links.Flush,
    links.HalfOpen,
    links.BlackHole,
    links.Cut,
    links.Delay,
    links.UpstreamAway,
    messages.ForgedHeartbeat,
    messages.ForgedProgress,
    messages.DoubledJob,
    messages.Garbage,
    storage.DiskFull,
    storage.BrokenDisk,
    storage.DamagedTransfer,
    storage.DatabaseAway,
    malice.Lie,
    malice.KillerJob,
)
