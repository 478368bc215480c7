"""Where things lie in a wheel: one ``.dist-info``, at most one ``.data``, and what must not be in either."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import PurePosixPath

from packaging.utils import InvalidName, NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from schema.wheels.finding import Finding, broken

SBOM_MAX_BYTES = 8 * 2**20
_MAX_SBOMS = 32
ENTRY_POINTS_MAX_BYTES = 2**20

_DATA_KEYS = frozenset({"purelib", "platlib", "headers", "scripts", "data"})
_REQUIRED = ("METADATA", "WHEEL", "RECORD")

# Signatures that nobody may add (PEP 815), and files that only an installer writes: one in a wheel is a forgery.
_FORBIDDEN = ("RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json")

_SCRIPT_GROUPS = ("console_scripts", "gui_scripts")
_INTERPRETER = re.compile(r"(python|pythonw|pypy)[0-9.]*")
_PIP = re.compile(r"pip[0-9.]*")
_SBOM_MARKS = (b"cyclonedx", b"spdx")


def dist_info(names: Collection[str]) -> str:
    """The name of the wheel's ``.dist-info`` folder; raise WheelRejectedError (A-02) unless there is exactly one."""
    folders = _top_folders(names, ".dist-info")
    if len(folders) != 1:
        raise broken("A-02", f"the wheel has {len(folders)} .dist-info folders ({', '.join(folders)[:200]}), not one")
    return folders[0]


def data_folder(names: Collection[str]) -> str | None:
    """The name of the wheel's ``.data`` folder, if it has one; raise WheelRejectedError (A-02) if it has several."""
    folders = _top_folders(names, ".data")
    if len(folders) > 1:
        raise broken("A-02", f"the wheel has {len(folders)} .data folders ({', '.join(folders)[:200]})")
    return folders[0] if folders else None


def means(folder: str, project: NormalizedName, version: Version) -> bool:
    """Whether ``Name-Version.dist-info`` or ``.data`` is that project's, in whichever spelling."""
    name, _, number = folder.rpartition(".")[0].rpartition("-")
    try:
        return canonicalize_name(name, validate=True) == project and Version(number) == version
    except (InvalidName, InvalidVersion, ValueError):
        return False


def stem(project: NormalizedName, version: Version) -> str:
    """How names of files and folders spell a project and its version (A-01): ``zope_interface-5.0``."""
    return f"{project.replace('-', '_')}-{version}"


def is_bytecode(name: str) -> bool:
    """Whether a file is compiled Python, which installers make themselves."""
    return name.endswith((".pyc", ".pyo"))


def is_startup_file(name: str) -> bool:
    """Whether a file is installed where Python obeys it at each start: a ``.pth`` at the top (T12)."""
    folder, _, rest = name.rpartition("/")
    top = not folder or folder.endswith((".data/purelib", ".data/platlib"))
    return rest.endswith(".pth") and top


def findings(names: Collection[str], project: NormalizedName, version: Version) -> Iterator[Finding]:
    """What lies where it should not; *names* has exactly one ``.dist-info``."""
    info = dist_info(names)
    if info != f"{stem(project, version)}.dist-info":
        yield Finding(rule="A-02", text=f"the folder is {info!r}, not '{stem(project, version)}.dist-info'")
    for required in _REQUIRED:
        if f"{info}/{required}" not in names:
            yield Finding(rule="A-02", text=f"{info}/{required} is missing")
    for forbidden in _FORBIDDEN:
        if any(name.lower() == f"{info}/{forbidden}".lower() for name in names):
            yield Finding(rule="A-10", text=f"{info}/{forbidden} must not be in a wheel")
    yield from _data_findings(names, f"{stem(project, version)}.data")
    yield from _script_findings(names, project)
    for name in sorted(filter(is_bytecode, names)):
        yield Finding(rule="A-16", text=f"{name!r} is bytecode; installers make their own")


def sbom_findings(names: Collection[str], read: Callable[[str], bytes]) -> Iterator[Finding]:
    """Each file in ``.dist-info/sboms`` that is no SBOM document (A-09, PEP 770)."""
    folder = f"{dist_info(names)}/sboms/"
    found = sorted(name for name in names if name.startswith(folder))
    if len(found) > _MAX_SBOMS:
        yield Finding(rule="A-09", text=f"{folder} holds {len(found)} files; at most {_MAX_SBOMS} are looked at")
    for name in found[:_MAX_SBOMS]:
        if not _is_sbom(name, read(name)):
            yield Finding(rule="A-09", text=f"{name!r} is neither a CycloneDX nor an SPDX document")


def entry_point_findings(data: bytes, project: NormalizedName) -> Iterator[Finding]:
    """Entry points that would become scripts outside their folder, or hide an interpreter (A-16)."""
    try:
        scripts = _script_names(data.decode("utf-8"))
    except UnicodeDecodeError:
        yield Finding(rule="A-16", text="entry_points.txt is not UTF-8")
        return
    for name in scripts:
        if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable():
            yield Finding(rule="A-16", text=f"the entry point {name!r} is no plain file name")
        elif _hides(name, project):
            yield Finding(rule="A-16", text=f"the entry point {name!r} would hide that program")


def _script_names(text: str) -> Iterator[str]:
    """Read line by line as importlib.metadata does, which is what pip goes by."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif line and not line.startswith("#") and group in _SCRIPT_GROUPS:
            yield line.partition("=")[0].strip()


def _top_folders(names: Collection[str], suffix: str) -> list[str]:
    """Compared without regard to case: a second ``.Dist-Info`` is only there to mislead."""
    folders = {name.partition("/")[0] for name in names if "/" in name}
    return sorted(folder for folder in folders if folder.lower().endswith(suffix))


def _data_findings(names: Collection[str], wanted: str) -> Iterator[Finding]:
    for folder in _top_folders(names, ".data"):
        if folder != wanted:
            yield Finding(rule="A-02", text=f"the folder is {folder!r}, not {wanted!r}")
        keys = {PurePosixPath(name).parts[1] for name in names if name.startswith(f"{folder}/")}
        for key in sorted(keys - _DATA_KEYS):
            yield Finding(rule="A-02", text=f"{folder}/{key} is none of {', '.join(sorted(_DATA_KEYS))}")


def _script_findings(names: Collection[str], project: NormalizedName) -> Iterator[Finding]:
    for folder in _top_folders(names, ".data"):
        prefix = f"{folder}/scripts/"
        for name in sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix)):
            if "/" in name:
                yield Finding(rule="A-16", text=f"the script {name!r} lies in a folder of its own")
            elif _hides(name, project):
                yield Finding(rule="A-16", text=f"the script {name!r} would hide that program")


def _hides(name: str, project: NormalizedName) -> bool:
    return bool(_INTERPRETER.fullmatch(name) or (_PIP.fullmatch(name) and project != "pip"))


def _is_sbom(name: str, data: bytes) -> bool:
    if not name.endswith(".json"):
        return any(mark in data[:4096].lower() for mark in _SBOM_MARKS)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(document, dict):
        return False
    return (
        document.get("bomFormat") == "CycloneDX" or "spdxVersion" in document or "spdx" in str(document.get("@context"))
    )
