"""Where the interpreter of an image lies: the distribution's own, or one that was added."""

from __future__ import annotations

from schema.platforms import Platform

# Also what the distribution's own scripts run with, whatever else was added.
OWN = "/usr/bin/python3"


def program(platform: Platform) -> str:
    """The interpreter, inside the images of *platform*, that its wheels are for."""
    return OWN if platform.has_own_python else f"{prefix(platform)}/bin/{versioned(platform)}"


def prefix(platform: Platform) -> str:
    """The folder that an added interpreter lies in, with all that belongs to it: a name as manylinux images have it."""
    return f"/opt/python/{platform.python}"


def versioned(platform: Platform) -> str:
    """The name with the minor version that programs and folders have: ``python3.13``."""
    return f"python{'.'.join(map(str, platform.python_version))}"
