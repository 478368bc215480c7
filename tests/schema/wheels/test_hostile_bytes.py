"""``check``, ``repack`` and ``is_canonical`` on bytes that nobody thought of: they refuse, and never fail otherwise."""

from __future__ import annotations

import struct
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema.errors import WheelRejectedError
from schema.wheels import archive
from schema.wheels.canonical import is_canonical, repack
from schema.wheels.check import check
from tests.schema.wheels import forge
from tests.schema.wheels.forge import EPOCH, HERE, LINUX, canonical, expected, members, shared_object, write

INFO = "demo-1.0.dist-info"
NATIVE = f"demo-1.0-cp311-cp311-{LINUX}.whl"
FUZZ = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

mutations = st.lists(
    st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=6), st.sampled_from(["put", "insert", "cut"])),
    min_size=1,
    max_size=5,
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two sound wheels, as a backend and as the node leaves them."""
    folder = tmp_path_factory.mktemp("sound")
    files = members(tags=f"cp311-cp311-{LINUX}", purelib=False)
    files |= {
        "demo/lib.so": shared_object(folder / "so", flags=["-s"]),
        f"{INFO}/entry_points.txt": b"[console_scripts]\ndemo = demo:main\n",
        f"{INFO}/sboms/a.cdx.json": b'{"bomFormat": "CycloneDX"}',
    }
    return {
        "raw": write(folder / "pure", members()).read_bytes(),
        "canonical": canonical(folder, files, filename=NATIVE).read_bytes(),
    }


def survive(data: bytes, name: str) -> None:
    """Nothing but WheelRejectedError may come out of any of the three."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        with suppress(WheelRejectedError):
            agree(path)
        assert is_canonical(path) in (True, False)
        with suppress(WheelRejectedError):
            check(path, expected(path))
        with suppress(WheelRejectedError):
            assert is_canonical(repack(path, Path(folder) / "out", epoch=EPOCH))


def agree(path: Path) -> None:
    """What our reader takes, zipfile must take too, and find the same files with the same bytes."""
    with archive.read(path) as ours, zipfile.ZipFile(path) as judge:
        assert list(ours.names) == [name for name in judge.namelist() if not name.endswith("/")]
        for name in ours.names:
            assert ours.read(name) == judge.read(name)


def mutated(data: bytes, changes: list[tuple[int, bytes, str]]) -> bytes:
    result = bytearray(data)
    for offset, new, how in changes:
        at = offset % (len(result) + 1)
        stop = at if how == "insert" else at + len(new)
        result[at:stop] = b"" if how == "cut" else new
    return bytes(result)


@FUZZ
@given(changes=mutations)
@pytest.mark.parametrize(("which", "name"), [("raw", "demo-1.0-py3-none-any.whl"), ("canonical", NATIVE)])
def test_a_mutated_wheel_is_refused_or_harmless(
    sound: dict[str, bytes], which: str, name: str, changes: list[tuple[int, bytes, str]]
) -> None:
    survive(mutated(sound[which], changes), name)


@FUZZ
@given(changes=mutations)
def test_a_mutated_frame_is_refused_or_harmless(sound: dict[str, bytes], changes: list[tuple[int, bytes, str]]) -> None:
    """As above, but every change hits the central directory or the end record."""
    data = sound["raw"]
    start = struct.unpack_from("<I", data, len(data) - 6)[0]

    survive(data[:start] + mutated(data[start:], changes), "demo-1.0-py3-none-any.whl")


def test_no_single_byte_makes_our_reader_and_zipfile_see_different_archives(
    sound: dict[str, bytes], tmp_path: Path
) -> None:
    data, path = sound["raw"], tmp_path / "demo.whl"
    refused = 0
    for at, old in enumerate(data):
        for new in {0, 1, 0x40, 0xFF, old ^ 1, old ^ 8} - {old}:
            path.write_bytes(data[:at] + bytes([new]) + data[at + 1 :])
            try:
                agree(path)
            except WheelRejectedError:
                refused += 1

    assert refused > 4 * len(data)


@FUZZ
@given(data=st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    survive(data, "demo-1.0-py3-none-any.whl")
    survive(data + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(data), 0, 0), "demo-1.0-py3-none-any.whl")


texts = st.one_of(st.binary(max_size=200), st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")))


@FUZZ
@given(
    told=st.one_of(
        texts, texts.map(lambda text: forge.metadata() + text), texts.map(lambda text: text + forge.metadata())
    ),
    wheel=st.one_of(texts, texts.map(lambda text: members()[f"{INFO}/WHEEL"] + text)),
    listing=st.one_of(st.none(), texts),
    points=st.one_of(texts, texts.map(lambda text: b"[console_scripts]\n" + text)),
    sbom=texts,
)
def test_random_metadata_files_are_refused_or_harmless(
    told: bytes, wheel: bytes, listing: bytes | None, points: bytes, sbom: bytes
) -> None:
    files = members(METADATA=told, WHEEL=wheel)
    files |= {f"{INFO}/entry_points.txt": points, f"{INFO}/sboms/a.json": sbom, f"{INFO}/licenses/x": told}
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), files, listing=listing)
        survive(path.read_bytes(), path.name)


@FUZZ
@given(
    lines=st.lists(
        st.sampled_from(
            [
                "Content-Type: multipart/mixed; boundary=x",
                "Content-Transfer-Encoding: base64",
                "Content-Type: text/plain; charset*=x''%ff",
                "Description-Content-Type: text/plain; x*",
                "Keywords: =?utf-8?b?a?=",
                "Summary: =?x?q?=ff?=",
                "Project-URL: a",
                "Project-URL: a, b, c",
                "Dynamic: Name",
                "License-Expression: ((((",
                "License-File: ../../x",
                "Import-Name: a b",
                "Provides-Extra: -",
                "Metadata-Version: 2.4",
                "From x",
                " folded",
                "--x",
                "",
            ]
        ),
        max_size=8,
    )
)
def test_odd_header_lines_are_refused_or_harmless(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), members(METADATA=forge.metadata("demo", "1.0", *lines)))
        survive(path.read_bytes(), path.name)


def test_the_wheels_that_are_mutated_are_sound_to_begin_with(sound: dict[str, bytes], tmp_path: Path) -> None:
    for which, name in (("raw", "demo-1.0-py3-none-any.whl"), ("canonical", NATIVE)):
        path = tmp_path / name
        path.write_bytes(sound[which])
        assert check(path, expected(path, platform=HERE)).filename == name
