"""A-04: RECORD lists every file once, with the digest and size that it has."""

from __future__ import annotations

import pytest

from schema.wheels import record
from schema.wheels.record import Row

NAME = "demo-1.0.dist-info/RECORD"
A = Row.of("demo/a.py", bytes(32), 10)
B = Row.of("demo/b.py", bytes(31) + b"\1", 20)
FILES = {row.path: row for row in (A, B, Row.of(NAME, bytes(32), 5))}


def texts(data: bytes) -> list[str]:
    found = list(record.findings(data, NAME, FILES))
    assert {finding.rule for finding in found} <= {"A-04"}
    return [finding.text for finding in found]


def test_a_true_record_has_no_findings() -> None:
    assert texts(record.render([A, B, Row(path=NAME)])) == []


def test_what_is_rendered_is_parsed_again_whatever_the_names() -> None:
    rows = [Row.of(name, bytes(32), 1) for name in ("a,b.py", 'quo"te.py', "é.py", "sp ace.py", "'.py")]

    assert record.parse(record.render(rows)) == rows


def test_digests_are_urlsafe_base64_without_padding() -> None:
    assert Row.of("a", b"\xff" * 32, 1).digest == "sha256=" + "_" * 42 + "8"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([A, Row(path=NAME)], "does not list 'demo/b.py'"),
        ([A, B, B, Row(path=NAME)], "lists 'demo/b.py' twice"),
        ([A, B], f"does not list '{NAME}'"),
        ([A, B, Row.of("demo/c.py", bytes(32), 1), Row(path=NAME)], "lists 'demo/c.py', which is not in the wheel"),
        ([A, Row(path=B.path, digest=A.digest, size=B.size), Row(path=NAME)], "for 'demo/b.py', but it is"),
        ([A, Row(path=B.path, digest=B.digest, size="21"), Row(path=NAME)], "21 bytes for 'demo/b.py'"),
        ([A, Row(path=B.path), Row(path=NAME)], "no digest"),
        ([A, Row(path=B.path, digest="md5=" + "A" * 22, size="20"), Row(path=NAME)], "md5="),
        ([A, B, Row.of(NAME, bytes(32), 5)], f"for '{NAME}', but it is no digest"),
        ([A, B, Row.of("../evil.py", bytes(32), 5), Row(path=NAME)], "'../evil.py', which is not in the wheel"),
    ],
)
def test_each_lie_is_one_finding(lines: list[Row], text: str) -> None:
    (found,) = texts(record.render(lines))

    assert text in found


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"demo/a.py,sha256=x\n", "line 1 of RECORD has 2 columns"),
        (b"a,b,c,d\n", "has 4 columns"),
        (b"a,,\n\n", "line 2 of RECORD has 0 columns"),
        (b'"a,,\n', "RECORD is not CSV"),
        (b'"a"b,,\n', "RECORD is not CSV"),
        (b"\xff,,\n", "RECORD is not UTF-8"),
        (b"a" * 200_000 + b",,\n", "RECORD is not CSV"),
    ],
)
def test_what_is_no_record_is_one_finding(data: bytes, text: str) -> None:
    (found,) = texts(data)

    assert text in found
