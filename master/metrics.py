"""The farm's figures for Prometheus, in its text format 0.0.4: what ``wheelfarm status`` tells people.

A few queries that do not grow with the farm; names and units follow Prometheus's own advice (gauges, seconds, bytes).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from master.reports import FarmStatus
from master.store import write_atomically
from schema.errors import UsageError

_Sample = tuple[dict[str, str], float]


def text(status: FarmStatus) -> str:
    """All of *status*; a figure that nobody knows yet is left out."""
    nodes = status.nodes
    families = (
        ("builds", "Builds by state.", _labelled("state", status.builds)),
        ("queued_builds", "Builds that wait for a node, by platform.", _labelled("platform", status.queued)),
        ("projects", "Projects in the catalogue.", _plain(status.projects)),
        ("upstream_errors", "Projects whose last look at the upstream failed.", _plain(status.upstream_errors)),
        ("wheels", "Wheels in the index.", _plain(status.wheels)),
        ("wheels_bytes", "Size of these wheels.", _plain(status.wheel_bytes)),
        ("last_published_timestamp_seconds", "When a wheel was published last.", _time(status.last_published_at)),
        ("upstream_asked_timestamp_seconds", "When the upstream was asked last.", _time(_asked_at(status))),
        ("master_leads", "Whether a master leads.", _plain(status.leader is not None and status.leader.leads)),
        ("alarm", "1 for each alarm that is open.", [({"alarm": item.name}, 1) for item in status.alarms]),
        ("node_state", "1 for the state that a node is in.", [({"node": n.name, "state": n.state}, 1) for n in nodes]),
        ("node_slots", "Builds that a node does at once.", [({"node": n.name}, n.slots) for n in nodes]),
        ("node_busy_slots", "Builds that a node has now.", [({"node": n.name}, n.busy) for n in nodes]),
        (
            "node_heard_timestamp_seconds",
            "When a node was heard last.",
            [({"node": n.name}, n.heard_at.timestamp()) for n in nodes if n.heard_at],
        ),
    )
    return "".join(_family(f"wheelfarm_{name}", told, samples) for name, told, samples in families)


def write(file: Path, content: str) -> None:
    """Put *content* at *file*, for everybody to read: a reader sees the old file or the new one. Raise UsageError."""
    try:
        file.parent.stat()  # one that is not there is a mistake
        write_atomically(file, content.encode())
    except OSError as err:
        raise UsageError(f"{file} cannot be written: {err.strerror}", advice="is its folder there, and ours?") from err


def _family(name: str, told: str, samples: Iterable[_Sample]) -> str:
    lines = [f"{name}{_labels(labels)} {value:.15g}\n" for labels, value in samples]
    return "".join((f"# HELP {name} {told}\n# TYPE {name} gauge\n", *lines)) if lines else ""


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _labelled(label: str, counts: dict[str, int]) -> list[_Sample]:
    return [({label: key}, count) for key, count in counts.items()]


def _plain(value: float) -> list[_Sample]:
    return [({}, float(value))]


def _time(at: datetime | None) -> list[_Sample]:
    return [({}, at.timestamp())] if at else []


def _asked_at(status: FarmStatus) -> datetime | None:
    return status.feed.asked_at if status.feed else None
