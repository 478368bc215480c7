"""Making certificates and certificate requests; what they must be stands in ``certificate``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from schema.attest import certificate
from schema.attest.certificate import Holder
from schema.errors import TrustError
from schema.names import NodeName

# A new certificate is valid a little back in time, so that a node whose clock is late can work at once (R6).
BACKDATED = timedelta(days=1)
AUTHORITY_DAYS = 20 * 365


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def authority(key: ec.EllipticCurvePrivateKey, *, at: datetime) -> x509.Certificate:
    """A self-signed authority, which may sign leaves only."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _name(f"wheelfarm authority {identifier.digest.hex()[:16]}")
    builder = _builder(name, name, key.public_key(), starts=at - 2 * BACKDATED, ends=at + timedelta(AUTHORITY_DAYS))
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(certificate.usage(authority=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def leaf(
    holder: Holder,
    public_key: ec.EllipticCurvePublicKey,
    *,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    at: datetime,
    days: int,
) -> x509.Certificate:
    """A leaf for *holder*, valid for *days* but never longer than the authority."""
    starts = max(at - BACKDATED, authority.not_valid_before_utc)
    ends = min(at + timedelta(days), authority.not_valid_after_utc)
    if starts >= ends:
        raise TrustError("the farm's authority has run out; it can certify nobody any more")
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in holder.uris])
    key_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(_name(f"wheelfarm {holder}"[:64]), authority.subject, public_key, starts=starts, ends=ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(certificate.usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(key_identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def request(key: ec.EllipticCurvePrivateKey, node: NodeName) -> str:
    """A certificate request (PEM): proof that *node* has the key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(node))
    return certificate.pem(builder.sign(key, hashes.SHA256()))


def requested_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """The key of a request whose sender has proved to own it; raise TrustError."""
    csr = certificate.parsed(csr_pem, x509.load_pem_x509_csr, "certificate request")
    if not csr.is_signature_valid:
        raise TrustError("the certificate request is not signed by the key that it asks a certificate for")
    return certificate.p256(csr, "the certificate request")


def requested_name(csr_pem: str) -> str:
    """The name that a request was made for; "" if it names nobody."""
    csr = certificate.parsed(csr_pem, x509.load_pem_x509_csr, "certificate request")
    found = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, starts: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts.astimezone(UTC))
        .not_valid_after(ends.astimezone(UTC))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
