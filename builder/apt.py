"""Debian packages for an image, fetched without touching this machine's own apt."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from builder import process
from builder.process import ProcessError
from schema.errors import ImageError, PackagesError

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}")
_UNKNOWN = re.compile(
    r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate"
    r"|Couldn't find any package by \S+ '(\S+)'"
)
_TOGETHER = re.compile(
    r"unmet dependencies|Unable to correct problems|Unable to satisfy dependencies|remove is disabled"
)
# As --print-uris has it: the URI in quotes, the file's name, its size.
_URI = re.compile(r"^'[^'\n]*' \S+ (\d+)", re.MULTILINE)
_STALE_S = 86_400.0
# Multi-Arch of what serves packages of every architecture, so that it is there once, of whichever.
_WHICHEVER = ("foreign", "allowed")
# This machine's hooks belong to this machine's apt; its proxies and mirrors' passwords hold here too.
_SETTINGS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
APT::Architecture "{architecture}";
APT::Architectures {{ {architectures} }};
APT::Default-Release "";
APT::Cmd::Pattern-Only "true";
APT::Get::AllowUnauthenticated "false";
APT::AutoRemove::RecommendsImportant "false";
APT::AutoRemove::SuggestsImportant "false";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "true";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "{folder}/sources.list.d";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "{folder}/empty";
Dir::State "{folder}/state";
Dir::State::Status "{root}/var/lib/dpkg/status";
Dir::State::extended_states "{root}/var/lib/apt/extended_states";
Dir::Cache "{folder}/cache";
"""
# Targets of our own, so that sources without deb-src do, and nothing else is fetched. Ubuntu has one Contents for all
# components.
_INDEXES = """\
Acquire::IndexTargets::deb::Packages::KeepCompressed "true";
Acquire::IndexTargets::deb::Translations::DefaultEnabled "false";
Acquire::IndexTargets::deb::contents {
  MetaKey "$(COMPONENT)/Contents-$(ARCHITECTURE)";
  ShortDescription "Contents-$(ARCHITECTURE)";
  Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Contents";
  Optional "true";
  KeepCompressed "true";
};
Acquire::IndexTargets::deb::contents-of-all {
  MetaKey "Contents-$(ARCHITECTURE)";
  ShortDescription "Contents-$(ARCHITECTURE)";
  Description "$(RELEASE) $(ARCHITECTURE) Contents";
  Identifier "contents";
  Fallback-Of "contents";
  Optional "true";
  KeepCompressed "true";
};
Acquire::IndexTargets::deb::sources {
  MetaKey "$(COMPONENT)/source/Sources";
  ShortDescription "Sources";
  Description "$(RELEASE)/$(COMPONENT) Sources";
  Optional "true";
  KeepCompressed "true";
};
"""


def installed(root: Path, architectures: Sequence[str]) -> dict[str, str]:
    """Package → version, from the root's own dpkg.

    architectures: as in ``fetch``; of several, the last is what is built for: what is there for it, or for whichever
    """
    show = "${Package}\\t${Version}\\t${Architecture}\\t${Multi-Arch}\\n"
    said = process.run(["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}", "--show", f"--showformat={show}"])
    rows = (line.split("\t") for line in sorted(said.splitlines()) if line.count("\t") == 3)  # noqa: PLR2004 - as asked
    return {
        package: version
        for package, version, architecture, multi in rows
        if architecture in {architectures[-1], "all"} or multi in _WHICHEVER
    }


def is_name(name: str) -> bool:
    """Whether *name* can be that of a Debian package (policy 5.6.1), and means no more than that to apt."""
    # apt reads a last "-" as "remove it".
    return _PACKAGE.fullmatch(name) is not None and not name.endswith("-")


def check_names(packages: Iterable[str]) -> list[str]:
    """The packages, sorted; raise PackagesError for what is no name of a Debian package (policy 5.6.1)."""
    for name in packages:
        if not is_name(name):
            raise PackagesError(f"not a Debian package: {name!r}; mend the recipe")
    return sorted(set(packages))


def fetch(
    folder: Path, root: Path, architectures: Sequence[str], packages: Sequence[str], *, cancelled: threading.Event
) -> list[Path]:
    """The .deb files of *packages* and of all they need beyond *root*; apt has verified each against the archive.

    folder: the image's ``apt/``, which all of it happens in
    architectures: Debian's names; the first is that of a package that is named without one
    Raise PackagesError for a package that does not exist, or for packages that exclude each other; ImageError if the
    archive cannot be reached.
    """
    _install("--download-only", folder, root, architectures, packages, cancelled=cancelled)
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def download_bytes(
    folder: Path, root: Path, architectures: Sequence[str], packages: Sequence[str], *, cancelled: threading.Event
) -> int:
    """How much ``fetch`` would download, as the archive's lists say; arguments and errors are the same."""
    said = _install("--print-uris", folder, root, architectures, packages, cancelled=cancelled)
    return sum(map(int, _URI.findall(said)))


def fetch_indexes(
    folder: Path, root: Path, architectures: Sequence[str], suite: str, *, sources: Path, cancelled: threading.Event
) -> dict[str, list[Path]]:
    """The suite's ``contents``, ``sources`` and ``packages``, which apt has verified → files for ``cat_file``.

    folder: a scratch folder, which all of it happens in; sources: the image's ``apt/``
    Raise ImageError if the archive cannot be reached, has no such indexes of *suite*, or once *cancelled* is set.
    """
    shutil.copytree(sources / "sources.list.d", folder / "sources.list.d")
    settings = _settings(folder, root, architectures, more=_INDEXES)
    unreached = _update(settings, folder / "updated", cancelled)
    said = process.run(["apt-get", *settings, "indextargets", "--format", "$(IDENTIFIER) $(RELEASE) $(FILENAME)"])
    found: dict[str, list[Path]] = {"contents": [], "sources": [], "packages": []}
    whole = set()
    for line in said.splitlines():
        kind, release, file = [*line.split(" ", 2), "", ""][:3]
        kind = kind.lower()
        if kind in found and Path(file).is_file():
            found[kind].append(Path(file))
            if release == suite:
                whole.add(kind)
    # Updates without the suite itself would make an index that knows next to nothing.
    if missing := [kind.title() for kind in found if kind not in whole]:
        raise ImageError(
            f"the image's package sources gave no {' and no '.join(missing)} of {suite}"
            + (f": {unreached}" if unreached else "")
        )
    return found


