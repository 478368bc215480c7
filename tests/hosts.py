"""Bare machines of any architecture for tests: each a root file system with an sshd in name spaces of its own.

Only for root. A host has its own network (one address, and the Internet through this machine by NAT), its own processes
(all end with it), its own mounts, and neither systemd nor control groups.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder import assembling, bootstrap, bytecode, dpkg_records, emulation, images, linker, process
from builder.bootstrap import Wanted
from master import identity
from master.ssh import HostKey
from master.targets import Target
from schema.platforms import DEBIAN_ARCHITECTURES, Platform, this_machine
from schema.sections import ImagesSection

_START_S = 60.0
# What any Debian machine has that somebody can log in to, and no more.
_PACKAGES = (
    *("?essential", "?priority(required)", "apt", "ca-certificates", "debian-archive-keyring"),
    *("openssh-server", "python3"),
)
# All that the host starts and mounts ends with its first process.
_APART = ("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL", "--")
# Runs as process 1 of the host.
_INIT = """
set -e
root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -m 755 "$root/run/sshd"
mkdir "$root/run/before"
hostname "$2"
# Not chroot: in one, nobody may make a user name space.
cd "$root"
pivot_root . run/before
exec chroot . /bin/sh -c 'umount -l /run/before && exec "$@"' sh /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config
"""


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine that runs.

    key: the private key file that root's account there accepts
    gateway: the address of this machine, as the host sees it
    """

    name: str
    address: str
    gateway: str
    root: Path
    key: Path

    @property
    def target(self) -> Target:
        return Target(user="root", host=self.address, port=22)

    @property
    def host_key(self) -> HostKey:
        text = (self.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text(encoding="ascii")
        return HostKey.parse(" ".join(text.split()[:2]))

    @property
    def known_hosts(self) -> Path:
        """A file for OpenSSH's ``UserKnownHostsFile``."""
        file = self.key.with_name("known_hosts")
        file.write_text(f"{self.address} {self.host_key}\n", encoding="ascii")
        return file

    def ssh_command(self, command: str) -> list[str]:
        """What runs a shell command there as root."""
        options = {"UserKnownHostsFile": self.known_hosts, "IdentitiesOnly": "yes", "BatchMode": "yes"}
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-i", str(self.key), *words, f"root@{self.address}", command]

    def ssh(self, command: str, *, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.ssh_command(command),
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def host(name: str, *, arch: str | None = None) -> Iterator[Host]:
    """A bare Debian 12 of *arch* (this machine's); its files are thrown away at the end.

    name: what the host calls itself
    """
    arch = arch or this_machine()
    folder = Path(tempfile.mkdtemp(prefix="wf-host-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(process.remove, folder)
        root = folder / "root"
        process.run(["cp", "-a", "--", str(_bare(f"debian12-{arch}")), str(root)])
        _let_in(root, folder / "keys")
        network = stack.enter_context(_network())
        stack.enter_context(_running(root, name, network, folder / "sshd.log"))
        yield Host(
            name=name,
            address=network.inside,
            gateway=network.outside,
            root=root,
            key=folder / "keys" / "farm.key",
        )


def _bare(name: str) -> Path:
    """The root file system of a bare host, made once for all tests of this machine."""
    folder = ImagesSection().folder.parent / "hosts"
    folder.mkdir(parents=True, exist_ok=True)
    platform = Platform.of_image(name)
    with images.locked(folder, name):
        if not (folder / name).is_dir():
            with images.unfinished(folder, name) as making:
                _make(making, platform)
                (making / "root").rename(folder / name)
    return folder / name


def _make(making: Path, platform: Platform) -> None:
    """All packages are only unpacked, as in emulated images, but recorded as installed: their scripts take minutes."""
    architecture, root = DEBIAN_ARCHITECTURES[platform.arch], making / "root"
    wanted = Wanted(platform=platform, architectures=(architecture,), packages=_PACKAGES, unpacked=True)
    bootstrap.make(making, wanted, lambda *_: None)
    dpkg_records.add(root, sorted((root / "var/cache/apt/archives").glob("*.deb")))
    status = root / "var/lib/dpkg/status"
    status.write_text(status.read_text(encoding="utf-8").replace("install ok unpacked", "install ok installed"))
    assembling._configure(root)
    bootstrap.tidy(root)
    linker.renew_cache(root)
    compiler = ImagesSection().folder / f"debian12-{this_machine()}" / "root"
    if compiler.is_dir():
        bytecode.compile_all(compiler, {"/usr/lib/python3.11": root / "usr/lib/python3.11"})
    with (root / "etc/passwd").open("a", encoding="ascii") as file:
        file.write("sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n")
    if not emulation.is_native(platform.arch):
        _bring_bubblewrap(root)


def _bring_bubblewrap(root: Path) -> None:
    """qemu's user mode cannot make name spaces for a program that it runs: this machine's own bubblewrap does."""
    program = shutil.which("bwrap") or "bwrap"
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)  # a script of base-files would have made it
    shutil.copy2(program, root / "usr/local/bin/bwrap")
    for line in process.run(["ldd", program]).splitlines():
        for word in line.split():
            if word.startswith("/"):
                target = root / word.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(word, target)
                target.chmod(0o755)


def _let_in(root: Path, keys: Path) -> None:
    """A host key of its own, and root's account for the key below *keys*."""
    public = identity.public(keys)
    ssh = root / "root/.ssh"
    ssh.mkdir(mode=0o700, parents=True)
    (ssh / "authorized_keys").write_text(f"{public}\n", encoding="ascii")
    shutil.copyfile(root / "usr/share/openssh/sshd_config", root / "etc/ssh/sshd_config")
    # Nobody set PAM up, for which packages' scripts would be needed.
    (root / "etc/ssh/sshd_config.d/00-host.conf").write_text("UsePAM no\n", encoding="ascii")
    key = root / "etc/ssh/ssh_host_ed25519_key"
    process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copyfile("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n", encoding="ascii")


@contextlib.contextmanager
def _network() -> Iterator[_Network]:
    """A network name space with one interface that leads to this machine, and through it to the Internet."""
    for number in range(1, 255):
        network = _Network(number)
        made = subprocess.run(["ip", "netns", "add", network.name], check=False, capture_output=True)
        if made.returncode == 0:
            break
    else:
        pytest.fail("no network name space can be made")
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    rule = ("POSTROUTING", "-s", f"{network.inside}/32", "!", "-d", "10.213.0.0/16", "-j", "MASQUERADE")
    with contextlib.ExitStack() as stack:
        stack.callback(process.run, ["ip", "netns", "delete", network.name])
        for words in (
            f"link add {network.outer} type veth peer name eth0 netns {network.name}",
            f"address add {network.outside}/30 dev {network.outer}",
            f"link set {network.outer} up",
            f"-n {network.name} address add {network.inside}/30 dev eth0",
            f"-n {network.name} link set eth0 up",
            f"-n {network.name} link set lo up",
            f"-n {network.name} route add default via {network.outside}",
        ):
            process.run(["ip", *words.split()])
        forward.write_text("1")
        process.run(["iptables", "--wait", "-t", "nat", "-A", *rule])
        stack.callback(process.run, ["iptables", "--wait", "-t", "nat", "-D", *rule])
        yield network


@dataclass(frozen=True)
class _Network:
    number: int

    @property
    def name(self) -> str:
        return f"wf-host-{self.number}"

    @property
    def outer(self) -> str:
        return f"wfh{self.number}"

    @property
    def inside(self) -> str:
        return f"10.213.{self.number}.2"

    @property
    def outside(self) -> str:
        return f"10.213.{self.number}.1"


@contextlib.contextmanager
def _running(root: Path, name: str, network: _Network, log: Path) -> Iterator[None]:
    argv = ["ip", "netns", "exec", network.name, *_APART, "sh", "-c", _INIT, "sh", str(root), name]
    with log.open("ab") as said:
        running = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        _wait_for(network.inside, running, log)
        yield
    finally:
        running.kill()
        running.wait(20)


def _wait_for(address: str, running: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and running.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((address, 22)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"the host's sshd does not start: {log.read_text()}")
