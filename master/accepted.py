"""What is left to do with: a node's result after the master has checked wheel and statement itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schema.jobs import BuildResult, Lease
from schema.names import NodeName
from schema.wheels.check import WheelFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A result whose wheel and statement the master has checked itself."""

    farm: str
    node: NodeName
    lease: Lease
    platform: str
    wheel: Path
    facts: WheelFacts
    attestation: dict[str, Any]
    result: BuildResult
