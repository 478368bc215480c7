from __future__ import annotations

import math

import pytest

from schema import capacity, sizes
from schema.capacity import Machine

MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize(
    ("memory_bytes", "disk_bytes", "name"),
    [
        (100 * MIB, 10 * MIB, "small"),
        (500 * MIB, 10 * MIB, "medium"),  # what was measured is not the highest there can be
        (2 * GIB, 10 * MIB, "large"),
        (100 * MIB, 3 * GIB, "large"),
        (6 * GIB, 0, "huge"),
        (200 * GIB, 0, "giant"),
    ],
)
def test_the_size_is_the_smallest_that_holds_what_was_taken(memory_bytes: float, disk_bytes: float, name: str) -> None:
    size = sizes.of({"peak_memory_bytes": memory_bytes, "disk_bytes": disk_bytes})

    assert size is not None
    assert sizes.NEEDS[size].name == name


@pytest.mark.parametrize("memory_bytes", [0.0, -5.0, math.nan, math.inf])
def test_what_cannot_be_was_not_measured(memory_bytes: float) -> None:
    assert sizes.of({"peak_memory_bytes": memory_bytes}) is None
    assert sizes.of({}) is None


def test_two_large_builds_do_not_run_at_once_on_a_small_machine() -> None:
    machine = Machine(memory_bytes=4 * GIB, disk_free_bytes=100 * GIB)

    assert capacity.fits(2, machine) == ""
    assert (
        capacity.fits(2, machine, [2]) == "has 1.0 GiB of memory to spare beside its builds, the build may take 3.0 GiB"
    )
    assert capacity.fits(1, machine, [2]) == ""


def test_what_is_known_to_be_large_is_kept_from_a_machine_that_would_kill_it() -> None:
    machine = Machine(memory_bytes=GIB, disk_free_bytes=2 * GIB)

    assert capacity.fits(2, machine) == "has 1.0 GiB of memory, the build may take 3.0 GiB"
    assert "of free disk" in capacity.fits(2, Machine(memory_bytes=64 * GIB, disk_free_bytes=2 * GIB))


def test_a_small_board_tries_what_nobody_knows_one_at_a_time() -> None:
    board = Machine(memory_bytes=GIB // 2, disk_free_bytes=GIB)

    assert capacity.fits(sizes.UNKNOWN, board) == ""
    assert capacity.fits(sizes.UNKNOWN, board, [0]) != ""


def test_a_machine_that_says_nothing_of_itself_has_room() -> None:
    silent = Machine(memory_bytes=0, disk_free_bytes=0)

    assert capacity.fits(sizes.LARGEST, silent, [sizes.LARGEST] * 10) == ""
