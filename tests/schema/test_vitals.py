"""What a node says of its machine is shown where it can be, and never costs the heartbeat."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.vitals import Health, Vitals

GIB = 2**30
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _health(*, clock_s: Any = None, disk_free_bytes: int = 0, **vitals: Any) -> Health:
    return Health.read(vitals | {"clock_s": clock_s}, disk_free_bytes)


def test_vitals_come_off_the_wire_as_they_were_sent() -> None:
    sent = Vitals(
        at=datetime(2026, 11, 28, tzinfo=UTC),
        load=0.5,
        memory_free_bytes=GIB,
        swap_bytes=GIB,
        swap_free_bytes=0,
        temperature_c=51.5,
        throttled=0x50005,
    )

    assert Vitals.from_json(json.loads(json.dumps(sent.to_json()))) == sent


@given(st.dictionaries(st.sampled_from(Vitals.__slots__), ANYTHING) | ANYTHING, ANYTHING)
def test_whatever_a_node_says_gives_finite_numbers_that_can_be_shown_and_kept(told: Any, clock_s: Any) -> None:
    vitals = Vitals.from_json(told)
    health = Health.read(vitals.to_json() | {"clock_s": clock_s}, 0)

    json.dumps(vitals.to_json(), allow_nan=False)
    assert len(health.words()) < 200
    assert all(len(text) < 200 for text in health.troubles().values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e9, True, "1", None, [1.0]])
def test_a_load_that_cannot_be_is_not_told(value: Any) -> None:
    assert Vitals.from_json({"load": value, "temperature_c": 40}) == Vitals(temperature_c=40.0)


@pytest.mark.parametrize(
    ("health", "kinds"),
    [
        (_health(), set()),
        (_health(clock_s=6.9), set()),
        (_health(clock_s=-7.1), {"clock"}),
        (_health(disk_free_bytes=2 * GIB), set()),
        (_health(disk_free_bytes=2 * GIB - 1), {"disk"}),
        (_health(temperature_c=79.9), set()),
        (_health(temperature_c=80), {"hot"}),
        (_health(throttled=0x50000), set()),  # it was so once
        (_health(throttled=0x50004), {"hot"}),
        (_health(throttled=0x1), {"power"}),
        (_health(throttled=0x50005, temperature_c=85), {"hot", "power"}),
    ],
)
def test_what_a_person_should_do_something_about_is_a_trouble(health: Health, kinds: set[str]) -> None:
    assert set(health.troubles()) == kinds


def test_a_trouble_ends_later_than_it_began() -> None:
    nearly = _health(temperature_c=72, disk_free_bytes=int(2.5 * GIB))

    assert nearly.troubles() == {}
    assert set(nearly.troubles({"hot", "disk"})) == {"hot", "disk"}


def test_a_glance_tells_what_was_told() -> None:
    told = _health(load=0.314, memory_free_bytes=GIB, swap_bytes=GIB, swap_free_bytes=0, temperature_c=52, clock_s=-90)

    assert told.words() == "load 0.31, 1.0 GiB of memory free, 1.0 GiB swapped, 52 °C, clock -90 s"
    assert _health(clock_s=1.5).words() == ""