def cat_file(file: Path) -> list[str]:
    """The command that prints an index, however apt has compressed it."""
    return ["/usr/lib/apt/apt-helper", "cat-file", str(file)]


def removable(folder: Path, root: Path, architectures: Sequence[str], packages: Sequence[str]) -> list[str]:
    """*packages* and what only came to *root* with them; *folder* as in ``fetch``. Raise ProcessError."""
    settings = _settings(folder, root, architectures)
    said = process.run(["apt-get", *settings, "--simulate", "--yes", "--purge", "autoremove", "--", *packages])
    return re.findall(r"^Purg ([^ :]+)", said, re.MULTILINE)


def identity(deb: Path) -> tuple[str, str]:
    """Name and version of a .deb file."""
    said = process.run(["dpkg-deb", "--show", "--showformat=${Package}\t${Version}", str(deb)])
    name, version = said.strip().split("\t")
    return name, version


def _install(
    how: str,
    folder: Path,
    root: Path,
    architectures: Sequence[str],
    packages: Sequence[str],
    *,
    cancelled: threading.Event,
) -> str:
    """What apt says; lists that are old are fetched anew, and so are those that name what cannot be had."""
    archives, stamp = folder / "cache" / "archives", folder / "updated"
    settings = _settings(folder, root, architectures)
    argv = ["apt-get", *settings, "--yes", how, "--no-install-recommends", "--no-remove", "install", "--"]
    is_stale = not stamp.exists() or time.time() - stamp.stat().st_mtime > _STALE_S
    unreached = _update(settings, stamp, cancelled) if is_stale else ""
    process.remove(archives)
    (archives / "partial").mkdir(parents=True)
    try:
        return process.run([*argv, *_named(settings, architectures, packages)], timeout_s=1800, cancelled=cancelled)
    except ProcessError as err:
        _refuse_unknown(err, unreached)
    # What the lists name may have been replaced in the archive since.
    unreached = _update(settings, stamp, cancelled)
    try:
        return process.run([*argv, *_named(settings, architectures, packages)], timeout_s=1800, cancelled=cancelled)
    except ProcessError as err:
        _refuse_unknown(err, unreached)
        raise ImageError(f"Debian packages could not be fetched: {err}") from err


def _named(settings: Sequence[str], architectures: Sequence[str], packages: Sequence[str]) -> list[str]:
    """*packages* as apt is to be asked for them: of several architectures, each that has to be of the last with it.

    What serves every architecture (a tool, documentation) is taken of apt's own, which runs without emulation.
    """
    if len(architectures) == 1:
        return list(packages)
    whichever = set()
    for package in packages:
        # One that apt's own architecture has not may still be there for the other; if not, the installation says so.
        with contextlib.suppress(ProcessError):
            stanza = process.run(["apt-cache", *settings, "show", "--no-all-versions", "--", package])
            if re.search(rf"^(Architecture: all|Multi-Arch: ({'|'.join(_WHICHEVER)}))$", stanza, re.MULTILINE):
                whichever.add(package)
    return [item if item in whichever or ":" in item else f"{item}:{architectures[-1]}" for item in packages]


def _refuse_unknown(err: ProcessError, unreached: str) -> None:
    """Raise PackagesError where there is none of a name, or none beside the others; ImageError if nobody can know."""
    if _TOGETHER.search(err.output) and not unreached:
        raise PackagesError("these Debian packages cannot be installed together; mend the recipe") from err
    if unknown := _UNKNOWN.search(err.output):
        if unreached:
            raise ImageError(f"the package lists could not be fetched: {unreached}") from err
        name = next(filter(None, unknown.groups()))
        raise PackagesError(f"the image's distribution has no package {name}; mend the recipe") from err


def _update(settings: Sequence[str], stamp: Path, cancelled: threading.Event) -> str:
    """Fetch the lists; the first that could not be fetched, in apt's words, which goes on without it; "" for none."""
    try:
        said = process.run(["apt-get", *settings, "update"], timeout_s=600, cancelled=cancelled)
    except ProcessError as err:
        reasons = [line.removeprefix("E: ") for line in err.output.splitlines() if line.startswith("E: ")]
        raise ImageError(f"the package lists could not be fetched: {reasons[0] if reasons else err}") from err
    unreached = [line.removeprefix("W: ") for line in said.splitlines() if line.startswith("W: Failed to fetch")]
    if unreached:
        return unreached[0]
    stamp.touch()
    return ""


def _settings(folder: Path, root: Path, architectures: Sequence[str], *, more: str = "") -> list[str]:
    """Options that turn apt from this machine to the image; a file, because only there can lists be cleared."""
    for name in ("state/lists/partial", "cache/archives/partial", "empty"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    file = folder / "apt.conf"
    all_of_them = " ".join(f'"{item}";' for item in architectures)
    text = _SETTINGS.format(folder=folder, root=root, architecture=architectures[0], architectures=all_of_them)
    file.write_text(text + more, encoding="utf-8")
    return ["-c", str(file)]
