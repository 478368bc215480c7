"""What a hostile build would try, tried on purpose: each must be refused, or find what is written beside it.

The probes run in the sandbox by the image's own interpreter. An error of the operating system is a refusal; any other
one means that the probe itself is broken, and that nothing is known.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

# An expression, and the harmless value of it; None: it must be refused. {NAME} is filled in (``filled``).
EXPRESSIONS: dict[str, tuple[str, Any]] = {
    # secrets
    "read the node's key": ("open({key}).read()", None),
    "list the node's outbox": ("os.listdir({outbox})", None),
    "list the folders of other builds": ("os.listdir({workspace})", None),
    "read the machine's passwords": ("open('/etc/shadow').read()", None),
    "list home folders": ("os.listdir('/home')", None),
    "find the node's environment": ("[name for name, value in os.environ.items() if {token} in value]", []),
    "find the farm's settings in its environment": ("[name for name in os.environ if 'WHEELFARM' in name]", []),
    "find it in the first process": ("open('/proc/1/environ').read().find({token})", -1),
    "see other processes": ("[pid for pid in os.listdir('/proc') if pid.isdigit() and int(pid) > 9]", []),
    "find open files of ours": ("[number for number in os.listdir('/proc/self/fd') if int(number) > 9]", []),
    # network
    "connect to a listener of this machine": ("socket.create_connection(('127.0.0.1', {port}), 2)", None),
    "connect to a socket in a folder": ("unix({socket})", None),
    "connect to a socket without a folder": ("unix('\\0' + {abstract})", None),
    "connect to the cloud's metadata": ("socket.create_connection(('169.254.169.254', 80), 2)", None),
    "send to the internet": ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))", None),
    "ask a name server": ("socket.getaddrinfo('example.org', 443)", None),
    "see network devices": ("[name for name in os.listdir('/sys/class/net')]", None),
    # escape
    "write to the programs": ("open('/usr/bin/evil', 'w')", None),
    "write to the settings": ("open('/etc/evil', 'w')", None),
    "write to the root": ("open('/evil', 'w')", None),
    "make a device": ("os.mknod('/tmp/disk', 0o60666, os.makedev(7, 0))", None),
    "change the kernel's settings": ("open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/evil')", None),
    "read the kernel's memory": ("open('/proc/kcore', 'rb').read(1)", None),
    "become root": ("os.setuid(0)", None),
    "make a user namespace": ("call(libc.unshare, 0x10000000)", None),
    "make a mount namespace": ("call(libc.unshare, 0x00020000)", None),
    "mount": ("call(libc.mount, b'none', b'/tmp', b'tmpfs', 0, None)", None),
    "unmount": ("call(libc.umount2, b'/proc', 2)", None),
    "change the root": ("os.chroot('/tmp')", None),
    "trace a process": ("call(libc.ptrace, 16, 1, None, None)", None),
    "raise its priority": ("os.nice(-15)", None),
    "see control groups": ("os.listdir('/sys/fs/cgroup')", None),
}

SCRIPT = textwrap.dedent(
    """
    import ctypes, json, os, socket, sys
    libc = ctypes.CDLL(None, use_errno=True)
    def call(function, *arguments):
        if function(*arguments) == -1:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    def unix(path):
        socket.socket(socket.AF_UNIX).connect(path)
    def attempt(expression):
        try:
            return {"value": repr(eval(expression))[:200]}
        except OSError as error:
            return {"refused": str(error)[:200]}
        except Exception as error:
            return {"broken": f"{type(error).__name__}: {error}"[:200]}
    probes = json.loads(sys.argv[1])
    with open("/build/answers", "w") as file:
        json.dump({name: attempt(text) for name, text in probes.items()}, file)
    """
)

EATS_MEMORY = "eaten = bytearray(2**30)\nfor at in range(0, len(eaten), 4096): eaten[at] = 1"
FORKS = "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0.1)"
FILLS_DISK = "with open('/build/big', 'wb') as file:\n while True: file.write(b'x' * 2**20)"
NEVER_ENDS = "import time\nwhile True: time.sleep(0.1)"


def filled(places: Mapping[str, object]) -> dict[str, str]:
    """The expressions by name, with *places* filled in as Python writes them."""
    filled = {name: expression for name, (expression, _) in EXPRESSIONS.items()}
    for key, value in places.items():
        filled = {name: text.replace(f"{{{key}}}", repr(value)) for name, text in filled.items()}
    return filled


def through(answers: Any) -> dict[str, str]:  # noqa: ANN401 - a hostile build could have written them
    """The probes that were not refused, with what came of each."""
    found = {}
    for name, (_, harmless) in EXPRESSIONS.items():
        answer = answers.get(name) if isinstance(answers, Mapping) else None
        if not isinstance(answer, Mapping) or not answer.keys() & {"value", "refused", "broken"}:
            found[name] = "no answer"
        elif "broken" in answer:
            found[name] = f"the probe does not work: {answer['broken']}"
        elif "value" in answer and (harmless is None or answer["value"] != repr(harmless)):
            found[name] = f"it could: {answer['value']}"
    return found
