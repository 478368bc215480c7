"""An added interpreter tells builds where it lies, and of the distribution's compiler."""

from __future__ import annotations

import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.images import build_variables
from schema.errors import ImageError

LIBRARY, NOW = "lib/python3.14", "/opt/python/cp314"
ITS: dict[str, str | int] = {
    "prefix": "/install",
    "CC": "clang",
    "CFLAGS": "-O3 -fdebug-default-version=4",
    "LDSHARED": "clang -shared -L/tools/deps/lib",
    "INCLUDEPY": "/install/include/python3.14",
    "LIBS": "-L/install/lib -Wl,-rpath,/install/lib",
    "OTHER": "/installed/elsewhere and /install",
    "Py_DEBUG": 0,
    "QUOTED": 'it\'s \\ "so"\n',
}
OWN: dict[str, str | int] = {
    "CC": "x86_64-linux-gnu-gcc",
    "CFLAGS": "-O2 -fstack-protector-strong",
    "LDSHARED": "x86_64-linux-gnu-gcc -shared",
    "INCLUDEPY": "/usr/include/python3.11",
    "prefix": "/usr",
}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An interpreter without a program."""
    made = tmp_path / "prefix"
    for folder in (LIBRARY, "lib/pkgconfig", "bin"):
        (made / folder).mkdir(parents=True)
    (made / LIBRARY / "_sysconfigdata__linux_x86_64-linux-gnu.py").write_text("build_time_vars = {}\n")
    (made / LIBRARY / "_sysconfig_vars__linux_x86_64-linux-gnu.json").write_text("{}")
    (made / LIBRARY / "build-details.json").write_text('{"base_prefix": "/install"}')
    (made / "lib/pkgconfig/python-3.14.pc").write_text("prefix=/install\nlibdir=${prefix}/lib\n")
    (made / "lib/pkgconfig/python3.pc").symlink_to("python-3.14.pc")
    (made / "bin/python3.14-config").write_text('#!/bin/sh\nprefix_build="/install"\n')
    (made / "bin/python3.14-config").chmod(0o755)
    return made


def _rewritten(prefix: Path, its: Mapping[str, Any] = ITS) -> dict[str, Any]:
    build_variables.rewrite(prefix, LIBRARY, NOW, its=its, own=OWN)
    (module,) = (prefix / LIBRARY).glob("_sysconfigdata_*.py")
    told: dict[str, Any] = runpy.run_path(str(module))["build_time_vars"]
    return told


def test_compiler_and_flags_are_the_distributions_and_all_else_is_its_own(prefix: Path) -> None:
    told = _rewritten(prefix)

    assert {name: told[name] for name in ("CC", "CFLAGS", "LDSHARED")} == {
        name: OWN[name] for name in ("CC", "CFLAGS", "LDSHARED")
    }
    assert told["INCLUDEPY"] == f"{NOW}/include/python3.14"
    assert told["LIBS"] == f"-L{NOW}/lib -Wl,-rpath,{NOW}/lib"
    assert told["OTHER"] == f"/installed/elsewhere and {NOW}"
    assert (told["Py_DEBUG"], told["QUOTED"], told["prefix"]) == (0, ITS["QUOTED"], NOW)


def test_every_file_that_tells_the_same_agrees(prefix: Path) -> None:
    told = _rewritten(prefix)

    assert json.loads((prefix / LIBRARY / "_sysconfig_vars__linux_x86_64-linux-gnu.json").read_text()) == told
    assert json.loads((prefix / LIBRARY / "build-details.json").read_text()) == {"base_prefix": NOW}
    assert (prefix / "lib/pkgconfig/python3.pc").read_text() == f"prefix={NOW}\nlibdir=${{prefix}}/lib\n"
    assert (prefix / "lib/pkgconfig/python3.pc").is_symlink()
    script = prefix / "bin/python3.14-config"
    assert (script.read_text(), script.stat().st_mode & 0o777) == (f'#!/bin/sh\nprefix_build="{NOW}"\n', 0o755)


def test_nothing_is_written_through_a_link(prefix: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("prefix=/install\n")
    for name in ("lib/pkgconfig/other.pc", "bin/other-config", f"{LIBRARY}/build-details.json"):
        (prefix / name).unlink(missing_ok=True)
        (prefix / name).symlink_to(outside)

    _rewritten(prefix)

    assert outside.read_text() == "prefix=/install\n"


@pytest.mark.parametrize("before", [None, 3, "", "/", "install", "/a b", "/install/"])
def test_one_that_does_not_say_where_it_was_compiled_for_is_refused(before: object, prefix: Path) -> None:
    with pytest.raises(ImageError, match="which prefix"):
        _rewritten(prefix, ITS | {"prefix": before})


@pytest.mark.parametrize("files", [0, 2])
def test_one_module_has_the_variables(files: int, prefix: Path) -> None:
    (module,) = (prefix / LIBRARY).glob("_sysconfigdata_*.py")
    module.rename(module.with_name("other.py")) if files == 0 else module.with_name("_sysconfigdata_d.py").touch()

    with pytest.raises(ImageError, match=f"has {files} files _sysconfigdata"):
        build_variables.rewrite(prefix, LIBRARY, NOW, its=ITS, own=OWN)


@pytest.mark.parametrize("said", ["", "{", "[1]", '{"a": null}', '{"a": [1]}', '"a"', "[" * 100_000])
def test_variables_that_make_no_sense_are_refused(said: str) -> None:
    with pytest.raises(ImageError, match="makes no sense"):
        build_variables.read(said)


def test_what_was_said_before_the_variables_does_not_count() -> None:
    assert build_variables.read('hello\n{"CC": "gcc", "WITH": 1}\n') == {"CC": "gcc", "WITH": 1}
