"""Add an interpreter to an image: a second image beside it, for builds for another Python than the distribution's own.

Its files are the base's by hard links, so that neither needs the other afterwards, and the interpreter's, below
``/opt/python``. Whoever made that is not trusted with this machine: it runs in the sandbox only. The distribution's own
scripts keep the distribution's own interpreter.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from builder import bytecode, emulation, inspection, interpreters, process
from builder.bootstrap import Progress
from builder.images import build_variables, finding, identity, interpreter, making, tarball
from builder.images.record import Image, Interpreter, read, write
from builder.images.tree import tree_digest
from builder.images.turns import locked, unfinished
from schema.errors import ImageError
from schema.names import Sha256, sha256_of
from schema.platforms import Platform
from schema.printable import one_line

# Runs with the added interpreter; prints one JSON object. What is imported, Debian's own interpreter has, too.
_SCRIPT = """
import json, platform, subprocess, sys
lacking = {}
for name in ("bz2", "ctypes", "ensurepip", "hashlib", "lzma", "sqlite3", "ssl", "venv", "zlib"):
    try:
        __import__(name)
    except ImportError as error:
        lacking[name] = str(error)
if not lacking:
    subprocess.run([sys.executable, "-I", "-m", "venv", "/tmp/tried"], check=True, stdout=sys.stderr)
    subprocess.run(["/tmp/tried/bin/python", "-I", "-m", "pip", "--version"], check=True, stdout=sys.stderr)
print(json.dumps({"python": platform.python_version(), "lacking": lacking}))
"""


def add_python(
    folder: Path,
    platform: Platform,
    archive: Path,
    *,
    sha256: Sha256 | None = None,
    limits: tarball.Limits = tarball.LIMITS,
    progress: Progress,
) -> Image:
    """Make the image of *platform*, of its distribution's own image and the interpreter in the tarball *archive*.

    All of it or nothing; nothing at all where it is there, of the same tarball.
    sha256: of the tarball; None: any
    Raise ImageError, with what is wrong with it or the command that makes the base, EmulationError, NodeError.
    """
    if platform.has_own_python:
        title, view = platform.distribution.title, platform.view
        raise ImageError(f"{platform.python} is what {title} has itself", advice=f"wheelfarm image make {view}")
    emulation.need(platform.arch)
    found = sha256_of(archive)
    if sha256 not in {None, found}:
        raise ImageError(f"{archive.name} has the sha256 {found}, not {sha256}", advice="fetch it again")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, platform.image):
        if (folder / platform.image).exists():
            return _brought_up_to_date(folder, platform, found, progress)
        base = finding.find(folder, platform.view)
        with unfinished(folder, platform.image) as place:
            place.chmod(0o755)
            progress(f"unpacking {archive.name}", 0.0)
            digest = interpreter.take(archive, place / "python", platform, limits=limits, progress=progress)
            added = Interpreter(file=one_line(archive.name), sha256=digest, base=base.digest)
            _make(base, replace(base, name=platform.image, folder=place, interpreter=added), progress)
            place.rename(folder / platform.image)
    progress("done", 1.0)
    return finding.find(folder, platform.image)


def _brought_up_to_date(folder: Path, platform: Platform, wanted: Sha256, progress: Progress) -> Image:
    known = read(folder / platform.image)
    if known.interpreter is None or known.interpreter.sha256 != wanted:
        raise ImageError(
            f"there is an image {known.name} already, of another tarball", advice=f"remove {known.folder} first"
        )
    making.bring_up_to_date(known, progress)
    return finding.find(folder, platform.image)


def _make(base: Image, image: Image, progress: Progress) -> None:
    """Make the image of *base* and the interpreter in ``python`` in its folder."""
    progress(f"copying {base.name}", 0.3)
    _link(base.root, image.root)
    _put(image.folder / "python", image)
    if (base.folder / "apt").is_dir():
        process.run(["cp", "-a", "--", str(base.folder / "apt"), str(image.folder / "apt")])
    progress("compiling its library", 0.4)
    _correct(image)
    library = f"{interpreters.prefix(image.platform)}/lib/{interpreters.versioned(image.platform)}"
    bytecode.compile_apart(image.root, {library: image.root / library.lstrip("/")}, program=image.program)
    progress("trying it", 0.6)
    image = replace(image, python=_tried(image), digest=tree_digest(image.root))
    progress("installing the farm's own tools", 0.7)
    making.install_tools(image.tools, image)
    image.tools.chmod(0o755)
    progress("trying compiler and interpreter", 0.8)
    if problems := inspection.problems(image):
        raise ImageError(f"nothing can be built with the interpreter: {one_line('; '.join(problems))}")
    progress("making the root to try wheels in", 0.9)
    _make_bare(finding.bare(base), image)
    write(image)


def _make_bare(base: Image, image: Image) -> None:
    """The root to try wheels in: the base's, with the very interpreter of *image*."""
    bare = replace(
        base, name=image.name, folder=image.folder / "bare", python=image.python, interpreter=image.interpreter
    )
    bare.folder.mkdir(mode=0o755)
    _link(base.root, bare.root)
    _link(image.root / interpreters.prefix(image.platform).lstrip("/"), bare.folder / "python")
    _put(bare.folder / "python", bare)
    for shared in ("tools", "apt"):
        if (image.folder / shared).exists():
            (bare.folder / shared).symlink_to(Path("..", shared))
    _tried(bare)
    write(replace(bare, digest=tree_digest(bare.root)))


def _link(source: Path, target: Path) -> None:
    """Copy by hard links, which costs no space; nothing writes into a file of an image."""
    process.run(["cp", "-al", "--", str(source.resolve()), str(target)])


def _put(tree: Path, image: Image) -> None:
    """Move the interpreter to where it lies in *image*, whose base may be of others: no link of it is followed."""
    target = image.root / interpreters.prefix(image.platform).lstrip("/")
    for folder in (target.parent.parent, target.parent):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise ImageError(f"{folder.relative_to(image.root)} is no folder in {image.platform.view}")
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    if target.is_symlink() or target.exists():
        raise ImageError(f"{image.platform.view} has something in {target.relative_to(image.root)} already")
    tree.rename(target)


def _correct(image: Image) -> None:
    """Have the interpreter tell builds of this image's compiler, and of where it lies."""
    its, own = (
        build_variables.read(
            identity.said(image.root, image.platform, [program, "-I", "-c", build_variables.SCRIPT], image.variables)
        )
        for program in (image.program, interpreters.OWN)
    )
    prefix = interpreters.prefix(image.platform)
    library = f"lib/{interpreters.versioned(image.platform)}"
    build_variables.rewrite(image.root / prefix.lstrip("/"), library, prefix, its=its, own=own)


def _tried(image: Image) -> str:
    """The full version of the interpreter, which works in *image* with all that installers and builds need of it."""
    answer = identity.said(image.root, image.platform, [image.program, "-I", "-c", _SCRIPT], image.variables)
    try:
        told = json.loads(answer.splitlines()[-1])
        python, lacking = str(told["python"]), [f"{name} ({why})" for name, why in told["lacking"].items()]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as err:
        raise ImageError("what the interpreter says of itself makes no sense") from err
    if python.split(".")[:2] != [str(part) for part in image.platform.python_version]:
        raise ImageError(f"the interpreter is {one_line(python, limit=80)}, not {image.platform.python}")
    if lacking:
        raise ImageError(
            f"the interpreter does not work in {image.platform.view}, it lacks: {one_line(', '.join(lacking))}",
            advice=f"compile it on {image.platform.distribution.title} with the -dev packages of those, and no other"
            " libraries, or take one of python-build-standalone",
        )
    return python
