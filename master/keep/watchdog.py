"""Looks whether the farm still does what it is for, and raises or ends alarms; what it must remember is in its mark."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from master import hearing, marks
from master.feed.news import PROJECTS
from master.keep import alarms, room
from schema.db.models import Alarm, Attempt, Build, BuildCount, Mark, Node, Webhook
from schema.db.session import now
from schema.sections import AlarmsSection
from schema.states import GONE, AttemptOutcome, BuildState, NodeState
from schema.vitals import Health

MARK = "watchdog"

# Attempts that end late have low numbers: among the last thousand is the newest end, for no farm has more slots.
_LAST_ATTEMPTS = 1000
_SAMPLES = 48
# Whoever did not look for so long has slept, and must not blame others for what it did not see.
_ASLEEP_S = 300.0
_FEED = "feed"


@dataclass(slots=True, kw_only=True)
class Memory:
    """What one look leaves for the next; times are seconds since 1970, by the database's clock.

    awake_since: nothing before it is held against anybody; looked_at: the last look
    queued_since: since when there was always something queued, 0.0 for not now
    serial, serial_since: the upstream's, and since when it is that one
    samples: [time, queued builds], the oldest first
    """

    awake_since: float = 0.0
    looked_at: float = 0.0
    queued_since: float = 0.0
    serial: int = 0
    serial_since: float = 0.0
    samples: list[tuple[float, int]] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> Memory:
        """From what ``text`` wrote; one of another version, or none, is forgotten."""
        try:
            data = json.loads(text)
            return cls(**data | {"samples": [(float(at), int(count)) for at, count in data["samples"]]})
        except (ValueError, TypeError, KeyError):
            return cls()

    def text(self) -> str:
        """As JSON."""
        data: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(data)

    def wake(self, moment: float) -> None:
        """Begin a look."""
        if moment - self.looked_at > _ASLEEP_S:
            self.awake_since = moment
            self.queued_since = moment if self.queued_since else 0.0
            self.serial_since = moment
        self.looked_at = moment


def look(session: Session, settings: AlarmsSection) -> list[Alarm]:
    """Compare the farm with *settings*; raise and end alarms, and give those that changed."""
    moment = now(session)
    mark = marks.at(session, MARK)
    memory = Memory.read(mark.cursor)
    memory.wake(moment.timestamp())
    wrong = {
        **_disk(session),
        **_redis(session),
        **_nothing_built(session, memory, moment, settings.nothing_built_s),
        **_serial_still(session, memory, moment, settings.serial_still_s),
        **_silent_nodes(session, memory, moment, settings.node_silent_s),
        **_ailing_nodes(session, moment, settings.node_silent_s),
        **_queue_grows(session, memory, moment, settings.queue_grows_s),
        **_webhooks_off(session),
    }
    mark.cursor = memory.text()
    return alarms.settle(session, wrong)


def _disk(session: Session) -> dict[str, str]:
    note = room.note_of(session)
    return {"disk-low": note} if note else {}


def _redis(session: Session) -> dict[str, str]:
    note = hearing.note_of(session)
    return {"redis-away": note} if note else {}


def _nothing_built(session: Session, memory: Memory, moment: datetime, limit_s: float) -> dict[str, str]:
    """Builds are queued, but no attempt came to an end; while the disk is full, that is alarm enough."""
    waits = session.scalar(select(Build.id).where(Build.state == BuildState.QUEUED).limit(1)) is not None
    if not waits or room.note_of(session):
        memory.queued_since = 0.0
        return {}
    memory.queued_since = memory.queued_since or moment.timestamp()
    last = select(Attempt.finished_at, Attempt.outcome).order_by(Attempt.id.desc()).limit(_LAST_ATTEMPTS).subquery()
    ended = session.scalar(
        select(func.max(last.c.finished_at)).where(last.c.outcome.in_((AttemptOutcome.BUILT, AttemptOutcome.FAILED)))
    )
    since = max(memory.queued_since, ended.timestamp() if ended else 0.0)
    if moment.timestamp() - since < limit_s:
        return {}
    text = f"builds are queued, but none ended since {_at(since)}: do the nodes live? (wheelfarm node list)"
    return {"nothing-built": text}


def _serial_still(session: Session, memory: Memory, moment: datetime, limit_s: float) -> dict[str, str]:
    """All of an upstream never sleeps for hours: whoever sees nothing new is cut off from it."""
    mark = session.get(Mark, _FEED)
    # Page by page there is no serial, and an old one of a wider scope stands still for good.
    serial = mark.serial if mark and mark.cursor != PROJECTS else 0
    if serial != memory.serial:
        memory.serial, memory.serial_since = serial, moment.timestamp()
    if not serial or moment.timestamp() - memory.serial_since < limit_s:
        return {}
    text = f"the upstream's serial is {serial} since {_at(memory.serial_since)}: is the farm cut off from it?"
    return {"serial-still": text}


def _silent_nodes(session: Session, memory: Memory, moment: datetime, limit_s: float) -> dict[str, str]:
    """Nodes that were set aside or drain may be silent; one that never spoke is being set up."""
    before = moment - timedelta(seconds=limit_s)
    if memory.awake_since > before.timestamp():
        return {}
    at_work = Node.state.in_((NodeState.ACTIVE, NodeState.PROBATION))
    silent = session.scalars(select(Node).where(at_work, Node.heard_at < before).order_by(Node.name))
    return {
        f"node-silent:{node.name}": f"node {node.name} was not heard since {_at(node.heard_at.timestamp())}"
        for node in silent
        if node.heard_at is not None
    }


def _ailing_nodes(session: Session, moment: datetime, limit_s: float) -> dict[str, str]:
    """What keeps nodes that live from building, or ails them, and a person should do something about."""
    living = select(Node).where(Node.state.not_in(GONE), Node.heard_at >= moment - timedelta(seconds=limit_s))
    still = session.scalars(select(Alarm.name).where(Alarm.ended_at.is_(None), Alarm.name.like("node-%"))).all()
    found = {}
    for node in session.scalars(living.order_by(Node.name)):
        if node.unfit:
            found[f"node-unfit:{node.name}"] = f"node {node.name}: {node.unfit}"
        known = {name.partition(":")[0].removeprefix("node-") for name in still if name.endswith(f":{node.name}")}
        for kind, text in Health.read(node.health, node.disk_free_bytes).troubles(known).items():
            found[f"node-{kind}:{node.name}"] = f"node {node.name}: {text}"
    return found


def _queue_grows(session: Session, memory: Memory, moment: datetime, limit_s: float) -> dict[str, str]:
    """The queue was never shorter than before, over the whole time; a bounded number of samples tells."""
    every_s, at = limit_s / _SAMPLES, moment.timestamp()
    if memory.samples and at - memory.samples[-1][0] > max(every_s, _ASLEEP_S) * 2:
        memory.samples = []  # nobody knows what was in between
    if not memory.samples or at - memory.samples[-1][0] >= every_s:
        queued = session.scalar(select(func.sum(BuildCount.builds)).where(BuildCount.state == BuildState.QUEUED)) or 0
        memory.samples = [*memory.samples, (at, int(queued))][-_SAMPLES - 1 :]
    (first_at, first), (_, last) = memory.samples[0], memory.samples[-1]
    counts = [count for _, count in memory.samples]
    if at - first_at < limit_s * (1 - 1 / _SAMPLES) or last <= first or counts != sorted(counts):
        return {}
    text = f"the queue only grew since {_at(first_at)}, from {first} to {last} builds: more nodes, or a smaller scope?"
    return {"queue-grows": text}


def _webhooks_off(session: Session) -> dict[str, str]:
    """Those that the farm itself switched off, and tells nothing any more."""
    off = session.scalars(select(Webhook).where(Webhook.disabled_at.is_not(None)).order_by(Webhook.name))
    return {
        f"webhook-off:{hook.name}": f"the webhook {hook.name} is off: {hook.disabled_because}"
        f" (wheelfarm webhook enable {hook.name}, or remove)"
        for hook in off
    }


def _at(seconds: float) -> str:
    """A time for people."""
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M} UTC"
