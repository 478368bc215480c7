"""Private keys on disk: 0400 in a 0700 folder that appears at once and whole, whoever else is making it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schema.errors import TrustError

_FILE_LIMIT_BYTES = 64 * 2**10
_PRIVATE, _PUBLIC = 0o400, 0o444


def create_folder(folder: Path, make: Callable[[], Mapping[str, bytes]]) -> None:
    """Make *folder* with the files that *make* gives by name; nothing happens if it holds something already.

    Names that end in ``.key`` are private. Of two processes that make it at once one wins, and both use its files.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()):
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            for name, data in make().items():
                _write(temporary / name, data, _PRIVATE if name.endswith(".key") else _PUBLIC)
            _sync(temporary)
            _rename_unless_there(temporary, folder)
            _sync(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as err:
        raise TrustError(f"the keys in {folder} cannot be made: {err.strerror}") from err


def replace(path: Path, data: bytes) -> None:
    """Put other public bytes at *path*; a reader sees the old ones or the new ones."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        os.close(handle)
        temporary = Path(name)
        try:
            temporary.unlink()
            _write(temporary, data, _PUBLIC)
            temporary.replace(path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as err:
        raise TrustError(f"{path} cannot be written: {err.strerror}") from err


def dump(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as unencrypted PKCS #8 PEM: the folder's mode is what protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 key in *path*; raise TrustError, above all if anybody but its owner can read it."""
    data = _read(path, private=True)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as err:
        raise TrustError(f"{path}: not a private key") from err
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TrustError(f"{path}: a key of another kind than ECDSA P-256 (S-01)")
    return key


def secret(path: Path) -> bytes:
    """A private key of another kind as it stands; raise TrustError, above all if anybody but its owner can read it."""
    return _read(path, private=True)


def text(path: Path) -> str:
    """A certificate or request as text; raise TrustError."""
    try:
        return _read(path, private=False).decode("ascii")
    except UnicodeDecodeError as err:
        raise TrustError(f"{path}: not PEM") from err


def _read(path: Path, *, private: bool) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise TrustError(f"{path}: not a plain file")
            if private:
                _check_private(path, status)
            return file.read(_FILE_LIMIT_BYTES)
    except OSError as err:
        raise TrustError(f"{path} cannot be read: {err.strerror}") from err


def _check_private(path: Path, status: os.stat_result) -> None:
    for item, found in ((path, status), (path.parent, path.parent.stat())):
        if found.st_mode & 0o077:
            mode = "0400" if item == path else "0700"
            raise TrustError(
                f"{item} can be used by others than its owner (mode {stat.S_IMODE(found.st_mode):04o})",
                advice=f"chmod {mode} {item}; if others have been on this machine, make new keys",
            )
        if found.st_uid not in {0, os.geteuid()}:
            raise TrustError(f"{item} belongs to another user (uid {found.st_uid})")


def _write(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(handle, mode)
        os.fsync(handle)


def _rename_unless_there(source: Path, target: Path) -> None:
    """rename(2) replaces an empty folder, and refuses one that holds something."""
    try:
        source.rename(target)
    except OSError as err:
        if err.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
