"""Make the root file system of an image with mmdebstrap, from this machine's own package sources where they fit.

The packages of this machine's own architecture are installed as Debian's installer would. Those of one that is emulated
are only unpacked: their scripts would take minutes; what matters of them, ``builder.assembling`` does.
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builder import apt_sources, process
from schema.errors import ImageError
from schema.platforms import DEBIAN_ARCHITECTURES, Platform

Progress = Callable[[str, float | None], None]
logger = logging.getLogger(__name__)

# What builds need, and what people have who use wheels.
FOR_BUILDS = ("g++", "gcc", "make", "pkg-config", "python3-dev")
FOR_USE = ("ca-certificates", "python3", "python3-venv")
_KEPT = "/usr/share/doc/*/copyright"  # of libraries that are copied into wheels
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
# What the making leaves behind: nothing a build needs, different each time, or devices that nobody shall find.
_LEFTOVERS = ("etc/hostname", "etc/machine-id", "var/cache", "var/log", "var/lib/apt/lists", "dev", "tmp", "run")
_NEEDED_BYTES = 2 * 2**30
_MERGED_USR = "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"
# A maker that was killed must not go on behind the next one's back, nor leave this machine's own folders mounted: all
# that mmdebstrap starts and mounts ends with it.
_TOGETHER = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--")
_OUT_OF_STEP = re.compile(r"unexpected size|Hash Sum mismatch|404 +Not Found|Mirror sync in progress|is not valid yet")
# How far the making is when mmdebstrap says so.
_STAGES = (
    ("running apt-get update", 0.05, "reading the package lists"),
    ("downloading packages", 0.10, "downloading packages"),
    ("extracting archives", 0.30, "unpacking the essential packages"),
    ("installing essential packages", 0.35, "installing the essential packages"),
    ("installing remaining packages", 0.45, "installing compiler and interpreter"),
    ("cleaning package lists", 0.75, "cleaning up"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A root to make.

    architectures: Debian's names of them; the first is apt's own
    packages: with their architecture (``python3:arm64``) where it is another than apt's own
    unpacked: whether the packages are only unpacked, not installed
    """

    platform: Platform
    architectures: tuple[str, ...]
    packages: tuple[str, ...]
    unpacked: bool = False


def bootstrap(making: Path, platform: Platform, progress: Progress) -> None:
    """Make ``root/`` of *platform* and ``apt/`` (its package sources) below *making*.

    Raise ImageError, ToolMissingError.
    """
    architectures = (DEBIAN_ARCHITECTURES[platform.arch],)
    make(making, Wanted(platform=platform, architectures=architectures, packages=(*FOR_BUILDS, *FOR_USE)), progress)
    tidy(making / "root")


def make(making: Path, wanted: Wanted, progress: Progress) -> None:
    """Make ``root/`` and ``apt/`` below *making*, as it comes from mmdebstrap; of packages that are only unpacked, the
    .deb files are left in ``root/var/cache/apt/archives``. Raise ImageError, ToolMissingError.
    """
    platform = wanted.platform
    _check(making)
    suite = platform.distribution.suite
    sources = apt_sources.keep_sources(making / "apt", suite, wanted.architectures)
    if sources is None:
        _check_keys(platform)
    try:
        _run(making, wanted, sources, progress)
    except process.ProcessError as err:
        if sources is None or f"{suite}-security" not in err.output or not _OUT_OF_STEP.search(err.output):
            raise ImageError(f"the image {platform.view} could not be made: {err}") from err
        logger.warning("image %s: the security archive is out of step with itself; made without it", platform.view)
        progress("the security archive is out of step with itself: without it", None)
        sources = apt_sources.keep_sources(making / "apt", suite, wanted.architectures, security=False)
        process.remove(making / "root")
        _run(making, wanted, sources, progress)
    if sources is None:
        apt_sources.keep_sources_of(making / "apt", making / "root")


