from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from schema.attest import certificate, issue, keys, verify
from schema.attest.authority import Authority, NodeKey
from schema.attest.certificate import Holder, Role
from schema.errors import FarmError, TrustError
from schema.names import NodeName
from tests.signing import NODE, PLATFORM, SigningFarm

# ---- certificates


def leaf(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def test_a_node_certificate_names_the_node_and_its_platforms_and_can_only_sign(farm: SigningFarm) -> None:
    found = leaf(farm.node.certificate_pem)

    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "urn:wheelfarm:node:pi4-a",
        "urn:wheelfarm:platform:debian12-aarch64-cp311",
    ]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert timedelta(days=364) < found.not_valid_after_utc - datetime.now(UTC) < timedelta(days=366)


def test_nothing_that_a_request_asks_for_is_given(farm: SigningFarm) -> None:
    key = issue.new_key()
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the master")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:wheelfarm:master")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )

    given = farm.authority.certify(certificate.pem(greedy), node=NODE, platforms=[PLATFORM])

    holder = certificate.holder_of(leaf(given))
    assert holder == Holder(role=Role.NODE, node=NODE, platforms=frozenset({PLATFORM}))
    assert leaf(given).public_key() == key.public_key()
    assert "the master" not in str(leaf(given).subject)


def test_a_request_for_somebody_elses_key_is_refused(farm: SigningFarm) -> None:
    """Whoever asks must prove to own the key: the signature of the request is by another one."""
    mine = x509.load_pem_x509_csr(issue.request(issue.new_key(), NODE).encode())
    data = bytearray(mine.public_bytes(serialization.Encoding.DER))
    other = x509.load_pem_x509_csr(issue.request(issue.new_key(), NODE).encode())
    spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    stolen = bytes(data).replace(mine.public_key().public_bytes(*spki), other.public_key().public_bytes(*spki))
    pem = x509.load_der_x509_csr(stolen).public_bytes(serialization.Encoding.PEM).decode()

    with pytest.raises(TrustError, match="not signed by the key that it asks a certificate for"):
        farm.authority.certify(pem, node=NODE, platforms=[PLATFORM])


def test_a_request_with_a_key_on_another_curve_is_refused(farm: SigningFarm) -> None:
    csr = issue.request(ec.generate_private_key(ec.SECP384R1()), NODE)

    with pytest.raises(TrustError, match="another kind than ECDSA P-256"):
        farm.authority.certify(csr, node=NODE, platforms=[PLATFORM])


@pytest.mark.parametrize("csr", ["", "rubbish", "é", "x" * 10**6])
def test_something_that_is_no_request_is_refused(farm: SigningFarm, csr: str) -> None:
    with pytest.raises(TrustError, match="not a certificate request in PEM"):
        farm.authority.certify(csr, node=NODE, platforms=[PLATFORM])


def test_a_certificate_is_for_known_platforms_a_real_name_and_a_bounded_time(farm: SigningFarm) -> None:
    csr = farm.node.csr_pem()

    faults: tuple[dict[str, Any], ...] = (
        {"platforms": []},
        {"platforms": ["windows"]},
        {"node": NodeName("pi4-a:evil")},
        {"days": 0},
        {"days": 10_000},
    )
    for fault in faults:
        with pytest.raises(FarmError):
            farm.authority.certify(csr, **{"node": NODE, "platforms": [PLATFORM], **fault})


def test_a_certificate_never_outlives_the_authority() -> None:
    key, at = issue.new_key(), datetime.now(UTC)
    authority = issue.authority(key, at=at - timedelta(days=issue.AUTHORITY_DAYS - 30))
    holder = Holder(role=Role.MASTER)

    short = issue.leaf(holder, key.public_key(), authority=authority, authority_key=key, at=at, days=365)

    assert short.not_valid_after_utc == authority.not_valid_after_utc
    with pytest.raises(TrustError, match="authority has run out"):
        issue.leaf(
            holder, key.public_key(), authority=authority, authority_key=key, at=at + timedelta(days=60), days=365
        )


# ---- enrolment and renewal


