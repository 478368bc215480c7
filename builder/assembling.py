"""Make the root of an architecture that is emulated: its packages are unpacked, and what matters of their scripts done.

``full``: everything in it is of that architecture, so that each program of a build is emulated, the compiler too.
``hybrid``: interpreter, libraries and headers are of that architecture; shell, make and a cross compiler, under the
compiler's plain names, are this machine's own. A build takes little longer there than a native one, and makes programs
and runs them as if it were on such a machine. Its lies: ``uname`` tells the machine that the interpreter sees, and the
compilers' names.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from builder import bootstrap, bytecode, dpkg_records, emulation, linker, process
from builder.bootstrap import FOR_BUILDS, FOR_USE, Progress, Wanted
from builder.process import ProcessError
from schema.errors import ImageError
from schema.platforms import DEBIAN_ARCHITECTURES, Platform, this_machine
from schema.states import Emulation
from schema.wheels import machines

_ESSENTIAL = ("?essential", "apt")
# Of this machine's own architecture: what a build runs beside compiler and interpreter.
_OWN = (
    *("base-files", "base-passwd", "bash", "bzip2", "coreutils", "dash", "diffutils", "findutils", "grep", "gzip"),
    *(
        "hostname",
        "libc-bin",
        "make",
        "mawk",
        "patch",
        "perl-base",
        "pkg-config",
        "sed",
        "tar",
        "util-linux",
        "xz-utils",
    ),
)
# Of the emulated one; the compilers' run-time libraries, because a program that is run in a build needs them.
_EMULATED = ("python3", "python3-dev", "libc6-dev", "libstdc++6", "libgomp1", "libatomic1")
_COMPILERS = ("gcc", "g++", "gfortran", "cpp")
_TOOLS = (
    *_COMPILERS,
    *("addr2line", "ar", "as", "c++filt", "gcc-ar", "gcc-nm", "gcc-ranlib", "gcov", "ld", "ld.bfd", "ld.gold", "nm"),
    *("objcopy", "objdump", "ranlib", "readelf", "size", "strings", "strip"),
)
# What update-alternatives would have linked.
_ALTERNATIVES = {"cc": "gcc", "c++": "g++", "awk": "mawk", "f95": "gfortran", "f77": "gfortran"}
_UNAME = """#!/bin/sh
/usr/bin/uname.real "$@" | sed 's/{own}/{emulated}/g'
"""


def architectures(platform: Platform, emulated: Emulation | None) -> tuple[str, ...]:
    """Debian's names of the architectures of an image's packages; the first is apt's own."""
    wanted = DEBIAN_ARCHITECTURES[platform.arch]
    return (DEBIAN_ARCHITECTURES[this_machine()], wanted) if emulated is Emulation.HYBRID else (wanted,)


def assemble(
    making: Path, platform: Platform, emulated: Emulation, progress: Progress, *, compiler: Path | None = None
) -> None:
    """Make ``root/``, to build in, and ``apt/`` below *making*.

    compiler: a root of the same distribution that this machine runs by itself, to compile Python sources with; None:
        the new root does it, in emulation
    Raise ImageError, EmulationError, ToolMissingError.
    """
    emulation.need(platform.arch)
    packages = _hybrid(platform) if emulated is Emulation.HYBRID else (*_ESSENTIAL, *FOR_BUILDS, *FOR_USE)
    _assemble(making, _wanted(platform, emulated, packages), progress, compiler)


def assemble_bare(making: Path, platform: Platform, progress: Progress, *, compiler: Path | None = None) -> None:
    """The same, to try wheels in: what people have who use them, all of it of *platform*'s architecture."""
    _assemble(making, _wanted(platform, Emulation.FULL, (*_ESSENTIAL, *FOR_USE)), progress, compiler)


def link_compilers(root: Path, platform: Platform) -> None:
    """Give the cross compilers of a hybrid root, and what goes with them, their plain names."""
    programs = root / "usr/bin"
    for name in _TOOLS:
        cross = programs / f"{machines.multiarch(platform.arch)}-{name}"
        if cross.is_symlink() or cross.exists():
            _link(programs / name, cross.name)
    _link_alternatives(root)


def cross_package(package: str, platform: Platform) -> str:
    """The package of a hybrid root that takes the place of *package*: another for a compiler only."""
    if package not in _COMPILERS:
        return package
    return f"{package}-{machines.multiarch(platform.arch).replace('_', '-')}"


def _hybrid(platform: Platform) -> tuple[str, ...]:
    own, emulated = architectures(platform, Emulation.HYBRID)
    tools = (*_OWN, *(cross_package(name, platform) for name in ("gcc", "g++")))
    return (*(f"{name}:{own}" for name in tools), *(f"{name}:{emulated}" for name in _EMULATED))


def _wanted(platform: Platform, emulated: Emulation, packages: tuple[str, ...]) -> Wanted:
    return Wanted(platform=platform, architectures=architectures(platform, emulated), packages=packages, unpacked=True)


def _assemble(making: Path, wanted: Wanted, progress: Progress, compiler: Path | None) -> None:
    root, platform = making / "root", wanted.platform
    bootstrap.make(making, wanted, progress)
    progress("doing what the packages' scripts would", 0.5)
    try:
        dpkg_records.add(root, sorted((root / "var/cache/apt/archives").glob("*.deb")))
        _configure(root)
        if len(wanted.architectures) > 1:
            link_compilers(root, platform)
            _tell_machine(root, platform)
        bootstrap.tidy(root)
        linker.renew_cache(root)
        process.remove(root / "var/cache/ldconfig")
    except (ProcessError, OSError) as err:
        raise ImageError(f"the image {platform.view} could not be put together: {err}") from err
    progress("compiling the standard library", 0.6)
    folders = {f"/usr/lib/{path.name}": path for path in (root / "usr/lib").glob("python3*") if path.is_dir()}
    bytecode.compile_all(compiler or root, folders)


def _configure(root: Path) -> None:
    """What the scripts of the packages would do that a build or an import meets."""
    for name in ("passwd", "group"):
        if not (root / "etc" / name).exists():
            shutil.copyfile(root / f"usr/share/base-passwd/{name}.master", root / f"etc/{name}")
    certificates = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    if certificates and not bundle.exists():
        bundle.parent.mkdir(parents=True, exist_ok=True)
        bundle.write_bytes(b"".join(file.read_bytes() for file in certificates))
    bootstrap.leave_out(root)
    _link_alternatives(root)


def _link_alternatives(root: Path) -> None:
    for name, program in _ALTERNATIVES.items():
        path = root / "usr/bin" / name
        if (root / "usr/bin" / program).exists() and not path.is_symlink():
            path.symlink_to(program)


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)  # may be a hard link to another root's: never written into
    path.symlink_to(target)


def _tell_machine(root: Path, platform: Platform) -> None:
    """``configure`` asks ``uname`` what it builds on; the interpreter already knows."""
    uname = root / "usr/bin/uname"
    uname.rename(uname.with_name("uname.real"))
    uname.write_text(_UNAME.format(own=this_machine(), emulated=platform.arch), encoding="ascii")
    uname.chmod(0o755)
