"""Control groups, version 2 or 1: one group for each run of a sandbox, gone when the run is over.

Root makes its groups in ``<hierarchy>/wheelfarm``; a plain user needs a delegated group of version 2 (systemd's
``Delegate=yes``). A group's name carries the process that made it, so that ``clean`` finds those whose
maker was killed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from schema.errors import NodeError
from schema.jobs import Limits
from schema.states import FailureClass

_MOUNTS = Path("/proc/self/mountinfo")
_FOLDER = "wheelfarm"
_EMPTY_WITHIN_S = 10.0
# bubblewrap, and the first process of its namespace.
_OUR_OWN = 2
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchies:
    """Where groups can be made on this machine.

    version: 2, 1, or 0 where no group can be made
    memory, pids, cpu: the folder to make a group in; None where that controller is missing. In version 2 all are the
    same. cpu only counts.
    """

    version: int
    memory: Path | None = None
    pids: Path | None = None
    cpu: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The group of one run; without any controller it does nothing."""

    version: int
    memory: Path | None = None
    pids: Path | None = None
    cpu: Path | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Each folder of the group once."""
        return tuple(dict.fromkeys(path for path in (self.memory, self.pids, self.cpu) if path is not None))

    def add(self, pid: int) -> None:
        """Put a process, and all that it will start, into the group."""
        for folder in self.folders:
            _write(folder / "cgroup.procs", str(pid))

    def look(self) -> FailureClass | None:
        """MEMORY once the kernel had to kill for memory, PROCESSES once it refused a fork."""
        if self.memory is not None:
            events = "memory.events" if self.version == 2 else "memory.oom_control"  # noqa: PLR2004
            if _counter(self.memory / events, "oom_kill"):
                return FailureClass.MEMORY
        if self.pids is not None and _counter(self.pids / "pids.events", "max"):
            return FailureClass.PROCESSES
        return None

    def memory_bytes(self) -> int:
        """The memory that the group holds now; 0 where the kernel does not tell."""
        return self._memory("memory.current" if self.version == 2 else "memory.usage_in_bytes")  # noqa: PLR2004

    def peak_memory_bytes(self) -> int:
        """The most memory that the group held at once; 0 where the kernel does not tell."""
        return self._memory("memory.peak" if self.version == 2 else "memory.max_usage_in_bytes")  # noqa: PLR2004

    def cpu_s(self) -> float:
        """User and system time of all that ran in the group; 0 where the kernel does not tell."""
        if self.cpu is None:
            return 0.0
        if self.version == 2:  # noqa: PLR2004
            return _counter(self.cpu / "cpu.stat", "usage_usec") / 1e6
        try:
            return int((self.cpu / "cpuacct.usage").read_text()) / 1e9
        except (OSError, ValueError):
            return 0.0

    def _memory(self, name: str) -> int:
        if self.memory is None:
            return 0
        try:
            return int((self.memory / name).read_text())
        except (OSError, ValueError):
            return 0

    def kill(self) -> None:
        """Kill every process of the group and remove it; raise NodeError if one does not die."""
        deadline = time.monotonic() + _EMPTY_WITHIN_S
        for folder in self.folders:
            while not _removed(folder):
                if time.monotonic() > deadline:
                    raise NodeError(f"processes in {folder} do not die", advice="restart the machine")
                time.sleep(0.01)


@lru_cache(maxsize=1)
def hierarchies() -> Hierarchies:
    """Find, and where that is needed prepare, the folders that groups are made in."""
    mounts = _mounts()
    unified = mounts.get("cgroup2")
    if unified is not None and (base := _delegated(unified)) is not None:
        return Hierarchies(version=2, memory=base, pids=base, cpu=base)
    memory, pids, cpu = (_version_1(mounts.get(name)) for name in ("memory", "pids", "cpuacct"))
    if memory is not None or pids is not None:
        return Hierarchies(version=1, memory=memory, pids=pids, cpu=cpu)
    return Hierarchies(version=0)


@contextlib.contextmanager
def group(limits: Limits) -> Iterator[Group]:
    """A new group that holds what is put into it to *limits*; emptied and removed at the end."""
    where = hierarchies()
    name = f"{os.getpid()}-{_started(os.getpid())}-{next(_numbers)}"
    made = Group(
        version=where.version,
        memory=where.memory / name if where.memory else None,
        pids=where.pids / name if where.pids else None,
        cpu=where.cpu / name if where.cpu else None,
    )
    try:
        for folder in made.folders:
            folder.mkdir()
        _limit(made, limits)
    except OSError as err:
        made.kill()
        raise NodeError(f"no control group for the build: {err}") from err
    try:
        yield made
    finally:
        made.kill()


def clean() -> int:
    """Kill and remove the groups whose maker is gone; return how many there were."""
    where, found = hierarchies(), 0
    for base in {path for path in (where.memory, where.pids, where.cpu) if path is not None}:
        for folder in sorted(base.glob("*-*-*")):
            if folder.is_dir() and not _is_alive(folder.name):
                Group(version=where.version, memory=folder).kill()
                found += 1
    return found


def _limit(made: Group, limits: Limits) -> None:
    if made.memory is not None and made.version == 1:
        _write(made.memory / "memory.limit_in_bytes", str(limits.memory_bytes))
        _write_if_there(made.memory / "memory.memsw.limit_in_bytes", str(limits.memory_bytes))
    elif made.memory is not None:
        _write(made.memory / "memory.max", str(limits.memory_bytes))
        _write_if_there(made.memory / "memory.swap.max", "0")
        # One compiler killed for memory leaves a build that fails in strange words: all or none.
        _write_if_there(made.memory / "memory.oom.group", "1")
    if made.pids is not None:
        _write(made.pids / "pids.max", str(limits.processes + _OUR_OWN))


def _mounts() -> dict[str, Path]:
    """Version 1 controllers, and ``cgroup2``, → where they are mounted."""
    found: dict[str, Path] = {}
    for line in _MOUNTS.read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        place = Path(before.split(" ")[4])
        if kind == "cgroup2":
            found.setdefault("cgroup2", place)
        elif kind == "cgroup":
            for name in options.split(","):
                found.setdefault(name, place)
    return found


def _delegated(root: Path) -> Path | None:
    """A folder of version 2 whose sub-groups have memory and pids; None if there cannot be one."""
    with contextlib.suppress(OSError):
        if not {"memory", "pids"} <= set((root / "cgroup.controllers").read_text().split()):
            return None
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):
                return _prepared(root)
        return _prepared(_own(root), move=True)
    return None


def _own(root: Path) -> Path:
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::"):
            return root / line.removeprefix("0::").strip("/")
    raise FileNotFoundError(root)


def _prepared(parent: Path, *, move: bool = False) -> Path:
    if move:
        # A group that hands out controllers may hold no process itself: those that are in it go one level down.
        leaf = parent / f"{_FOLDER}-main"
        leaf.mkdir(exist_ok=True)
        for pid in (parent / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                _write(leaf / "cgroup.procs", pid)
    base = parent / _FOLDER
    for folder in (parent, base):
        folder.mkdir(exist_ok=True)
        _write(folder / "cgroup.subtree_control", "+memory +pids")
    return base


def _version_1(root: Path | None) -> Path | None:
    if root is None:
        return None
    base = root / _FOLDER
    with contextlib.suppress(OSError):
        base.mkdir(exist_ok=True)
        if os.access(base, os.W_OK):
            return base
    return None


def _removed(folder: Path) -> bool:
    if not folder.exists():
        return True
    with contextlib.suppress(OSError):
        _write_if_there(folder / "cgroup.kill", "1")
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        folder.rmdir()
        return True
    return False


def _is_alive(name: str) -> bool:
    """Whether the process that gave a group this name still runs."""
    pid, started, _ = name.split("-", 2)
    return pid.isdigit() and _started(int(pid)) == started


def _started(pid: int) -> str:
    """When a process was started, in clock ticks: a number is used again, a number with its start is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "gone"
    return stat.rpartition(")")[2].split()[19]


def _counter(path: Path, name: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")


def _write_if_there(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        if path.exists():
            _write(path, text)
