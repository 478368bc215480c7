"""The farm's X.509 certificates: one authority, and leaves that say whom a key speaks for and for which platforms.

Only ECDSA P-256 with SHA-256 (S-01). A leaf carries exactly the extensions that ``issue.leaf`` writes; of what
its owner asked for, only the key is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from schema import names
from schema.errors import FarmError, TrustError
from schema.names import NodeName, Sha256
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

    @property
    def uris(self) -> tuple[str, ...]:
        """How a certificate names the holder."""
        name = _MASTER if self.node is None else _NODE + self.node
        return (name, *(_PLATFORM + platform for platform in sorted(self.platforms)))


def read_authority(authority_pem: str) -> x509.Certificate:
    """The authority's certificate from PEM; raise TrustError if it is no authority, or not of this farm's make."""
    authority = read(authority_pem)
    p256(authority, "the authority")
    found = _extensions(authority, "the authority's certificate")
    basic = found.get(x509.BasicConstraints.oid)
    if not isinstance(basic, x509.BasicConstraints) or not basic.ca:
        raise TrustError("this certificate is a signer's, not an authority's; the authority's is authority.pem")
    if found.get(x509.KeyUsage.oid) != usage(authority=True):
        raise TrustError("the authority's certificate is not for signing certificates alone")
    try:
        authority.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as err:
        raise TrustError("the authority's certificate is not signed by its own key") from err
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
        raise TrustError("the signer's certificate names this farm's authority, which did not sign it") from err
    except Exception as err:  # whatever the parser makes of hostile bytes, warnings included
        raise TrustError(f"the signer's certificate is not of this farm's authority: {str(err)[:200]}") from err
    if not der.endswith(_bit_string(leaf.signature)):
        raise TrustError("the signer's certificate does not end with its signature in DER")
    return leaf


def _bit_string(signature: bytes) -> bytes:
    """The DER of a short BIT STRING (X.690, 8.6): the parser does not mind a wrong count of unused bits, we do."""
    return bytes((0x03, len(signature) + 1, 0)) + signature


def holder_of(leaf: x509.Certificate) -> Holder:
    """Whom *leaf* speaks for; raise TrustError unless it is exactly what ``issue.leaf`` makes."""
    p256(leaf, "the signer")
    found = _extensions(leaf, "the signer's certificate")
    basic = found.get(x509.BasicConstraints.oid)
    if not isinstance(basic, x509.BasicConstraints) or basic.ca:
        raise TrustError("the signer's certificate is an authority's; an authority signs certificates, not wheels")
    if found.get(x509.KeyUsage.oid) != usage(authority=False):
        raise TrustError("the signer's certificate is not for signatures alone")
    alternative = found.get(x509.SubjectAlternativeName.oid)
    if found.keys() != _LEAF_EXTENSIONS or not isinstance(alternative, x509.SubjectAlternativeName):
        raise TrustError("the signer's certificate has other extensions than those this farm gives")
    uris = alternative.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != len(list(alternative)):
        raise TrustError("the signer's certificate has names of other kinds than those this farm gives")
    return _holder(tuple(uris))


def check_window(certificate: x509.Certificate, at: datetime, *, whose: str) -> None:
    """Raise TrustError unless *certificate* was valid *at* that time, give or take GRACE."""
    if at < certificate.not_valid_before_utc - GRACE:
        raise TrustError(f"signed at {at:%Y-%m-%d %H:%M} UTC, before the certificate of {whose} began to be valid")
    if at > certificate.not_valid_after_utc + GRACE:
        raise TrustError(f"signed at {at:%Y-%m-%d %H:%M} UTC, after the certificate of {whose} had run out")


def p256(item: x509.Certificate | x509.CertificateSigningRequest, whose: str) -> ec.EllipticCurvePublicKey:
    """The key in *item*; raise TrustError if it is not a P-256 key."""
    try:
        key = item.public_key()
    except Exception as err:  # an unknown curve, a point that is not on it, …
        raise TrustError(f"{whose} has a key that cannot be read: {str(err)[:200]}") from err
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TrustError(f"{whose} has a key of another kind than ECDSA P-256 (S-01)")
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


def key_digest(certificate: x509.Certificate) -> Sha256:
    """What a key is known by, in whichever certificate: the sha256 of its SubjectPublicKeyInfo, in hex."""
    return public_digest(certificate.public_key())


def public_digest(key: CertificatePublicKeyTypes) -> Sha256:
    """The same of a key without a certificate."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return Sha256(sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest())


def usage(*, authority: bool) -> x509.KeyUsage:
    """An authority signs certificates, everybody else statements."""
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
    """*text* (PEM) as *load* reads it; *what* names it in errors. Raise TrustError."""
    if len(text) > _PEM_LIMIT:
        raise TrustError(f"not a {what} in PEM: {len(text)} characters are too many")
    try:
        return load(text.encode("ascii"))
    except Exception as err:  # whatever the parser makes of hostile bytes, warnings included
        raise TrustError(f"not a {what} in PEM: {str(err)[:200]}") from err


def _holder(uris: tuple[str, ...]) -> Holder:
    if uris == (_MASTER,):
        return Holder(role=Role.MASTER)
    nodes = [uri.removeprefix(_NODE) for uri in uris if uri.startswith(_NODE)]
    platforms = [uri.removeprefix(_PLATFORM) for uri in uris if uri.startswith(_PLATFORM)]
    if len(nodes) != 1 or not platforms or len(nodes) + len(platforms) != len(uris):
        raise TrustError("the signer's certificate names neither the master nor one node with its platforms")
    try:
        allowed = frozenset(str(Platform.parse(platform)) for platform in platforms)
        return Holder(role=Role.NODE, node=names.node_name(nodes[0]), platforms=allowed)
    except FarmError as err:
        raise TrustError(f"the signer's certificate names what cannot be: {err}") from err


def _extensions(item: x509.Certificate, what: str) -> dict[x509.ObjectIdentifier, x509.ExtensionType]:
    try:
        return {extension.oid: extension.value for extension in item.extensions}
    except Exception as err:  # whatever the parser makes of hostile bytes
        raise TrustError(f"{what} is not whole: {str(err)[:200]}") from err
