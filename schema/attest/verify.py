"""Checking signatures: everything, or TrustError with the first thing that does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509

from schema.attest import certificate, claims
from schema.attest.certificate import Holder, Role
from schema.attest.claims import BuiltFrom, Checked
from schema.attest.dsse import Attestation
from schema.attest.report import Report
from schema.attest.strict_json import Fields
from schema.attest.tested import SelfTested
from schema.errors import SignatureError, TrustError
from schema.names import NodeName, Sha256

PUBLISHER = "wheelfarm"

# A node's clock may be far ahead (R6), but no master signs for a wheel that will be built the day after tomorrow.
_LARGEST_SKEW = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A statement whose signature, certificate and signer's right to say it hold.

    key: what the signer's key is known by (``certificate.key_digest``)
    statement: as it was signed; claims: what it says, read; statement_sha256: of its bytes
    """

    signer: Holder
    key: Sha256
    statement: dict[str, Any]
    claims: BuiltFrom | Checked
    statement_sha256: Sha256
    authority: str


def attestation(attestation: Mapping[str, Any], *, authority_pem: str, at: datetime | None = None) -> Verified:
    """One attestation object (PEP 740), of a node or of the master.

    The certificate must have been valid when the statement says it was signed and, where it is given, *at* the
    verifier's own time, which a master passes that sees a signature while it is fresh. Raise TrustError; SignatureError
    where it is not signed by a key of this authority.
    """
    authority = certificate.read_authority(authority_pem)
    sealed, leaf, holder, statement = _unsealed(attestation, authority)
    said = claims.read(statement)
    _check_right(holder, said)
    for moment in [said.signed_at] if at is None else [said.signed_at, at]:
        _check_windows(leaf, authority, moment, holder)
    return Verified(
        signer=holder,
        key=certificate.key_digest(leaf),
        statement=statement,
        claims=said,
        statement_sha256=sealed.statement_sha256,
        authority=certificate.fingerprint(authority),
    )


def self_test(
    attestation: Mapping[str, Any], *, node: NodeName, authority_pem: str, at: datetime
) -> tuple[SelfTested, Sha256]:
    """What *node* has signed of its sandboxes, and the digest of its key, which must be certified *at* now.

    Raise TrustError.
    """
    authority = certificate.read_authority(authority_pem)
    _, leaf, holder, statement = _unsealed(attestation, authority)
    said = SelfTested.read(statement)
    if holder.role is not Role.NODE or holder.node != node or said.node != node:
        raise TrustError(f"{holder} signed a self-test of node {said.node}; it must be that of node {node}")
    _check_windows(leaf, authority, at, holder)
    return said, certificate.key_digest(leaf)


def _unsealed(
    attestation: Mapping[str, Any], authority: x509.Certificate
) -> tuple[Attestation, x509.Certificate, Holder, dict[str, Any]]:
    """The attestation, its signer's certificate, who that is, and what it says.

    Raise SignatureError where it is not signed by a key of this authority.
    """
    try:
        sealed = Attestation.from_json(attestation)
        leaf = certificate.read_leaf(sealed.certificate, authority)
        holder = certificate.holder_of(leaf)
        return sealed, leaf, holder, sealed.verify(certificate.p256(leaf, "the signer"))
    except TrustError as err:
        raise SignatureError(str(err)) from err


def provenance(provenance: Mapping[str, Any], *, filename: str, sha256: Sha256, authority_pem: str) -> Report:
    """A provenance object (PEP 740, S-05) about the file of that name and digest; raise TrustError.

    It must hold the attestation of the node that built the file, and the master's of that very attestation.
    """
    publisher, attestations = _bundle(provenance)
    verified = [attestation(item.values, authority_pem=authority_pem) for item in attestations]
    for item in verified:
        _check_subject(item.claims, filename, sha256)
    built, named = _the_node(verified)
    checked = _the_master(verified)
    if checked.provenance_sha256 != named:
        raise TrustError("the master countersigned another statement of a node than the one given here")
    farms = built.farm, checked.farm, publisher.text("farm", limit=255)
    if len(set(farms)) != 1:
        raise TrustError(f"node, master and publisher name different farms: {', '.join(map(repr, farms))}")
    if built.platform != checked.platform:
        raise TrustError(f"the master checked a wheel for {checked.platform}; the node built one for {built.platform}")
    if checked.verified_at < built.finished_at - _LARGEST_SKEW:
        raise TrustError(f"the master countersigned at {checked.verified_at}, before the build ended")
    return Report(built=built, checked=checked, authority=verified[0].authority)


