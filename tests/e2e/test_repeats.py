"""Builds are built twice and compared, by a whole farm."""

from __future__ import annotations

import time

import pytest

from tests.whole_farm import Farm

pytestmark = pytest.mark.slow

_LIST = 'build = "always"\nprojects = ["click", "markupsafe"]\n'
_ALL_OF_IT_S = 540


def test_each_build_of_the_share_is_built_again_and_gives_the_same_bytes(farm: Farm) -> None:
    with farm.settings_file.open("a") as settings:
        settings.write("\n[repeat]\nshare = 1.0\n")
    (farm.folder / "list.toml").write_text(_LIST)
    farm.start("--list", farm.folder / "list.toml")
    farm.wait_until_it_serves()

    deadline = time.monotonic() + _ALL_OF_IT_S
    while sum((told := farm.json("status", "--json"))["repeats"].values()) < 2:
        assert time.monotonic() < deadline, farm.json("builds", "--json")
        time.sleep(1)

    assert told["repeats"] == {"identical": 2}
    assert told["wheels"] == 2
    reasons = [row["reason"] for row in farm.json("builds", "--state", "unneeded", "--json")]
    assert len([reason for reason in reasons if reason.startswith("repeats build ") and "identical" in reason]) == 2
    why = farm.json("why", "markupsafe", "--json")
    assert [item["reason"] for item in why] == ["published"]
