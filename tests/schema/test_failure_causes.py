"""What failures have in common: the same cause in other words is one, another cause is another."""

from __future__ import annotations

import pytest

from schema.failure_causes import NO_SOURCE, Cause, cause
from schema.states import FailureClass


@pytest.mark.parametrize(
    ("failure_class", "text", "found"),
    [
        ("header", "src/c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file", Cause("header", "header", "ffi.h")),
        ("header", "/build/x/a.c:3:1: fatal error: ffi.h: No such file or dir", Cause("header", "header", "ffi.h")),
        ("library", "/usr/bin/ld: cannot find -lgssapi_krb5: no such file", Cause("library", "library", "gssapi_krb5")),
        ("pkg-config", "No package 'libsystemd' found", Cause("pkg-config", "pkg-config", "libsystemd")),
        (
            "compiler",
            "../meson.build:1:0: ERROR: Unknown compiler(s): [['gfortran'",
            Cause("compiler", "compiler", "fortran"),
        ),
        ("program", "sh: 1: krb5-config: not found", Cause("program", "program", "krb5-config")),
        (
            "python-module",
            "ModuleNotFoundError: No module named 'numpy'",
            Cause("python-module", "python-module", "numpy"),
        ),
        ("requirement", "needs maturin>=1.0, which failed", Cause("requirement", "package-requirement", "maturin")),
        ("timeout", "took longer than 10800 s", Cause("timeout")),
        (NO_SOURCE, "whatever", Cause(NO_SOURCE)),
    ],
)
def test_what_was_missing_is_the_cause(failure_class: str, text: str, found: Cause) -> None:
    assert cause(failure_class, text) == found


def test_a_complaint_that_names_nothing_is_told_by_its_words_without_places_and_numbers() -> None:
    one = cause("build", "/build/a-1.0/src/x.c:17:3: error: unknown type name foo_t at 0x7ffe12")
    other = cause("build", "/build/b-2.3/lib/y.c:4:11: error: unknown type name foo_t at 0x55aa")

    assert one == other == Cause("build", "", "error: unknown type name foo_t at HEX")
    assert cause("build", "error: conflicting types") != one


@pytest.mark.parametrize("failure_class", [*FailureClass, "no such class", ""])
@pytest.mark.parametrize("text", ["", "\x1b[31m\x00", "A" * 100_000, "<script>" * 500, "a/" * 50_000, "1." * 50_000])
def test_whatever_a_log_says_the_cause_is_one_short_inert_line(failure_class: str, text: str) -> None:
    found = cause(failure_class, text)

    assert len(found.subject) <= 160
    assert "\n" not in found.subject
    assert found.subject.isprintable()