def make_provenance(
    node_attestation: Mapping[str, Any], master_attestation: Mapping[str, Any], farm: str
) -> dict[str, Any]:
    """The provenance object that the index serves beside a wheel."""
    return {
        "version": 1,
        "attestation_bundles": [
            {
                "publisher": {"kind": PUBLISHER, "claims": None, "farm": farm},
                "attestations": [dict(node_attestation), dict(master_attestation)],
            }
        ],
    }


def _bundle(provenance: Mapping[str, Any]) -> tuple[Fields, list[Fields]]:
    """Publisher and attestations of the one bundle."""
    whole = Fields("provenance", provenance)
    whole.must_be("version", 1)
    bundles = list(whole.each("attestation_bundles"))
    if len(bundles) != 1:
        raise TrustError(f"provenance: {len(bundles)} bundles of attestations; the farm gives exactly one")
    publisher = bundles[0].fields("publisher")
    publisher.must_be("kind", PUBLISHER)
    attestations = list(bundles[0].each("attestations"))
    if not 1 <= len(attestations) <= 2:  # noqa: PLR2004 - the node's and the master's
        raise TrustError(f"provenance: {len(attestations)} attestations; the node's and the master's belong here")
    return publisher, attestations


def _the_node(verified: list[Verified]) -> tuple[BuiltFrom, Sha256]:
    found = [(item.claims, item.statement_sha256) for item in verified if isinstance(item.claims, BuiltFrom)]
    if len(found) != 1:
        raise TrustError(_wrong_number(len(found), "of the node that built it", "nothing says what it was built from"))
    return found[0]


def _the_master(verified: list[Verified]) -> Checked:
    found = [item.claims for item in verified if isinstance(item.claims, Checked)]
    if len(found) != 1:
        raise TrustError(_wrong_number(len(found), "of the master", "nothing says that the wheel was checked"))
    return found[0]


def _wrong_number(count: int, whose: str, consequence: str) -> str:
    if count == 0:
        return f"the attestation {whose} is missing: {consequence}"
    return f"{count} attestations {whose} where exactly one belongs"


def _check_right(holder: Holder, said: BuiltFrom | Checked) -> None:
    """Only the node itself may say what it built, only for its platforms, and only the master that it checked."""
    if isinstance(said, Checked):
        if holder.role is not Role.MASTER:
            raise TrustError(f"{holder} signed that the master checked a wheel; only the master may say so")
        return
    if holder.role is not Role.NODE:
        raise TrustError(f"the master signed that node {said.node} built a wheel; only that node may say so")
    _check_node(holder, said.node)
    if said.platform not in holder.platforms:
        raise TrustError(
            f"{holder} may not build for {said.platform}; its certificate allows {', '.join(sorted(holder.platforms))}"
        )


def _check_node(holder: Holder, node: NodeName) -> None:
    if holder.node != node:
        raise TrustError(f"{holder} signed a statement that node {node} built the wheel")


def _check_windows(leaf: x509.Certificate, authority: x509.Certificate, at: datetime, holder: Holder) -> None:
    certificate.check_window(leaf, at, whose=str(holder))
    certificate.check_window(authority, at, whose="the authority")


def _check_subject(said: BuiltFrom | Checked, filename: str, sha256: Sha256) -> None:
    whose = f"node {said.node}" if isinstance(said, BuiltFrom) else "the master"
    if said.filename != filename:
        raise TrustError(f"{whose} signed for the file {said.filename[:255]!r}, not for {filename!r}")
    if said.sha256 != sha256:
        raise TrustError(f"{whose} signed for other bytes: sha256 {said.sha256}; this file has {sha256}")
