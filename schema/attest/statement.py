"""What is signed: in-toto statements about one wheel (S-02), by the node that built and the master that checked it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from packaging.utils import parse_wheel_filename

from schema.attest import claims
from schema.attest.claims import BuiltFrom, Checked, read_provenance, read_summary
from schema.attest.dsse import PAYLOAD_TYPE, Attestation
from schema.jobs import BuildJob, Material, Sdist, WheelFile
from schema.names import NodeName, Sha256
from schema.platforms import Platform

__all__ = ["BuiltFrom", "Checked", "provenance", "read_provenance", "read_summary", "summary"]

# The build runs apart from the signer, which it cannot reach; a kernel stands between them, not a machine (S-06).
_LEVELS = ["SLSA_BUILD_LEVEL_2"]


def provenance(
    *,
    job: BuildJob,
    farm: str,
    node: NodeName,
    wheel: WheelFile,
    started_at: datetime,
    finished_at: datetime,
    materials: Sequence[Material],
    environment: Mapping[str, str],
    log_sha256: Sha256,
    isolation: str,
) -> dict[str, Any]:
    """The node's statement (S-03, S-04): SLSA provenance v1 of *wheel*, from the job it was given and what it saw."""
    definition = {
        "buildType": claims.BUILD_TYPE,
        "externalParameters": {
            "project": job.project,
            "version": job.version,
            "platform": job.platform,
            "buildNumber": job.build_number,
            "sdist": _asked_for(job.sdist),
            "recipe": job.recipe.to_json(),
        },
        "internalParameters": {
            "build": job.build_id,
            "fence": job.fence,
            "limits": job.limits.to_json(),
            "environment": dict(environment),
            "isolation": isolation,
        },
        "resolvedDependencies": [
            _source(job.sdist, job.version),
            *(_dependency(item, job.platform) for item in materials if item.kind != "sdist"),
        ],
    }
    details = {
        "builder": {"id": claims.builder_id(farm, node), "version": {"wheelfarm": version("wheelfarm")}},
        "metadata": {
            "invocationId": str(job.lease),
            "startedOn": _instant(started_at),
            "finishedOn": _instant(finished_at),
        },
        "byproducts": [{"name": claims.LOG, "digest": {"sha256": log_sha256}}],
    }
    return _statement(wheel, claims.PROVENANCE, {"buildDefinition": definition, "runDetails": details})


def summary(
    *, farm: str, wheel: WheelFile, provenance_attestation: Mapping[str, Any], at: datetime, platform: str
) -> dict[str, Any]:
    """The master's statement (S-03): a SLSA verification summary v1, that names the node's statement by its digest.

    It means "checked again and published", nothing more. Raise TrustError if the node's attestation cannot be read.
    """
    project, number, _, _ = parse_wheel_filename(wheel.filename)
    examined = Attestation.from_json(provenance_attestation)
    return _statement(
        wheel,
        claims.SUMMARY,
        {
            "verifier": {"id": claims.verifier_id(farm), "version": {"wheelfarm": version("wheelfarm")}},
            "timeVerified": _instant(at),
            "resourceUri": f"pkg:pypi/{project}@{_quoted(str(number))}?file_name={_quoted(wheel.filename)}",
            "policy": {"uri": claims.POLICY},
            "inputAttestations": [{"mediaType": PAYLOAD_TYPE, "digest": {"sha256": examined.statement_sha256}}],
            "verificationResult": "PASSED",
            "verifiedLevels": _LEVELS,
            "slsaVersion": "1.1",
            "wheelfarm_platform": platform,
        },
    )


def _statement(wheel: WheelFile, predicate_type: str, predicate: dict[str, Any]) -> dict[str, Any]:
    return {
        "_type": claims.STATEMENT,
        "subject": [{"name": wheel.filename, "digest": {"sha256": wheel.sha256}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


def _asked_for(sdist: Sdist) -> dict[str, Any]:
    """With the time of its upload, where that is known: it is what every file of the wheel is dated."""
    asked = {"name": sdist.filename, "uri": _public(sdist.url), "sha256": sdist.sha256}
    return asked | ({} if sdist.uploaded_at is None else {"uploadedAt": _instant(sdist.uploaded_at)})


def _source(sdist: Sdist, number: str) -> dict[str, Any]:
    return {
        "name": sdist.filename,
        "uri": _public(sdist.url),
        "digest": {"sha256": sdist.sha256},
        "annotations": {"kind": "sdist", "version": number},
    }


def _dependency(material: Material, platform: str) -> dict[str, Any]:
    """An in-toto resource descriptor."""
    descriptor: dict[str, Any] = {
        "name": material.name,
        "uri": _uri(material, Platform.parse(platform)),
        "annotations": {"kind": material.kind, "version": material.version},
    }
    if material.sha256 is not None:
        descriptor["digest"] = {"sha256": material.sha256}
    return descriptor


def _uri(material: Material, platform: Platform) -> str:
    name, number = _quoted(material.name), _quoted(material.version)
    if material.kind == "image":
        return f"urn:wheelfarm:image:{name}"
    if material.kind == "tarball":
        return f"urn:wheelfarm:tarball:{name}"
    if material.kind == "debian":
        vendor = platform.distribution.name.rstrip("0123456789")
        return f"pkg:deb/{vendor}/{name}@{number}?distro={platform.distribution.suite}"
    return f"pkg:pypi/{name}@{number}"


def _public(url: str) -> str:
    """*url* without user name, password and fragment: the statement is there for everybody to read."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _quoted(text: str) -> str:
    return quote(text, safe="")
