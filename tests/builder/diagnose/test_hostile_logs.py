"""Whatever a project writes, the diagnosis ends, and soon: a pattern that looks back and forth takes minutes here."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.diagnose import diagnose
from schema.symptoms import SYMPTOMS

MANY = 1024 * 1024
# What the patterns begin with, and what they run over.
PIECES = [
    *("a", " ", ".", "-", "'", '"', "\t", "\r", "\x1b]", "\x1b[0", "\x1b[ ", "x.h", "a/", "a.", "lib", "gcc-", "é"),
    *(
        "fatal error: ",
        "error: a",
        "sh: 1: ",
        "No such file or directory: '",
        "Package 'a',",
        "Dependency '",
        "found: NO ",
    ),
    *(
        "pkg-config --a ",
        "pkg-config ",
        "No module named '",
        "configure: error: ",
        "a.c:1:",
        "libz.so",
        "FAIL: ",
        "need ",
    ),
    *("No such file or directory: 'a", "module 'setuptools", "error: has no", "cannot import name 'a", "requires a "),
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("end", ["", "\n"], ids=["one line", "many lines"])
def test_a_megabyte_of_one_piece_is_judged(piece: str, end: str) -> None:
    unit = piece + end

    assert diagnose(unit * (MANY // len(unit))).evidence is not None


@pytest.mark.parametrize("piece", PIECES)
def test_lines_as_long_as_they_are_searched_are_judged(piece: str) -> None:
    diagnose(((piece * 2000)[:2000] + "\n") * 130)


def test_a_hundred_thousand_lines_are_judged() -> None:
    assert diagnose("cc -c a.c\n" * 100_000 + "a.c:1:1: fatal error: lber.h: No such file\n").line == 100_001


TOLD = st.lists(
    st.sampled_from([*PIECES, "lber.h: No such file", "' not found", "\n", "\u202e", "\x00"]) | st.text(max_size=20),
    max_size=40,
).map("".join)


@settings(max_examples=200, deadline=None)
@given(TOLD | st.text())
def test_no_text_makes_it_raise_and_the_evidence_is_one_short_line_of_the_text(text: str) -> None:
    found = diagnose(text)

    assert "\n" not in found.evidence
    assert len(found.evidence) <= 500
    assert found.line is None or 1 <= found.line <= text.count("\n") + 1


def test_no_pattern_repeats_without_a_bound() -> None:
    unbounded = [symptom.pattern.pattern for symptom in SYMPTOMS if "*" in symptom.pattern.pattern.replace(r"\*", "")]

    assert unbounded == []
