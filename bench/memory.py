"""What a process has in memory."""

from __future__ import annotations

from pathlib import Path


def mib(process: int) -> float:
    """Its own memory, and its share of what it shares (Pss of proc(5))."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"the kernel does not tell the memory of process {process}")
