"""A folder of wheels for people to install from: which of them have no portable tag, or one that is not true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from packaging.tags import Tag

from master import allowed_tags
from master.allowed_tags import Allowed
from schema.errors import UsageError, WheelRejectedError
from schema.wheels import archive, filename, layout, platform_tag, tag_findings, wheelfile
from schema.wheels.archive import WheelArchive
from schema.wheels.binaries import Binary, Compiled
from schema.wheels.contents import look_at
from schema.wheels.filename import WheelName
from schema.wheels.finding import Finding, broken
from schema.wheels.platform_tag import Fit


class Status(StrEnum):
    """How a wheel stands, from the best to the worst."""

    PORTABLE = "portable"
    ALLOWED = "allowed"
    NOT_PORTABLE = "not-portable"
    UNTRUE = "untrue"
    UNREADABLE = "unreadable"


FINE = (Status.PORTABLE, Status.ALLOWED)
_ORDER = tuple(Status)
_AGAIN = "get or build it again"
_NAME = "build it again, or give it back the name that it was built with"
_FOREIGN = "`auditwheel repair` and `wheel tags` make portable tags; or allow the tag by naming it after the folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a wheel, and what to do about it."""

    status: Status
    text: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One wheel.

    status: the worst of its faults; platforms: the platform tags of its name
    requirement: ``name==version``, empty if the name cannot be read
    fits: how its compiled files stand to each manylinux policy; empty if there are none, or no policy
    glibc: the newest that they ask for, such as ``2.34``, or empty
    """

    file: str
    status: Status
    requirement: str = ""
    platforms: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    fits: tuple[Fit, ...] = ()
    glibc: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        keeps, repaired = platform_tag.kept(self.fits), platform_tag.kept(self.fits, repaired=True)
        return {
            "file": self.file,
            "status": self.status,
            "requirement": self.requirement,
            "platforms": list(self.platforms),
            "glibc": self.glibc,
            "keeps": keeps.tag if keeps else "",
            "after_repair": repaired.tag if repaired else "",
            "policies": [
                {"tag": fit.tag, "libraries": list(fit.libraries), "symbols": list(fit.symbols)} for fit in self.fits
            ],
            "faults": [{"status": item.status, "text": item.text, "advice": item.advice} for item in self.faults],
        }


def wheels(folder: Path) -> list[Path]:
    """What pip would find in *folder*: the wheels in it, not those in folders inside it; raise UsageError for none."""
    try:
        found = sorted(path for path in folder.iterdir() if path.name.endswith(".whl"))
    except OSError as err:
        raise UsageError(f"{folder}: cannot be read: {err.strerror}") from err
    if not found:
        raise UsageError(
            f"{folder}: no wheel is in it", advice="is it the right folder? Folders inside it are not searched"
        )
    return found


def allowed(texts: Sequence[str], files: Iterable[Path]) -> Allowed:
    """What *texts* allow in a folder that has *files*; raise UsageError for a text that makes no sense there."""
    return allowed_tags.parse(texts, present={tag for path in files for tag in _platforms(path)})


def judge(path: Path, rules: Allowed, *, elsewhere: Sequence[str] = ()) -> Judged:
    """Whether the tags of the wheel at *path* are portable or allowed, and true; safe on any bytes.

    elsewhere: names, or patterns of names, of libraries that something else brings
    """
    try:
        name = filename.parse(path.name)
    except WheelRejectedError as err:
        return _unreadable(path, str(err), _NAME)
    try:
        return _judge(path, name, rules, elsewhere)
    except WheelRejectedError as err:
        return _unreadable(path, str(err), _AGAIN)
    except OSError as err:
        return _unreadable(path, f"cannot be read: {err.strerror}", _AGAIN)


def summary(found: Sequence[Judged]) -> str:
    """One line with the number of wheels of each status."""
    counts = Counter(item.status for item in found)
    told = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
    return f"{len(found)} {'wheel' if len(found) == 1 else 'wheels'}: {told}"


def _platforms(path: Path) -> Iterator[str]:
    try:
        yield from (tag.platform for tag in filename.parse(path.name).tags)
    except WheelRejectedError:
        return  # judge says so


def _unreadable(path: Path, text: str, advice: str) -> Judged:
    fault = Fault(status=Status.UNREADABLE, text=text, advice=advice)
    return Judged(file=path.name, status=fault.status, faults=(fault,))


def _judge(path: Path, name: WheelName, rules: Allowed, elsewhere: Sequence[str]) -> Judged:
    if not path.is_file():  # a pipe would be waited for
        raise broken("A-05", "not a file, or a link that leads nowhere")
    with archive.read(path) as wheel:
        contents = look_at(wheel)
        untrue = list(_header_findings(wheel, name))
    parts = list(_parts(contents.binaries, name.tags, rules, elsewhere))
    for part in parts:
        untrue += [finding for finding in tag_findings.findings(part, is_pure=False) if finding not in untrue]
    platforms = tuple(sorted({tag.platform for tag in name.tags}))
    odd = [tag for tag in platforms if not platform_tag.is_portable(tag)]
    faults = [Fault(status=Status.UNTRUE, text=str(item), advice=item.advice or _AGAIN) for item in untrue]
    strange = [tag for tag in odd if not rules.takes(tag)]
    faults += [fault for tag in strange for fault in _not_portable(tag, parts, is_untrue=bool(faults))]
    fine = Status.ALLOWED if odd else Status.PORTABLE
    native = [part for part in parts if part.arch and any(part.loadable)]
    return Judged(
        file=path.name,
        status=max((fault.status for fault in faults), key=_ORDER.index, default=fine),
        requirement=f"{name.project}=={name.version}",
        platforms=platforms,
        faults=tuple(faults),
        fits=native[0].fits if native else (),
        glibc=".".join(map(str, _glibc(native[0]))) if native else "",
    )


def _header_findings(wheel: WheelArchive, name: WheelName) -> Iterator[Finding]:
    """WHEEL's tags against those of the file name (A-03)."""
    member = f"{layout.dist_info(wheel.names)}/WHEEL"
    if member not in wheel.members:
        raise broken("A-02", f"{member} is missing")
    try:
        header = wheelfile.parse(wheel.read(member, limit=wheelfile.MAX_BYTES))
    except ValueError as err:
        raise broken("A-03", str(err)) from err
    for finding in wheelfile.tag_findings(header, name.tags):
        yield Finding(rule=finding.rule, text=finding.text, advice=_NAME)


