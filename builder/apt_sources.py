"""Where an image's Debian packages come from: this machine's own sources of its suite, or those that a root names."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

_MACHINE = Path("/etc/apt")


def keep_sources(
    folder: Path, suite: str, architectures: Sequence[str], *, security: bool = True, machine: Path = _MACHINE
) -> Path | None:
    """Write this machine's own sources of *suite* below *folder*; None if it has none (another distribution).

    security: whether with the suite's security updates
    machine: where this machine keeps its sources
    """
    suites = {suite, f"{suite}-updates", *([f"{suite}-security", f"{suite}/updates"] if security else [])}
    stanzas = [
        text
        for entry in (*_deb822(machine), *_one_line(machine))
        if (text := _only(entry, suites, architectures)) is not None
    ]
    if not stanzas:
        return None
    kept = folder / "sources.list.d" / "image.sources"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("\n".join(stanzas), encoding="utf-8")
    return kept


def keep_sources_of(folder: Path, root: Path) -> None:
    """Copy the sources that a finished root itself names."""
    kept = folder / "sources.list.d"
    kept.mkdir(parents=True, exist_ok=True)
    if (root / "etc/apt/sources.list").is_file():
        shutil.copyfile(root / "etc/apt/sources.list", kept / "image.list")
    for file in (root / "etc/apt/sources.list.d").glob("*"):
        shutil.copyfile(file, kept / file.name)


def _deb822(machine: Path) -> Iterator[dict[str, str]]:
    """Each stanza of this machine's ``*.sources``, its fields in lower case."""
    for file in sorted((machine / "sources.list.d").glob("*.sources")):
        text = re.sub(r"^#.*\n?", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for stanza in re.split(r"\n\s*\n", text):
            fields = re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
            yield {name.lower(): value for name, value in fields}


def _one_line(machine: Path) -> Iterator[dict[str, str]]:
    """Each line of this machine's ``*.list``, as if it were a stanza."""
    line = re.compile(r"(deb)\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)")
    for file in (machine / "sources.list", *sorted((machine / "sources.list.d").glob("*.list"))):
        for text in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
            if found := line.match(text.strip()):
                kind, options, uri, suite, components = found.groups()
                named = dict(option.split("=", 1) for option in (options or "").split() if "=" in option)
                names = {"signed-by": "signed-by", "arch": "architectures"}
                more = {names[name]: value.replace(",", " ") for name, value in named.items() if name in names}
                yield {"types": kind, "uris": uri, "suites": suite, "components": components} | more


def _only(entry: dict[str, str], suites: set[str], architectures: Sequence[str]) -> str | None:
    """The stanza with what it says of *suites*' main component; None if it says nothing of it."""
    wanted = [suite for suite in entry.get("suites", "").split() if suite in suites]
    unfit = (
        not wanted
        or "deb" not in entry.get("types", "").split()
        or "main" not in entry.get("components", "").split()
        or ("architectures" in entry and not set(architectures) <= set(entry["architectures"].split()))
        or entry.get("enabled", "yes").strip().lower() in {"no", "false", "0"}
    )
    if unfit:
        return None
    lines = ["Types: deb", f"URIs: {entry['uris']}", f"Suites: {' '.join(wanted)}", "Components: main"]
    if "signed-by" in entry:
        lines.append(f"Signed-By: {entry['signed-by']}")
    return "\n".join([*lines, ""])
