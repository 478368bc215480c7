"""The compiled files of a wheel against its tags: machine, baseline, libraries, names of extensions (A-13 … A-15)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from packaging.tags import Tag

from schema.wheels import binaries, machines, platform_tag
from schema.wheels.binaries import Compiled
from schema.wheels.elf import SHARED
from schema.wheels.finding import Finding, grouped
from schema.wheels.platform_tag import Policy

_OTHER_INTERPRETERS = ("pp", "graalpy")
_FOREIGN_EXTENSION = re.compile(r"\.(?:cpython|pypy|graalpy)[\w-]*\.so")

# What a wheel's maker can do.
_RETRY = "get or build it again: the file is damaged"
_OTHER_MACHINE = "build it on such a machine, or tag it for the one that it was built for"
_MUSL = "build it on a system with glibc, or `auditwheel repair` it on Alpine for a musllinux tag"
_GLIBC = "build it on Alpine; `auditwheel repair` takes other libraries into the wheel"
_REDUCED = "build it where its compiler and libraries are, or tag it none-any"
_COMPILED = "build it with the platform tag of its machine, then `auditwheel repair` it"
_BUNDLE = "`auditwheel repair` it where that library is installed: it takes it into the wheel"
_NO_POLICY = "`auditwheel repair` it for a policy that its architecture has"
_OTHER_ABI = "build it again with the interpreter that its tag names"


def findings(compiled: Compiled, *, is_pure: bool) -> Iterator[Finding]:
    """Every way in which the compiled files make the tags, or *is_pure* (Root-Is-Purelib), untrue."""
    for binary in compiled.binaries:
        if binary.elf is None:
            text = f"{binary.name!r} is a malformed ELF file: {binary.fault}"
            yield Finding(rule="A-13", text=text, advice=_RETRY)
        elif not binary.is_device_code and compiled.arch in machines.ARCHITECTURES:
            for text in machines.faults(binary.elf, compiled.arch):
                yield Finding(rule="A-13", text=f"{binary.name!r} {text}", advice=_OTHER_MACHINE)
    if compiled.is_for_glibc:
        for name, elf in compiled.loadable:
            if binaries.is_musl(elf):
                yield Finding(rule="A-13", text=f"{name!r} is linked to musl's C library", advice=_MUSL)
    yield from _purity_findings(compiled, is_pure=is_pure)
    yield from _baseline_findings(compiled)
    yield from _abi_findings(compiled)


def foreign(compiled: Compiled, policy: Policy | None) -> Iterator[tuple[str, str]]:
    """Faults and files: libraries that a manylinux policy, or with None any musllinux one, does not promise."""
    bundled = compiled.bundled
    for name, elf in compiled.loadable:
        found = (
            platform_tag.libraries_beyond(elf, policy, bundled) if policy else platform_tag.beyond_musl(elf, bundled)
        )
        for library in found:
            yield f"needs {library}, which is neither in the wheel nor on every such system", name


def newer_symbols(compiled: Compiled, policy: Policy) -> Iterator[tuple[str, str]]:
    """Faults and files: symbols that a policy does not promise yet."""
    bundled = compiled.bundled
    for name, elf in compiled.loadable:
        for library, version in platform_tag.versions_beyond(elf, policy, bundled):
            yield f"needs {version} of {library}", name


def _purity_findings(compiled: Compiled, *, is_pure: bool) -> Iterator[Finding]:
    native = [binary.name for binary in compiled.binaries if not binary.is_device_code]
    platforms = compiled.platforms
    if not native and platforms != {"any"}:
        yield Finding(
            rule="A-13",
            text=f"reduced build: tagged {', '.join(sorted(platforms - {'any'}))}, but no file in it is compiled; "
            "an optional extension was left out, or the project should be tagged none-any",
            advice=_REDUCED,
        )
    if native and "any" in platforms:
        text = f"tagged for any platform, but {native[0]!r} is compiled"
        yield Finding(rule="A-15", text=text, advice=_COMPILED)
    if native and is_pure:
        yield Finding(rule="A-15", text=f"Root-Is-Purelib is true, but {native[0]!r} is compiled")
    for name in native:
        if name.split("/")[1:2] == ["purelib"] and name.partition("/")[0].endswith(".data"):
            yield Finding(rule="A-15", text=f"{name!r} is compiled and lies in purelib")
    if not native and any(tag.abi != "none" for tag in compiled.tags) and "any" in platforms:
        yield Finding(rule="A-14", text="the ABI tag is not none, but no file is compiled", advice=_REDUCED)


def _baseline_findings(compiled: Compiled) -> Iterator[Finding]:
    """Each policy that a tag claims, once; else, for linux_*, what the release itself has."""
    yield from _glibc_findings(compiled)
    for text in grouped(foreign(compiled, None)) if compiled.is_for_musl else ():
        tag = max(tag for tag in compiled.platforms if tag.startswith("musllinux_"))
        yield Finding(rule="A-13", text=f"beyond {tag}: {text}", advice=_GLIBC)
    release = compiled.release
    if release is not None:
        newer = [(text, name) for name, elf in compiled.loadable for text in platform_tag.beyond_release(elf, release)]
        for text in grouped(newer):
            yield Finding(rule="A-13", text=text, advice=f"build it on {release.title} or older")


def _glibc_findings(compiled: Compiled) -> Iterator[Finding]:
    claimed: dict[tuple[int, int], str] = {}
    for tag in sorted(compiled.platforms):
        glibc = platform_tag.claimed_glibc(tag)
        if glibc is not None:
            claimed.setdefault(glibc, tag)
    told: set[tuple[str, str]] = set()
    for glibc, tag in sorted(claimed.items()):
        policy = platform_tag.policy_for(glibc, compiled.arch)
        if policy is None:
            yield Finding(rule="A-13", text=f"no policy says what {tag} may rely on", advice=_NO_POLICY)
            continue
        older = f"build it where glibc is {glibc[0]}.{glibc[1]} or older{_or_tag_it(compiled)}"
        for faults, advice in ((foreign(compiled, policy), _BUNDLE), (newer_symbols(compiled, policy), older)):
            untold = [fault for fault in faults if fault not in told]  # what an older tag forbids is said once
            told.update(untold)
            for text in grouped(untold):
                yield Finding(rule="A-13", text=f"beyond {tag}: {text}", advice=advice)


def _or_tag_it(compiled: Compiled) -> str:
    keeps = platform_tag.kept(compiled.fits)
    return f", or tag it {keeps.tag}, which it keeps" if keeps else ""


def _abi_findings(compiled: Compiled) -> Iterator[Finding]:
    if all(tag.interpreter.startswith(_OTHER_INTERPRETERS) for tag in compiled.tags):
        return  # how they name extensions is not known here
    triples = _triples(compiled)
    for name, elf in compiled.loadable:
        match = binaries.extension(name)
        if match is None:
            if _FOREIGN_EXTENSION.search(name.rpartition("/")[2]):
                text = f"{name!r} is an extension of another interpreter"
                yield Finding(rule="A-14", text=text, advice=_OTHER_ABI)
            continue
        if elf.kind != SHARED:
            yield Finding(rule="A-13", text=f"{name!r} is named as an extension but is no shared object")
        if match["triple"] and triples and match["triple"] not in triples:
            text = f"{name!r} is named for {match['triple']}, not for {triples[0]}"
            yield Finding(rule="A-14", text=text, advice=_OTHER_MACHINE)
        if not _serves(match, compiled.tags):
            text = f"{name!r} does not fit the ABI tags {_abis(compiled.tags)}"
            yield Finding(rule="A-14", text=text, advice=_OTHER_ABI)


def _triples(compiled: Compiled) -> tuple[str, ...]:
    """What names of extensions may say of machine and C library; empty if no tag says it."""
    if compiled.arch not in machines.ARCHITECTURES:
        return ()
    gnu = machines.multiarch(compiled.arch)
    # Older interpreters call themselves gnu on musl as well (bpo-43112).
    return (gnu, gnu.replace("-gnu", "-musl")) if compiled.is_for_musl or not compiled.is_for_glibc else (gnu,)


def _serves(extension: re.Match[str], tags: Iterable[Tag]) -> bool:
    """Whether an extension of that name can be loaded where *tags* say that the wheel runs.

    A stable-ABI one must serve all of them; a wheel for several interpreters has others for the rest.
    """
    if extension["abi3"]:
        return all(_takes_stable_abi(tag, threads=extension["abi3"] == "abi3t") for tag in tags)
    own = f"cp3{extension['minor']}"
    return any(tag.abi == own + extension["flags"] or (tag.abi == "none" and tag.interpreter == own) for tag in tags)


def _takes_stable_abi(tag: Tag, *, threads: bool) -> bool:
    if threads:
        return tag.abi in ("abi3t", "abi3") or tag.abi.endswith("t")
    is_threaded = tag.abi == "abi3t" or (tag.abi.startswith("cp") and tag.abi.endswith("t"))
    return tag.interpreter.startswith("cp") and not is_threaded


def _abis(tags: Iterable[Tag]) -> str:
    return ", ".join(sorted({f"{tag.interpreter}-{tag.abi}" for tag in tags}))
