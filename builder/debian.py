"""Debian packages for one project's builds: a derived image of the base and what a recipe names."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builder import apt, images, process
from builder.images import Image
from builder.log import Log
from schema.errors import ImageError
from schema.names import Sha256, sha256_of
from schema.platforms import DEBIAN_ARCHITECTURES


def with_packages(image: Image, packages: Sequence[str], *, log: Log, cancelled: threading.Event) -> Image:
    """The image with *packages* and all they need; made once, kept below the base, shared by every later job.

    The packages are unpacked, not configured: no maintainer script runs, and the dynamic linker's cache is made anew.
    Raise JobError for a package that there is not, ImageError if it cannot be made.
    """
    wanted = [name for name in apt.check_names(packages) if name not in image.packages]
    if not wanted:
        return image
    folder = image.folder / "derived"
    folder.mkdir(exist_ok=True)
    key = hashlib.sha256(json.dumps([image.digest, wanted]).encode()).hexdigest()[:16]
    with images.locked(image.folder, "derived"):
        if not (folder / key / "image.json").is_file() and not cancelled.is_set():
            log.step(f"adding Debian packages: {' '.join(wanted)}")
            _derive(image, folder, key, wanted)
    derived = images.read(folder / key)
    log.step(f"in an image with {', '.join(f'{name} {version}' for name, version, _ in derived.added)}")
    return derived


def _derive(image: Image, folder: Path, key: str, wanted: Sequence[str]) -> None:
    architecture = DEBIAN_ARCHITECTURES[image.platform.arch]
    debs = apt.fetch(image.folder / "apt", image.root, architecture, wanted)
    added = tuple((*apt.identity(deb), sha256_of(deb)) for deb in debs)
    with images.unfinished(folder, key) as making:
        # Hard links: the copy costs no space, and unpacking replaces files instead of writing through them.
        process.run(["cp", "-al", str(image.root), str(making / "root")])
        for deb in debs:
            _unpack(deb, making / "root")
        _link_libraries(making / "root")
        (making / "tools").symlink_to(image.tools.resolve())
        digest = hashlib.sha256(json.dumps([image.digest, added]).encode()).hexdigest()
        images.write(
            replace(
                image,
                folder=making,
                digest=Sha256(digest),
                packages=image.packages | {name: version for name, version, _ in added},
                added=added,
            )
        )
        making.chmod(0o755)
        making.rename(folder / key)


def _unpack(deb: Path, root: Path) -> None:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as archive:
        unpacked = subprocess.run(
            ["tar", "--extract", "--keep-directory-symlink", "--directory", str(root)],
            stdin=archive.stdout,
            capture_output=True,
            check=False,
        )
    if archive.returncode or unpacked.returncode:
        raise ImageError(f"{deb.name} could not be unpacked: {unpacked.stderr.decode(errors='replace')[-500:]}")


def _link_libraries(root: Path) -> None:
    """Run the image's own ldconfig on it, cut off from everything else."""
    process.run(
        [
            "bwrap",
            "--unshare-all",
            "--uid",
            "0",
            "--gid",
            "0",
            "--bind",
            str(root),
            "/",
            "--dev",
            "/dev",
            "--",
            "ldconfig",
        ]
    )
