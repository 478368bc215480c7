"""Images: the root file systems that builds run in, made once by mmdebstrap and only read from then on.

An image is a folder ``<images>/<name>/`` with ``root/`` (the file system), ``tools/`` (our own tools for the image's
interpreter, outside the root so that no build requirement can shadow them), ``apt/`` (the package sources it was made
from, for later additions), ``image.json``, and ``bare/``: the image that wheels are tried in, with what people have who
use them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from builder import apt, assembling, emulation, inspection, process, stripping, toolbox
from builder.bootstrap import Progress, bootstrap
from schema.errors import ImageError, LimitExceededError
from schema.names import Sha256, sha256
from schema.platforms import Platform, this_machine
from schema.states import Emulation, FailureClass
from schema.wheels import elf, machines

# A lock that another process holds is looked at again and again, so that the wait can be cancelled.
_LOOK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image on disk.

    packages: Debian package → version; python: the full version of its interpreter
    added: (package, version, sha256 of its .deb) of what a derived image has beyond its base
    libraries: shared library, as programs ask for it at run time → the package that ships it; of those packages that
        the bare root has not
    emulation: how it was made where this machine does not run its architecture by itself; None where it does
    """

    name: str
    folder: Path
    digest: Sha256
    packages: dict[str, str]
    python: str
    added: tuple[tuple[str, str, str], ...] = ()
    libraries: dict[str, str] = field(default_factory=dict)
    emulation: Emulation | None = None

    @property
    def root(self) -> Path:
        """The root file system."""
        return self.folder / "root"

    @property
    def tools(self) -> Path:
        """Our tools for its interpreter; a derived image shares its base's."""
        return self.folder / "tools"

    @property
    def platform(self) -> Platform:
        """The platform of the image's own interpreter."""
        return Platform.of_image(self.name)

    @property
    def architectures(self) -> tuple[str, ...]:
        """Debian's names of its packages' architectures; the first is that of its compiler and shell."""
        return assembling.architectures(self.platform, self.emulation)

    @property
    def variables(self) -> dict[str, str]:
        """What programs in it must be told; nothing where this machine runs them by itself."""
        if self.emulation is None:
            return {}
        told = emulation.variables(self.platform.arch)
        if self.emulation is Emulation.HYBRID:
            # pkg-config is this machine's own, and would tell of its own architecture's libraries.
            libraries = machines.multiarch(self.platform.arch)
            told["PKG_CONFIG_LIBDIR"] = f"/usr/lib/{libraries}/pkgconfig:/usr/share/pkgconfig"
        return told


def find(folder: Path, name: str) -> Image:
    """The image of that name; raise ImageError with the command that makes it, or brings it up to date."""
    if not (folder / name / "image.json").is_file():
        raise ImageError(f"there is no image {name} in {folder}", advice=f"wheelfarm image make {name}")
    image = read(folder / name)
    if not toolbox.current(image.tools, image.platform):
        raise ImageError(
            f"the farm's own tools in the image {name} are of another version of the farm",
            advice=f"wheelfarm image make {name}",
        )
    if not _has_bare(image):
        raise ImageError(
            f"the image {name}, of an older version of the farm, has no root to try wheels in",
            advice=f"wheelfarm image make {name}",
        )
    return image


def bare(image: Image) -> Image:
    """The image that *image*'s wheels are tried in: the same suite and interpreter, no compilers, no -dev packages.

    image: no derived one
    """
    return read(image.folder / "bare")


def read(folder: Path) -> Image:
    """The image in *folder*, by its ``image.json``; raise ImageError if that is broken."""
    try:
        data = json.loads((folder / "image.json").read_text())
        return Image(
            name=data["name"],
            folder=folder,
            digest=sha256(data["digest"]),
            packages=dict(data["packages"]),
            python=data["python"],
            added=tuple(tuple(item) for item in data.get("added", ())),
            libraries=dict(data.get("libraries", {})),
            emulation=Emulation(data["emulation"]) if data.get("emulation") else None,
        )
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ImageError(
            f"the image in {folder} is broken: {err}", advice=f"remove {folder} and make it again"
        ) from err