def _check(making: Path) -> None:
    if shutil.disk_usage(making).free < _NEEDED_BYTES:
        raise ImageError(f"less than {_NEEDED_BYTES / 2**30:.0f} GiB free in {making.parent}; an image needs them")
    process.need("mmdebstrap")
    if os.geteuid() == 0:
        return
    user = getpass.getuser()
    names = {line.partition(":")[0] for file in ("/etc/subuid", "/etc/subgid") for line in _lines(Path(file))}
    if shutil.which("newuidmap") is None or user not in names:
        raise ImageError(
            f"{user} has no user numbers of its own to make an image with",
            advice="as root: apt-get install uidmap;"
            f" usermod --add-subuids 200000-265535 --add-subgids 200000-265535 {user}",
        )


def _check_keys(platform: Platform) -> None:
    """Another distribution's archive can only be trusted with its keys; that of Raspberry Pi OS nobody mirrors."""
    family, _ = platform.distribution.identity
    if family == "raspbian":
        title = platform.distribution.title
        raise ImageError(f"this machine has no package sources of {title}", advice=f"make {platform.view} on {title}")
    keys = "ubuntu" if family == "ubuntu" else "debian"
    if not Path(f"/usr/share/keyrings/{keys}-archive-keyring.gpg").exists():
        package = "ubuntu-keyring" if keys == "ubuntu" else "debian-archive-keyring"
        raise ImageError(f"this machine lacks the keys of {platform.distribution.title}", advice=f"install {package}")


def _run(making: Path, wanted: Wanted, sources: Path | None, progress: Progress) -> None:
    """As root straight into the folder; else through an archive, so that every file belongs to the user."""
    root, archive = making / "root", making / "root.tar"
    as_root = os.geteuid() == 0
    argv = [
        *(_TOGETHER if as_root else ()),
        "mmdebstrap",
        *(("--mode=root", "--format=directory") if as_root else ("--mode=unshare", "--format=tar")),
        *(("--variant=extract", "--skip=cleanup/apt/cache", _MERGED_USR) if wanted.unpacked else ("--variant=apt",)),
        f"--architectures={','.join(wanted.architectures)}",
        *(f"--include={package}" for package in sorted(wanted.packages)),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
        f"--dpkgopt=path-include={_KEPT}",
        # Half-made images are thrown away, so nothing need reach the disk in order.
        "--dpkgopt=force-unsafe-io",
        '--aptopt=Apt::Install-Recommends "false"',
        wanted.platform.distribution.suite,
        str(root if as_root else archive),
        *([str(sources)] if sources else []),
    ]
    process.run(argv, timeout_s=3600, on_line=_teller(progress))
    if not as_root:
        root.mkdir()
        process.run(["tar", "--extract", "--exclude=./dev/*", "--file", str(archive), "--directory", str(root)])
        archive.unlink()


def tidy(root: Path) -> None:
    """Remove what the making left in *root*, and make what the sandbox needs there."""
    for name in _LEFTOVERS:
        process.remove(root / name)
    for name in ("dev", "tmp", "run", "var/cache", "var/log"):
        (root / name).mkdir(mode=0o755)
    # Where the sandbox may lay the machine's own over it, for our own fetch phase.
    process.remove(root / "etc/resolv.conf")
    (root / "etc/resolv.conf").touch(mode=0o644)


def leave_out(root: Path) -> None:
    """Remove what an installation of packages leaves out, where they were only unpacked."""
    found = [path for pattern in _LEFT_OUT for path in root.glob(pattern.lstrip("/"))]
    kept = {path.parent for path in root.glob(_KEPT.lstrip("/"))}
    inside = [path for folder in kept for path in folder.iterdir() if path.name != "copyright"]
    process.run(["rm", "-rf", "--", *(str(path) for path in (*inside, *found) if path not in kept)])


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _teller(progress: Progress) -> Callable[[str], None]:
    def tell(line: str) -> None:
        for words, fraction, sentence in _STAGES:
            if words in line:
                progress(sentence, fraction)

    return tell
