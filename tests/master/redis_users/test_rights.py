"""What each user of a real Redis can do, and what it cannot."""

from __future__ import annotations

import pytest
import redis
from celery import Celery

from builder import tasks as node_tasks
from master import tasks as master_tasks
from schema import wire
from schema.errors import RefusedError
from schema.jobs import BuildJob, Heartbeat, Lease, Progress
from tests import rows, signing
from tests.redis_farm import MASTER, OTHER, OWN, A, B, Farm

_ANOTHERS_QUEUE = f"""
BRPOP {OTHER} 1,RPOP {OTHER},LPUSH {OTHER} x,LLEN {OTHER},LRANGE {OTHER} 0 -1,DEL {OTHER},EXISTS {OTHER},TYPE {OTHER}
BRPOP {OWN} {OTHER} 1,LMOVE {OTHER} {OWN} LEFT LEFT
"""
_THE_MASTERS_QUEUE_BUT_TO_PUSH = f"""
BRPOP {MASTER} 1,RPOP {MASTER},LLEN {MASTER},LRANGE {MASTER} 0 -1,LINDEX {MASTER} 0,DUMP {MASTER},UNLINK {MASTER}
DEL {MASTER},LTRIM {MASTER} 1 0,EXPIRE {MASTER} 1,SET {MASTER} x,LSET {MASTER} 0 x,RPUSH {MASTER} x,LPUSHX {MASTER} x
RENAME {MASTER} {OWN},COPY {MASTER} {OWN},LMOVE {MASTER} {OWN} LEFT LEFT,SORT {OWN} STORE {MASTER}
"""
_OTHER_NAMES_AND_MORE_WITH_ITS_OWN = f"""
LPUSH elsewhere x,LPUSH wheelfarm:unacked x,SET wheelfarm:node.a.x y,GET elsewhere,LPUSH wheelfarm:x y
DEL {OWN},LPUSH {OWN} x,SET {OWN} x,OBJECT ENCODING {OWN},RESTORE {OWN} 0 x
"""
_WHAT_IS_THERE = """
KEYS *,SCAN 0,RANDOMKEY,DBSIZE,INFO,COMMAND,MEMORY STATS,LATENCY LATEST,SLOWLOG GET,ROLE
"""
_THE_SERVER = """
FLUSHALL,FLUSHDB,CONFIG GET *,CONFIG SET save 1,SAVE,BGSAVE,SHUTDOWN NOSAVE,SWAPDB 0 1,MODULE LIST
REPLICAOF 127.0.0.1 1,SELECT 1,WAIT 0 0,FAILOVER,LOLWUT
"""
_SCRIPTS_AND_CHANNELS = """
EVAL return 0,EVALSHA x 0,SCRIPT LOAD return,FUNCTION LIST,FCALL x 0
SUBSCRIBE x,PSUBSCRIBE *,SSUBSCRIBE x,PUBLISH x y,PUBSUB CHANNELS,MONITOR
"""
_USERS_AND_CONNECTIONS = """
ACL WHOAMI,ACL LIST,ACL SETUSER node.a allcommands,ACL DELUSER master,ACL LOG,ACL SAVE
CLIENT LIST,CLIENT KILL TYPE normal,CLIENT PAUSE 1000,CLIENT SETNAME master,CLIENT SETINFO LIB-NAME x
"""
_ATTACKS = (
    _ANOTHERS_QUEUE,
    _THE_MASTERS_QUEUE_BUT_TO_PUSH,
    _OTHER_NAMES_AND_MORE_WITH_ITS_OWN,
    _WHAT_IS_THERE,
    _THE_SERVER,
    _SCRIPTS_AND_CHANNELS,
    _USERS_AND_CONNECTIONS,
)


