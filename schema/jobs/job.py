"""What a node is given to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from packaging.utils import NormalizedName, parse_wheel_filename

from schema import fields, names, protocol
from schema.errors import WireError
from schema.jobs.lease import Lease
from schema.messages import Json, Message, checked
from schema.names import Sha256
from schema.platforms import Platform
from schema.recipes import MOST_REMEDIES, Recipe, Rule
from schema.remedies import Remedy, remedies

# So many wheels for build requirements a job may carry.
MOST_WHEELS = 50


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
        spoken = protocol.of(data)
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
