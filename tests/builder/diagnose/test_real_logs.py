"""The ends of logs of real builds, each with what it tells: ``expected.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from builder.diagnose import diagnose
from schema.states import FailureClass

HERE = Path(__file__).parent
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((HERE / "expected.toml").read_text())


def test_each_log_is_told_about() -> None:
    assert {path.stem for path in (HERE / "logs").iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_log_tells_its_class_its_line_and_what_is_missing(name: str) -> None:
    text, expected = (HERE / "logs" / f"{name}.log").read_text(), EXPECTED[name]

    found = diagnose(text, exit_code=1)

    missing = ", ".join(f"{item.kind} {item.name}" for item in found.missing) or None
    assert (found.failure_class, found.evidence) == (FailureClass(expected["class"]), expected["evidence"])
    assert (found.line, missing) == (expected["line"], expected.get("missing"))
    assert found.line is not None
    assert found.evidence in text.split("\n")[found.line - 1]


def test_few_real_logs_are_unknown() -> None:
    unknown = [name for name, expected in EXPECTED.items() if expected["class"] == FailureClass.BUILD]

    assert len(unknown) / len(EXPECTED) <= 0.05
