"""Attacks with the parts of a provenance, and with the authority; each is refused with a sentence that says why."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from schema.attest import certificate, verify
from schema.jobs import WheelFile
from tests.attacks import refused, set_at, with_node
from tests.signing import BYTES, FARM, WHEEL, SigningFarm, attestations, sha256

# ---- node and master together


def test_the_masters_attestation_is_missing(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    del attestations(provenance)[1]

    refused(farm, provenance, "attestation of the master is missing: nothing says that the wheel was checked")


def test_the_nodes_attestation_is_missing(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    del attestations(provenance)[0]

    refused(farm, provenance, "of the node that built it is missing")


def test_the_nodes_attestation_twice(farm: SigningFarm) -> None:
    signed = farm.signed()

    refused(farm, verify.make_provenance(signed.node, signed.node, FARM), "2 attestations of the node")


def test_no_attestation_at_all(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    attestations(provenance).clear()

    refused(farm, provenance, "0 attestations")


def test_a_thousand_attestations(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    attestations(provenance).extend(attestations(provenance) * 500)

    refused(farm, provenance, "1002 attestations")


def test_a_countersignature_of_another_statement(farm: SigningFarm) -> None:
    one, other = farm.signed().node, farm.node.sign(farm.statement(isolation="none"))

    provenance = verify.make_provenance(one, farm.authority.sign(farm.summary(other)), FARM)

    refused(farm, provenance, "the master countersigned another statement")


def test_a_countersignature_of_another_wheel(farm: SigningFarm) -> None:
    node = farm.signed().node
    other = WheelFile(filename="demo_pkg-1.1-py3-none-any.whl", sha256=sha256(BYTES), size_bytes=1)

    refused(farm, with_node(farm, node, wheel=other), "the master signed for the file 'demo_pkg-1.1")


def test_a_countersignature_of_other_bytes(farm: SigningFarm) -> None:
    node = farm.signed().node
    other = WheelFile(filename=WHEEL, sha256=sha256(b"other"), size_bytes=1)

    refused(farm, with_node(farm, node, wheel=other), "the master signed for other bytes")


def test_a_countersignature_for_another_platform(farm: SigningFarm) -> None:
    refused(
        farm, with_node(farm, farm.signed().node, platform="debian12-x86_64-cp311"), "the master checked a wheel for"
    )


def test_a_check_that_failed(farm: SigningFarm) -> None:
    node = farm.signed().node
    summary = set_at(farm.summary(node), "predicate/verificationResult", "FAILED")

    refused(farm, verify.make_provenance(node, farm.authority.sign(summary), FARM), "only 'PASSED' is trusted")


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("predicate/verifiedLevels", [4], "not a list of texts"),
        ("predicate/verifier/id", "https://pypi.example", "not the master of a farm"),
        ("predicate/policy/uri", "urn:wheelfarm:policy:none", "is trusted"),
        ("predicate/inputAttestations", [], "inputAttestations: 0 entries"),
        ("predicate/inputAttestations/0/digest", {"sha1": "0" * 40}, "missing"),
    ],
)
def test_a_countersignature_that_says_something_else(farm: SigningFarm, path: str, value: Any, why: str) -> None:
    node = farm.signed().node
    summary = set_at(farm.summary(node), path, value)

    refused(farm, verify.make_provenance(node, farm.authority.sign(summary), FARM), why)


def test_parts_of_two_farms(farm: SigningFarm) -> None:
    node = farm.node.sign(farm.statement(farm="elsewhere"))

    refused(farm, with_node(farm, node), "name different farms")


def test_a_publisher_that_claims_to_be_another_farm(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    provenance["attestation_bundles"][0]["publisher"]["farm"] = "elsewhere"

    refused(farm, provenance, "name different farms")


def test_a_publisher_of_another_kind(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    provenance["attestation_bundles"][0]["publisher"]["kind"] = "GitHub"

    refused(farm, provenance, "only 'wheelfarm' is trusted")


def test_two_bundles(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    provenance["attestation_bundles"] *= 2

    refused(farm, provenance, "2 bundles")


@pytest.mark.parametrize("provenance", [{}, {"version": 1}, {"version": 1, "attestation_bundles": {}}, [], None, "x"])
def test_something_that_is_no_provenance(farm: SigningFarm, provenance: Any) -> None:
    refused(farm, provenance, "^provenance: ")


# ---- the authority that the client trusts


def test_a_nodes_certificate_as_authority(farm: SigningFarm) -> None:
    refused(farm, farm.signed().provenance, "is a signer's, not an authority's", authority=farm.node.certificate_pem)


def pem_of(der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("2a8648ce3d030107", "2a8648ce3d030106", "a key that cannot be read"),  # the OID of another curve
        ("0603551d13", "0603551d0f", "is not whole"),  # twice the same extension
        ("0603551d0f", "0603551d7f", "not for signing certificates alone"),  # no key usage
    ],
)
def test_an_authority_that_was_tampered_with(farm: SigningFarm, old: str, new: str, why: str) -> None:
    der = certificate.der(farm.authority._authority)
    changed = der.replace(bytes.fromhex(old), bytes.fromhex(new), 1)
    assert changed != der

    refused(farm, farm.signed().provenance, why, authority=pem_of(changed))


def test_an_authority_whose_own_signature_does_not_hold(farm: SigningFarm) -> None:
    der = bytearray(certificate.der(farm.authority._authority))
    der[-1] ^= 1

    refused(farm, farm.signed().provenance, "not signed by its own key", authority=pem_of(bytes(der)))


def test_two_authorities_at_once(farm: SigningFarm) -> None:
    refused(
        farm, farm.signed().provenance, "2 certificates where exactly one", authority=farm.authority.certificate_pem * 2
    )


@pytest.mark.parametrize(
    "pem", ["no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "é", "x" * 10**6]
)
def test_something_that_is_no_authority(farm: SigningFarm, pem: str) -> None:
    refused(farm, farm.signed().provenance, "not a certificate in PEM", authority=pem)
