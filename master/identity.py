"""The key with which the farm reaches its nodes over SSH: its own, made at first use, never anybody's login key."""

from __future__ import annotations

import io
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from paramiko.pkey import UnknownKeyType

from schema.attest import keys
from schema.errors import TrustError

_PRIVATE, _PUBLIC = "farm.key", "farm.pub"


def own(folder: Path) -> paramiko.PKey:
    """The farm's key in *folder*, made first where there is none; raise TrustError if others could use it too."""
    keys.create_folder(folder, _new)
    text = keys.secret(folder / _PRIVATE).decode("ascii", "replace")
    try:
        return paramiko.Ed25519Key(file_obj=io.StringIO(text))
    except (ValueError, paramiko.SSHException) as err:
        raise TrustError(f"{folder / _PRIVATE}: not the key that the farm made", advice=f"remove {folder}") from err


def file(folder: Path) -> Path:
    """Where the farm's own key is, for programs that read it themselves."""
    return folder / _PRIVATE


def public(folder: Path) -> str:
    """Its public half, as it stands in an ``authorized_keys`` file."""
    keys.create_folder(folder, _new)
    return keys.text(folder / _PUBLIC).strip()


def of_a_person(file: Path) -> paramiko.PKey:
    """The key in a file that a person names; raise TrustError, also for one with a passphrase."""
    try:
        return paramiko.PKey.from_path(file)
    except OSError as err:
        raise TrustError(f"{file} cannot be read: {err.strerror}") from err
    except (ValueError, TypeError, UnsupportedAlgorithm, UnknownKeyType, paramiko.SSHException) as err:
        raise TrustError(f"{file}: not a private SSH key, or one with a passphrase") from err


def _new() -> dict[str, bytes]:
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return {_PRIVATE: private, _PUBLIC: line + b" wheelfarm\n"}
