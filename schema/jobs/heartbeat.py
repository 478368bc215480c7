"""What a node says of itself every few seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Self

from schema import fields, names, protocol
from schema.jobs.lease import Lease
from schema.messages import Json, Message, checked
from schema.names import NodeName
from schema.platforms import Platform
from schema.vitals import Vitals

# More processors than any machine has.
MOST_CORES = 2**20
# So many characters a node may say of its sandboxes, signature and certificate included.
MOST_SELF_TEST = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Message):
    """What a node is doing, every few seconds: node → master.

    emulated: those of platforms that its own processor does not run
    running: the builds it works on; finished: those whose results wait in its outbox
    cores, memory_bytes, disk_free_bytes: of the machine, for builds; 0 where the node does not say
    self_test: what the node has signed of its sandboxes (``schema.attest.tested``), as an attestation object; None: yet
        to come
    facts: what the machine is (kernel, how builds are kept apart …), for people only; vitals: how it is just now
    boot: names the time since the machine was started; uptime_s: how long that is, sleep included; "" and 0: not told
    """

    node: NodeName
    version: str
    platforms: tuple[str, ...]
    slots: int
    emulated: tuple[str, ...] = ()
    cores: int = 0
    memory_bytes: int = 0
    disk_free_bytes: int = 0
    running: tuple[Lease, ...] = ()
    finished: tuple[Lease, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    boot: str = ""
    uptime_s: float = 0.0
    vitals: Vitals = field(default_factory=Vitals)
    protocol: int = protocol.PROTOCOL
    self_test: dict[str, Any] | None = None

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError. In a protocol that we do not speak, only whose it is can be read."""
        node, version = names.node_name(fields.text(data["node"])), fields.text(data["version"])
        spoken = protocol.of(data)
        if not protocol.speaks(spoken):
            return cls(node=node, version=version, protocol=spoken, platforms=(), slots=0)
        return cls(
            node=node,
            version=version,
            protocol=spoken,
            platforms=tuple(str(Platform.parse(item)) for item in fields.texts(data["platforms"])),
            slots=fields.count(data["slots"]),
            emulated=tuple(str(Platform.parse(item)) for item in fields.texts(data.get("emulated", ()))),
            cores=fields.count(data.get("cores", 0), most=MOST_CORES),
            memory_bytes=fields.count(data.get("memory_bytes", 0)),
            disk_free_bytes=fields.count(data.get("disk_free_bytes", 0)),
            running=tuple(Lease.from_json(item) for item in fields.items(data.get("running", ()))),
            finished=tuple(Lease.from_json(item) for item in fields.items(data.get("finished", ()))),
            facts=fields.text_map(data.get("facts", {})),
            boot=fields.text(data.get("boot", "")),
            uptime_s=fields.seconds(data.get("uptime_s", 0.0)),
            vitals=Vitals.from_json(data.get("vitals")),
            self_test=fields.maybe(data.get("self_test"), _sealed),
        )


def _sealed(value: Any) -> dict[str, Any]:  # noqa: ANN401 - not checked yet
    """An attestation object, of which only the size is looked at; ``schema.attest.verify`` reads it."""
    if not isinstance(value, dict) or len(json.dumps(value)) > MOST_SELF_TEST:
        raise ValueError(f"not an object of at most {MOST_SELF_TEST} characters")
    return value
