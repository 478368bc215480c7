"""The contract of the wire: every message between master and nodes, and the record a node leaves in its outbox.

``to_json()`` gives plain data; ``from_json()`` names, converts and checks each field, because what comes off the wire
is not trusted: it raises WireError and nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from packaging.utils import NormalizedName, parse_wheel_filename

from schema import fields, names, protocol, rule_keys
from schema.errors import WireError
from schema.messages import Json, Message, checked
from schema.names import NodeName, Sha256
from schema.platforms import Platform
from schema.portability import MOST_VERDICTS, Verdict
from schema.recipes import MOST_REMEDIES, Recipe, Rule
from schema.remedies import MOST_TRIES, Remedy, Try, remedies
from schema.states import FailureClass
from schema.vitals import Vitals

# So many missing build requirements a result may name, and so many wheels for them a job may carry.
MOST_MISSING = 20
MOST_WHEELS = 50
# More processors than any machine has.
MOST_CORES = 2**20
# So many characters a node may say of its sandboxes, signature and certificate included.
MOST_SELF_TEST = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdist(Message):
    """A source distribution as the upstream index lists it.

    size_bytes: None where the index does not say
    uploaded_at: None where the index does not say
    """

    filename: str
    url: str
    sha256: Sha256
    size_bytes: int | None = None
    uploaded_at: datetime | None = None

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            filename=fields.file_name(data["filename"]),
            url=fields.text(data["url"]),
            sha256=names.sha256(fields.text(data["sha256"])),
            size_bytes=fields.maybe(data.get("size_bytes"), fields.count),
            uploaded_at=fields.maybe(data.get("uploaded_at"), fields.instant),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Message):
    """What one build may use; each is enforced from outside the sandbox.

    wall_s: of the whole attempt; silence_s: without a byte of output
    """

    memory_bytes: int = 3 * 2**30
    disk_bytes: int = 4 * 2**30
    processes: int = 512
    wall_s: float = 3 * 3600.0
    silence_s: float = 1800.0
    log_bytes: int = 64 * 2**20
    wheel_bytes: int = 1 * 2**30

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            memory_bytes=fields.count(data["memory_bytes"]),
            disk_bytes=fields.count(data["disk_bytes"]),
            processes=fields.count(data["processes"]),
            wall_s=fields.seconds(data["wall_s"]),
            silence_s=fields.seconds(data["silence_s"]),
            log_bytes=fields.count(data["log_bytes"]),
            wheel_bytes=fields.count(data["wheel_bytes"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmWheel(Message):
    """A wheel that the farm itself has published, for a build that cannot have it from the upstream."""

    filename: str
    url: str
    sha256: Sha256
    size_bytes: int

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        filename = fields.file_name(data["filename"])
        parse_wheel_filename(filename)
        return cls(
            filename=filename,
            url=fields.text(data["url"]),
            sha256=names.sha256(fields.text(data["sha256"])),
            size_bytes=fields.count(data["size_bytes"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob(Message):
    """One wheel to build on one platform: master → node.

    fence: rises with each grant of the same build; whatever carries an older one changes nothing
    version: canonical (PEP 440)
    build_number: the wheel's build tag; 0 is none
    wheels: the farm's own, for build requirements that the upstream has no usable wheel of
    before: build requirements that were uploaded later do not count; None where no time is known
    remedies: rules that the recipe is not made of yet: each for after a failure that it fits, in this order
    known: what turned this project green before, the last time: tried first
    protocol: what the master speaks; a job in one that the node does not speak is not read further, nor carried out
    """

    build_id: int
    fence: int
    project: NormalizedName
    version: str
    platform: str
    sdist: Sdist
    build_number: int = 0
    recipe: Recipe = field(default_factory=Recipe)
    limits: Limits = field(default_factory=Limits)
    wheels: tuple[FarmWheel, ...] = ()
    before: datetime | None = None
    remedies: tuple[Rule, ...] = ()
    known: tuple[Remedy, ...] = ()
    protocol: int = protocol.PROTOCOL

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        spoken = _protocol(data)
        if not protocol.speaks(spoken):
            raise WireError(f"BuildJob: the master speaks protocol {spoken}, this node {protocol.PROTOCOL}")
        return cls(
            protocol=spoken,
            build_id=fields.count(data["build_id"]),
            fence=fields.count(data["fence"]),
            project=names.project_name(fields.text(data["project"])),
            version=str(names.version(fields.text(data["version"]))),
            platform=str(Platform.parse(fields.text(data["platform"]))),
            sdist=Sdist.from_json(data["sdist"]),
            build_number=fields.count(data.get("build_number", 0)),
            recipe=Recipe.from_json(data.get("recipe", {})),
            limits=Limits.from_json(data["limits"]),
            wheels=tuple(FarmWheel.from_json(item) for item in fields.items(data.get("wheels", ()), limit=MOST_WHEELS)),
            before=fields.maybe(data.get("before"), fields.instant),
            remedies=tuple(
                Rule.from_json(item) for item in fields.items(data.get("remedies", ()), limit=MOST_REMEDIES)
            ),
            known=remedies(data.get("known", ())),
        )

    @property
    def lease(self) -> Lease:
        """The grant that this job came with."""
        return Lease(build_id=self.build_id, fence=self.fence)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Lease(Message):
    """One grant of one build."""

    build_id: int
    fence: int

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(build_id=fields.count(data["build_id"]), fence=fields.count(data["fence"]))

    def __str__(self) -> str:
        return f"{self.build_id}-{self.fence}"


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
        spoken = _protocol(data)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Message):
    """One step of an attempt: fetch, unpack, requirements, build, repair, check, import, sign.

    seconds: None while it runs
    """

    name: str
    started_at: datetime
    seconds: float | None = None
    note: str = ""

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            name=fields.text(data["name"]),
            started_at=fields.instant(data["started_at"]),
            seconds=fields.maybe(data.get("seconds"), fields.seconds),
            note=fields.text(data.get("note", "")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Message):
    """News of a running build: node → master.

    steps: all steps so far
    log: a piece of the log that begins at byte *log_offset*
    """

    node: NodeName
    lease: Lease
    steps: tuple[Step, ...]
    log_offset: int = 0
    log: str = ""

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            node=names.node_name(fields.text(data["node"])),
            lease=Lease.from_json(data["lease"]),
            steps=tuple(Step.from_json(item) for item in fields.items(data["steps"])),
            log_offset=fields.count(data["log_offset"]),
            log=fields.text(data["log"], limit=4 * 2**20),
        )


def _sealed(value: Any) -> dict[str, Any]:  # noqa: ANN401 - not checked yet
    """An attestation object, of which only the size is looked at; ``schema.attest.verify`` reads it."""
    if not isinstance(value, dict) or len(json.dumps(value)) > MOST_SELF_TEST:
        raise ValueError(f"not an object of at most {MOST_SELF_TEST} characters")
    return value


def _protocol(data: Json) -> int:
    return fields.count(data.get("protocol", protocol.FIRST), most=protocol.MOST)


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
class BuildResult(Message):
    """The whole outcome of one attempt; it stands as ``result.json`` in the node's outbox.

    failure_class, message: None and empty for a built wheel; evidence: the line of the log that says why
    line: the number of that line, from 1; None where there is none
    tries: each try at the build, in their order; remedies: those in effect in the one that gave the wheel
    runtime_packages: Debian packages that the wheel needs where it is used, for libraries that it does not have
    portability: how the wheel fared in other images
    missing: build requirements that the upstream has no usable wheel of, such as ``cython>=3``
    environment: the variables that the build saw
    resources: ``wall_s``, ``cpu_s``, ``peak_memory_bytes``, ``disk_bytes``
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
        )
