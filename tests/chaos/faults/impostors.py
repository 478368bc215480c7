"""Somebody who has more or less of what a node proves itself by: its place, its host key, its own key, its password."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import select

from schema import redis_link, wire
from schema.db.models import Node
from schema.errors import UnavailableError
from schema.names import node_name
from schema.redis_url import password_of
from schema.states import NodeState
from tests.chaos import lying_sftp, machines
from tests.chaos.faults.fault import Fault
from tests.chaos.liar import LIES
from tests.chaos.machines import Node as Machine
from tests.hostile_sftp import Liar


class _Impostor(Fault):
    """Until the node is set aside for it; the operator takes it back once it is itself again."""

    lasts = (6.0, 10.0)

    def begin(self) -> str:
        self.node: Machine = self.any_node()
        self.fleet.operator.suspects[self.node.name] += 1
        self._was_trusted = False
        return f"{self.node.name}: {self.replace()}"

    def replace(self) -> str:
        """Put somebody in its place; say whom."""
        raise NotImplementedError

    def restore(self) -> None:
        """The node is itself again."""
        raise NotImplementedError

    def tick(self) -> bool:
        try:
            with self.fleet.reading() as session:
                state = session.scalar(select(Node.state).where(Node.name == self.node.name))
        except UnavailableError:
            return super().tick()
        is_caught = self._was_trusted and state == NodeState.QUARANTINED
        self.fleet.caught += is_caught
        self._was_trusted = state == NodeState.ACTIVE
        return is_caught or super().tick()

    def end(self) -> None:
        self.restore()
        self.fleet.operator.suspects[self.node.name] -= 1


class _OtherServer(_Impostor):
    """Another SSH server where the node's was."""

    server: Liar

    def lead_there(self, server: Liar) -> None:
        self.server = server.__enter__()
        self.node.ssh.target_port = server.target.port
        self.node.ssh.cut()

    def restore(self) -> None:
        self.node.ssh.target_port = self.node.sshd.port
        self.node.ssh.cut()
        self.server.__exit__()


class Stranger(_OtherServer):
    """Somebody answers who does not have the node's host key: nobody may even try to log in there."""

    name, promises = "stranger in a node's place", "R11"

    def replace(self) -> str:
        self.lead_there(lying_sftp.server("has nothing"))
        return "another host key"

    def restore(self) -> None:
        super().restore()
        self.fleet.trespasses += self.server.logins


class LyingServer(_OtherServer):
    """Somebody answers who has the node's host key, and says over SFTP what no node says."""

    name, promises = "lying SSH server", "R9, R11"

    def replace(self) -> str:
        tale = self.dice.choice(lying_sftp.TALES)
        self.lead_there(lying_sftp.server(tale, host_key=self.node.sshd.folder / "host_key"))
        return tale


class NewMachine(_Impostor):
    """A machine is set up anew, and so has another host key, which the operator compares and accepts."""

    name, promises = "machine set up anew", "R11"

    def replace(self) -> str:
        self.node.sshd.new_host_key()
        self.node.door.kill()
        return "new host key"

    def restore(self) -> None:
        fingerprint = self.node.sshd.host_key.fingerprint
        self.fleet.operator.accept(self.node.name, self.node.target, fingerprint)


class StolenKeys(_Impostor):
    """A liar has everything that the node has: its key, its host key, its outbox, its user of Redis."""

    name, promises = "liar with a node's keys", "R11"

    def replace(self) -> str:
        lie = self.dice.choice(LIES)
        program = self.node.program
        program.argv = machines.liar(self.node.settings_file)
        program.environment = {**program.environment, "CHAOS_LIE": lie}
        program.kill()
        return lie

    def restore(self) -> None:
        program = self.node.program
        program.argv = machines.agent(self.node.settings_file)
        program.environment = {key: value for key, value in program.environment.items() if key != "CHAOS_LIE"}
        program.kill()


class StolenUser(Fault):
    """Somebody has a node's password for Redis, and tries what that user must not."""

    name, promises = "stolen user of Redis", "R5, R11"

    def begin(self) -> str:
        node, other = self.any_node(), self.any_node()
        user, password = f"node.{node.name}", password_of(node.settings.redis_url)
        refused = 0
        for who, words in (
            *((user, words) for words in _forbidden(node.name, other.name if other is not node else "nobody")),
            *((name, ("PING",)) for name in ("master", "admin", "default", "node.nobody")),
        ):
            try:
                is_refused = self._is_refused(self.fleet.redis_url(who, password), words)
            except redis.RedisError:
                break  # it is away, or silent
            refused += is_refused
            self.fleet.trespasses += not is_refused
        self.fleet.refused += refused
        return f"{node.name}: {refused} commands refused"

    def _is_refused(self, url: str, words: tuple[str, ...]) -> bool:
        options: dict[str, Any] = redis_link.options(url, self.fleet.redis_tls) or {}
        client = redis.Redis.from_url(
            url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0), **options
        )
        try:
            client.execute_command(*words)  # type: ignore[no-untyped-call]
        except (redis.exceptions.NoPermissionError, redis.exceptions.AuthenticationError):
            return True
        finally:
            client.close()
        return False


def _forbidden(node: str, other: str) -> tuple[tuple[str, ...], ...]:
    own, others = wire.key(wire.node_queue(node_name(node))), wire.key(wire.node_queue(node_name(other)))
    masters = wire.key(wire.MASTER_QUEUE)
    return (
        *(("LPUSH", key, "x") for key in (own, others, "wheelfarm:other", "anything")),
        *(("BRPOP", key, "0.1") for key in (masters, others)),
        *((word, masters) for word in ("LLEN", "DEL", "RPOP", "GET", "DUMP")),
        *((word, masters, own) for word in ("COPY", "RENAME", "RPOPLPUSH")),
        *((word,) for word in ("FLUSHALL", "FLUSHDB", "MONITOR", "SAVE", "INFO", "DBSIZE", "ROLE")),
        ("LRANGE", masters, "0", "-1"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("SELECT", "1"),
        ("SUBSCRIBE", "x"),
        ("EVAL", "return 1", "0"),
        ("CONFIG", "SET", "dir", "."),
        ("ACL", "SETUSER", f"node.{node}", "+@all"),
        ("CLIENT", "KILL", "USER", "master"),
        ("REPLICAOF", "127.0.0.1", "1"),
        ("SHUTDOWN", "NOSAVE"),
    )
