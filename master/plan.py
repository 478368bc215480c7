"""What needs building on which platform: pure decisions over names, versions and tags, each with its reason (B-06).

A version is chosen as pip chooses it: among the files that this platform could use, the newest version that fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from schema.platforms import Platform
from schema.simple.read import File
from schema.states import BuildPolicy


class Verdict(StrEnum):
    """What is to be done about a version on a platform."""

    BUILD = "build"
    UNNEEDED = "unneeded"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A wheel that the farm has published.

    view: ``debian12-x86_64`` for a ``linux_*`` wheel, which no other distribution may take; None for a portable one
    """

    filename: str
    version: Version
    tags: frozenset[Tag]
    view: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The version that pip would take, and what there is of it.

    version: None where none fits; reason: why none fits, or why a newer one was passed over; "" where the newest fits
    sdist: None where the release has none that can be used here
    wheel: the upstream's best wheel for the platform, None where there is none
    """

    version: Version | None
    sdist: File | None = None
    wheel: File | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done, and why, in one sentence.

    version: None where none fits, and the verdict is ``impossible``
    served_by: the farm's own wheel that makes the build unneeded, or None
    """

    version: Version | None
    sdist: File | None
    verdict: Verdict
    reason: str
    served_by: str | None = None


def choose(files: Iterable[File], *, specifier: SpecifierSet, platform: Platform) -> Choice:
    """The newest version that fits *specifier* and that *platform* could install, from source or from a wheel.

    Yanked files count only for a pin that nothing else satisfies (PEP 592); pre-releases only where *specifier* names
    one, or where there is nothing else (PEP 440). ``Requires-Python`` is looked at before the version is chosen.
    """
    listed = sorted(files, key=lambda file: (file.version, file.filename))
    fitting = usable(listed, specifier=specifier, platform=platform)
    if not fitting:
        return Choice(version=None, reason=_why_nothing_fits(listed, specifier, platform))
    version = max(file.version for file in fitting)
    release = [file for file in fitting if file.version == version]
    return Choice(
        version=version,
        sdist=min((file for file in release if file.kind == "sdist"), key=_sdist_order, default=None),
        wheel=best_wheel(release, platform),
        reason=_why_not_newer(listed, version, specifier, platform),
    )


def usable(files: Iterable[File], *, specifier: SpecifierSet, platform: Platform) -> list[File]:
    """Those that an installer on *platform* could take, of the versions that *specifier* allows among them.

    What ``choose`` says of yanked files, pre-releases and ``Requires-Python`` holds here too.
    """
    return _allowed([file for file in files if _why_not(file, platform) is None], specifier)


def best_wheel(release: Iterable[File], platform: Platform) -> File | None:
    """The wheel that pip takes of a release's usable files: the most specific tag first, then the newest rebuild."""
    return min((file for file in release if file.kind == "wheel"), key=_wheel_order(platform), default=None)


def judge(choice: Choice, *, platform: Platform, policy: BuildPolicy, built: Iterable[Built] = ()) -> Decision:
    """Whether the chosen version must be built, given what the upstream and the farm have of it already."""

    def decided(verdict: Verdict, reason: str, *, served_by: str | None = None) -> Decision:
        text = "; ".join(filter(None, (reason, choice.reason)))
        return Decision(version=choice.version, sdist=choice.sdist, verdict=verdict, reason=text, served_by=served_by)

    if choice.version is None:
        return decided(Verdict.IMPOSSIBLE, "")
    if policy is BuildPolicy.MISSING and choice.wheel is not None:
        return decided(Verdict.UNNEEDED, f"upstream has {choice.wheel.filename}")
    serving = _serving(choice.version, platform, built)
    if serving is not None:
        return decided(Verdict.UNNEEDED, f"{serving.filename} serves it", served_by=serving.filename)
    if choice.sdist is None:
        have = f", only wheels such as {choice.wheel.filename}" if choice.wheel is not None else ""
        return decided(Verdict.IMPOSSIBLE, f"{choice.version} has no source distribution upstream{have}")
    if choice.wheel is not None:
        return decided(Verdict.BUILD, f"wanted from source, although upstream has {choice.wheel.filename}")
    return decided(Verdict.BUILD, f"upstream has no wheel of {choice.version} for {platform}")


