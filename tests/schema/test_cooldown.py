from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schema import cooldown
from schema.cooldown import Cooldown
from schema.sections import WatchSection

THEN = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_by_default_a_file_cools_down_for_a_day() -> None:
    assert Cooldown.of(WatchSection()).ends_at("demo", THEN) == THEN + timedelta(days=1)


@pytest.mark.parametrize("exempt", ["demo-one", "Demo_One", "demo-*", "DEMO.*"])
def test_names_and_patterns_are_exempt_in_any_spelling(exempt: str) -> None:
    found = Cooldown.of(WatchSection(cooldown_exempt=("other", exempt)))

    assert found.ends_at("demo-one", THEN) == THEN
    assert found.ends_at("demonstration", THEN) > THEN


def test_the_reason_can_be_told_from_others_and_says_until_when() -> None:
    text = cooldown.reason("demo-1.0.tar.gz", uploaded_at=THEN, ends_at=THEN + timedelta(days=1))

    assert text == "cooling down until 2026-11-21 12:00 UTC: demo-1.0.tar.gz is new, of 2026-11-20 12:00"
    assert cooldown.is_reason(text)
    assert not cooldown.is_reason(f"its pause is over ({text})")
