"""What an attacker can make who may have a key of the farm, without any of the checks of our own signer."""

from __future__ import annotations

import base64
import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from schema.attest import certificate, issue, verify
from schema.attest.certificate import Holder, Role
from schema.attest.dsse import pae
from schema.errors import TrustError
from tests.signing import FARM, NODE, PLATFORM, SigningFarm

ECDSA = ec.ECDSA(hashes.SHA256())
US = Holder(role=Role.NODE, node=NODE, platforms=frozenset({PLATFORM}))


def seal(payload: bytes, key: ec.EllipticCurvePrivateKey, leaf: x509.Certificate, *, kind: str = "") -> dict[str, Any]:
    """An attestation object, made without any of the checks of our own signer."""
    signed = pae(payload, kind) if kind else pae(payload)
    return {
        "version": 1,
        "verification_material": {
            "certificate": base64.b64encode(certificate.der(leaf)).decode(),
            "transparency_entries": [],
        },
        "envelope": {
            "statement": base64.b64encode(payload).decode(),
            "signature": base64.b64encode(key.sign(signed, ECDSA)).decode(),
        },
    }


def resealed(farm: SigningFarm, statement: dict[str, Any] | bytes, *, kind: str = "") -> dict[str, Any]:
    """A statement of any content, signed by the true node."""
    payload = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
    return seal(payload, farm.node._key, x509.load_pem_x509_certificate(farm.node.certificate_pem.encode()), kind=kind)


def with_node(farm: SigningFarm, node: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A provenance whose node part is *node*, countersigned by the true master."""
    return verify.make_provenance(node, farm.authority.sign(farm.summary(node, **changes)), FARM)


def issued(farm: SigningFarm, holder: Holder, key: ec.EllipticCurvePrivateKey, **changes: Any) -> x509.Certificate:
    values: dict[str, Any] = {"at": datetime.now(UTC), "days": 365, **changes}
    authority = farm.authority
    return issue.leaf(holder, key.public_key(), authority=authority._authority, authority_key=authority._key, **values)


def odd_leaf(farm: SigningFarm, key: ec.EllipticCurvePrivateKey, *odd: x509.ExtensionType, **dates: datetime) -> Any:
    """A leaf that the farm's own authority signed, with other extensions or dates than it ever gives."""
    real = farm.authority._authority
    values = {"starts": datetime.now(UTC), "ends": real.not_valid_after_utc, **dates}
    builder = issue._builder(issue._name("odd"), real.subject, key.public_key(), **values)
    usual = {extension.oid: extension.value for extension in issued(farm, US, key).extensions}
    for value in {**usual, **{item.oid: item for item in odd}}.values():
        builder = builder.add_extension(value, critical=True)
    return builder.sign(farm.authority._key, hashes.SHA256())


def refused(farm: SigningFarm, provenance: dict[str, Any], why: str, **changes: Any) -> None:
    with pytest.raises(TrustError, match=why):
        farm.check(provenance, **changes)


def set_at(statement: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """*statement* with another value at a place such as ``subject/0/name``."""
    changed = copy.deepcopy(statement)
    *folders, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    place: Any = changed
    for folder in folders:
        place = place[folder]
    place[last] = value
    return changed
