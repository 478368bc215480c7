"""The record that a node leaves in its outbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self

from schema import fields, names, rule_keys
from schema.errors import WireError
from schema.jobs.lease import Lease
from schema.jobs.progress import Step
from schema.messages import Json, Message, checked
from schema.names import NodeName, Sha256
from schema.portability import MOST_VERDICTS, Verdict
from schema.remedies import MOST_TRIES, Remedy, Try, remedies
from schema.states import FailureClass

# So many missing build requirements a result may name.
MOST_MISSING = 20
# So many points may tell what an attempt used.
MOST_USAGE = 120


class Outcome(StrEnum):
    """How a node says an attempt ended."""

    BUILT = "built"
    FAILED = "failed"
    NODE = "node"  # not the project's fault: try it elsewhere, later
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile(Message):
    """A wheel as the node left it; the master believes none of it before it has looked itself."""

    filename: str
    sha256: Sha256
    size_bytes: int

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            filename=fields.file_name(data["filename"]),
            sha256=names.sha256(fields.text(data["sha256"])),
            size_bytes=fields.count(data["size_bytes"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Material(Message):
    """Something that went into a build: a build requirement, the image, a Debian package.

    kind: ``sdist``, ``image``, ``tarball`` (that an imported image is of), ``debian``, ``tool``, ``emulator`` (what ran
        the image's programs), ``python`` (a wheel of the upstream) or ``farm-wheel`` (our own)
    sha256: None where only a version is known
    """

    kind: str
    name: str
    version: str
    sha256: Sha256 | None = None

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            kind=fields.text(data["kind"]),
            name=fields.text(data["name"]),
            version=fields.text(data["version"]),
            sha256=fields.maybe(data.get("sha256"), lambda text: names.sha256(fields.text(text))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(Message):
    """What an attempt had used at a point of its time.

    at_s: since it began; cpu_s: processor time until then; memory_bytes: the most since the point before
    """

    at_s: float
    cpu_s: float
    memory_bytes: int

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            at_s=fields.seconds(data["at_s"]),
            cpu_s=fields.seconds(data["cpu_s"]),
            memory_bytes=fields.count(data["memory_bytes"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult(Message):
    """The whole outcome of one attempt; it stands as ``result.json`` in the node's outbox.

    failure_class, message: None and empty for a built wheel; evidence: the line of the log that says why
    line: the number of that line, from 1; None where there is none
    tries: each try at the build, in their order; remedies: those in effect in the one that gave the wheel
    runtime_packages: Debian packages that the wheel needs where it is used, for libraries that it does not have
    portability: how the wheel fared in other images
    missing: build requirements that the upstream has no usable wheel of, such as ``cython>=3``
    environment: the variables that the build saw
    resources: ``wall_s``, ``cpu_s``, ``peak_memory_bytes``, ``disk_bytes``; usage: the same as time went
    log_sha256: of the whole log as it lies beside the result
    """

    node: NodeName
    lease: Lease
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    steps: tuple[Step, ...]
    log_sha256: Sha256
    failure_class: FailureClass | None = None
    message: str = ""
    evidence: str = ""
    line: int | None = None
    tries: tuple[Try, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    runtime_packages: tuple[str, ...] = ()
    portability: tuple[Verdict, ...] = ()
    missing: tuple[str, ...] = ()
    wheel: WheelFile | None = None
    materials: tuple[Material, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    resources: dict[str, float] = field(default_factory=dict)
    usage: tuple[Usage, ...] = ()

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        outcome = Outcome(data["outcome"])
        wheel = fields.maybe(data.get("wheel"), WheelFile.from_json)
        if (outcome is Outcome.BUILT) != (wheel is not None):
            raise WireError(f"BuildResult: outcome {outcome} {'without' if wheel is None else 'with'} a wheel")
        return cls(
            node=names.node_name(fields.text(data["node"])),
            lease=Lease.from_json(data["lease"]),
            outcome=outcome,
            started_at=fields.instant(data["started_at"]),
            finished_at=fields.instant(data["finished_at"]),
            steps=tuple(Step.from_json(item) for item in fields.items(data["steps"])),
            log_sha256=names.sha256(fields.text(data["log_sha256"])),
            failure_class=fields.maybe(data.get("failure_class"), FailureClass),
            message=fields.storable(data.get("message", "")),
            evidence=fields.storable(data.get("evidence", "")),
            line=fields.maybe(data.get("line"), fields.line_number),
            tries=tuple(Try.from_json(item) for item in fields.items(data.get("tries", ()), limit=MOST_TRIES)),
            remedies=remedies(data.get("remedies", ())),
            runtime_packages=rule_keys.debian_packages(data.get("runtime_packages", ())),
            portability=tuple(
                Verdict.from_json(item) for item in fields.items(data.get("portability", ()), limit=MOST_VERDICTS)
            ),
            missing=tuple(
                fields.requirement(item) for item in fields.items(data.get("missing", ()), limit=MOST_MISSING)
            ),
            wheel=wheel,
            materials=tuple(Material.from_json(item) for item in fields.items(data.get("materials", ()))),
            environment=fields.text_map(data.get("environment", {})),
            resources={str(key): float(value) for key, value in dict(data.get("resources", {})).items()},
            usage=tuple(Usage.from_json(item) for item in fields.items(data.get("usage", ()), limit=MOST_USAGE)),
        )