def serves(built: Built, platform: Platform) -> bool:
    """Whether an installer on *platform* takes that wheel: none-any, abi3 and manylinux wheels reach far (B-13)."""
    return built.view in {None, platform.view} and not built.tags.isdisjoint(platform.tags)


@lru_cache(maxsize=65_536)
def wheel_tags(filename: str) -> frozenset[Tag]:
    """The expanded tags of a wheel's name; the name was parsed before."""
    return parse_wheel_filename(filename)[3]


def is_pinned(specifier: SpecifierSet) -> bool:
    """Whether it names exactly one version (PEP 592 speaks of ``==`` and ``===`` without a wildcard)."""
    return any(
        item.operator == "===" or (item.operator == "==" and not item.version.endswith(".*")) for item in specifier
    )


def _why_not(file: File, platform: Platform) -> str | None:
    """Why an installer on *platform* cannot use that file; None if it can."""
    if file.sha256 is None:
        return "the index gives no sha256 of its files"
    if not _python_fits(file.requires_python, platform):
        return f"it needs Python {file.requires_python}, {platform} has {platform.python_full_version}"
    if file.kind == "wheel" and wheel_tags(file.filename).isdisjoint(platform.tags):
        return f"it has neither a source distribution nor a wheel for {platform}"
    return None


@lru_cache(maxsize=4096)
def _requires(text: str) -> SpecifierSet | None:
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None  # pip ignores what it cannot read, and so do we


def _python_fits(requires_python: str | None, platform: Platform) -> bool:
    wanted = _requires(requires_python) if requires_python else None
    return wanted is None or wanted.contains(platform.python_full_version, prereleases=True)


def _allowed(files: Sequence[File], specifier: SpecifierSet) -> list[File]:
    """The files of versions that the specifier allows, without the yanked ones unless a pin leaves nothing else."""
    allowed = set(specifier.filter({file.version for file in files}))
    fitting = [file for file in files if file.version in allowed]
    offered = [file for file in fitting if file.yanked is None]
    return fitting if is_pinned(specifier) and not offered else offered


def _sdist_order(file: File) -> tuple[bool, str]:
    return not file.filename.endswith(".tar.gz"), file.filename


def _wheel_order(platform: Platform) -> Callable[[File], tuple[int, int, str]]:
    rank = _ranks(platform)

    def order(file: File) -> tuple[int, int, str]:
        build = parse_wheel_filename(file.filename)[2]
        most_specific = min(rank.get(tag, len(rank)) for tag in wheel_tags(file.filename))
        return most_specific, -build[0] if build else 0, file.filename

    return order


@lru_cache(maxsize=64)
def _ranks(platform: Platform) -> Mapping[Tag, int]:
    return {tag: index for index, tag in enumerate(platform.ordered_tags)}


def _serving(version: Version, platform: Platform, built: Iterable[Built]) -> Built | None:
    fitting = [item for item in built if item.version == version and serves(item, platform)]
    return min(fitting, key=lambda item: item.filename, default=None)


def _why_not_newer(listed: Sequence[File], version: Version, specifier: SpecifierSet, platform: Platform) -> str:
    """Why the newest version that the specifier allows was passed over; "" if it was not."""
    newer = [file for file in listed if file.version > version]
    allowed = set(specifier.filter({file.version for file in newer}, prereleases=bool(specifier.prereleases)))
    if not allowed:
        return ""
    newest = max(allowed)
    return f"not {newest}: {_about_release([file for file in newer if file.version == newest], platform)}"


def _about_release(release: Sequence[File], platform: Platform) -> str:
    if all(file.yanked is not None for file in release):
        reason = next((file.yanked for file in release if file.yanked), "")
        return f"it is yanked{f' ({reason})' if reason else ''}"
    # The source distribution speaks for the release: its wheels are refused for their tags more often than not.
    reasons = [_why_not(file, platform) for file in sorted(release, key=lambda file: file.kind) if file.yanked is None]
    return next(filter(None, reasons), "it cannot be used")


def _why_nothing_fits(listed: Sequence[File], specifier: SpecifierSet, platform: Platform) -> str:
    if not listed:
        return "upstream lists no files of it"
    allowed = set(specifier.filter({file.version for file in listed}, prereleases=True))
    if not allowed:
        return f"no version fits {specifier}; the newest upstream is {max(file.version for file in listed)}"
    newest = max(allowed)
    release = [file for file in listed if file.version == newest]
    return f"{newest} cannot be had for {platform}: {_about_release(release, platform)}"
