"""How a machine is, as its kernel and its firmware tell."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from builder import vitals


def _files(root: Path, **texts: str) -> Path:
    places = {
        "meminfo": "proc/meminfo",
        "cool": "sys/class/thermal/thermal_zone0/temp",
        "hot": "sys/class/thermal/thermal_zone1/temp",
        "firmware": "sys/devices/platform/soc/soc:firmware/get_throttled",
    }
    for name, text in texts.items():
        file = root / places[name]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_this_machine_tells_its_time_its_load_and_its_memory() -> None:
    told = vitals.look()

    assert told.at is not None
    assert abs(told.at - datetime.now(UTC)) < timedelta(minutes=1)
    assert told.load is not None
    assert 0 < (told.memory_free_bytes or 0) <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 <= (told.swap_free_bytes or 0) <= (told.swap_bytes or 0)


def test_a_raspberry_pi_tells_its_heat_and_what_its_firmware_does(tmp_path: Path) -> None:
    meminfo = "MemTotal: 443080 kB\nMemAvailable:     2048 kB\nSwapTotal: 1024 kB\nSwapFree:      512 kB\n"

    told = vitals.look(_files(tmp_path, meminfo=meminfo, cool="41000\n", hot="82300\n", firmware="50005\n"))

    assert (told.memory_free_bytes, told.swap_bytes, told.swap_free_bytes) == (2 * 2**20, 2**20, 2**19)
    assert (told.temperature_c, told.throttled) == (82.3, 0x50005)


def test_where_the_kernel_does_not_show_it_the_firmwares_program_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "vcgencmd"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x20002\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    assert vitals.look(tmp_path).throttled == 0x20002


@pytest.mark.parametrize("script", ["exit 1", "echo VCHI initialization failed", "exec sleep 60"])
def test_a_program_of_the_firmware_that_does_not_answer_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "bin" / "vcgencmd"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    assert vitals.look(tmp_path).throttled is None


def test_what_cannot_be_read_is_not_told(tmp_path: Path) -> None:
    told = vitals.look(_files(tmp_path, meminfo="nonsense", hot="\xff", firmware="zz"))

    assert (told.memory_free_bytes, told.temperature_c, told.throttled) == (None, None, None)
