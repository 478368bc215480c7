"""The outboxes that the master takes from: a folder of its own machine, or one of a node behind SFTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from master import identity, sftp, ssh, targets
from master.sftp import Reader
from master.targets import RemoteOutbox
from schema import outbox
from schema.errors import TransferError, TrustError, UnreachableError
from schema.jobs import Lease
from schema.names import NodeName

_CHUNK = 1 << 20


class Outbox(Protocol):
    """What can be asked of an outbox; nothing of what it answers is believed."""

    def has(self, lease: Lease) -> bool:
        """Whether the attempt is there."""

    def chunks(self, lease: Lease, name: str, *, limit_bytes: int, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a file of the attempt, from *offset* on.

        Raise WireError if it is no plain file (a link, a pipe), is missing, or is said to be larger than *limit_bytes*;
        TransferError where it cannot be read to its end, UnreachableError where the node does not answer now.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How the master reaches other machines.

    identity: the folder of the farm's own key; silence_s: so long may a node say nothing, in seconds
    """

    identity: Path
    silence_s: float = ssh.SILENCE_S


@contextmanager
def opened(node: NodeName, location: str, *, host_key: str, reach: Reach) -> Iterator[Outbox]:
    """The outbox of *node* at *location* (``targets.outbox``); nothing is connected before something is asked.

    host_key: the pinned one, "" where there is none; only an outbox behind SFTP needs it
    """
    where = targets.outbox(location)
    if isinstance(where, Path):
        yield LocalOutbox(where)
        return
    if not host_key:
        raise UnreachableError(
            f"no SSH host key was accepted for node {node}",
            advice=f"wheelfarm node add {node} USER@{where.target.place}",
        )
    box = SftpOutbox(where, partial(_session, node, where, host_key, reach))
    try:
        yield box
    finally:
        box.close()


class LocalOutbox:
    """A folder that node and master share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, lease: Lease) -> bool:
        """Whether the attempt is there."""
        return outbox.entry(self._folder, lease).is_dir()

    def chunks(self, lease: Lease, name: str, *, limit_bytes: int, offset: int = 0) -> Iterator[bytes]:
        """As in ``Outbox``; raise OSError where it is this machine that cannot."""
        with outbox.open_plain(outbox.entry(self._folder, lease) / name, limit_bytes=limit_bytes) as file:
            try:
                file.seek(offset)
                while chunk := file.read(_CHUNK):
                    yield chunk
            except OSError as err:
                raise TransferError(f"{name}: cannot be read: {err.strerror}") from err


class SftpOutbox:
    """One behind SFTP; a connection that dies is opened once more, and what was read is not read again."""

    def __init__(self, where: RemoteOutbox, connect: Callable[[], AbstractContextManager[Reader]]) -> None:
        self._where, self._connect = where, connect
        self._connection = ExitStack()
        self._reader: Reader | None = None
        self._was_opened_again = False

    def close(self) -> None:
        """End the connection."""
        self._reader = None
        self._connection.close()

    def has(self, lease: Lease) -> bool:
        """Whether the attempt is there; raise UnreachableError where there is not even an outbox."""
        while True:
            try:
                found = self._opened().look(f"{self._where.path}/{lease}")
                if found is None:
                    self._expect_outbox()
            except UnreachableError as err:
                self._open_again(err)
            else:
                return found is not None and found.is_folder

    def chunks(self, lease: Lease, name: str, *, limit_bytes: int, offset: int = 0) -> Iterator[bytes]:
        """As in ``Outbox``."""
        path = f"{self._where.path}/{lease}/{name}"
        while True:
            try:
                for chunk in self._opened().chunks(path, limit_bytes=limit_bytes, offset=offset):
                    offset += len(chunk)
                    yield chunk
            except UnreachableError as err:
                self._open_again(err)
            else:
                return

    def _opened(self) -> Reader:
        if self._reader is None:
            self._reader = self._connection.enter_context(self._connect())
        return self._reader

    def _open_again(self, err: UnreachableError) -> None:
        self.close()
        if self._was_opened_again:
            raise err
        self._was_opened_again = True

    def _expect_outbox(self) -> None:
        """An attempt that is gone is built again; an outbox that is not where it should be must not cost any build."""
        found = self._opened().look(self._where.path)
        if found is None or not found.is_folder:
            raise UnreachableError(
                f"there is no folder {self._where}",
                advice="wheelfarm node enrol … --outbox corrects it, or the node does",
            )


@contextmanager
def _session(node: NodeName, where: RemoteOutbox, host_key: str, reach: Reach) -> Iterator[Reader]:
    try:
        pinned, key = ssh.HostKey.parse(host_key), identity.own(reach.identity)
    except TrustError as err:  # of this machine's own making: no node is to blame
        raise UnreachableError(f"the farm cannot reach any node over SSH: {err}") from err
    with (
        ssh.connected(where.target, node=node, pinned=pinned, key=key, silence_s=reach.silence_s) as transport,
        sftp.opened(transport, where.target, silence_s=reach.silence_s) as reader,
    ):
        yield reader
