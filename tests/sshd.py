"""A real OpenSSH server on loopback, with a host key and a configuration of its own: the node's side of SFTP."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from master import identity
from master.ssh import HostKey
from master.targets import RemoteOutbox, Target
from tests.whole_farm import free_port

_START_S = 10.0


@dataclass(kw_only=True)
class Sshd:
    """Serves the account that runs the tests, by key alone.

    more: lines for the end of its configuration; keys: the folder of the identity that may log in
    """

    folder: Path
    keys: Path
    more: str = ""
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.prepare()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def target(self) -> Target:
        return Target(user=getpass.getuser(), host="127.0.0.1", port=self.port)

    @property
    def host_key(self) -> HostKey:
        return HostKey.parse(" ".join((self.folder / "host_key.pub").read_text().split()[:2]))

    def outbox(self, path: Path | str, *, port: int | None = None, user: str | None = None) -> RemoteOutbox:
        target = Target(user=user or self.target.user, host="127.0.0.1", port=port or self.port)
        return RemoteOutbox(target=target, path=str(path))

    def new_host_key(self) -> None:
        """As on a machine that is set up anew; holds from the next start on."""
        for name in ("host_key", "host_key.pub"):
            (self.folder / name).unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "host_key"], check=True)

    def prepare(self) -> None:
        """Make a host key, and let the identity in."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.new_host_key()
        (self.folder / "authorized_keys").write_text(identity.public(self.keys) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its unit would make it
        self._config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\n"
            f"HostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\n"
            "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nMaxStartups 100\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel ERROR\n"
            f"Subsystem sftp internal-sftp\n{self.more}"
        )

    @property
    def _config(self) -> Path:
        return self.folder / "sshd_config"

    def argv(self) -> list[str | Path]:
        """Its command; what it has to say goes to stderr."""
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if program is None:
            pytest.fail("OpenSSH's server is not installed; `make test` installs it (Debian package openssh-server)")
        return [program, "-D", "-e", "-f", self._config]

    def start(self) -> None:
        """Return when it listens."""
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(self.argv(), stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail(f"sshd did not start: {(self.folder / 'sshd.log').read_text()}")

    def stop(self) -> None:
        """End the server; connections that are open go on."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
