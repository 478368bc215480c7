"""What a machine says of itself: asked by one script, judged by its words, which may be anything."""

from __future__ import annotations

import os
import platform
import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from master import identity, inspecting, judging, ssh
from master.inspecting import Facts
from schema.errors import UnreachableError
from schema.names import NodeName
from schema.platforms import Platform, this_machine
from schema.printable import printable
from tests.sshd import Sshd

SCRIPT = Path(inspecting.__file__).with_name("inspecting.sh")
AARCH64, ARMV7L = (Platform.parse(f"debian12-{arch}-cp311") for arch in ("aarch64", "armv7l"))

# As a Raspberry Pi 4 with a 64-bit kernel answers.
PI4 = {
    "clock": "1000",
    "system": "Linux",
    "kernel": "6.12.25+rpt-rpi-v8",
    "kernel_arch": "aarch64",
    "elf": "7f454c46020101000000000000000000" + "0300b70001000000" + "00" * 16,
    "release": "Debian GNU/Linux 12 (bookworm)",
    "model": "Raspberry Pi 4 Model B Rev 1.4",
    "libc": "glibc 2.36",
    "cores": "4",
    "memory_kib": "3884000",
    "swap_kib": "524288",
    "disk_kib": "20000000",
    "controllers": "cpuset cpu io memory pids",
    "controllers_v1": "cgroup.procs system.slice",
    "command_line": "",
    "command_line_file": "/boot/firmware/cmdline.txt",
    "max_userns": "15000",
    "unprivileged_userns": "1",
    "apparmor_userns": "",
    "python": "Python 3.11.2",
    "bubblewrap": "bubblewrap 0.8.0",
    "user": "pi",
    "root": "sudo",
    "end": "yes",
}
ARM32 = "7f454c46010101000000000000000000" + "0300280001000000" + "00" * 12 + "00{flags}0005"


def _pi4(**changed: str) -> Facts:
    return inspecting.facts(PI4 | changed, asked_at=1000.0, answered_at=1001.0)


def _lacks(facts: Facts, *platforms: Platform) -> list[str]:
    return [f"{lack.what}: {lack.remedy}" for lack in judging.lacks(facts, platforms or (AARCH64,))]


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(folder=tmp_path / "sshd", keys=tmp_path / "ssh") as server:
        yield server


def _inspected(sshd: Sshd) -> Facts:
    with ssh.connected(
        sshd.target, node=NodeName("n1"), pinned=sshd.host_key, key=identity.own(sshd.keys)
    ) as transport:
        return inspecting.inspect(transport, sshd.target)


def test_this_machine_is_known_over_ssh_as_it_is(sshd: Sshd) -> None:
    found = _inspected(sshd)

    assert (found.system, found.kernel, found.userland_arch) == ("Linux", platform.release(), this_machine())
    assert found.memory_bytes == pytest.approx(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), rel=0.05)
    assert found.python[:2] >= (3, 11)
    assert found.cores >= 1
    assert found.disk_free_bytes > 0
    assert abs(found.clock_s) <= found.clock_error_s


def test_an_account_without_a_shell_is_told_from_a_machine_that_lacks_everything(tmp_path: Path) -> None:
    with (
        Sshd(folder=tmp_path / "sshd", keys=tmp_path / "ssh", more="ForceCommand echo no shell here\n") as sshd,
        pytest.raises(UnreachableError, match="it said: no shell here"),
    ):
        _inspected(sshd)


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_script_runs_in_any_posix_shell_and_says_everything(shell: str) -> None:
    said = subprocess.run([shell], input=SCRIPT.read_bytes(), check=True, capture_output=True)

    told = inspecting.parse(said.stdout)
    assert sorted(told) == sorted(PI4.keys() | {"dpkg"})
    assert (told["end"], said.stderr) == ("yes", b"")


