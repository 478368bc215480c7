"""The filter of system calls, run step by step as the kernel does, for each architecture that a node may have."""

from __future__ import annotations

import errno
import re
import struct
import subprocess

import pytest

from builder import seccomp

X86_64, I386, AARCH64, ARM, S390X = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028, 0x80000016
ALLOW = 0x7FFF0000
MACHINES = {"x86_64": X86_64, "i386": I386, "aarch64": AARCH64, "arm": ARM}
CALLS = {
    "x86_64": {"read": 0, "clone": 56, "unshare": 272, "socket": 41, "ioctl": 16},
    "i386": {"read": 3, "clone": 120, "unshare": 310, "socket": 359, "ioctl": 54},
    "aarch64": {"read": 63, "clone": 220, "unshare": 97, "socket": 198, "ioctl": 29},
    "arm": {"read": 3, "clone": 120, "unshare": 337, "socket": 281, "ioctl": 54},
}


def verdict(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would do: ALLOW, or the number of the error."""
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, arch, 0, *words)
    steps = list(struct.iter_unpack("<HBBI", program))
    at = accumulator = 0
    while True:
        operation, if_true, if_false, operand = steps[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x06:
            return int(operand if operand == ALLOW else operand & 0xFFFF)
        elif operation == 0x05:
            at += operand
        else:
            holds = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[operation]
            at += if_true if holds else if_false


@pytest.mark.parametrize("machine", MACHINES)
def test_every_listed_call_is_refused_and_ordinary_ones_are_not(machine: str) -> None:
    program, arch = seccomp.program(), MACHINES[machine]

    refused = {name: verdict(program, arch, number) for name, number in seccomp.numbers(machine).items()}

    assert len(refused) >= 45
    assert set(refused.values()) == {errno.EPERM, errno.ENOSYS}
    assert refused["mount_setattr"] == errno.EPERM
    assert refused["clone3"] == errno.ENOSYS
    assert verdict(program, arch, CALLS[machine]["read"]) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_are_judged_by_their_arguments(machine: str) -> None:
    program, arch, calls = seccomp.program(), MACHINES[machine], CALLS[machine]

    def judged(call: str, *arguments: int) -> int:
        return verdict(program, arch, calls[call], *arguments)

    assert judged("clone", 0x00000011) == ALLOW
    assert judged("clone", 0x10000011) == errno.EPERM
    assert judged("unshare", 0x10020000) == errno.EPERM
    assert [judged("socket", family) for family in (1, 2, 10)] == [ALLOW] * 3
    assert {judged("socket", family) for family in (0, 16, 17, 31, 38, 40, 44)} == {errno.EAFNOSUPPORT}
    assert judged("ioctl", 0, 0x5401) == ALLOW
    assert judged("ioctl", 0, 0x5412) == errno.EPERM
    # The kernel looks at 32 bits only; what is set above them must not help.
    assert judged("ioctl", 0, 0xFFFFFFFF_00005412) == errno.EPERM


def test_calls_by_another_architectures_numbers_are_unknown() -> None:
    assert verdict(seccomp.program(), S390X, 3) == errno.ENOSYS
    assert verdict(seccomp.program(), X86_64, 0x40000000 + 1) == errno.ENOSYS  # x32


def test_in_emulation_the_filter_is_that_of_the_machine_underneath() -> None:
    assert seccomp.program("aarch64") == seccomp.program("armv7l") == seccomp.program("x86_64")


def test_an_architecture_without_a_table_gets_no_filter() -> None:
    assert seccomp.program("s390x") == b""


def test_the_numbers_are_those_of_this_machines_headers() -> None:
    for machine, header in (("x86_64", "asm/unistd_64.h"), ("i386", "asm/unistd_32.h")):
        said = subprocess.run(
            ["gcc", "-E", "-dM", "-x", "c", "-"],
            input=f"#include <{header}>",
            capture_output=True,
            text=True,
            check=False,
        )
        if said.returncode:
            pytest.skip("no C compiler, or no headers of x86")
        real = {
            name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)$", said.stdout, re.MULTILINE)
        }

        ours = {name: number for name, number in seccomp.numbers(machine).items() if name in real}

        assert len(ours) >= 45
        assert ours == {name: real[name] for name in ours}
