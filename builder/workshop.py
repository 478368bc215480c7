"""What every build on a node shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from builder import network
from schema.names import NodeName, node_name
from schema.sections import HealSection
from schema.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every build on this node shares.

    uid: who builds, where the node runs as root; None: the node's own user
    index_url: where build requirements come from; may carry credentials; empty means pip's default
    resolve_s, wheels_bytes: as in the settings' node section; heal: as in the section of that name
    """

    images: Path
    workspace: Path
    uid: int | None
    index_url: str
    node: NodeName
    resolve_s: float = 3600.0
    wheels_bytes: int = 2 * 2**30
    heal: HealSection = field(default_factory=HealSection)

    @classmethod
    def from_settings(cls, settings: Settings, *, uid: int | None) -> Self:
        """The workshop that the farm's settings describe."""
        return cls(
            images=settings.images.folder,
            workspace=settings.node.workspace,
            uid=uid,
            index_url=settings.upstream.index_url or network.index_url_of_this_machine(),
            node=node_name(settings.node.name),
            resolve_s=settings.node.resolve_s,
            wheels_bytes=settings.node.wheels_bytes,
            heal=settings.heal,
        )