def write(image: Image) -> None:
    """Leave the record of an image in its folder: from now on it counts."""
    record = asdict(image) | {"folder": None, "made_at": datetime.now(UTC).isoformat()}
    new = image.folder / ".image.json.new"
    new.write_text(json.dumps(record, indent=1, sort_keys=True))
    new.rename(image.folder / "image.json")


def installed(folder: Path) -> list[Image]:
    """Every image in *folder* that builds can have, by name."""
    if not folder.is_dir():
        return []
    found = []
    for entry in sorted(folder.iterdir()):
        # A broken image must not keep the others from being used.
        with contextlib.suppress(ImageError):
            if not entry.name.startswith(".") and (entry / "image.json").is_file():
                found.append(find(folder, entry.name))
    return found


def make(folder: Path, name: str, *, emulated: Emulation = Emulation.HYBRID, progress: Progress) -> Image:
    """Make the image, unless it is there already; all of it or nothing.

    emulated: how, where this machine does not run its architecture by itself
    Raise ImageError, EmulationError, ToolMissingError.
    """
    platform = Platform.of_image(name)
    how = None if emulation.is_native(platform.arch) else emulated
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, name):
        if (folder / name / "image.json").is_file():
            _bring_up_to_date(read(folder / name), progress)
            return find(folder, name)
        with unfinished(folder, name) as making:
            if how is None:
                bootstrap(making, platform, progress)
            else:
                assembling.assemble(making, platform, how, progress, compiler=_compiler(folder, platform))
            _check_machine(making / "root", platform)
            progress("installing the farm's own tools", 0.80)
            toolbox.install(making / "tools", _compiler(folder, platform) or making / "root", platform)
            progress("taking the digest", 0.90)
            image = _of(name, making, how)
            progress("making the root to try wheels in", 0.95)
            _make_bare(image)
            making.chmod(0o755)
            making.rename(folder / name)
    progress("done", 1.0)
    return find(folder, name)


def _compiler(folder: Path, platform: Platform) -> Path | None:
    """The root of this machine's own image of the same distribution, where there is one that is whole."""
    native = folder / f"{platform.distribution.name}-{this_machine()}"
    return native / "root" if (native / "image.json").is_file() and native.name != platform.view else None


def _of(name: str, folder: Path, how: Emulation | None) -> Image:
    """The image of a finished root in *folder*."""
    root = folder / "root"
    packages = apt.installed(root, assembling.architectures(Platform.of_image(name), how))
    return Image(
        name=name,
        folder=folder,
        digest=tree_digest(root),
        packages=packages,
        python=_python(root, packages),
        emulation=how,
    )


def _check_machine(root: Path, platform: Platform) -> None:
    """An archive may be for other machines than its name says: Debian's armhf needs ARMv7, Raspbian's does not."""
    python = (root / "usr/bin/python3").resolve()
    if not python.is_relative_to(root.resolve()):
        raise ImageError(f"the image {platform.view} has no python3 of its own")
    try:
        with python.open("rb") as file:
            found = list(machines.faults(elf.read(file), platform.arch))
    except (OSError, ValueError) as err:
        raise ImageError(f"the interpreter of the image {platform.view} cannot be read: {err}") from err
    if found:
        raise ImageError(
            f"what was made is no image of {platform.view}: its interpreter {found[0]}",
            advice="make it where the package sources are those of " + platform.distribution.title,
        )


def _has_bare(image: Image) -> bool:
    return (image.folder / "bare" / "image.json").is_file()


