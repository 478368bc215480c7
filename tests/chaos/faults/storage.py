"""Disks that are full or broken, transfers that arrive damaged, and a database that is away."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

from tests.chaos.faults.fault import Fault
from tests.chaos.fleet import Fleet


class DiskFull(Fault):
    name, promises, lasts = "disk full", "R7, R8", (1.0, 6.0)

    @classmethod
    def possible(cls, fleet: Fleet) -> bool:
        return all(disk.limited for disk in fleet.disks.values())

    def begin(self) -> str:
        which = self.dice.choice(["store", self.dice.choice(sorted(self.fleet.disks))])
        self.disk = self.fleet.disks[which]
        self.disk.fill()
        return f"{which} for {self.seconds} s"

    def end(self) -> None:
        self.disk.free()


class BrokenDisk(Fault):
    """Some system calls of one process fail with EIO, made so by strace."""

    name, promises, lasts = "EIO", "R7, R8", (1.0, 5.0)

    @classmethod
    def possible(cls, fleet: Fleet) -> bool:
        return bool(fleet) and os.geteuid() == 0 and shutil.which("strace") is not None

    def begin(self) -> str:
        # An SSH server seeks before it reads a piece of a file.
        writing, reading = ["fsync", "rename", "mkdir", "unlink"], ["lseek"]
        program, calls = self.dice.choice([(self.any_machine().program, writing), (self.any_node().door, reading)])
        call = self.dice.choice(calls)
        if not program.running or program.process is None:
            self.tracer = None
            return f"{program.name} is down"
        inject = f"inject={call}:error=EIO:when={self.dice.choice(['1+', '1+2', '2'])}"
        argv = ["strace", "-f", "-q", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
        self.tracer = subprocess.Popen(
            [*argv, "-p", str(program.process.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return f"{program.name}, {inject} for {self.seconds} s"

    def end(self) -> None:
        if self.tracer is not None:
            self.tracer.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.tracer.wait(5)
                return
            self.tracer.kill()
            self.tracer.wait()


class DamagedTransfer(Fault):
    """A file in an outbox is changed before the master, which stands still meanwhile, takes it."""

    name, promises, lasts = "damaged transfer", "R9", (8.0, 8.0)

    def begin(self) -> str:
        self.fleet.master.program.tell(signal.SIGSTOP)
        self._before = set(self._entries())
        self._done = False
        self._resume_at = time.monotonic() + 4.0
        self._wanted = self.dice.choice(["*.whl", "*.whl", "result.json", "attestation.json", "build.log"])
        self._cut = self.dice.random() < 0.5
        return f"{'cut' if self._cut else 'flip a bit of'} {self._wanted}"

    def tick(self) -> bool:
        if not self._done:
            fresh = sorted(set(self._entries()) - self._before)
            if fresh:
                self._damage(fresh[0])
            if fresh or time.monotonic() > self._resume_at:
                self._done = True
                self.fleet.master.program.tell(signal.SIGCONT)
        return self._done

    def end(self) -> None:
        self.fleet.master.program.tell(signal.SIGCONT)

    def _entries(self) -> list[Path]:
        return [path for node in self.fleet.nodes.values() for path in node.settings.outbox.glob("[0-9]*")]

    def _damage(self, entry: Path) -> None:
        for file in entry.glob(self._wanted):
            with contextlib.suppress(OSError):
                data = bytearray(file.read_bytes())
                at = self.dice.randrange(len(data) or 1)
                if self._cut:
                    del data[at:]
                elif data:
                    data[at] ^= 1 << self.dice.randrange(8)
                file.write_bytes(data)


class DatabaseAway(Fault):
    """PostgreSQL is stopped; SQLite's write lock is in other hands. One time in six it lasts for most of a minute."""

    name, promises, lasts = "database away", "R13", (1.0, 12.0)

    def begin(self) -> str:
        if self.dice.random() < self.fleet.long_database_share:
            self.seconds = round(self.dice.uniform(30, 60), 1)
            self._until = time.monotonic() + self.seconds
        if self.fleet.postgresql is not None:
            self.fleet.postgresql.held = True
            # SIGINT and SIGQUIT: a fast and an immediate shutdown.
            self.fleet.postgresql.kill(self.dice.choice([signal.SIGINT, signal.SIGQUIT]))
            return f"for {self.seconds} s"
        self._lock = sqlite3.connect(
            self.fleet.settings.farm.home / "farm.sqlite", isolation_level=None, timeout=0.5, check_same_thread=False
        )
        with contextlib.suppress(sqlite3.OperationalError):
            self._lock.execute("BEGIN IMMEDIATE")
            return f"locked for {self.seconds} s"
        return "busy anyway"

    def end(self) -> None:
        if self.fleet.postgresql is not None:
            self.fleet.postgresql.held = False
            self.fleet.postgresql.tend()
        else:
            self._lock.close()
