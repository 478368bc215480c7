"""Who signs: the farm's own authority, the master, each node. No private key ever leaves the folder it was made in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from schema import names
from schema.attest import certificate, issue, keys
from schema.attest.certificate import Holder, Role
from schema.attest.dsse import Attestation
from schema.errors import TrustError
from schema.names import NodeName, Sha256
from schema.platforms import Platform

_MASTER = Holder(role=Role.MASTER)
_LEAF_DAYS = 365
_LONGEST_LEAF_DAYS = 5 * 365
_RENEW_BEFORE = timedelta(days=30)


class Authority:
    """The farm's certificate authority and the master's own signing key, in one folder.

    ``authority.key``, ``authority.pem``: self-signed, for 20 years; ``master.key``, ``master.pem``: for countersigning
    """

    def __init__(
        self,
        folder: Path,
        *,
        key: ec.EllipticCurvePrivateKey,
        authority: x509.Certificate,
        master_key: ec.EllipticCurvePrivateKey,
        master: x509.Certificate,
    ) -> None:
        self._folder = folder
        self._key, self._authority = key, authority
        self._master_key, self._master = master_key, master

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Open the authority in *folder*, made first where there is none; safe when two processes do so at once."""
        keys.create_folder(folder, _new_authority)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raise TrustError if something is missing, open to others, or does not belong together."""
        if not folder.is_dir():
            raise TrustError(f"the farm has no authority in {folder}", advice="the master makes it at its first start")
        key, authority = (
            keys.load(folder / "authority.key"),
            certificate.read_authority(keys.text(folder / "authority.pem")),
        )
        master_key, master = keys.load(folder / "master.key"), certificate.read(keys.text(folder / "master.pem"))
        _check_pair(key, authority, folder / "authority.key")
        _check_pair(master_key, master, folder / "master.key")
        return cls(folder, key=key, authority=authority, master_key=master_key, master=master)

    @property
    def certificate_pem(self) -> str:
        """What verifiers trust; the farm serves it as ``authority.pem``."""
        return certificate.pem(self._authority)

    @property
    def fingerprint(self) -> str:
        """What people compare over another channel: ``sha256:…`` of the certificate."""
        return certificate.fingerprint(self._authority)

    def certify(self, csr_pem: str, *, node: NodeName, platforms: Sequence[str], days: int = _LEAF_DAYS) -> str:
        """A certificate (PEM) for *node*, limited to *platforms*; whatever else the request asks for is ignored.

        Raise TrustError if the request's sender has not proved to own its key.
        """
        allowed = frozenset(str(Platform.parse(platform)) for platform in platforms)
        if not allowed:
            raise TrustError(f"node {node} can be certified for at least one platform only")
        if not 1 <= days <= _LONGEST_LEAF_DAYS:
            raise TrustError(f"a certificate for {days} days: 1 to {_LONGEST_LEAF_DAYS} are given")
        holder = Holder(role=Role.NODE, node=names.node_name(node), platforms=allowed)
        return certificate.pem(self._issue(holder, issue.requested_key(csr_pem), days=days))

    def sign(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        """The master's attestation of *statement*; the master's certificate is renewed in time."""
        self._renew()
        signed = Attestation.sign(statement, key=self._master_key, certificate=certificate.der(self._master))
        return signed.to_json()

    def _renew(self) -> None:
        if datetime.now(UTC) < self._master.not_valid_after_utc - _RENEW_BEFORE:
            return
        self._master = self._issue(_MASTER, self._master_key.public_key(), days=_LEAF_DAYS)
        keys.replace(self._folder / "master.pem", certificate.pem(self._master).encode("ascii"))

    def _issue(self, holder: Holder, key: ec.EllipticCurvePublicKey, *, days: int) -> x509.Certificate:
        return issue.leaf(
            holder, key, authority=self._authority, authority_key=self._key, at=datetime.now(UTC), days=days
        )


class NodeKey:
    """The key of one node, made where it is used: ``node.key``, ``node.csr`` and, once enrolled, ``node.pem``."""

    def __init__(
        self, folder: Path, *, node: NodeName, key: ec.EllipticCurvePrivateKey, held: x509.Certificate | None
    ) -> None:
        self.node = node
        self._folder, self._key, self._certificate = folder, key, held

    @classmethod
    def create(cls, folder: Path, node: NodeName) -> Self:
        """Open the key in *folder*, made first where there is none; safe when two processes do so at once."""
        keys.create_folder(folder, lambda: _new_node(node))
        opened = cls.open(folder)
        if opened.node != node:
            raise TrustError(f"{folder} holds the key of node {opened.node}, not of {node}")
        return opened

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raise TrustError if the key is missing, open to others, or does not fit its certificate."""
        if not folder.is_dir():
            raise TrustError(f"there is no node key in {folder}", advice="the node makes it at its first start")
        key = keys.load(folder / "node.key")
        node = names.node_name(issue.requested_name(keys.text(folder / "node.csr")))
        held = None
        if (folder / "node.pem").exists():
            held = certificate.read(keys.text(folder / "node.pem"))
            _check_held(key, node, held)
        return cls(folder, node=node, key=key, held=held)

    @classmethod
    def renew(cls, folder: Path) -> Self:
        """Make another key for the same node in place of the one in *folder*, which is kept beside it as ``….old``.

        Raise TrustError if there is none. The node has to be enrolled again.
        """
        node = cls.open(folder).node
        old = folder.with_name(f"{folder.name}.old")
        try:
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        except OSError as err:
            raise TrustError(f"the keys in {folder} cannot be replaced: {err.strerror}") from err
        return cls.create(folder, node)

    @property
    def certificate_pem(self) -> str:
        """Raise TrustError if the node is not enrolled yet."""
        return certificate.pem(self._enrolled())

    @property
    def digest(self) -> Sha256:
        """What people compare on node and master: the sha256 of the public key (``certificate.key_digest``)."""
        return certificate.public_digest(self._key.public_key())

    def csr_pem(self) -> str:
        """A certificate request for this key: what the master needs to enrol the node."""
        return issue.request(self._key, self.node)

    def install(self, certificate_pem: str) -> None:
        """Keep the certificate that the farm's authority gave; raise TrustError if it is another key's or node's."""
        held = certificate.read(certificate_pem)
        _check_held(self._key, self.node, held)
        certificate.check_window(held, datetime.now(UTC), whose=f"node {self.node}")
        keys.replace(self._folder / "node.pem", certificate.pem(held).encode("ascii"))
        self._certificate = held

    def sign(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        """The node's attestation of *statement*; raise TrustError if the node has no valid certificate."""
        held = self._enrolled()
        certificate.check_window(held, datetime.now(UTC), whose=f"node {self.node}")
        return Attestation.sign(statement, key=self._key, certificate=certificate.der(held)).to_json()

    def _enrolled(self) -> x509.Certificate:
        if self._certificate is None:
            raise TrustError(
                f"node {self.node} has no certificate yet",
                advice=f"on the master: wheelfarm node enrol {self.node} --csr {self._folder / 'node.csr'}",
            )
        return self._certificate


def _new_authority() -> dict[str, bytes]:
    at, key, master_key = datetime.now(UTC), issue.new_key(), issue.new_key()
    authority = issue.authority(key, at=at)
    master = issue.leaf(
        _MASTER, master_key.public_key(), authority=authority, authority_key=key, at=at, days=_LEAF_DAYS
    )
    return {
        "authority.key": keys.dump(key),
        "authority.pem": certificate.pem(authority).encode("ascii"),
        "master.key": keys.dump(master_key),
        "master.pem": certificate.pem(master).encode("ascii"),
    }


def _new_node(node: NodeName) -> dict[str, bytes]:
    key = issue.new_key()
    return {"node.key": keys.dump(key), "node.csr": issue.request(key, node).encode("ascii")}


def _check_pair(key: ec.EllipticCurvePrivateKey, held: x509.Certificate, path: Path) -> None:
    if certificate.p256(held, "the certificate") != key.public_key():
        raise TrustError(f"{path} does not belong to the certificate beside it")


def _check_held(key: ec.EllipticCurvePrivateKey, node: NodeName, held: x509.Certificate) -> None:
    if certificate.p256(held, "the certificate") != key.public_key():
        raise TrustError(f"the certificate is for another key than node {node} has")
    holder = certificate.holder_of(held)
    if holder.node != node:
        raise TrustError(f"the certificate is for {holder}, not for node {node}")
