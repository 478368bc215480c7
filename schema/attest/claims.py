"""What a statement claims, read field by field: a statement of another shape, kind or standard is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from packaging.utils import NormalizedName, parse_wheel_filename
from packaging.version import Version

from schema import names
from schema.attest.strict_json import Fields
from schema.errors import TrustError, WireError
from schema.jobs import Material
from schema.names import NodeName, Sha256
from schema.platforms import Platform
from schema.recipes import Recipe

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
SUMMARY = "https://slsa.dev/verification_summary/v1"
BUILD_TYPE = "urn:wheelfarm:build:v1"  # what the parameters mean
POLICY = "urn:wheelfarm:policy:v1"  # what the master checks: ``schema.wheels.check`` and ``master.collect``
LOG = "build.log"

_NODE = "urn:wheelfarm:node:"
_MASTER = "urn:wheelfarm:master:"


def builder_id(farm: str, node: NodeName) -> str:
    """A node of a farm as SLSA's builder.id."""
    return f"{_NODE}{quote(farm, safe='')}:{node}"


def verifier_id(farm: str) -> str:
    """The master of a farm as SLSA's verifier.id."""
    return f"{_MASTER}{quote(farm, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltFrom:
    """What a node says about a wheel: who built it from what, where and when.

    version: canonical; invocation_id: ``<build>-<fence>``
    sdist_url: without credentials; sdist_uploaded_at: None where the upstream did not tell
    recipe: what was done differently for it
    materials: what else went in: image, Debian packages, tools, build requirements; log_sha256: of the build's log
    """

    filename: str
    sha256: Sha256
    farm: str
    node: NodeName
    project: NormalizedName
    version: str
    platform: str
    build_number: int
    sdist_filename: str
    sdist_url: str
    sdist_sha256: Sha256
    sdist_uploaded_at: datetime | None
    recipe: Recipe
    materials: tuple[Material, ...]
    invocation_id: str
    build_id: int
    fence: int
    started_at: datetime
    finished_at: datetime
    isolation: str
    log_sha256: Sha256

    @property
    def signed_at(self) -> datetime:
        """When the node says that it signed."""
        return self.finished_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What the master says about a wheel: that it checked it, and which statement of a node it looked at."""

    filename: str
    sha256: Sha256
    farm: str
    platform: str
    provenance_sha256: Sha256
    levels: tuple[str, ...]
    verified_at: datetime

    @property
    def signed_at(self) -> datetime:
        """When the master says that it signed."""
        return self.verified_at


def read(statement: Mapping[str, Any]) -> BuiltFrom | Checked:
    """What *statement* claims, whichever of the two it is; raise TrustError."""
    kind = Fields("statement", statement).text("predicateType")
    if kind == PROVENANCE:
        return read_provenance(statement)
    if kind == SUMMARY:
        return read_summary(statement)
    raise TrustError(f"statement: a predicate of the type {kind[:80]!r} says nothing about a build of this farm (S-03)")


def read_provenance(statement: Mapping[str, Any]) -> BuiltFrom:
    """What a node's statement claims; raise TrustError."""
    filename, sha256, predicate = _opened(statement, PROVENANCE)
    definition, details = predicate.fields("buildDefinition"), predicate.fields("runDetails")
    definition.must_be("buildType", BUILD_TYPE)
    asked, inner = definition.fields("externalParameters"), definition.fields("internalParameters")
    sdist, metadata = asked.fields("sdist"), details.fields("metadata")
    farm, node = details.fields("builder").parsed("id", _builder)
    found = BuiltFrom(
        filename=filename,
        sha256=sha256,
        farm=farm,
        node=node,
        project=asked.parsed("project", names.project_name),
        version=str(asked.parsed("version", names.version)),
        platform=str(asked.parsed("platform", Platform.parse)),
        build_number=asked.count("buildNumber"),
        sdist_filename=sdist.text("name", limit=255),
        sdist_url=sdist.text("uri"),
        sdist_sha256=sdist.sha256("sha256"),
        sdist_uploaded_at=sdist.instant("uploadedAt") if "uploadedAt" in sdist else None,
        recipe=_recipe(asked.fields("recipe")),
        materials=_materials(definition),
        invocation_id=metadata.text("invocationId", limit=64),
        build_id=inner.count("build"),
        fence=inner.count("fence"),
        started_at=metadata.instant("startedOn"),
        finished_at=metadata.instant("finishedOn"),
        isolation=inner.text("isolation"),
        log_sha256=_only(details, "byproducts").fields("digest").sha256("sha256"),
    )
    _check_agreement(found)
    return found