def _parts(
    found: Sequence[Binary], tags: frozenset[Tag], rules: Allowed, elsewhere: Sequence[str]
) -> Iterator[Compiled]:
    """The compiled files against the tags of each architecture of Linux, and against ``any``.

    What is for other systems only is not looked at: ELF is not their format.
    """
    there = frozenset(
        library
        for binary in found
        for library in (binary.elf.needed if binary.elf else ())
        if any(fnmatchcase(library, pattern) for pattern in elsewhere)
    )
    by_arch: dict[str, set[Tag]] = {}
    for tag in tags:
        arch = "" if tag.platform == "any" else platform_tag.linux_arch(tag.platform)
        if arch is not None:
            by_arch.setdefault(arch, set()).add(tag)
    for arch, own in sorted(by_arch.items()):
        yield Compiled(
            binaries=found,
            tags=frozenset(own),
            arch=arch,
            release=next((rules.release(tag.platform) for tag in own if tag.platform.startswith("linux_")), None),
            elsewhere=there,
        )


def _not_portable(tag: str, parts: Sequence[Compiled], *, is_untrue: bool) -> Iterator[Fault]:
    """One fault; none where nothing in the wheel runs and that was told already."""
    part = next((part for part in parts if part.arch == platform_tag.linux_arch(tag)), None)
    if part is None:
        yield Fault(status=Status.NOT_PORTABLE, text=f"{tag} is no portable tag", advice=_FOREIGN)
    elif any(part.loadable) or not is_untrue:
        text, advice = _way_out(tag, part)
        yield Fault(status=Status.NOT_PORTABLE, text=f"{tag} does not say which systems will do: {text}", advice=advice)


def _way_out(tag: str, part: Compiled) -> tuple[str, str]:
    """What the compiled files of a ``linux_*`` wheel need, and how it becomes portable."""
    if not any(part.loadable):
        return (
            "nothing in it is a program or a library",
            "if that is as it should be, allow the tag by naming it after the folder",
        )
    if part.is_linked_to_musl:
        return "it is linked to musl's C library", "`auditwheel repair` it on Alpine, for a musllinux tag"
    fits = part.fits
    glibc = _glibc(part)
    needs = f"it needs glibc {'.'.join(map(str, glibc))}" if glibc else "it needs no versioned symbol of glibc"
    if not fits:
        return f"{needs}; no policy is for {part.arch}", f"allow it if all machines run one release: {tag}"
    keeps, repaired = platform_tag.kept(fits), platform_tag.kept(fits, repaired=True)
    if keeps is not None:
        return f"{needs}, and keeps {keeps.tag} as it is", "`auditwheel repair` it: that tags it so"
    outside = _outside(fits, repaired or fits[-1])
    if repaired is None:
        text = f"{needs}; {', '.join(fits[-1].symbols)} is newer than every policy{outside}"
        return text, "build it on an older distribution, or in a manylinux image"
    libraries = ", ".join(repaired.libraries)
    return f"{needs}{outside}", f"`auditwheel repair` it where {libraries} is installed: {repaired.tag} at best"


def _outside(fits: Sequence[Fit], fit: Fit) -> str:
    """The libraries beyond one policy, and whether a newer one has them."""
    never = [library for library in fit.libraries if library in fits[-1].libraries]
    later = [library for library in fit.libraries if library not in never]
    return "".join(
        (
            f"; it links {', '.join(never)}, outside every policy" if never else "",
            f"; it links {', '.join(later)}, outside {fit.tag}" if later else "",
        )
    )


def _glibc(part: Compiled) -> tuple[int, ...]:
    return platform_tag.newest_glibc([elf for _, elf in part.loadable])
