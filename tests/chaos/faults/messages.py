"""Messages that nobody should believe: forged, old, doubled, malformed, huge."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import redis
from kombu.exceptions import OperationalError
from packaging.utils import NormalizedName
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from master.dispatch import sdist_of
from schema import wire
from schema.db.models import Build
from schema.errors import UnavailableError
from schema.jobs import BuildJob, Heartbeat, Lease, Limits, Progress, Step
from schema.names import node_name
from schema.states import BuildState
from tests.chaos.faults.fault import Fault


class _Message(Fault):
    """Puts messages into Redis as its administrator could; a node's user is let do less (``impostors.StolenUser``)."""

    def begin(self) -> str:
        try:
            return self.forge()
        except (redis.RedisError, OperationalError, UnavailableError) as err:
            return f"not sent: {type(err).__name__}"

    def forge(self) -> str:
        raise NotImplementedError

    def push(self, queue: str, data: str | bytes) -> None:
        """Whatever it is, put it into *queue* as it is."""
        with self.fleet.redis_client() as client:
            client.lpush(wire.key(queue), data)

    def send(self, queue: str, task: str, *arguments: Any) -> None:
        """What ``send_task`` would put into *queue*."""
        app = wire.celery_app(self.fleet.redis_url(), name="forger", tls=self.fleet.redis_tls)
        app.conf.broker_transport_options = {**app.conf.broker_transport_options, "socket_timeout": 1}
        with app:
            app.send_task(task, arguments, queue=queue, retry=False)

    def a_build(self, *states: BuildState) -> Build | None:
        """A build in one of those states, with its source distribution and project."""
        with self.fleet.reading() as session:
            query = select(Build).where(Build.state.in_(states), Build.fence > 0, Build.sdist_id.is_not(None))
            found = session.scalars(query.options(joinedload(Build.sdist), joinedload(Build.project))).all()
        return self.dice.choice(found) if found else None


class ForgedHeartbeat(_Message):
    name, promises = "forged heartbeat", "R5, R11"

    def forge(self) -> str:
        build = self.a_build(BuildState.LEASED, BuildState.PUBLISHED)
        lease = Lease(build_id=build.id, fence=build.fence) if build else Lease(build_id=1, fence=1)
        old = Lease(build_id=lease.build_id, fence=max(lease.fence - 1, 0))
        honest = self.dice.choice(self.fleet.node_names)
        beats = {
            "of a node that does not exist": self._beat("nobody", finished=[lease]),
            "with the lease of another node": self._beat(honest, running=[lease]),
            "with an older fence": self._beat(honest, finished=[old], running=[old]),
            "with a result that is not there": self._beat(honest, finished=[lease]),
            "of a node that does nothing": self._beat(honest),
            "with many slots": self._beat(honest, slots=40),
        }
        what = self.dice.choice(sorted(beats))
        self.send(wire.MASTER_QUEUE, wire.HEARTBEAT, beats[what].to_json())
        return what

    def _beat(self, node: str, *, slots: int = 1, **leases: list[Lease]) -> Heartbeat:
        platforms = tuple(map(str, self.fleet.settings.farm.platforms))
        return Heartbeat(
            node=node_name(node),
            version="1",
            platforms=platforms,
            slots=slots,
            running=tuple(leases.get("running", ())),
            finished=tuple(leases.get("finished", ())),
        )


class ForgedProgress(_Message):
    name, promises = "forged progress", "R5"

    def forge(self) -> str:
        build = self.a_build(BuildState.LEASED, BuildState.PUBLISHED)
        if build is None:
            return "nothing to forge"
        step = Step(name="forged", started_at=datetime.now(UTC))
        node = build.leased_to or self.fleet.node_names[0]
        fence = build.fence + self.dice.choice([-1, 0, 1])
        message = Progress(
            node=node_name(self.dice.choice([node, "nobody"])),
            lease=Lease(build_id=build.id, fence=max(fence, 0)),
            steps=(step,) * self.dice.choice([1, 100]),
            log_offset=self.dice.choice([0, 10**9]),
            log="forged " * self.dice.choice([1, 100_000]),
        )
        self.send(wire.MASTER_QUEUE, wire.PROGRESS, message.to_json())
        return f"build {build.id}, fence {fence} of {build.fence}"


class DoubledJob(_Message):
    name, promises = "job sent again", "R5, R10"

    def forge(self) -> str:
        build = self.a_build(BuildState.LEASED, BuildState.LEASED, BuildState.PUBLISHED)
        if build is None or build.sdist is None:
            return "nothing to double"
        fence = max(build.fence - self.dice.choice([0, 0, 1]), 0)
        job = BuildJob(
            build_id=build.id,
            fence=fence,
            project=NormalizedName(build.project.name),
            version=build.version,
            platform=build.platform,
            sdist=sdist_of(build.sdist),
            limits=Limits(disk_bytes=64 * 2**20),
        )
        targets = self.dice.choice([[build.leased_to or self.fleet.node_names[0]], self.fleet.node_names])
        for target in targets:
            for _ in range(2):
                self.send(wire.node_queue(node_name(target)), wire.BUILD_WHEEL, job.to_json())
        return f"build {build.id} ({build.state}), fence {fence} of {build.fence}, twice to {', '.join(targets)}"


class Garbage(_Message):
    """Wrong types, nonsense and sizes that no honest message has; some of it not even a Celery message."""

    name, promises = "garbage message", "R5, R11"

    def forge(self) -> str:
        queues = [wire.MASTER_QUEUE, *(wire.node_queue(node_name(name)) for name in self.fleet.node_names)]
        queue = self.dice.choice(queues)
        tasks = [wire.HEARTBEAT, wire.PROGRESS, wire.BUILD_WHEEL, wire.CANCEL, wire.FORGET, "no.such.task"]
        task = self.dice.choice(tasks)
        deep: Any = "x"
        for _ in range(200):
            deep = [deep]
        bodies: list[Any] = [None, 7, "text", [], {}, {"node": 1}, deep, {"node": "node0", "lease": "x" * 2_000_000}]
        ways: dict[str, Callable[[], object]] = {
            "wrong types": lambda: self.send(queue, task, self.dice.choice(bodies)),
            "wrong number of arguments": lambda: self.send(queue, task, *range(self.dice.choice([0, 2, 9]))),
            "not JSON": lambda: self.push(queue, b"\xff\x00 not JSON"),
            "not a message": lambda: self.push(queue, json.dumps(self.dice.choice(bodies[:6]))),
            "half a message": lambda: self.push(queue, json.dumps({"body": "e30=", "properties": {}})),
        }
        way = self.dice.choice(sorted(ways))
        ways[way]()
        return f"{way} ({task}) to {queue}"
