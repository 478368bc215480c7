"""The contract of the wire: every message between master and nodes, and the record a node leaves in its outbox.

``to_json()`` gives plain data; ``from_json()`` names, converts and checks each field, because what comes off the wire
is not trusted: it raises WireError and nothing else.
"""

from __future__ import annotations

from schema.jobs.heartbeat import MOST_CORES, MOST_SELF_TEST, Heartbeat
from schema.jobs.job import MOST_WHEELS, BuildJob, FarmWheel, Limits, Sdist
from schema.jobs.lease import Lease
from schema.jobs.progress import Progress, Step
from schema.jobs.result import MOST_MISSING, MOST_USAGE, BuildResult, Material, Outcome, Usage, WheelFile

__all__ = [
    "MOST_CORES",
    "MOST_MISSING",
    "MOST_SELF_TEST",
    "MOST_USAGE",
    "MOST_WHEELS",
    "BuildJob",
    "BuildResult",
    "FarmWheel",
    "Heartbeat",
    "Lease",
    "Limits",
    "Material",
    "Outcome",
    "Progress",
    "Sdist",
    "Step",
    "Usage",
    "WheelFile",
]
