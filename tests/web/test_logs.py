"""A log by its steps."""

from __future__ import annotations

from web.logs import sections


def _told(text: str) -> list[tuple[str, str, int]]:
    return [(part.name, part.text, part.lines) for part in sections(text)]


def test_each_step_is_a_section_with_the_farms_own_lines_in_it() -> None:
    log = "tail of one\n--- fetch\n--- fetched x-1.0.tar.gz\n--- build\ngcc -c a.c\nerror\n--- sign\n"

    assert _told(log) == [
        ("", "tail of one\n", 1),
        ("fetch", "--- fetched x-1.0.tar.gz\n", 1),
        ("build", "gcc -c a.c\nerror\n", 2),
        ("sign", "", 0),
    ]


def test_a_log_without_steps_is_one_section_and_an_empty_one_none() -> None:
    assert _told("a\nb\n") == [("", "a\nb\n", 2)]
    assert _told("") == []


def test_a_log_that_looks_like_steps_without_end_has_only_so_many_sections_and_loses_no_line() -> None:
    found = sections("--- x\n" * 1000 + "end\n")

    assert len(found) == 50
    assert found[-1].text == "--- x\n" * 950 + "end\n"
