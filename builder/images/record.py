"""What is known of an image: its record, ``image.json`` in its folder, without which it does not count."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from builder import assembling, emulation, interpreters
from schema.errors import ImageError
from schema.names import Sha256, sha256
from schema.platforms import Platform
from schema.states import Emulation
from schema.wheels import machines


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The tarball that an imported image is of; file: its name."""

    file: str
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """Where an interpreter is from that the distribution has not.

    file: the name of its tarball; base: the digest of the image that it was added to
    """

    file: str
    sha256: Sha256
    base: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image on disk.

    packages: the distribution's package → version; python: the full version of its interpreter
    added: (package, version, sha256 of its .deb) of what a derived image has beyond its base
    libraries: shared library, as programs ask for it at run time → the package that ships it; of those packages that
        the bare root has not
    emulation: how it was made where this machine does not run its architecture by itself; None where it does
    origin: where it came from; None for one that was made here. Nobody of ours vouches for what was imported: this
        machine's own programs never touch its files
    interpreter: the one that was added; None where it is the distribution's own
    """

    name: str
    folder: Path
    digest: Sha256
    packages: dict[str, str]
    python: str
    added: tuple[tuple[str, str, str], ...] = ()
    libraries: dict[str, str] = field(default_factory=dict)
    emulation: Emulation | None = None
    origin: Origin | None = None
    interpreter: Interpreter | None = None

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
        """The platform of the image's interpreter."""
        return Platform.of_image(self.name)

    @property
    def program(self) -> str:
        """Where its interpreter lies inside."""
        return interpreters.program(self.platform)

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
            origin=_origin(data.get("origin")),
            interpreter=_interpreter(data.get("interpreter")),
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


def _origin(data: dict[str, str] | None) -> Origin | None:
    return None if data is None else Origin(file=data["file"], sha256=sha256(data["sha256"]))


def _interpreter(data: dict[str, str] | None) -> Interpreter | None:
    if data is None:
        return None
    return Interpreter(file=data["file"], sha256=sha256(data["sha256"]), base=sha256(data["base"]))