def test_the_script_needs_hardly_anything(tmp_path: Path) -> None:
    """On a machine without any of the programs it asks, it still comes to its end."""
    for name in ("sh", "printf", "tr", "cut"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    script = SCRIPT.read_text().replace("PATH=$PATH:/usr/sbin:/sbin", "")

    said = subprocess.run(
        ["/bin/sh"], input=script.encode(), check=True, capture_output=True, env={"PATH": str(tmp_path)}
    )

    assert inspecting.parse(said.stdout)["end"] == "yes"


def test_a_good_machine_lacks_nothing_and_builds_what_its_userland_is() -> None:
    assert _lacks(_pi4()) == []
    assert judging.native(_pi4(), (AARCH64, ARMV7L)) == (AARCH64,)


def test_a_32_bit_userland_on_a_64_bit_kernel_builds_32_bit_wheels() -> None:
    facts = _pi4(elf=ARM32.format(flags="04"))

    assert (facts.kernel_arch, facts.userland_arch) == ("aarch64", "armv7l")
    assert judging.native(facts, (AARCH64, ARMV7L)) == (ARMV7L,)


@pytest.mark.parametrize(
    ("changed", "arch"),
    [
        ({"elf": ARM32.format(flags="02")}, "armel"),
        ({"elf": ARM32.format(flags="04"), "kernel_arch": "armv6l"}, "armv6l"),
        ({"elf": PI4["elf"].replace("b700", "3e00")}, "x86_64"),
        ({"elf": ""}, ""),
        ({"elf": "zz" * 40}, ""),
        ({"elf": "00" * 40}, ""),
        ({"elf": PI4["elf"].replace("b700", "ffff")}, ""),
    ],
)
def test_the_userland_s_architecture_is_what_its_own_programs_are(changed: dict[str, str], arch: str) -> None:
    facts = _pi4(**changed)

    assert facts.userland_arch == arch
    assert "the farm builds for aarch64" in _lacks(facts)[0]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"system": "Darwin"}, "it runs Darwin: a node needs Linux"),
        ({"python": "Python 3.9.2"}, "python3 is 3.9.2; a node needs 3.11"),
        ({"python": "sh: 1: python3: not found"}, "python3 is not there; a node needs 3.11"),
        ({"bubblewrap": "sh: 1: bwrap: not found"}, "bubblewrap is not installed: apt-get install bubblewrap"),
        ({"bubblewrap": "bubblewrap 0.4.1"}, "bubblewrap is 0.4.1; builds need 0.8"),
        ({"max_userns": "0"}, "user namespaces are off: sysctl"),
        ({"unprivileged_userns": "0"}, "user namespaces are off: sysctl"),
        ({"apparmor_userns": "1"}, "AppArmor forbids"),
        (
            {"controllers": "cpuset cpu io pids", "command_line": "cgroup_disable=memory"},
            "add cgroup_enable=memory at the END of the one line in /boot/firmware/cmdline.txt, then reboot",
        ),
        ({"disk_kib": "1000000"}, "1.0 GiB of disk are free below /var; a node needs 2.0 GiB"),
        ({"memory_kib": "900000", "swap_kib": "102396"}, "it has 0.9 GiB of memory and 0.1 GiB of swap: 2 GiB of swap"),
        ({"clock": "900"}, "its clock is 100 s behind the master's: timedatectl set-ntp true"),
        ({"clock": "1020"}, "its clock is 20 s ahead of the master's"),
        ({"root": "no"}, "pi is not root, and may not become it without a password"),
    ],
)
def test_each_thing_that_is_lacking_is_told_with_its_remedy(changed: dict[str, str], told: str) -> None:
    [lack] = _lacks(_pi4(**changed))

    assert told in lack


def test_a_clock_is_not_called_wrong_for_the_time_that_the_question_took() -> None:
    slow = inspecting.facts(PI4 | {"clock": "1009"}, asked_at=1000.0, answered_at=1020.0)

    assert _lacks(slow) == []


def test_control_groups_of_version_1_limit_memory_as_well() -> None:
    assert _lacks(_pi4(controllers="", controllers_v1="blkio cpu memory pids")) == []


def test_whatever_a_machine_says_is_bounded_and_printable() -> None:
    said = (
        b"release=\x1b]8;;https://evil.example\x07Debian\x1b[2J\n"
        b"release=the second\nmodel=" + b"x" * 100_000 + b"\nmemory_kib=" + b"9" * 40 + b"\n"
        b"no line of ours\nUPPER=case\nnot_known=ignored\ncores=-1\nend=yes\n"
    )

    told = inspecting.parse(said)
    found = inspecting.facts(told, asked_at=0, answered_at=0)

    assert found.release == "␛]8;;https://evil.example\u2407Debian␛[2J"
    assert len(found.model) <= 200
    assert (found.memory_bytes, found.cores) == (0, 0)
    assert "UPPER" not in told


def test_no_nonsense_makes_the_judgement_fail() -> None:
    dice = random.Random(7)
    for _ in range(300):
        told: dict[str, Any] = dict(PI4)
        for name in dice.sample(sorted(PI4), 6):
            told[name] = "".join(chr(dice.randrange(1, 0x3000)) for _ in range(dice.randrange(30)))
        said = "\n".join(f"{name}={value}" for name, value in told.items()).encode("utf-8", "replace")
        facts = inspecting.facts(inspecting.parse(said), asked_at=time.time(), answered_at=time.time())

        for lack in judging.lacks(facts, (AARCH64,)):
            assert printable(f"{lack.what}{lack.remedy}") == f"{lack.what}{lack.remedy}"


def test_what_stops_every_build_is_told_first() -> None:
    facts = replace(_pi4(), root=False, python=(3, 9), clock_s=100.0)

    assert [lack.stops for lack in judging.lacks(facts, (AARCH64,))] == [True, False, False]
