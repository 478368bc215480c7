"""Attacks with the wrong file, signature, certificate or time; each is refused with a sentence that says why."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schema.attest import certificate, issue, verify
from schema.attest.certificate import Holder, Role
from schema.attest.dsse import pae
from schema.errors import TrustError
from schema.names import NodeName
from tests.attacks import ECDSA, US, issued, odd_leaf, refused, resealed, seal, with_node
from tests.signing import BYTES, FARM, NODE, PLATFORM, WHEEL, SigningFarm, attestations, job, opened, sha256

# ---- the file


def test_other_bytes_under_the_same_name(farm: SigningFarm) -> None:
    refused(farm, farm.signed().provenance, "signed for other bytes", data=BYTES + b"!")


def test_the_same_bytes_under_another_name(farm: SigningFarm) -> None:
    other = WHEEL.replace("1.0", "2.0")

    refused(farm, farm.signed().provenance, f"signed for the file '{WHEEL}', not for '{other}'", filename=other)


# ---- the signature


def test_a_changed_statement(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    node = attestations(provenance)[0]
    statement = opened(node)
    statement["predicate"]["buildDefinition"]["externalParameters"]["sdist"]["sha256"] = sha256(b"another sdist")
    node["envelope"]["statement"] = base64.b64encode(json.dumps(statement).encode()).decode()

    refused(farm, provenance, "signature does not fit the statement")


def test_another_statements_signature(farm: SigningFarm) -> None:
    provenance, other = farm.signed().provenance, farm.node.sign(farm.statement(isolation="none"))
    attestations(provenance)[0]["envelope"]["signature"] = other["envelope"]["signature"]

    refused(farm, provenance, "signature does not fit the statement")


def test_a_signature_over_the_payload_of_another_type(farm: SigningFarm) -> None:
    refused(
        farm,
        with_node(farm, resealed(farm, farm.statement(), kind="application/json")),
        "signature does not fit the statement",
    )


def test_a_signature_over_the_bare_statement_without_its_type(farm: SigningFarm) -> None:
    node = farm.signed().node
    bare = farm.node._key.sign(base64.b64decode(node["envelope"]["statement"]), ECDSA)
    node["envelope"]["signature"] = base64.b64encode(bare).decode()

    refused(farm, with_node(farm, node), "signature does not fit the statement")


def test_a_signature_with_another_hash(farm: SigningFarm) -> None:
    node = farm.signed().node
    payload = base64.b64decode(node["envelope"]["statement"])
    weak = farm.node._key.sign(pae(payload), ec.ECDSA(hashes.SHA1()))  # noqa: S303 - the attack
    node["envelope"]["signature"] = base64.b64encode(weak).decode()

    refused(farm, with_node(farm, node), "signature does not fit the statement")


# ---- the certificate


def test_a_certificate_of_an_authority_of_ones_own(farm: SigningFarm, tmp_path: Path) -> None:
    refused(farm, SigningFarm.create(tmp_path).signed().provenance, "not of this farm's authority")


def test_a_certificate_that_only_claims_to_be_the_farms(farm: SigningFarm) -> None:
    own, key = issue.new_key(), issue.new_key()
    lie = issue.leaf(
        US, key.public_key(), authority=farm.authority._authority, authority_key=own, at=datetime.now(UTC), days=9
    )

    refused(farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, lie)), "did not sign it")


def test_a_certificate_that_signs_itself(farm: SigningFarm) -> None:
    key = issue.new_key()
    own = issue.authority(key, at=datetime.now(UTC))

    refused(farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, own)), "not of this farm's auth")


def test_the_authority_itself_as_signer(farm: SigningFarm) -> None:
    sealed = seal(json.dumps(farm.statement()).encode(), farm.authority._key, farm.authority._authority)

    refused(farm, with_node(farm, sealed), "an authority signs certificates, not wheels")


def test_a_chain_through_a_node(farm: SigningFarm) -> None:
    """A node's certificate must not be able to make others."""
    key = issue.new_key()
    ours = x509.load_pem_x509_certificate(farm.node.certificate_pem.encode())
    lie = issue.leaf(US, key.public_key(), authority=ours, authority_key=farm.node._key, at=datetime.now(UTC), days=9)

    refused(farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, lie)), "not of this farm's auth")


def test_a_node_that_signs_for_another(farm: SigningFarm) -> None:
    node = farm.node.sign(farm.statement(node=NodeName("pi4-b")))

    refused(farm, with_node(farm, node), "node pi4-a signed a statement that node pi4-b built the wheel")


def test_a_node_that_signs_for_another_platform(farm: SigningFarm) -> None:
    node = farm.node.sign(farm.statement(job=job(platform="debian12-x86_64-cp311")))

    refused(
        farm,
        with_node(farm, node, platform="debian12-x86_64-cp311"),
        f"may not build for debian12-x86_64-cp311; its certificate allows {PLATFORM}",
    )


def test_a_master_that_says_what_a_node_built(farm: SigningFarm) -> None:
    """The master's key alone cannot make a wheel (T14)."""
    refused(farm, with_node(farm, farm.authority.sign(farm.statement())), "the master signed that node pi4-a built")


