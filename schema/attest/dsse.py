"""Attestation objects (PEP 740, S-01): an in-toto statement in a DSSE envelope, with one certificate beside it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from schema.attest import strict_json
from schema.attest.strict_json import Fields
from schema.errors import TrustError
from schema.names import Sha256

PAYLOAD_TYPE = "application/vnd.in-toto+json"

STATEMENT_LIMIT_BYTES = 4 * 2**20
_CERTIFICATE_LIMIT_BYTES = 16 * 2**10
_SIGNATURE_LIMIT_BYTES = 256
_ECDSA_SHA256 = ec.ECDSA(hashes.SHA256())


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """DSSE's pre-authentication encoding: what is signed, so that no payload can pass for one of another type."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """An attestation object: its parts are decoded, but nothing is believed before ``verify``.

    certificate: X.509, DER; statement: the JSON bytes that were signed; signature: ECDSA, DER
    """

    certificate: bytes
    statement: bytes
    signature: bytes

    @classmethod
    def sign(cls, statement: Mapping[str, Any], *, key: ec.EllipticCurvePrivateKey, certificate: bytes) -> Self:
        """Sign *statement*; the same statement always gives the same statement bytes."""
        payload = json.dumps(statement, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
        _read(payload)  # what no verifier would read is not signed
        return cls(certificate=certificate, statement=payload, signature=key.sign(pae(payload), _ECDSA_SHA256))

    @classmethod
    def from_json(cls, data: Any) -> Self:  # noqa: ANN401 - anything may come in
        """Read an attestation object; keys that PEP 740 does not name mean nothing. Raise TrustError."""
        attestation = Fields("attestation", data)
        attestation.must_be("version", 1)
        material, envelope = attestation.fields("verification_material"), attestation.fields("envelope")
        material.items("transparency_entries")  # required by PEP 740; the farm keeps no log yet, so none is evidence
        return cls(
            certificate=_decoded(material, "certificate", _CERTIFICATE_LIMIT_BYTES),
            statement=_decoded(envelope, "statement", STATEMENT_LIMIT_BYTES),
            signature=_decoded(envelope, "signature", _SIGNATURE_LIMIT_BYTES),
        )

    def to_json(self) -> dict[str, Any]:
        """The attestation object as plain data."""
        return {
            "version": 1,
            "verification_material": {"certificate": _encoded(self.certificate), "transparency_entries": []},
            "envelope": {"statement": _encoded(self.statement), "signature": _encoded(self.signature)},
        }

    def verify(self, key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
        """The statement, if *key* signed its very bytes as an in-toto statement; else raise TrustError."""
        try:
            key.verify(self.signature, pae(self.statement), _ECDSA_SHA256)
        except InvalidSignature as err:
            raise TrustError(
                "the signature does not fit the statement: either was changed, or another key signed it"
            ) from err
        return _read(self.statement)

    @property
    def statement_sha256(self) -> Sha256:
        """The digest of the statement's bytes: what a countersignature names."""
        return Sha256(hashlib.sha256(self.statement).hexdigest())


def _read(statement: bytes) -> dict[str, Any]:
    return strict_json.parse(statement, what="statement", limit_bytes=STATEMENT_LIMIT_BYTES)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(fields: Fields, key: str, limit_bytes: int) -> bytes:
    """Base64 in its one canonical spelling."""
    text = fields.text(key, limit=4 * (limit_bytes // 3 + 1))
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as err:
        raise TrustError(f"{fields.what}.{key}: not base64: {err}") from err
    if not data or _encoded(data) != text:
        raise TrustError(f"{fields.what}.{key}: empty, or not the canonical base64 of anything")
    return data