def read_summary(statement: Mapping[str, Any]) -> Checked:
    """What the master's statement claims; raise TrustError."""
    filename, sha256, predicate = _opened(statement, SUMMARY)
    predicate.fields("policy").must_be("uri", POLICY)
    predicate.must_be("verificationResult", "PASSED")
    levels = predicate.items("verifiedLevels")
    if not all(isinstance(level, str) for level in levels):
        raise TrustError("statement: verifiedLevels: not a list of texts")
    return Checked(
        filename=filename,
        sha256=sha256,
        farm=predicate.fields("verifier").parsed("id", _verifier),
        platform=str(predicate.parsed("wheelfarm_platform", Platform.parse)),
        provenance_sha256=_only(predicate, "inputAttestations").fields("digest").sha256("sha256"),
        levels=tuple(levels),
        verified_at=predicate.instant("timeVerified"),
    )


def _opened(statement: Mapping[str, Any], predicate_type: str) -> tuple[str, Sha256, Fields]:
    """File name and digest of the one subject (S-02), and the predicate."""
    fields = Fields("statement", statement)
    fields.must_be("_type", STATEMENT)
    fields.must_be("predicateType", predicate_type)
    subject = _only(fields, "subject")
    return subject.text("name", limit=255), subject.fields("digest").sha256("sha256"), fields.fields("predicate")


def _only(fields: Fields, key: str) -> Fields:
    items = list(fields.each(key))
    if len(items) != 1:
        raise TrustError(f"{fields.what}: {key}: {len(items)} entries where exactly one belongs")
    return items[0]


def _materials(definition: Fields) -> tuple[Material, ...]:
    """Every dependency but the sdist, which must be among them under the digest that was asked for."""
    asked = definition.fields("externalParameters").fields("sdist").sha256("sha256")
    found = [_material(item) for item in definition.each("resolvedDependencies")]
    if [item.sha256 for item in found if item.kind == "sdist"] != [asked]:
        raise TrustError("statement: it does not name the one source distribution that the build was asked for")
    return tuple(item for item in found if item.kind != "sdist")


def _recipe(fields: Fields) -> Recipe:
    try:
        return Recipe.from_json(fields.values)
    except WireError as err:
        raise TrustError(f"{fields.what}: {str(err)[:200]}") from err


def _material(descriptor: Fields) -> Material:
    annotations = descriptor.fields("annotations")
    return Material(
        kind=annotations.text("kind", limit=64),
        name=descriptor.text("name", limit=255),
        version=annotations.text("version", limit=255),
        sha256=descriptor.fields("digest").sha256("sha256") if "digest" in descriptor else None,
    )


def _check_agreement(found: BuiltFrom) -> None:
    """What a statement says in two places must be the same in both."""
    if found.invocation_id != f"{found.build_id}-{found.fence}":
        raise TrustError(
            f"statement: invocation {found.invocation_id[:40]!r} is not build {found.build_id}-{found.fence}"
        )
    try:
        project, number, _, _ = parse_wheel_filename(found.filename)
    except ValueError as err:
        raise TrustError(f"statement: its subject is no wheel: {str(err)[:200]}") from err
    if (project, number) != (found.project, Version(found.version)):
        raise TrustError(
            f"statement: {found.filename} is not a wheel of {found.project} {found.version}, which it says was built"
        )


def _builder(text: str) -> tuple[str, NodeName]:
    farm, _, node = text.removeprefix(_NODE).partition(":")
    found = unquote(farm), names.node_name(node)
    if builder_id(*found) != text:
        raise ValueError(f"not a node of a farm: {text[:80]!r}")
    return found


def _verifier(text: str) -> str:
    farm = unquote(text.removeprefix(_MASTER))
    if verifier_id(farm) != text:
        raise ValueError(f"not the master of a farm: {text[:80]!r}")
    return farm
