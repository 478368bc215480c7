"""What a machine has for builds, also where a container holds it to less."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder import machine


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_container_has_the_memory_that_its_group_is_limited_to(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("1048576\n")

    assert machine.memory_bytes(tmp_path) == 2**20


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", "", "nonsense"])
def test_without_a_limit_the_memory_is_the_machines(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.max").write_text(text)

    assert machine.memory_bytes(tmp_path) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(("text", "cores"), [("50000 100000", 1), ("150000 100000", 2), ("max 100000", None)])
def test_part_of_a_processor_counts_as_one(tmp_path: Path, text: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    usable = len(os.sched_getaffinity(0))

    assert machine.cores(tmp_path) == (usable if cores is None else min(cores, usable))


def test_this_machine_has_something() -> None:
    assert machine.memory_bytes() > 0
    assert machine.cores() > 0
