"""What a hostile build tries to read, reach, change or become: all of it in vain (T1, T3, T4)."""

from __future__ import annotations

import errno
import json
import os
import socket
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.sandbox import Bind
from schema.errors import NodeError
from tests.builder.sandbox.conftest import Box

# Each is an expression that the build evaluates; it must raise, or give the harmless value beside it.
_SYSCALLS = "ctypes.CDLL(None, use_errno=True)"
_ATTEMPTS: dict[str, tuple[str, object]] = {
    "the machine's passwords": ("open('/etc/shadow').read()", None),
    "the machine's name": ("os.uname().nodename", "build"),
    "home folders": ("os.listdir('/home')", None),
    "root's folder": ("os.listdir('/root')", None),
    "other processes": ("[pid for pid in os.listdir('/proc') if pid.isdigit() and int(pid) > 2]", []),
    "the first process's environment": ("open('/proc/1/environ').read().find('SECRET')", -1),
    "the first process's command": ("open('/proc/1/cmdline').read().find('/wf-' + 'jobs-')", -1),
    "our own environment": ("sorted(os.environ)", ["HOME", "LC_ALL", "PATH", "PWD", "TMPDIR", "TZ"]),
    "block devices": ("[name for name in os.listdir('/dev') if name.startswith(('vd', 'sd', 'loop', 'mem'))]", []),
    "the kernel's memory": ("open('/proc/kcore', 'rb').read(1)", None),
    "the kernel's log": ("open('/dev/kmsg').read(1)", None),
    "the control groups": ("os.listdir('/sys/fs/cgroup')", None),
    "the machine's disks": ("os.listdir('/sys/block')", None),
    "more of our files": ("[number for number in os.listdir('/proc/self/fd') if int(number) > 3]", []),
    "the programs": ("open('/usr/bin/evil', 'w')", None),
    "the settings": ("open('/etc/evil', 'w')", None),
    "the interpreter's packages": ("open('/usr/lib/python3/dist-packages/evil.pth', 'w')", None),
    "the root": ("open('/evil', 'w')", None),
    "a folder in the root": ("os.mkdir('/evil')", None),
    "device files": ("os.mknod('/tmp/disk', 0o60666, os.makedev(7, 0))", None),
    "the devices": ("open('/dev/evil', 'w')", None),
    "kernel settings": ("open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/evil')", None),
    "our priority": ("os.nice(-15)", None),
    "root": ("os.setuid(0)", None),
    "another group": ("os.setgroups([0])", None),
    "a user namespace": ("syscall(libc.unshare, 0x10000000)", None),
    "a mount namespace": ("syscall(libc.unshare, 0x00020000)", None),
    "a mount": ("syscall(libc.mount, b'none', b'/tmp', b'tmpfs', 0, None)", None),
    "an unmount": ("syscall(libc.umount2, b'/proc', 2)", None),
    "another root": ("os.chroot('/tmp')", None),
    "another host name": ("socket.sethostname('evil')", None),
    "the clock": ("time.clock_settime(time.CLOCK_REALTIME, 0)", None),
    "tracing": ("syscall(libc.ptrace, 16, 1, None, None)", None),
    "keys": ("syscall(libc.syscall, 250, 0, -3, 1)", None),
    "BPF": ("syscall(libc.syscall, 321, 0, None, 0)", None),
    "io_uring": ("syscall(libc.syscall, 425, 1, None)", None),
    "the loopback device's listeners": ("socket.create_connection(('127.0.0.1', {port}), 2)", None),
    "the listeners over IPv6": ("socket.create_connection(('::1', {port}), 2)", None),
    "the machine's own address": ("socket.create_connection(('{address}', {port}), 2)", None),
    "the cloud's metadata": ("socket.create_connection(('169.254.169.254', 80), 2)", None),
    "the internet": ("socket.create_connection(('192.0.2.1', 443), 2)", None),
    "the internet by UDP": ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))", None),
    "a name server": ("socket.getaddrinfo('example.org', 443)", None),
    "a Unix socket": ("unix('{socket}')", None),
    "an abstract Unix socket": ("unix('\\0wheelfarm-test')", None),
    "raw packets": ("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", None),
    "the kernel's netlink": ("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", None),
    "the kernel's ciphers": ("socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)", None),
    "virtual machine sockets": ("socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)", None),
    "network devices": ("[name for _, name in enumerate(os.listdir('/sys/class/net'))]", None),
    "a terminal": ("os.open('/dev/tty', os.O_RDWR)", None),
}
_PROBE = """
import ctypes, json, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def syscall(function, *arguments):
    if function(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def unix(path):
    socket.socket(socket.AF_UNIX).connect(path)
def attempt(expression):
    try:
        return {"value": eval(expression)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
attempts = json.loads(sys.argv[1])
json.dump({name: attempt(text) for name, text in attempts.items()}, open("/build/answers", "w"), default=str)
"""