def test_a_node_that_is_not_enrolled_signs_nothing_and_says_what_to_do(farm: SigningFarm, tmp_path: Path) -> None:
    node = NodeKey.create(tmp_path / "keys", NodeName("pi4-b"))

    with pytest.raises(TrustError, match=r"has no certificate yet .*wheelfarm node enrol pi4-b --csr"):
        node.sign(farm.statement())
    with pytest.raises(TrustError, match="has no certificate yet"):
        assert node.certificate_pem


def test_a_renewed_certificate_replaces_the_old_one_and_old_signatures_stay_good(tmp_path: Path) -> None:
    farm = SigningFarm.create(tmp_path)
    old, before = farm.signed(), farm.node.certificate_pem

    farm.node.install(farm.authority.certify(farm.node.csr_pem(), node=NODE, platforms=[PLATFORM], days=30))

    assert farm.node.certificate_pem != before
    assert NodeKey.open(farm.node._folder).certificate_pem == farm.node.certificate_pem
    farm.check(old.provenance)
    farm.check(farm.signed().provenance)


def test_a_certificate_for_another_key_is_not_installed(farm: SigningFarm, tmp_path: Path) -> None:
    node = NodeKey.create(tmp_path / "keys", NODE)

    with pytest.raises(TrustError, match="for another key than node pi4-a has"):
        node.install(farm.node.certificate_pem)

    assert not (tmp_path / "keys" / "node.pem").exists()


def test_a_certificate_for_another_node_is_not_installed(farm: SigningFarm, tmp_path: Path) -> None:
    node = NodeKey.create(tmp_path / "keys", NodeName("pi4-b"))

    with pytest.raises(TrustError, match="is for node pi4-a, not for node pi4-b"):
        node.install(farm.authority.certify(node.csr_pem(), node=NODE, platforms=[PLATFORM]))


def test_a_certificate_that_ran_out_is_not_installed_and_not_signed_with(farm: SigningFarm, tmp_path: Path) -> None:
    node = NodeKey.create(tmp_path / "keys", NODE)
    old = issue.leaf(
        Holder(role=Role.NODE, node=NODE, platforms=frozenset({PLATFORM})),
        node._key.public_key(),
        authority=farm.authority._authority,
        authority_key=farm.authority._key,
        at=datetime.now(UTC) - timedelta(hours=36),
        days=1,
    )

    with pytest.raises(TrustError, match="had run out"):
        node.install(certificate.pem(old))
    keys.replace(tmp_path / "keys" / "node.pem", certificate.pem(old).encode())
    with pytest.raises(TrustError, match="had run out"):
        NodeKey.open(tmp_path / "keys").sign(farm.statement())


def test_the_authority_is_not_installed_as_a_nodes_certificate(farm: SigningFarm, tmp_path: Path) -> None:
    node = NodeKey.create(tmp_path / "keys", NODE)

    with pytest.raises(TrustError, match="for another key"):
        node.install(farm.authority.certificate_pem)


def test_one_folder_is_one_nodes(tmp_path: Path) -> None:
    NodeKey.create(tmp_path / "keys", NODE)

    with pytest.raises(TrustError, match="holds the key of node pi4-a, not of pi4-b"):
        NodeKey.create(tmp_path / "keys", NodeName("pi4-b"))


def test_the_masters_certificate_is_renewed_before_it_runs_out(tmp_path: Path) -> None:
    farm = SigningFarm.create(tmp_path)
    authority = farm.authority
    soon = issue.leaf(
        Holder(role=Role.MASTER),
        authority._master_key.public_key(),
        authority=authority._authority,
        authority_key=authority._key,
        at=datetime.now(UTC),
        days=20,
    )
    keys.replace(tmp_path / "authority" / "master.pem", certificate.pem(soon).encode())
    opened = Authority.open(tmp_path / "authority")

    attestation = opened.sign(farm.summary(farm.signed().node))

    verify.attestation(attestation, authority_pem=authority.certificate_pem, at=datetime.now(UTC) + timedelta(days=300))
    assert leaf((tmp_path / "authority" / "master.pem").read_text()).not_valid_after_utc > soon.not_valid_after_utc


def test_what_no_verifier_would_read_is_not_signed(farm: SigningFarm) -> None:
    with pytest.raises(TrustError, match="more than"):
        farm.node.sign({**farm.statement(), "more": "x" * 5_000_000})
    with pytest.raises(TrustError, match="not plain JSON"):
        farm.node.sign(farm.statement(isolation="\ud800"))
