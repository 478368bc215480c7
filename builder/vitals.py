"""How this machine is: load, memory, swap, temperature, and what a Raspberry Pi's firmware says of its power."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from schema.vitals import Vitals

_FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
_ASKED_S = 2.0


def look(root: Path = Path("/")) -> Vitals:
    """What can be told now; *root*: where ``proc`` and ``sys`` are."""
    memory = _memory(root)
    return Vitals(
        at=datetime.now(UTC),
        load=os.getloadavg()[0],
        memory_free_bytes=memory.get("MemAvailable"),
        swap_bytes=memory.get("SwapTotal"),
        swap_free_bytes=memory.get("SwapFree"),
        temperature_c=_temperature(root),
        throttled=_throttled(root),
    )


def _memory(root: Path) -> dict[str, int]:
    """The kernel's figures, in bytes."""
    found = re.findall(r"^(\w+): +(\d+) kB$", _text(root / "proc/meminfo"), flags=re.MULTILINE)
    return {name: int(kib) * 1024 for name, kib in found}


def _temperature(root: Path) -> float | None:
    """Of the hottest zone; None where there is none."""
    zones = (_text(zone) for zone in root.glob("sys/class/thermal/thermal_zone*/temp"))
    return max((int(said) / 1000 for said in zones if re.fullmatch(r"-?\d{1,9}", said)), default=None)


def _throttled(root: Path) -> int | None:
    """The bits of the firmware, which the Raspberry Pi's own kernel shows, or else its program; None elsewhere."""
    said = _text(root / _FIRMWARE)
    if not said and (program := shutil.which("vcgencmd")) is not None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = subprocess.run(
                [program, "get_throttled"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_ASKED_S,
                check=True,
                encoding="ascii",
                errors="replace",
            )
            said = asked.stdout.strip()
    found = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})", said)
    return int(found[1], 16) if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
