"""Debian packages for an image: where they come from, and fetching them without touching this machine's own apt."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from builder import process
from schema.errors import ImageError, JobError
from schema.states import FailureClass

_MACHINE = Path("/etc/apt")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}")
_STALE_S = 86_400.0


def keep_sources(folder: Path, suite: str) -> Path | None:
    """Copy this machine's own sources of *suite* below *folder*; None if it has none (another distribution)."""
    stanzas = [*_deb822(suite), *_one_line(suite)]
    if not stanzas:
        return None
    kept = folder / "sources.list.d" / "image.sources"
    kept.parent.mkdir(parents=True)
    kept.write_text("\n\n".join(stanzas) + "\n")
    return kept


def keep_sources_of(folder: Path, root: Path) -> None:
    """Copy the sources that a finished root itself names."""
    kept = folder / "sources.list.d"
    kept.mkdir(parents=True, exist_ok=True)
    if (root / "etc/apt/sources.list").is_file():
        shutil.copyfile(root / "etc/apt/sources.list", kept / "image.list")
    for file in (root / "etc/apt/sources.list.d").glob("*"):
        shutil.copyfile(file, kept / file.name)


def installed(root: Path) -> dict[str, str]:
    """Package → version, from the root's own dpkg."""
    said = process.run(
        ["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}", "--show", "--showformat=${Package}\t${Version}\n"]
    )
    return dict(sorted(line.split("\t", 1) for line in said.splitlines() if "\t" in line))


def check_names(packages: Iterable[str]) -> list[str]:
    """The packages, sorted; raise JobError for what is no name of a Debian package (policy 5.6.1)."""
    for name in packages:
        if not _PACKAGE.fullmatch(name):
            raise JobError(f"not a Debian package: {name!r}; mend the recipe", failure_class=FailureClass.REQUIREMENT)
    return sorted(set(packages))


def fetch(apt_folder: Path, root: Path, architecture: str, packages: Sequence[str]) -> list[Path]:
    """The .deb files of *packages* and of all they need beyond *root*; apt has verified each against the archive.

    Raise JobError for a package that does not exist, ImageError if the archive cannot be reached.
    """
    options = _options(apt_folder, root, architecture)
    archives = apt_folder / "cache" / "archives"
    stamp = apt_folder / "updated"
    if not stamp.exists() or time.time() - stamp.stat().st_mtime > _STALE_S:
        _update(options, stamp)
    shutil.rmtree(archives, ignore_errors=True)
    archives.mkdir(parents=True)
    argv = ["apt-get", *options, "install", "--yes", "--download-only", "--no-install-recommends", "--", *packages]
    try:
        process.run(argv, timeout_s=1800)
    except process.ProcessError as err:
        if unknown := re.search(
            r"Unable to locate package (\S+)|Package '(\S+)' has no installation candidate", err.output
        ):
            name = unknown[1] or unknown[2]
            raise JobError(
                f"the image's distribution has no package {name}; mend the recipe",
                failure_class=FailureClass.REQUIREMENT,
            ) from err
        _update(options, stamp)
        _retry(argv)
    return sorted(archives.glob("*.deb"))


def identity(deb: Path) -> tuple[str, str]:
    """Name and version of a .deb file."""
    said = process.run(["dpkg-deb", "--show", "--showformat=${Package}\t${Version}", str(deb)])
    name, version = said.strip().split("\t")
    return name, version


def _retry(argv: Sequence[str]) -> None:
    try:
        process.run(argv, timeout_s=1800)
    except process.ProcessError as err:
        raise ImageError(f"Debian packages could not be fetched: {err}") from err


def _update(options: Sequence[str], stamp: Path) -> None:
    try:
        process.run(["apt-get", *options, "update"], timeout_s=600)
    except process.ProcessError as err:
        raise ImageError(f"the package lists could not be fetched: {err}") from err
    stamp.touch()


def _options(folder: Path, root: Path, architecture: str) -> list[str]:
    for name in ("state/lists/partial", "cache/archives/partial", "empty"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": folder / "sources.list.d",
        "Dir::Etc::preferencesparts": folder / "empty",
        "Dir::State": folder / "state",
        "Dir::State::status": root / "var/lib/dpkg/status",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _is_of(suites: Iterable[str], suite: str) -> bool:
    return bool(set(suites) & {suite, f"{suite}-updates", f"{suite}-security"})


def _deb822(suite: str) -> list[str]:
    files = sorted((_MACHINE / "sources.list.d").glob("*.sources"))
    stanzas = [stanza.strip() for file in files for stanza in re.split(r"\n\s*\n", file.read_text())]
    return [
        stanza for stanza in stanzas if _is_of(_field(stanza, "Suites"), suite) and "deb" in _field(stanza, "Types")
    ]


def _field(stanza: str, name: str) -> list[str]:
    found = re.search(rf"^{name}:(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE | re.IGNORECASE)
    return found[1].split() if found else []


def _one_line(suite: str) -> list[str]:
    files = [_MACHINE / "sources.list", *sorted((_MACHINE / "sources.list.d").glob("*.list"))]
    lines = [line for file in files if file.is_file() for line in file.read_text().splitlines()]
    entry = re.compile(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)")
    found = (entry.fullmatch(line.split("#")[0].strip()) for line in lines)
    return [
        f"Types: deb\nURIs: {match[1]}\nSuites: {match[2]}\nComponents: {match[3]}"
        for match in found
        if match and _is_of([match[2]], suite)
    ]