def test_a_nodes_user_can_do_nothing_but_what_it_must(farm: Farm) -> None:
    granted = farm.grant(A)
    before = {MASTER: ["hint"], OWN: ["job"], OTHER: ["another's job"]}
    with farm.redis.administrator() as administrator:
        for key, values in before.items():
            administrator.lpush(key, *values)
    allowed = []

    for attack in ",".join(text.strip().replace("\n", ",") for text in _ATTACKS).split(","):
        client = farm.client(granted)
        try:
            allowed.append((attack, client.execute_command(*attack.split())))
        except redis.exceptions.NoPermissionError:
            pass
        except redis.ResponseError as err:
            if "unknown" not in str(err).lower():  # a command that this server does not know either
                allowed.append((attack, err))
        finally:
            client.close()

    assert allowed == []
    assert farm.lists() == before


def test_what_is_forbidden_is_so_within_a_transaction(farm: Farm) -> None:
    client = farm.client(farm.grant(A))
    with farm.redis.administrator() as administrator:
        administrator.lpush(MASTER, "hint")

    with client.pipeline() as pipe, pytest.raises(redis.exceptions.NoPermissionError):
        pipe.llen(OWN).delete(MASTER).execute()
    client.close()

    assert farm.lists() == {MASTER: ["hint"]}


def test_the_masters_user_is_limited_too(farm: Farm) -> None:
    client = farm.client(farm.grant_master())
    for attack in (
        f"BRPOP {OWN} 1",
        f"DEL {OWN}",
        f"LRANGE {OWN} 0 -1",
        "KEYS *",
        "FLUSHALL",
        "ACL LIST",
        "EVAL return 0",
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*attack.split())
    client.close()


class _Node:
    """What a node hears, and says to the master."""

    def __init__(self, app: Celery) -> None:
        self._app, self.heard = app, list[object]()

    def build(self, job: BuildJob) -> None:
        self.heard.append(job)
        wire.send(self._app, wire.HEARTBEAT, rows.heartbeat(A), queue=wire.MASTER_QUEUE)
        news = Progress(node=A, lease=job.lease, steps=(), log="compiling")
        wire.send(self._app, wire.PROGRESS, news, queue=wire.MASTER_QUEUE)

    def cancel(self, lease: Lease) -> None:
        self.heard.append(lease)

    def forget(self, lease: Lease) -> None:
        self.heard.append(lease)
        wire.stop_working()


class _Master:
    def __init__(self) -> None:
        self.heard = list[object]()

    def on_heartbeat(self, message: Heartbeat) -> None:
        self.heard.append(message)

    def on_progress(self, message: Progress) -> None:
        self.heard.append(message)
        wire.stop_working()


@pytest.mark.usefixtures("own_signals")
def test_all_five_messages_come_over_tls_and_nothing_is_refused(farm: Farm) -> None:
    node_app, master_app = farm.app(farm.grant(A)), farm.app(farm.grant_master())
    node, master = _Node(node_app), _Master()
    node_tasks.register(node_app, node)
    master_tasks.register(master_app, master)
    job = signing.job()
    wire.reach(node_app, wire.node_queue(A))
    wire.reach(master_app, wire.MASTER_QUEUE)
    wire.drop_backlog(master_app, wire.MASTER_QUEUE)

    wire.send(master_app, wire.BUILD_WHEEL, job, queue=wire.node_queue(A))
    wire.send(master_app, wire.CANCEL, job.lease, queue=wire.node_queue(A))
    wire.send(master_app, wire.FORGET, job.lease, queue=wire.node_queue(A))
    wire.work(node_app, name="node", queues=[wire.node_queue(A)], threads=1)
    wire.work(master_app, name="master", queues=[wire.MASTER_QUEUE], threads=1)

    assert node.heard == [job, job.lease, job.lease]
    assert [type(message) for message in master.heard] == [Heartbeat, Progress]
    assert farm.redis.refused() == []
    assert farm.lists() == {}  # no binding, nothing unacknowledged is kept


def test_another_nodes_queue_cannot_be_listened_to(farm: Farm) -> None:
    app = farm.app(farm.grant(A))

    with pytest.raises(RefusedError, match="does not let this user do what it must"):
        wire.reach(app, wire.node_queue(B))
