"""What an added interpreter tells builds: where it lies now, and the compiler and flags of the distribution's own.

``sysconfig`` has what its maker compiled it with: perhaps another compiler, such as python-build-standalone's clang,
and library paths of the maker's machine. setuptools compiles with these; meson and CMake look for headers by them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from builder.rootfs import Root
from schema.errors import ImageError

# What extensions are compiled and linked with. Of the distribution's own interpreter: hardened as its packages are, and
# in a hybrid image the cross compiler.
TOOLCHAIN = (
    *("AR", "ARFLAGS", "BASECFLAGS", "BLDSHARED", "CC", "CCSHARED", "CFLAGS", "CPPFLAGS", "CXX", "LDCXXSHARED"),
    *("LDFLAGS", "LDSHARED", "LINKCC", "OPT", "PY_CFLAGS", "PY_CPPFLAGS", "PY_LDFLAGS"),
)
# Runs with either interpreter; prints its variables as one JSON object.
SCRIPT = """
import importlib, json, sysconfig
print(json.dumps(importlib.import_module(sysconfig._get_sysconfigdata_name()).build_time_vars))
"""
Variables = Mapping[str, str | int]
_MOST_BYTES = 4 * 2**20


def rewrite(prefix: Path, library: str, now: str, *, its: Variables, own: Variables) -> None:
    """Correct the variables of the interpreter in *prefix*, which is *now* where it runs, and the files that tell some.

    library: its folder of modules there, such as ``lib/python3.13``
    its, own: the variables of the interpreter itself, and of the distribution's. Raise ImageError.
    """
    moved = _mover(its.get("prefix"), now)
    told = {name: moved(value) if isinstance(value, str) else value for name, value in its.items()}
    told |= {name: own[name] for name in TOOLCHAIN if name in own}
    text = "".join(f" {name!r}: {told[name]!r},\n" for name in sorted(told))
    with Root(prefix) as root:
        names = root.names(library)
        modules = [name for name in names if re.fullmatch(r"_sysconfigdata_[\w.-]*\.py", name)]
        if len(modules) != 1:
            raise ImageError(f"the interpreter has {len(modules)} files _sysconfigdata_*.py, not one")
        _replace(prefix / library / modules[0], f"build_time_vars = {{\n{text}}}\n")
        for name in names:  # from Python 3.14 on
            if re.fullmatch(r"_sysconfig_vars_[\w.-]*\.json", name):
                _replace(prefix / library / name, json.dumps(told, indent=1, sort_keys=True))
        configs = [f"lib/pkgconfig/{name}" for name in root.names("lib/pkgconfig") if name.endswith(".pc")]
        scripts = [f"bin/{name}" for name in root.names("bin") if name.endswith("-config")]
        for file in (*configs, *scripts, f"{library}/build-details.json"):
            if root.holds(file, links=False):
                text = moved(root.read(file, most_bytes=_MOST_BYTES).decode(errors="replace"))
                _replace(prefix / file, text, mode=0o755 if file in scripts else 0o644)


def read(said: str) -> Variables:
    """What SCRIPT printed, which is as hostile as the interpreter; raise ImageError."""
    try:
        told = json.loads(said.splitlines()[-1])
        if all(isinstance(name, str) and isinstance(value, str | int) for name, value in told.items()):
            return dict(told)
    except (ValueError, LookupError, AttributeError, RecursionError):
        pass
    raise ImageError("what the interpreter says that it was compiled with makes no sense")


def _mover(before: object, now: str) -> Callable[[str], str]:
    if not isinstance(before, str) or not re.fullmatch(r"(/[^/\s]+)+", before):
        raise ImageError("the interpreter does not say which prefix it was compiled for")
    path = re.compile(rf"{re.escape(before)}(?=[/\s'\":,]|$)")
    return lambda text: path.sub(lambda _: now, text)


def _replace(file: Path, text: str, *, mode: int = 0o644) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(mode)
    new.replace(file)
