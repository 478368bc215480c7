from __future__ import annotations

import base64
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schema.attest import verify
from schema.attest.certificate import Role
from schema.attest.claims import BuiltFrom, read_provenance
from schema.attest.dsse import pae
from tests.signing import BYTES, FARM, MATERIALS, NODE, PLATFORM, WHEEL, SigningFarm, attestations, opened, sha256


def test_a_wheel_that_node_and_master_signed_is_trusted(farm: SigningFarm) -> None:
    report = farm.check(farm.signed().provenance)

    assert report.built.node == NODE
    assert report.built.farm == FARM
    assert report.built.platform == PLATFORM
    assert report.built.sdist_sha256 == sha256(b"sdist")
    assert report.built.invocation_id == "17-2"
    assert report.checked.levels == ("SLSA_BUILD_LEVEL_2",)
    assert report.authority == farm.authority.fingerprint


def test_the_report_tells_who_built_it_from_what_when_and_where(farm: SigningFarm) -> None:
    text = farm.check(farm.signed().provenance).text()

    for part in (
        f"{WHEEL} (sha256 {sha256(BYTES)}) is what node {NODE} of the farm '{FARM}' built",
        f"for {PLATFORM} from demo_pkg-1.0.tar.gz (sha256 {sha256(b'sdist')})",
        "Build 17, attempt 2",
        "image debian12-aarch64, 1 Debian package, 1 tool, 2 build requirements",
        "countersigned",
        farm.authority.fingerprint,
        "not that its code is safe",
    ):
        assert part in text


def test_the_report_as_json_holds_the_same_and_survives_json(farm: SigningFarm) -> None:
    data = json.loads(json.dumps(farm.check(farm.signed().provenance).to_json()))

    assert data["trusted"] is True
    assert data["node"] == NODE
    assert data["materials"][0] == {
        "kind": "image",
        "name": "debian12-aarch64",
        "version": "3.11.2",
        "sha256": sha256(b"image"),
    }
    assert datetime.fromisoformat(data["finished_at"]).tzinfo is not None


def test_what_the_node_said_is_read_back_whole(farm: SigningFarm) -> None:
    started = datetime(2026, 11, 20, 23, 59, 59, 123456, tzinfo=UTC)

    found = read_provenance(farm.statement(started_at=started, finished_at=started + timedelta(seconds=90)))

    assert found.started_at == started
    assert found.finished_at == started + timedelta(seconds=90)
    assert found.materials == MATERIALS[1:]  # the sdist has its own fields
    assert (found.build_id, found.fence) == (17, 2)
    assert found.log_sha256 == sha256(b"log")
    assert found.isolation == "bubblewrap seccomp=yes"


def test_the_master_verifies_the_nodes_attestation_alone(farm: SigningFarm) -> None:
    verified = verify.attestation(
        farm.signed().node, authority_pem=farm.authority.certificate_pem, at=datetime.now(UTC)
    )

    assert verified.signer.role is Role.NODE
    assert verified.signer.platforms == {PLATFORM}
    assert isinstance(verified.claims, BuiltFrom)
    assert read_provenance(verified.statement) == verified.claims


def test_passwords_in_the_sdists_url_are_not_published(farm: SigningFarm) -> None:
    signed = farm.signed()

    text = json.dumps([opened(item) for item in attestations(signed.provenance)])

    assert "secret" not in text
    assert farm.check(signed.provenance).built.sdist_url == "https://index.example/files/demo_pkg-1.0.tar.gz"


def test_the_statement_has_every_field_that_slsa_asks_for(farm: SigningFarm) -> None:
    statement = farm.statement()
    definition, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]

    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert len(statement["subject"]) == 1
    assert definition["buildType"]
    assert definition["externalParameters"]["sdist"]["uri"].startswith("https://")
    assert details["builder"]["id"] == "urn:wheelfarm:node:Shed%20%26%20Sons:pi4-a"
    assert details["metadata"]["invocationId"] == "17-2"
    for dependency in definition["resolvedDependencies"]:
        assert "uri" in dependency or "digest" in dependency  # in-toto: a descriptor without them describes nothing
    uris = [dependency["uri"] for dependency in definition["resolvedDependencies"]]
    assert uris[2] == "pkg:deb/debian/libcurl4-openssl-dev@7.88.1-10%2Bdeb12u8?distro=bookworm"
    assert uris[-1] == "pkg:pypi/wheel@0.47"


def test_the_attestation_object_has_the_form_of_pep_740(farm: SigningFarm) -> None:
    for attestation in attestations(farm.signed().provenance):
        assert attestation["version"] == 1
        assert attestation["verification_material"]["transparency_entries"] == []
        certificate = base64.b64decode(attestation["verification_material"]["certificate"], validate=True)
        public_key = x509.load_der_x509_certificate(certificate).public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        statement = base64.b64decode(attestation["envelope"]["statement"], validate=True)
        signature = base64.b64decode(attestation["envelope"]["signature"], validate=True)
        public_key.verify(signature, pae(statement), ec.ECDSA(hashes.SHA256()))


def test_the_encoding_that_is_signed_is_dsses_own_example() -> None:
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, test vectors
    assert pae(b"hello world", "http://example.com/HelloWorld") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
def test_openssl_agrees_with_chain_and_signature(farm: SigningFarm, tmp_path: Path) -> None:
    attestation = farm.signed().node
    certificate = x509.load_der_x509_certificate(base64.b64decode(attestation["verification_material"]["certificate"]))
    leaf, authority, key = tmp_path / "leaf.pem", tmp_path / "authority.pem", tmp_path / "key.pem"
    leaf.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    authority.write_text(farm.authority.certificate_pem)
    key.write_bytes(
        certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    (tmp_path / "signed").write_bytes(pae(base64.b64decode(attestation["envelope"]["statement"])))
    (tmp_path / "signature").write_bytes(base64.b64decode(attestation["envelope"]["signature"]))

    calls: list[list[str | Path]] = [
        ["verify", "-x509_strict", "-CAfile", authority, "-purpose", "any", leaf],
        ["dgst", "-sha256", "-verify", key, "-signature", tmp_path / "signature", tmp_path / "signed"],
    ]
    for argv in calls:
        done = subprocess.run(["openssl", *argv], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_clocks_that_are_hours_apart_do_not_spoil_a_wheel(farm: SigningFarm) -> None:
    for skew in (timedelta(hours=-2), timedelta(hours=2)):
        ended = datetime.now(UTC) + skew
        node = farm.node.sign(farm.statement(started_at=ended - timedelta(minutes=1), finished_at=ended))

        provenance = verify.make_provenance(node, farm.authority.sign(farm.summary(node)), FARM)

        assert farm.check(provenance).built.finished_at == ended
