from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import master
from master import crash
from tests.chaos.crashes import crash_at, quiet_farm

_PASSED = re.compile(r'crash\.point\("([^"]+)"\)')


def test_each_point_is_passed_at_exactly_one_place() -> None:
    sources = Path(master.__file__).parent.rglob("*.py")

    passed = [name for path in sources for name in _PASSED.findall(path.read_text())]

    assert sorted(passed) == sorted(crash.POINTS)


@pytest.mark.parametrize(("wanted", "code"), [("here", -signal.SIGKILL), ("here:2", -signal.SIGKILL), ("here:3", 0)])
def test_a_process_dies_the_nth_time_that_it_comes_to_the_point(wanted: str, code: int) -> None:
    program = "from master import crash; crash.point('there'); crash.point('here'); crash.point('here')"

    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "WHEELFARM_CRASH_AT": wanted}, check=False
    )

    assert done.returncode == code


@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_a_master_that_is_killed_anywhere_goes_on_where_it_was() -> None:
    """R4; ``make crash-points`` does the same twenty times at each point."""
    with quiet_farm() as fleet:
        for point in crash.POINTS:
            row = crash_at(fleet, point, times=1)

            assert not row.faulty, row