def _make_bare(image: Image) -> None:
    """Make the image's bare root, and record the image with the libraries that that lacks."""
    with unfinished(image.folder, "bare") as making:
        if image.emulation is None:
            stripping.strip(making / "root", image.root, image.folder / "apt", image.platform)
        else:
            compiler = _compiler(image.folder.parent, image.platform)
            assembling.assemble_bare(making, image.platform, lambda *_: None, compiler=compiler)
            process.remove(making / "apt")
        for shared in ("tools", "apt"):
            (making / shared).symlink_to(Path("..", shared))
        bare = _of(image.name, making, None if image.emulation is None else Emulation.FULL)
        write(bare)
        lacking = image.packages.keys() - bare.packages.keys()
        write(replace(image, libraries=stripping.libraries(image.root, lacking)))
        making.chmod(0o755)
        making.rename(image.folder / "bare")


def _bring_up_to_date(image: Image, progress: Progress) -> None:
    """Give an image of an older farm what this one's have; builds that run keep what they have until they end."""
    if not _has_bare(image):
        progress("making the root to try wheels in", 0.0)
        _make_bare(image)
    if not toolbox.current(image.tools, image.platform):
        _renew_tools(image, progress)


def _renew_tools(image: Image, progress: Progress) -> None:
    progress("installing the farm's own tools", 0.5)
    new, old = image.folder / ".new-tools", image.folder / ".old-tools"
    process.remove(new)
    process.remove(old)
    new.mkdir()
    toolbox.install(new, _compiler(image.folder.parent, image.platform) or image.root, image.platform)
    new.chmod(0o755)
    with contextlib.suppress(FileNotFoundError):  # who did this before may have been killed here
        image.tools.rename(old)
    new.rename(image.tools)
    process.remove(old)


def check(image: Image) -> list[str]:
    """What is wrong with an image, as sentences; empty if it is as it was made, builds, and is of its platform."""
    found = inspection.problems(image.root, image.tools, image.platform, image.python)
    # A derived image's digest is that of its base and of its packages, not of its files.
    if not image.added and tree_digest(image.root) != image.digest:
        found.append(f"its files are not those it was made of: remove {image.folder} and make it again")
    if _has_bare(image) and tree_digest(bare(image).root) != bare(image).digest:
        found.append(f"the root that wheels are tried in was changed: remove {image.folder / 'bare'} and make it again")
    return found


@contextlib.contextmanager
def locked(folder: Path, name: str, *, cancelled: threading.Event | None = None) -> Iterator[None]:
    """Only one process at a time makes what *name* stands for; others wait and then find it.

    Raise LimitExceededError (CANCELLED) if *cancelled* is set while it waits.
    """
    with (folder / f".{name}.lock").open("w") as file:
        while cancelled is not None:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if cancelled.wait(_LOOK_AGAIN_S):
                raise LimitExceededError("cancelled", failure_class=FailureClass.CANCELLED)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def unfinished(folder: Path, name: str) -> Iterator[Path]:
    """A folder to make something in; what is not renamed away by the end is removed, also after a crash."""
    making = folder / f".making-{name}"
    process.remove(making)
    making.mkdir()
    try:
        yield making
    finally:
        process.remove(making)


def tree_digest(root: Path) -> Sha256:
    """A digest of every path below *root* with its type, mode and content."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted((*folders, *files)):
            path = Path(folder, name)
            status = path.lstat()
            digest.update(
                f"{path.relative_to(root)}\0{stat.S_IMODE(status.st_mode):o}\0".encode(errors="surrogateescape")
            )
            if stat.S_ISLNK(status.st_mode):
                digest.update(b"l" + os.fsencode(path.readlink()))
            elif stat.S_ISREG(status.st_mode):
                with path.open("rb") as file:
                    digest.update(b"f" + hashlib.file_digest(file, "sha256").digest())
            digest.update(b"\n")
    return Sha256(digest.hexdigest())


def _python(root: Path, packages: dict[str, str]) -> str:
    """The full version of the image's ``python3``, such as 3.11.2, as its package says."""
    interpreter = (root / "usr/bin/python3").readlink().name
    try:
        version = packages[f"{interpreter}-minimal"]
    except KeyError:
        raise ImageError(f"the image has no {interpreter}") from None
    return version.split("-")[0].split("~")[0].split("+")[0]
