"""The farm's figures for Prometheus: what ``wheelfarm status`` tells people, and more.

A few queries that do not grow with the farm; names and units follow Prometheus's own advice (base units, ``_total``).
A figure that nobody knows yet is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib.metadata import version

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy import text as sql
from sqlalchemy.orm import Session

from schema.db import counts, health, running, totals
from schema.db.models import Build, Node, Order, Project, Wheel
from schema.db.totals import BOUNDS_S, Totals
from schema.states import BuildState
from schema.vitals import Health

# So many are counted of what should be few.
MOST = 1000

_Samples = Iterable[tuple[list[str], float]]


def families(session: Session, *, silent_s: float) -> list[Metric]:
    """All of them; a node that was not heard for *silent_s* seconds counts as silent."""
    return [
        InfoMetricFamily("wheelfarm", "The release of the farm.", {"version": version("wheelfarm")}),
        *_builds(session),
        *_attempts(totals.read(session)),
        *_farm(session),
        *_nodes(session, silent_s=silent_s),
    ]


def text(families: Iterable[Metric], accept: str = "") -> tuple[bytes, str]:
    """Them as Prometheus reads them, and the content type: OpenMetrics where *accept* asks for it."""
    encode, content_type = choose_encoder(accept)
    return encode(_Given(families)), content_type


def gauge(name: str, told: str, samples: _Samples, *, labels: Iterable[str] = ()) -> Metric:
    """A figure that rises and falls. samples: the values of *labels*, and the figure."""
    family = GaugeMetricFamily(f"wheelfarm_{name}", told, labels=list(labels))
    for values, value in samples:
        family.add_metric(values, value)
    return family


class _Given(Collector):
    """What the library collects from where there is nothing more to do."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = [family for family in families if family.samples]

    def collect(self) -> Iterable[Metric]:
        return self._families


def _builds(session: Session) -> Iterator[Metric]:
    by_state = [([platform, state], builds) for (platform, state), builds in counts.counts(session).items()]
    yield gauge("builds", "Builds by platform and state.", by_state, labels=["platform", "state"])
    oldest = select(Build.created_at).where(Build.state == BuildState.QUEUED).order_by(Build.id).limit(1)
    yield gauge(
        "queue_oldest_timestamp_seconds",
        "When the oldest of the queued builds came to be.",
        _at(session.scalar(oldest)),
    )


def _attempts(found: Totals) -> Iterator[Metric]:
    ended = CounterMetricFamily(
        "wheelfarm_attempts", "Attempts that ended: built, or a class of failures.", labels=["platform", "result"]
    )
    for place, attempts in found.ended.items():
        ended.add_metric(place, attempts)
    took = HistogramMetricFamily(
        "wheelfarm_attempt_duration_seconds",
        "How long attempts took that gave a wheel, or failed.",
        labels=["platform", "outcome"],
    )
    for place, durations in found.durations.items():
        ends = [*(f"{bound:.1f}" for bound in BOUNDS_S), "+Inf"]
        took.add_metric(place, list(zip(ends, durations.within, strict=True)), durations.sum_s)
    yield from (ended, took)
    yield gauge("wheels", "Wheels in the index.", [([], found.wheels)])
    yield gauge("wheels_bytes", "Size of these wheels.", [([], found.wheel_bytes)])


def _farm(session: Session) -> Iterator[Metric]:
    newest = select(Wheel.published_at).where(Wheel.removed_at.is_(None)).order_by(Wheel.published_at.desc()).limit(1)
    yield gauge("last_published_timestamp_seconds", "When a wheel was published last.", _at(session.scalar(newest)))
    feed, leader = health.feed(session), health.leader(session)
    asked_at, news_at = (feed.asked_at, feed.news_at) if feed else (None, None)
    yield gauge("upstream_asked_timestamp_seconds", "When the upstream was asked last.", _at(asked_at))
    yield gauge("upstream_news_timestamp_seconds", "When the upstream had news last.", _at(news_at))
    failing = select(Project.id).where(sql("errors > 0")).limit(MOST).subquery()  # so that the partial index serves
    yield gauge(
        "upstream_errors",
        f"Projects whose last look at the upstream failed; {MOST} stand for more.",
        [([], session.scalar(select(func.count()).select_from(failing)) or 0)],
    )
    waiting = select(Order.id).where(Order.outcome.is_(None)).limit(MOST).subquery()
    yield gauge(
        "orders_open",
        f"What people asked for and the master has not come to; {MOST} stand for more.",
        [([], session.scalar(select(func.count()).select_from(waiting)) or 0)],
    )
    yield gauge("master_leads", "Whether a master leads.", [([], leader is not None and leader.leads)])
    alarms = dict.fromkeys(alarm.name for alarm in health.open_alarms(session))
    yield gauge("alarm", "1 for each alarm that is open.", [([name], 1) for name in alarms], labels=["alarm"])


def _nodes(session: Session, *, silent_s: float) -> Iterator[Metric]:
    nodes = session.scalars(select(Node).order_by(Node.name)).all()
    busy = {name: len(sizes) for name, sizes in running.sizes_by_node(session).items()}
    states = health.node_states(session, nodes, silent_s=silent_s)
    yield gauge(
        "node_state",
        "1 for the state that a node is in.",
        [([node.name, states[node.name]], 1) for node in nodes],
        labels=["node", "state"],
    )
    yield _node("slots", "Builds that a node does at once.", {node.name: node.slots for node in nodes})
    yield _node("busy_slots", "Builds that a node has now.", {node.name: busy.get(node.name, 0) for node in nodes})
    yield _node(
        "heard_timestamp_seconds",
        "When a node was heard last.",
        {node.name: node.heard_at.timestamp() if node.heard_at else None for node in nodes},
    )
    yield _node("cores", "Processors of a node.", {node.name: node.cores or None for node in nodes})
    yield _node("memory_bytes", "Memory of a node.", {node.name: node.memory_bytes or None for node in nodes})
    yield from _health({node.name: Health.read(node.health, node.disk_free_bytes) for node in nodes})


def _health(told: Mapping[str, Health]) -> Iterator[Metric]:
    """What nodes say of their machines, by name."""
    yield _node(
        "disk_free_bytes",
        "What a node has free for builds.",
        {name: item.disk_free_bytes or None for name, item in told.items()},
    )
    vitals = {name: item.vitals for name, item in told.items()}
    yield _node("load1", "Load of a node, of a minute.", {name: item.load for name, item in vitals.items()})
    yield _node(
        "memory_free_bytes",
        "What a node can give out without swapping.",
        {name: item.memory_free_bytes for name, item in vitals.items()},
    )
    yield _node(
        "temperature_celsius",
        "Of the hottest part of a node.",
        {name: item.temperature_c for name, item in vitals.items()},
    )
    yield _node(
        "throttled",
        "Whether a node's processor is slowed down now, or its voltage too low.",
        {name: item.throttled_now for name, item in vitals.items()},
    )
    yield _node(
        "clock_offset_seconds",
        "How far a node's clock is ahead of the farm's.",
        {name: item.clock_s for name, item in told.items()},
    )


def _node(name: str, told: str, figures: dict[str, float | int | None]) -> Metric:
    samples = [([node], figure) for node, figure in figures.items() if figure is not None]
    return gauge(f"node_{name}", told, samples, labels=["node"])


def _at(moment: datetime | None) -> list[tuple[list[str], float]]:
    return [([], moment.timestamp())] if moment else []
