"""The farm's X.509 certificates: one authority, and leaves that say whom a key speaks for and for which platforms.

Only ECDSA P-256 with SHA-256 (S-01). A leaf carries exactly the extensions that ``issue`` writes; nothing is taken from
what its owner asked for, except the key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schema import names
from schema.errors import FarmError, TrustError
from schema.names import NodeName
from schema.platforms import Platform

# How far the clock of a node may be off when a certificate's window is checked (R6).
GRACE = timedelta(minutes=5)

_MASTER = "urn:wheelfarm:master"
_NODE = "urn:wheelfarm:node:"
_PLATFORM = "urn:wheelfarm:platform:"
_PEM_LIMIT = 64 * 2**10
_LEAF_EXTENSIONS = {
    x509.BasicConstraints.oid,
    x509.KeyUsage.oid,
    x509.ExtendedKeyUsage.oid,
    x509.SubjectAlternativeName.oid,
    x509.AuthorityKeyIdentifier.oid,
}

Parsed = TypeVar("Parsed")


class Role(StrEnum):
    """What a leaf may sign: a node says what it built, the master that it checked that."""

    NODE = "node"
    MASTER = "master"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whom a certificate speaks for.

    node: None for the master; platforms: what the node may build for, as ``str(Platform)``
    """

    role: Role
    node: NodeName | None = None
    platforms: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return "the master" if self.node is None else f"node {self.node}"


def read_authority(authority_pem: str) -> x509.Certificate:
    """The authority's certificate from PEM; raise TrustError if it is no authority, or not of this farm's make."""
    authority = read(authority_pem)
    p256(authority.public_key(), "the authority")
    try:
        authority.verify_directly_issued_by(authority)
        basic = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, x509.DuplicateExtension) as err:
        raise TrustError("the authority's certificate is not signed by itself, or not whole") from err
    if not basic.ca or not usage.key_cert_sign:
        raise TrustError("this certificate is a signer's, not an authority's; the authority's is authority.pem")
    return authority


def read(certificate_pem: str) -> x509.Certificate:
    """One certificate from PEM; raise TrustError."""
    found = parsed(certificate_pem, x509.load_pem_x509_certificates, "certificate")
    if len(found) != 1:
        raise TrustError(f"{len(found)} certificates where exactly one belongs")
    return found[0]


def read_leaf(der: bytes, authority: x509.Certificate) -> x509.Certificate:
    """A leaf that *authority* has signed; raise TrustError."""
    try:
        leaf = x509.load_der_x509_certificate(der)
        leaf.verify_directly_issued_by(authority)
    except InvalidSignature as err:
        raise TrustError(
            "the signer's certificate claims to be this farm's, but its authority did not sign it"
        ) from err
    except Exception as err:  # whatever the parser makes of hostile bytes, warnings included
        raise TrustError(f"the signer's certificate is not of this farm's authority: {str(err)[:200]}") from err
    return leaf


def holder_of(leaf: x509.Certificate) -> Holder:
    """Whom *leaf* speaks for; raise TrustError unless it is exactly what ``issue`` makes."""
    p256(leaf.public_key(), "the signer's certificate")
    try:
        found = {item.oid: item.value for item in leaf.extensions}
    except (ValueError, x509.DuplicateExtension) as err:
        raise TrustError(f"the signer's certificate is not whole: {str(err)[:200]}") from err
    basic = found.get(x509.BasicConstraints.oid)
    if not isinstance(basic, x509.BasicConstraints) or basic.ca:
        raise TrustError("the signer's certificate is an authority's; an authority signs certificates, not wheels")
    if found.get(x509.KeyUsage.oid) != usage(authority=False):
        raise TrustError("the signer's certificate is not for signing alone")
    if found.keys() != _LEAF_EXTENSIONS:
        raise TrustError("the signer's certificate has other extensions than this farm's have")
    names_ = found[x509.SubjectAlternativeName.oid]
    assert isinstance(names_, x509.SubjectAlternativeName)  # noqa: S101 - its OID says so; stated for mypy
    uris = names_.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != len(list(names_)):
        raise TrustError("the signer's certificate has names of other kinds than this farm gives")
    return _holder(uris)


def check_window(certificate: x509.Certificate, at: datetime, *, whose: str) -> None:
    """Raise TrustError unless *certificate* was valid *at* that time, give or take GRACE."""
    if at < certificate.not_valid_before_utc - GRACE:
        raise TrustError(f"signed at {at:%Y-%m-%d %H:%M} UTC, before the certificate of {whose} began to be valid")
    if at > certificate.not_valid_after_utc + GRACE:
        raise TrustError(f"signed at {at:%Y-%m-%d %H:%M} UTC, after the certificate of {whose} had run out")


def p256(key: object, what: str) -> ec.EllipticCurvePublicKey:
    """*key*, if it is a P-256 key; *what* says whose. Raise TrustError."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TrustError(f"{what} has a key of another kind than ECDSA P-256 (S-01)")
    return key


def pem(item: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """As PEM text."""
    return item.public_bytes(serialization.Encoding.PEM).decode("ascii")


def der(certificate: x509.Certificate) -> bytes:
    """As DER bytes."""
    return certificate.public_bytes(serialization.Encoding.DER)


def fingerprint(certificate: x509.Certificate) -> str:
    """What people compare: ``sha256:`` and the digest of the DER form, in hex."""
    return f"sha256:{certificate.fingerprint(hashes.SHA256()).hex()}"


def _holder(uris: list[str]) -> Holder:
    nodes = [uri.removeprefix(_NODE) for uri in uris if uri.startswith(_NODE)]
    platforms = [uri.removeprefix(_PLATFORM) for uri in uris if uri.startswith(_PLATFORM)]
    if uris == [_MASTER]:
        return Holder(role=Role.MASTER)
    if len(nodes) != 1 or not platforms or len(nodes) + len(platforms) != len(uris):
        raise TrustError("the signer's certificate names neither the master nor one node with its platforms")
    try:
        allowed = frozenset(str(Platform.parse(platform)) for platform in platforms)
        return Holder(role=Role.NODE, node=names.node_name(nodes[0]), platforms=allowed)
    except FarmError as err:
        raise TrustError(f"the signer's certificate names what cannot be: {err}") from err


def usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def parsed(text: str, load: Callable[[bytes], Parsed], what: str) -> Parsed:
    if len(text) > _PEM_LIMIT:
        raise TrustError(f"not a {what} in PEM: {len(text)} characters are too many")
    try:
        return load(text.encode("ascii"))
    except Exception as err:  # whatever the parser makes of hostile bytes, warnings included
        raise TrustError(f"not a {what} in PEM: {str(err)[:200]}") from err
