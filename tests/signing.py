"""A farm that signs: its authority, one node, and the wheels that both have signed."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from packaging.utils import NormalizedName

from schema.attest import statement, verify
from schema.attest.authority import Authority, NodeKey
from schema.attest.report import Report
from schema.jobs import BuildJob, Material, Sdist, WheelFile
from schema.names import NodeName, Sha256
from schema.recipes import Recipe

FARM = "Shed & Sons"
NODE = NodeName("pi4-a")
PLATFORM = "debian12-aarch64-cp311"
WHEEL = "demo_pkg-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"
BYTES = b"the bytes of a wheel"


def sha256(data: bytes) -> Sha256:
    return Sha256(hashlib.sha256(data).hexdigest())


def job(*, platform: str = PLATFORM) -> BuildJob:
    return BuildJob(
        build_id=17,
        fence=2,
        project=NormalizedName("demo-pkg"),
        version="1.0",
        platform=platform,
        sdist=Sdist(
            filename="demo_pkg-1.0.tar.gz",
            url="https://reader:secret@index.example/files/demo_pkg-1.0.tar.gz#sha256=00",
            sha256=sha256(b"sdist"),
        ),
        recipe=Recipe(debian_packages=("libcurl4-openssl-dev",)),
    )


MATERIALS = (
    Material(kind="sdist", name="demo_pkg-1.0.tar.gz", version="1.0", sha256=sha256(b"sdist")),
    Material(kind="image", name="debian12-aarch64", version="3.11.2", sha256=sha256(b"image")),
    Material(kind="debian", name="libcurl4-openssl-dev", version="7.88.1-10+deb12u8"),
    Material(kind="tool", name="auditwheel", version="6.8.0"),
    Material(kind="python", name="setuptools", version="84.0", sha256=sha256(b"setuptools")),
    Material(kind="python", name="wheel", version="0.47", sha256=sha256(b"wheel")),
)


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What a node left and what the index serves for one wheel."""

    node: dict[str, Any]
    provenance: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SigningFarm:
    authority: Authority
    node: NodeKey

    @classmethod
    def create(cls, folder: Path) -> Self:
        authority = Authority.create(folder / "authority")
        node = NodeKey.create(folder / "node" / "keys", NODE)
        node.install(authority.certify(node.csr_pem(), node=NODE, platforms=[PLATFORM]))
        return cls(authority=authority, node=node)

    def statement(self, **changes: Any) -> dict[str, Any]:
        """The node's statement about the wheel; *changes* go to ``statement.provenance``."""
        now = datetime.now(UTC)
        values: dict[str, Any] = {
            "job": job(),
            "farm": FARM,
            "node": NODE,
            "wheel": WheelFile(filename=WHEEL, sha256=sha256(BYTES), size_bytes=len(BYTES)),
            "started_at": now - timedelta(minutes=2),
            "finished_at": now,
            "materials": MATERIALS,
            "environment": {"SOURCE_DATE_EPOCH": "1700000000"},
            "log_sha256": sha256(b"log"),
            "isolation": "bubblewrap seccomp=yes",
        }
        return statement.provenance(**{**values, **changes})

    def summary(self, node_attestation: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """The master's statement about the wheel; *changes* go to ``statement.summary``."""
        values: dict[str, Any] = {
            "farm": FARM,
            "wheel": WheelFile(filename=WHEEL, sha256=sha256(BYTES), size_bytes=len(BYTES)),
            "provenance_attestation": node_attestation,
            "at": datetime.now(UTC),
            "platform": PLATFORM,
        }
        return statement.summary(**{**values, **changes})

    def signed(self, **changes: Any) -> Signed:
        """The whole provenance of the wheel, each part signed by whom it should be."""
        node = self.node.sign(self.statement(**changes))
        wheel = {"wheel": changes["wheel"]} if "wheel" in changes else {}
        return Signed(
            node=node,
            provenance=verify.make_provenance(node, self.authority.sign(self.summary(node, **wheel)), FARM),
        )

    def check(
        self, provenance: dict[str, Any], *, filename: str = WHEEL, data: bytes = BYTES, authority: str = ""
    ) -> Report:
        """What a client does with the provenance and the file that it got."""
        pem = authority or self.authority.certificate_pem
        return verify.provenance(provenance, filename=filename, sha256=sha256(data), authority_pem=pem)


def attestations(provenance: dict[str, Any]) -> list[dict[str, Any]]:
    """The list inside, to change it."""
    found: list[dict[str, Any]] = provenance["attestation_bundles"][0]["attestations"]
    return found


def opened(attestation: dict[str, Any]) -> dict[str, Any]:
    """The statement inside, unchecked."""
    found: dict[str, Any] = json.loads(base64.b64decode(attestation["envelope"]["statement"]))
    return found