def test_nothing_of_the_machine_can_be_read_reached_or_changed(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_SECRET", "SECRET")
    with (
        socket.create_server(("0.0.0.0", 0)) as listener,  # noqa: S104 - to be tried at every address, and in vain
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        named.bind(str(tmp_path / "socket"))
        named.listen()
        abstract.bind("\0wheelfarm-test")
        abstract.listen()
        places = {
            "port": str(listener.getsockname()[1]),
            "socket": str(tmp_path / "socket"),
            "address": _own_address(),
        }
        expressions = {name: _filled(text, places) for name, (text, _) in _ATTEMPTS.items()}

        finished = box.run("/usr/bin/python3", "-I", "-c", _PROBE, json.dumps(expressions))

    assert finished.exit_code == 0, box.said()
    answers = json.loads((box.binds[0].source / "answers").read_text())
    wrong = {
        name: answer
        for name, answer in answers.items()
        if "value" in answer and (_ATTEMPTS[name][1] is None or answer["value"] != _ATTEMPTS[name][1])
    }
    assert wrong == {}
    assert answers["io_uring"]["error"].startswith(f"OSError: [Errno {errno.ENOSYS}]")


def test_the_build_is_nobody_and_has_no_rights_to_gain(box: Box) -> None:
    box.run("sh", "-c", "id -u; id -g; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status")

    lines = box.said().split("\n")
    assert lines[:2] == ["65534", "65534"]
    facts = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert {facts[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"


@pytest.mark.skipif(os.geteuid() != 0, reason="a plain user builds as itself")
def test_what_the_build_writes_belongs_to_the_build_user(box: Box) -> None:
    box.run("sh", "-c", "umask; touch /build/file")

    assert (box.binds[0].source / "file").stat().st_uid == box.job.uid
    assert box.said().strip() == "0022"


def test_what_one_build_plants_the_next_does_not_find(new_box: Callable[..., Box]) -> None:
    first, second = new_box("first"), new_box("second")
    places = "/ /build /tmp /var/tmp /dev/shm /run /home /root /etc /usr/local/bin /proc /dev $HOME"

    first.run("sh", "-c", f"for at in {places}; do touch $at/planted; done; find / -name planted 2>/dev/null | sort")
    second.run("sh", "-c", "find / -name planted 2>/dev/null")

    assert [line for line in first.said().splitlines() if line.endswith("/planted")] == [
        "/build/planted",
        "/dev/shm/planted",  # noqa: S108 - inside
        "/tmp/planted",  # noqa: S108 - inside
    ]
    assert second.said() == ""


def test_only_what_is_bound_as_writable_can_be_written(box: Box, jobs: Path) -> None:
    given = jobs / "job" / "given"
    given.mkdir(mode=0o755)
    given.joinpath("file").write_text("ours")
    box.binds = (*box.binds, Bind(source=given, target="/given"), Bind(source=given / "file", target="/one/file"))

    finished = box.run("sh", "-c", "cat /given/file /one/file; echo evil > /given/file || echo evil > /one/file")

    assert finished.exit_code != 0
    assert box.said().startswith("oursours")
    assert given.joinpath("file").read_text() == "ours"


def test_a_link_that_an_earlier_step_left_is_not_followed_out_of_the_job(box: Box) -> None:
    box.run("sh", "-c", "ln -s /etc /build/evil")
    box.binds = (*box.binds, Bind(source=box.binds[0].source / "evil", target="/given"))

    with pytest.raises(NodeError, match="link"):
        box.run("ls", "/given")


def test_with_the_network_our_own_fetching_reaches_the_machine_and_its_certificates(box: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code = f"""
            import socket, ssl
            socket.create_connection(("127.0.0.1", {listener.getsockname()[1]}), 2).close()
            print(ssl.create_default_context().cert_store_stats()["x509_ca"] > 50)
            open("/etc/resolv.conf").close()
        """

        finished = box.run("/usr/bin/python3", "-I", "-c", textwrap.dedent(code), network=True)

    assert finished.exit_code == 0, box.said()
    assert box.said().startswith("True")


def test_bubblewrap_that_cannot_start_says_why_and_is_the_nodes_fault(box: Box) -> None:
    box.binds = (*box.binds, Bind(source=Path("/does/not/exist"), target="/given"))

    with pytest.raises(NodeError, match="/does/not/exist"):
        box.run("true")


def test_a_command_that_the_image_lacks_is_the_nodes_fault(box: Box) -> None:
    with pytest.raises(NodeError):
        box.run("no-such-command")


def _own_address() -> str:
    """The address that others reach this machine at."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.1.1"
        return str(probe.getsockname()[0])


def _filled(text: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text
