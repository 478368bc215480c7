"""A small file system in memory below a folder, that can be filled to the last byte; only root can mount one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

_BALLAST = ".ballast"


class SmallDisk:
    """A tmpfs on *folder*; where nobody may mount, just the folder."""

    def __init__(self, folder: Path, *, mebibytes: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.limited = os.geteuid() == 0
        if self.limited:
            options = f"size={mebibytes}m,mode=0755"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "wf-chaos", folder], check=True)

    def fill(self) -> None:
        """Leave not a byte."""
        with contextlib.suppress(OSError), (self.folder / _BALLAST).open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def free(self) -> None:
        """Give the room back."""
        (self.folder / _BALLAST).unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, with all that is in it."""
        if self.limited and subprocess.run(["umount", self.folder], check=False, capture_output=True).returncode:
            subprocess.run(["umount", "--lazy", self.folder], check=False)
