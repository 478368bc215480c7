"""The kinds of faults, and the promises of the farm's reliability that each of them tests.

========================================  =======================================================================
kind                                      promises
========================================  =======================================================================
kill -9 node, SIGTERM                     R1   a worker dies in the middle of a build: it is built again
power cut                                 R1, R2   of a node: its agent and its SSH server
half-open, black hole, cut, slow wire,    R2   a partition ends, and everybody is back to work; of the way to Redis,
node partitioned, bit errors                   of the way to a node's SSH server, or of both; both ways, or one
kill -9 Redis, FLUSHALL                   R3   nothing that matters was in Redis
kill -9 master                            R4   a publish is whole or not at all
forged and doubled messages, garbage      R5   at most one published file, whatever is delivered how often (R10)
wrong clock                               R6   no decision by a node's clock: hours or days off, or jumping
disk full, EIO                            R7, R8   of the node and of the store
damaged transfer, bit errors              R9   wrong bytes are never stored
lying node, liar with a node's keys       R11  it is refused and set aside; the build goes elsewhere
stranger, machine set up anew             R11  another host key: nobody logs in there before a person accepts it
lying SSH server                          R9, R11   whatever it says over SFTP, others are not kept waiting
stolen user of Redis                      R5, R11   it is let do nothing but what its node does
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

from tests.chaos.faults import impostors, links, malice, messages, processes, storage
from tests.chaos.faults.fault import Fault

KINDS: tuple[type[Fault], ...] = (
    processes.KillNode,
    processes.KillMaster,
    processes.StopProcess,
    processes.Freeze,
    processes.LongFreeze,
    processes.PowerCut,
    processes.WrongClock,
    links.KillRedis,
    links.Flush,
    links.HalfOpen,
    links.BlackHole,
    links.Partition,
    links.Cut,
    links.Delay,
    links.BitErrors,
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
    impostors.Stranger,
    impostors.NewMachine,
    impostors.LyingServer,
    impostors.StolenKeys,
    impostors.StolenUser,
)
