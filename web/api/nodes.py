"""The machines that build."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schema.printable import printable
from web import queries
from web.api.endpoints import Page, get
from web.api.shapes import an_object, texts
from web.pages.asked import database, rules
from web.queries import Crew


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A machine that builds. silent: it was not heard for longer than a lease; unfit: why it gets no builds, or "".

    busy: slots in use; probation_since: None unless it builds only what is known already
    images: those that it builds in; facts: what its machine is; troubles: what a person should mend there
    """

    name: str
    state: str
    state_reason: str
    unfit: str
    silent: bool
    heard_at: datetime | None
    probation_since: datetime | None
    version: str
    slots: int
    busy: int
    platforms: list[str]
    emulated: list[str]
    images: list[str]
    cores: int
    memory_bytes: int
    memory_free_bytes: int | None
    disk_free_bytes: int
    temperature_c: float | None
    load: float | None
    facts: dict[str, str]
    troubles: list[str]
    builds: list[int]

    @classmethod
    def of(cls, crew: Crew) -> NodeRow:
        """As the pages show it."""
        node, vitals = crew.node, crew.health.vitals
        same = (
            "name", "state", "heard_at", "probation_since", "slots", "cores", "memory_bytes", "disk_free_bytes",
        )  # fmt: skip
        return cls(
            state_reason=printable(node.state_reason),
            unfit=printable(node.unfit),
            version=printable(node.version),
            silent=crew.silent,
            busy=crew.busy,
            platforms=texts(node.platforms),
            emulated=texts(node.emulated),
            images=[printable(name) for name in crew.images],
            memory_free_bytes=vitals.memory_free_bytes,
            temperature_c=vitals.temperature_c,
            load=vitals.load,
            facts={printable(name): printable(str(value)) for name, value in an_object(node.facts).items()},
            troubles=list(crew.health.troubles().values()),
            builds=[item.build.id for item in crew.builds],
            **{name: getattr(node, name) for name in same},
        )


@get("/nodes")
def nodes() -> Page[NodeRow]:
    """The machines that build."""
    with database().reading() as session:
        return Page(items=[NodeRow.of(crew) for crew in queries.nodes(session, rules=rules())])
