"""The system calls that a build may not make, as a program for the kernel's filter (seccomp, classic BPF).

No list of what is allowed: compilers, interpreters and test suites need nearly everything. Refused is what reaches the
kernel's rarely used corners, where its holes were found: keys, BPF, io_uring, modules, mounts, tracing, new user
namespaces, sockets that are neither Unix nor IP, and typing into a terminal.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Mapping

# Name → numbers on x86_64, i386, aarch64, arm; 0 where the architecture has no such call. From Linux's unistd.h files.
_ARCHITECTURES = ("x86_64", "i386", "aarch64", "arm")
_REFUSED = {
    "_sysctl": (156, 149, 0, 149),
    "acct": (163, 51, 89, 51),
    "add_key": (248, 286, 217, 309),
    "adjtimex": (159, 124, 171, 124),
    "bpf": (321, 357, 280, 386),
    "chroot": (161, 61, 51, 61),
    "clock_adjtime": (305, 343, 266, 372),
    "clock_adjtime64": (0, 405, 0, 405),
    "clock_settime": (227, 264, 112, 262),
    "clock_settime64": (0, 404, 0, 404),
    "create_module": (174, 127, 0, 0),
    "delete_module": (176, 129, 106, 129),
    "fanotify_init": (300, 338, 262, 367),
    "finit_module": (313, 350, 273, 379),
    "fsconfig": (431, 431, 431, 431),
    "fsmount": (432, 432, 432, 432),
    "fsopen": (430, 430, 430, 430),
    "fspick": (433, 433, 433, 433),
    "init_module": (175, 128, 105, 128),
    "ioperm": (173, 101, 0, 0),
    "iopl": (172, 110, 0, 0),
    "kcmp": (312, 349, 272, 378),
    "kexec_file_load": (320, 0, 294, 401),
    "kexec_load": (246, 283, 104, 347),
    "keyctl": (250, 288, 219, 311),
    "lookup_dcookie": (212, 253, 18, 249),
    "modify_ldt": (154, 123, 0, 0),
    "mount": (165, 21, 40, 21),
    "mount_setattr": (442, 442, 442, 442),
    "move_mount": (429, 429, 429, 429),
    "nfsservctl": (180, 169, 42, 169),
    "open_by_handle_at": (304, 342, 265, 371),
    "open_tree": (428, 428, 428, 428),
    "open_tree_attr": (467, 467, 467, 467),
    "perf_event_open": (298, 336, 241, 364),
    "pidfd_getfd": (438, 438, 438, 438),
    "pivot_root": (155, 217, 41, 218),
    "process_madvise": (440, 440, 440, 440),
    "process_vm_readv": (310, 347, 270, 376),
    "process_vm_writev": (311, 348, 271, 377),
    "ptrace": (101, 26, 117, 26),
    "quotactl": (179, 131, 60, 131),
    "quotactl_fd": (443, 443, 443, 443),
    "reboot": (169, 88, 142, 88),
    "request_key": (249, 287, 218, 310),
    "setdomainname": (171, 121, 162, 121),
    "sethostname": (170, 74, 161, 74),
    "setns": (308, 346, 268, 375),
    "settimeofday": (164, 79, 170, 79),
    "stime": (0, 25, 0, 0),
    "swapoff": (168, 115, 225, 115),
    "swapon": (167, 87, 224, 87),
    "syslog": (103, 103, 116, 103),
    "umount": (0, 22, 0, 0),
    "umount2": (166, 52, 39, 52),
    "uselib": (134, 86, 0, 86),
    "userfaultfd": (323, 374, 282, 388),
    "vhangup": (153, 111, 58, 111),
    "vm86": (0, 166, 0, 0),
    "vm86old": (0, 113, 0, 0),
}
# A C library takes the older call where the kernel seems to lack these. clone3 hides its flags behind a pointer.
_UNKNOWN = {
    "clone3": (435, 435, 435, 435),
    "io_uring_enter": (426, 426, 426, 426),
    "io_uring_register": (427, 427, 427, 427),
    "io_uring_setup": (425, 425, 425, 425),
}
_CLONE, _UNSHARE = (56, 120, 220, 120), (272, 310, 97, 337)
_IOCTL, _SOCKET = (16, 54, 29, 54), (41, 359, 198, 281)

# The kernel's AUDIT_ARCH_…
_AUDIT = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
# As uname calls the machines that run them. Which of them the kernel is cannot be asked: in emulation, uname tells what
# is emulated. So the filter knows them all; what is not the kernel's own never comes to it.
_MACHINES = {"x86_64", "i686", "i386", "aarch64", "armv8l", "armv7l", "armv6l"}

_X32 = 0x40000000
_NEW_USER_NAMESPACE = 0x10000000
_TYPING = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_UNIX_AND_IP = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _GO, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x05, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW = 0x7FFF0000

_Code = list[tuple[int, int, int, int]]  # operation, jump if true, jump if false, operand


def program(machine: str | None = None) -> bytes:
    """The filter for the kernel of a *machine* (this one), as ``bwrap --seccomp`` reads it; empty if unknown."""
    if (machine or platform.machine()) not in _MACHINES:
        return b""
    sections = [_section(name) for name in _ARCHITECTURES]
    code: _Code = [(_LOAD, 0, 0, _ARCH_AT)]
    # Two steps for each architecture, one for "none of them", then the sections, one after the other.
    start = 2 * len(sections) + 1
    for index, (name, section) in enumerate(zip(_ARCHITECTURES, sections, strict=True)):
        code += [(_EQUAL, 0, 1, _AUDIT[name]), (_GO, 0, 0, start - 2 * index - 2)]
        start += len(section)
    code.append(_error(errno.ENOSYS))
    code += [step for section in sections for step in section]
    return b"".join(struct.pack("<HBBI", *step) for step in code)


def numbers(architecture: str) -> Mapping[str, int]:
    """The refused system calls that *architecture* has, with their numbers."""
    index = _ARCHITECTURES.index(architecture)
    return {name: row[index] for name, row in {**_REFUSED, **_UNKNOWN}.items() if row[index]}


def _section(name: str) -> _Code:
    index = _ARCHITECTURES.index(name)
    code: _Code = [(_LOAD, 0, 0, _NUMBER_AT)]
    if name == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), _error(errno.ENOSYS)]
    for table, error in ((_REFUSED, errno.EPERM), (_UNKNOWN, errno.ENOSYS)):
        for row in table.values():
            if row[index]:
                code += [(_EQUAL, 0, 1, row[index]), _error(error)]
    for row in (_CLONE, _UNSHARE):
        code += _when(row[index], 0, [(_ANY_BIT, 0, 1, _NEW_USER_NAMESPACE), _error(errno.EPERM)])
    code += _when(_IOCTL[index], 1, [step for request in _TYPING for step in _refuse_value(request)])
    code += _when(_SOCKET[index], 0, _allow_values(_UNIX_AND_IP, errno.EAFNOSUPPORT))
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _when(number: int, argument: int, then: _Code) -> _Code:
    """For system call *number* look at the low half of an argument (all four are little-endian): *then*, else allow."""
    body = [(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument), *then, (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(body), number), *body]


def _refuse_value(value: int) -> _Code:
    return [(_EQUAL, 0, 1, value), _error(errno.EPERM)]


def _allow_values(values: tuple[int, ...], otherwise: int) -> _Code:
    return [*((_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)), _error(otherwise)]


def _error(number: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, 0x00050000 | number)
