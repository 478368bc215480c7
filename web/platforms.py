"""What the farm builds for: each platform with its nodes, and how its builds stand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db import health, hours
from schema.db.models import Node
from schema.db.session import now
from schema.db.why.surroundings import Rules
from schema.errors import UnknownPlatformError
from schema.platforms import Platform
from schema.states import GONE, BuildState


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A node that builds for a platform. emulated: its own processor does not run the image."""

    node: Node
    silent: bool
    emulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A platform. parsed: None where the farm does not know it (any more); wanted: whether ``farm.platforms`` has it.

    states: state → builds; rate: attempts that ended there in an hour, over the last day
    """

    name: str
    parsed: Platform | None
    wanted: bool
    states: Mapping[str, int]
    offers: Sequence[Offer]
    rate: float

    @property
    def to_do(self) -> int:
        """Builds that wait for a node, or for something else."""
        return self.states.get(BuildState.QUEUED, 0) + self.states.get(BuildState.WAITING, 0)

    @property
    def lacks(self) -> str:
        """What keeps it from being built for; "" for nothing."""
        if not self.offers:
            return "no node offers it"
        if all(offer.silent or offer.node.state != "active" or offer.node.unfit for offer in self.offers):
            return "none of its nodes gets builds now"
        return ""


def platforms_page(session: Session, *, farm: Collection[Platform], rules: Rules) -> list[Place]:
    """Every platform that the farm builds for, has built for, or that some node offers; by name."""
    by_platform, rates, moment = health.by_platform(session), hours.rates(session), now(session)
    nodes = [node for node in session.scalars(select(Node).order_by(Node.name)) if node.state not in GONE]
    wanted = {str(platform) for platform in farm}
    names = wanted | set(by_platform) | {name for node in nodes for name in _listed(node.platforms)}
    return [
        Place(
            name=name,
            parsed=_parsed(name),
            wanted=name in wanted,
            states=by_platform.get(name, {}),
            offers=[
                Offer(
                    node=node,
                    silent=node.heard_at is None or (moment - node.heard_at).total_seconds() > rules.silent_s,
                    emulated=name in _listed(node.emulated),
                )
                for node in nodes
                if name in _listed(node.platforms)
            ],
            rate=rates.get(name, 0.0),
        )
        for name in sorted(names)
    ]


def _listed(value: object) -> list[str]:
    """What a node says: nothing, where it is no list."""
    return [str(item) for item in value] if isinstance(value, list) else []


def _parsed(name: str) -> Platform | None:
    try:
        return Platform.parse(name)
    except UnknownPlatformError:
        return None
