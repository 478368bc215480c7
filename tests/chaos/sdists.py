"""Source distributions for the harness: one that builds in a moment, and one that takes its time."""

from __future__ import annotations

import io
import tarfile

from tests.chaos.farm import BACKEND, PYPROJECT

MODULE = "here = True\n"


def tiny(name: str, *, sleep_s: float = 0.0) -> bytes:
    """The bytes of ``NAME-1.0.tar.gz``, whose build sleeps for so long."""
    members = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        "pyproject.toml": PYPROJECT,
        "tiny.py": BACKEND.format(name=name).replace(
            "config_settings=None, metadata_directory=None):\n",
            "config_settings=None, metadata_directory=None):\n"
            + (f"    import time; time.sleep({sleep_s})\n" if sleep_s else ""),
        ),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in members.items():
            info = tarfile.TarInfo(f"{name}-1.0/{path}")
            info.size = len(text.encode())
            info.mtime = 1_700_000_000
            archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()
