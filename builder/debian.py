"""Debian packages for one project's builds: a derived image, which is the base and what a recipe names."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder import apt, assembling, dpkg_records, images, linker, process
from builder.images import Image
from builder.log import Log
from schema.errors import ImageError, LimitExceededError, NodeError, PackagesError
from schema.names import Sha256, sha256_of
from schema.states import Emulation, FailureClass

# Of what is recorded of a derived image; one of an older format is not used again.
_FORMAT = 4
# No job takes so long, by far, that it would still be in an image that nobody asked for since.
_KEPT, _UNUSED_S = 40, 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What may be downloaded of packages that no person chose, and of all that these need."""

    packages: tuple[str, ...]
    most_bytes: int


def with_packages(
    image: Image, packages: Sequence[str], *, log: Log, cancelled: threading.Event, bound: Bound | None = None
) -> Image:
    """The image with *packages* and all they need; made once, kept below the base, shared by every later job.

    The packages are unpacked, not configured: no maintainer script runs, and no alternative is set; only dpkg's records
    say so, and the dynamic linker's cache is made anew. That is enough for headers, libraries and the ``*-config``
    programs that builds ask for.

    bound: holds where the image must be made, before anything of it is downloaded
    Raise PackagesError for a package that there is not, and for more than *bound* allows; LimitExceededError
    (CANCELLED) once *cancelled* is set, ImageError if it cannot be made.
    """
    names = apt.check_names(packages)
    if image.emulation is Emulation.HYBRID:
        names = sorted({assembling.cross_package(name, image.platform) for name in names})
    wanted = [name for name in names if name not in image.packages]
    if not wanted:
        return image
    if image.origin is not None:
        raise PackagesError(
            f"{', '.join(wanted)}: no packages are added to {image.name}, which was imported; have them in its tarball"
        )
    key = hashlib.sha256(json.dumps([_FORMAT, image.digest, wanted]).encode()).hexdigest()[:16]
    folder = image.folder / "derived"
    cancelled_error = LimitExceededError("cancelled", failure_class=FailureClass.CANCELLED)
    if cancelled.is_set():
        raise cancelled_error
    try:
        derived = _made(image, folder, key, wanted, log=log, cancelled=cancelled, bound=bound)
    except (NodeError, OSError) as err:
        if cancelled.is_set():
            raise cancelled_error from err
        raise err if isinstance(err, NodeError) else ImageError(f"no image with {' '.join(wanted)}: {err}") from err
    log.step(f"in an image with {', '.join(f'{name} {version}' for name, version, _ in derived.added)}")
    return derived


def _made(
    image: Image,
    folder: Path,
    key: str,
    wanted: Sequence[str],
    *,
    log: Log,
    cancelled: threading.Event,
    bound: Bound | None,
) -> Image:
    if not (folder / key / "image.json").is_file():
        folder.mkdir(exist_ok=True)
        # A bare root shares its base's apt, which only one process uses at a time.
        with images.locked((image.folder / "apt").resolve().parent, "derived"):
            # Another process may have made it while we waited.
            if not (folder / key / "image.json").is_file():
                if bound is not None and bound.packages:
                    _check(bound, image, cancelled)
                log.step(f"adding Debian packages: {' '.join(wanted)}")
                _derive(image, folder, key, wanted, cancelled)
                trim(folder)
    os.utime(folder / key / "image.json")
    return images.read(folder / key)


def _check(bound: Bound, image: Image, cancelled: threading.Event) -> None:
    packages = apt.check_names(bound.packages)
    size_bytes = apt.download_bytes(
        image.folder / "apt", image.root, image.architectures, packages, cancelled=cancelled
    )
    if size_bytes > bound.most_bytes:
        raise PackagesError(
            f"not added: {', '.join(packages)} and what they need are {size_bytes / 2**20:.1f} MiB to download,"
            f" heal.debian_bytes allows {bound.most_bytes / 2**20:.1f} MiB"
        )


def trim(folder: Path, *, keep: int = _KEPT, unused_s: float = _UNUSED_S) -> None:
    """Remove derived images that no job has asked for in so long, but for those asked for last.

    Most are for one project's one try, and healing makes many. A job may still be in one that it asked for just now.
    """
    used = {entry: _used_at(entry) for entry in folder.iterdir() if not entry.name.startswith(".")}
    for entry in sorted(used, key=used.__getitem__, reverse=True)[keep:]:
        if time.time() - used[entry] > unused_s:
            (entry / "image.json").unlink(missing_ok=True)  # from now on it does not count
            process.remove(entry)


def _used_at(derived: Path) -> float:
    try:
        return (derived / "image.json").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _derive(image: Image, folder: Path, key: str, wanted: Sequence[str], cancelled: threading.Event) -> None:
    debs = apt.fetch(image.folder / "apt", image.root, image.architectures, wanted, cancelled=cancelled)
    added = tuple((*apt.identity(deb), sha256_of(deb)) for deb in debs)
    with images.unfinished(folder, key) as making:
        # Hard links: the copy costs no space.
        process.run(["cp", "-al", "--", str(image.root), str(making / "root")], cancelled=cancelled)
        for deb in debs:
            _unpack(deb, making / "root")
        dpkg_records.add(making / "root", debs)
        if image.emulation is Emulation.HYBRID:
            assembling.link_compilers(making / "root", image.platform)
        linker.renew_cache(making / "root")
        (making / "tools").symlink_to(image.tools.resolve())
        digest = hashlib.sha256(json.dumps([image.digest, added]).encode()).hexdigest()
        packages = image.packages | {name: version for name, version, _ in added}
        libraries = image.libraries | {
            library: package
            for deb, (package, _, _) in zip(debs, added, strict=True)
            if package not in image.packages
            for library in _libraries(deb)
        }
        images.write(
            replace(image, folder=making, digest=Sha256(digest), packages=packages, added=added, libraries=libraries)
        )
        making.chmod(0o755)
        making.rename(folder / key)


def _libraries(deb: Path) -> Iterator[str]:
    """The shared libraries in a .deb that the dynamic linker finds by name."""
    for line in process.run(["dpkg-deb", "--contents", str(deb)]).splitlines():
        if found := linker.found_as(line.partition(" ./")[2].partition(" -> ")[0]):
            yield found


def _unpack(deb: Path, root: Path) -> None:
    """Unpack over *root*; tar replaces a file that is there already, and never writes into it: the base has it too."""
    tar = ["tar", "--extract", "--keep-directory-symlink", "--directory", str(root)]
    process.pipe(["dpkg-deb", "--fsys-tarfile", str(deb)], tar)
