"""The symbols that a file takes, and those that it keeps: right on every real file, harmless on every broken one."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.wheels import elf, symbols
from schema.wheels.symbols import Kept
from tests.schema.wheels.forge import arm_object, shared_object

SOURCE = "#include <stdlib.h>\n#include <string.h>\nint demo(char *t) { char b[64]; strcpy(b, t); return atoi(b); }\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("so")
    flags = ["-O2", "-D_FORTIFY_SOURCE=2", "-fstack-protector-all", "-g"]
    return shared_object(folder, source=SOURCE, flags=flags)


def undefined(data: bytes) -> frozenset[str] | None:
    return symbols.undefined(io.BytesIO(data))


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
def test_the_symbols_that_a_file_takes_are_found_by_either_hash_table(style: str, tmp_path: Path) -> None:
    taken = undefined(shared_object(tmp_path, source=SOURCE, flags=["-O0", f"-Wl,--hash-style={style}"]))

    assert taken is not None
    assert {"strcpy"} < taken
    assert "demo" not in taken


def test_a_file_that_gives_nothing_tells_what_it_takes_all_the_same(tmp_path: Path) -> None:
    flags = ["-O0", "-fvisibility=hidden", "-Wl,--hash-style=gnu"]

    assert "strcpy" in (undefined(shared_object(tmp_path, source=SOURCE, flags=flags)) or ())


def test_guards_against_overflows_show_in_what_a_file_takes(guarded: bytes) -> None:
    assert {"__stack_chk_fail", "__strcpy_chk"} <= (undefined(guarded) or frozenset())


def test_a_static_program_has_no_dynamic_symbols(tmp_path: Path) -> None:
    code = tmp_path / "main.c"
    code.write_text("void _start(void) { for (;;); }\n")
    subprocess.run(["gcc", "-static", "-nostdlib", "-no-pie", "-o", tmp_path / "main", code], check=True)

    assert undefined((tmp_path / "main").read_bytes()) is None


@pytest.mark.parametrize(("flags", "wanted"), [(["-g"], Kept.DEBUG_INFO), ([], Kept.SYMBOLS), (["-s"], Kept.NOTHING)])
def test_what_is_kept_for_debuggers_is_told(flags: list[str], wanted: Kept, tmp_path: Path) -> None:
    assert symbols.kept(io.BytesIO(shared_object(tmp_path, flags=flags))) is wanted


def test_it_agrees_with_pyelftools_on_the_files_of_this_machine() -> None:
    folders = [*Path("/usr/lib").glob("*-linux-gnu*"), Path("/usr/bin"), Path(sys.prefix)]
    checked = 0
    for folder in folders:
        for path in islice((item for item in sorted(folder.rglob("*")) if _is_elf(item)), 100):
            with path.open("rb") as file:
                table = ELFFile(file).get_section_by_name(".dynsym")
                if isinstance(table, SymbolTableSection):
                    named = {item.name for item in table.iter_symbols() if item["st_shndx"] == "SHN_UNDEF"}
                    wanted = frozenset(named - {""})
                    assert symbols.undefined(file) == wanted, path
                    checked += 1
                assert symbols.kept(file) == _kept(ELFFile(file)), path
    assert checked > 20


def _is_elf(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 20 * 2**20:
        return False
    with suppress(OSError), path.open("rb") as file:
        return file.read(4) == elf.MAGIC
    return False


def _kept(judge: ELFFile) -> Kept:
    if judge.get_section_by_name(".debug_info") or judge.get_section_by_name(".zdebug_info"):
        return Kept.DEBUG_INFO
    return Kept.SYMBOLS if judge.get_section_by_name(".symtab") else Kept.NOTHING


@pytest.mark.parametrize("read", [symbols.undefined, symbols.kept])
@settings(max_examples=300, deadline=2000)
@given(
    data=st.data(),
    changes=st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
)
def test_mutated_files_never_raise_anything_else_and_never_hang(
    guarded: bytes,
    read: Callable[[io.BytesIO], object],
    data: st.DataObject,
    changes: list[tuple[int, bytes]],
) -> None:
    mutated = bytearray(data.draw(st.sampled_from([guarded, arm_object()])))
    for offset, new in changes:
        at = offset % len(mutated)
        mutated[at : at + len(new)] = new
    with suppress(elf.MalformedElfError):
        read(io.BytesIO(bytes(mutated)))


@pytest.mark.parametrize("read", [symbols.undefined, symbols.kept])
def test_every_truncation_is_read_or_malformed(guarded: bytes, read: Callable[[io.BytesIO], object]) -> None:
    for length in range(4, len(guarded), 97):
        with suppress(elf.MalformedElfError):
            read(io.BytesIO(guarded[:length]))