def test_a_node_that_says_what_the_master_checked(farm: SigningFarm) -> None:
    node = farm.signed().node

    provenance = verify.make_provenance(node, farm.node.sign(farm.summary(node)), FARM)

    refused(farm, provenance, "only the master may say so")


def test_a_key_on_another_curve(farm: SigningFarm) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    sealed = seal(json.dumps(farm.statement()).encode(), key, issued(farm, US, key))

    refused(farm, with_node(farm, sealed), "another kind than ECDSA P-256")


def test_an_rsa_key(farm: SigningFarm) -> None:
    key: Any = rsa.generate_private_key(65537, 2048)
    node = farm.signed().node
    node["verification_material"]["certificate"] = base64.b64encode(certificate.der(issued(farm, US, key))).decode()

    refused(farm, with_node(farm, node), "another kind than ECDSA P-256")


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (x509.OCSPNoCheck(), "other extensions than those this farm gives"),
        (certificate.usage(authority=True), "not for signatures alone"),
        (x509.BasicConstraints(ca=True, path_length=0), "an authority signs certificates, not wheels"),
        (
            x509.SubjectAlternativeName([*map(x509.UniformResourceIdentifier, US.uris), x509.DNSName("pi4-b")]),
            "names of other kinds",
        ),
        (
            x509.SubjectAlternativeName(
                [*map(x509.UniformResourceIdentifier, US.uris), x509.RegisteredID(x509.oid.NameOID.TITLE)]
            ),
            "names of other kinds",
        ),
        (
            x509.SubjectAlternativeName(
                [*map(x509.UniformResourceIdentifier, (*US.uris, "urn:wheelfarm:platform:amiga"))]
            ),
            "names what cannot be: not a platform",
        ),
        (
            x509.SubjectAlternativeName([*map(x509.UniformResourceIdentifier, ("urn:wheelfarm:master", *US.uris))]),
            "neither the master nor one",
        ),
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(US.uris[0])]), "neither the master nor one"),
    ],
)
def test_a_certificate_of_the_farm_that_is_not_as_the_farm_makes_them(
    farm: SigningFarm, odd: x509.ExtensionType, why: str
) -> None:
    key = issue.new_key()
    sealed = seal(json.dumps(farm.statement()).encode(), key, odd_leaf(farm, key, odd))

    refused(farm, with_node(farm, sealed), why)


def test_a_certificate_that_names_two_nodes(farm: SigningFarm) -> None:
    class Two(Holder):
        @property
        def uris(self) -> tuple[str, ...]:
            return (*US.uris, "urn:wheelfarm:node:pi4-b")

    key = issue.new_key()
    two = issued(farm, Two(role=Role.NODE, node=NODE, platforms=US.platforms), key)

    refused(farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, two)), "neither the master nor one")


# ---- the time


def test_a_certificate_that_had_run_out(farm: SigningFarm) -> None:
    key, at = issue.new_key(), datetime.now(UTC)
    farms_leaf = issued(farm, US, key, at=at - timedelta(hours=25), days=1)

    refused(
        farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, farms_leaf)), "after the certificate"
    )


def test_a_statement_from_before_the_certificate(farm: SigningFarm) -> None:
    early = datetime.now(UTC) - timedelta(days=30)
    node = farm.node.sign(farm.statement(started_at=early, finished_at=early))

    refused(farm, with_node(farm, node), "before the certificate of node pi4-a began")


def test_a_statement_from_after_the_certificate(farm: SigningFarm) -> None:
    late = datetime.now(UTC) + timedelta(days=400)
    node = farm.node.sign(farm.statement(started_at=late, finished_at=late))

    refused(farm, with_node(farm, node), "after the certificate of node pi4-a had run out")


def test_a_statement_from_before_the_authority(farm: SigningFarm) -> None:
    """A leaf cannot reach further than what made it, whatever its own dates say."""
    key, early = issue.new_key(), datetime.now(UTC) - timedelta(days=30)
    odd = odd_leaf(farm, key, starts=early)
    statement = farm.statement(started_at=early, finished_at=early + timedelta(hours=1))

    refused(farm, with_node(farm, seal(json.dumps(statement).encode(), key, odd)), "certificate of the authority")


def test_an_old_statement_shown_to_a_master_whose_clock_says_that_the_certificate_ran_out(farm: SigningFarm) -> None:
    """The signer's own time is a claim: somebody with an old key could put any date there (T13)."""
    with pytest.raises(TrustError, match="after the certificate of node pi4-a had run out"):
        verify.attestation(
            farm.signed().node,
            authority_pem=farm.authority.certificate_pem,
            at=datetime.now(UTC) + timedelta(days=366),
        )


def test_a_countersignature_from_long_before_the_build(farm: SigningFarm) -> None:
    ended = datetime.now(UTC) + timedelta(days=3)
    node = farm.node.sign(farm.statement(started_at=ended, finished_at=ended))

    refused(farm, with_node(farm, node), "before the build ended")
