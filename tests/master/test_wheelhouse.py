"""Judging wheels of which every byte may be a lie: a verdict comes out, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from master.allowed_tags import parse
from master.wheelhouse import Status, judge
from tests.schema.wheels import forge

ELF = forge.versioned_object(needs={"libc.so.6": "GLIBC_2.17", "libpq.so.5": "", "libm.so.6": "GLIBC_2.29"})
FUZZ = settings(max_examples=200, deadline=None)
NATIVE = "cp311-cp311-linux_x86_64.manylinux_2_17_x86_64"

changes = st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=8)), min_size=1, max_size=5)
tag_sets = st.tuples(*[st.text(st.sampled_from("abcilmnpuxy_.0123456789é٣\x1b"), min_size=1, max_size=20)] * 3)


def changed(data: bytes, at: list[tuple[int, bytes]]) -> bytes:
    result = bytearray(data)
    for offset, new in at:
        start = offset % len(data)
        result[start : start + len(new)] = new
    return bytes(result)


def survive(path: Path) -> None:
    found = judge(path, parse(["debian12-*"]))

    assert found.to_json()["status"] in set(Status)
    assert all(fault.text and fault.advice for fault in found.faults)


@FUZZ
@given(at=changes)
def test_any_compiled_file_is_judged(at: list[tuple[int, bytes]]) -> None:
    """T7: the archive is sound, and what it holds is not."""
    with tempfile.TemporaryDirectory() as folder:
        files = forge.members(NATIVE, purelib=False) | {"demo/_c.so": changed(ELF, at)}
        survive(forge.write(Path(folder), files, filename=f"demo-1.0-{NATIVE}.whl"))


@FUZZ
@given(at=changes)
def test_any_archive_is_judged(at: list[tuple[int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = forge.members(NATIVE, purelib=False) | {"demo/_c.so": ELF}
        path = forge.write(Path(folder), files, filename=f"demo-1.0-{NATIVE}.whl")
        path.write_bytes(changed(path.read_bytes(), at))
        survive(path)


@FUZZ
@given(tags=tag_sets)
def test_any_name_is_judged(tags: tuple[str, str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = forge.members() | {"demo/_c.so": ELF}
        survive(forge.write(Path(folder), files, filename=f"demo-1.0-{'-'.join(tags)}.whl"))
