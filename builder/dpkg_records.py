"""dpkg's records in a root file system: which packages are in it, and which files are theirs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from builder import process

# A line of ``dpkg-deb --contents``: mode, owner, size, date, time, then the name, and where a link leads.
_MEMBER = re.compile(r"\S+ +\S+ +\S+ +\S+ +\S+ \.(/.*?)/?(?: -> .*| link to .*)?")


def add(root: Path, debs: Sequence[Path]) -> None:
    """Record *debs*, whose files are in *root* already, as what they are: unpacked, not configured.

    auditwheel asks dpkg which package each library is of that it copies into a wheel, for its SBOM (PEP 770). The
    records may be hard links to those of another root: they are replaced, never written into. Raise ProcessError for
    what is no .deb.
    """
    records = root / "var/lib/dpkg"
    stanzas = {_key(text): text for text in (records / "status").read_text(encoding="utf-8").strip().split("\n\n")}
    for deb in debs:
        stanza = _stanza(deb)
        stanzas[_key(stanza)] = stanza
        listed = "".join(f"{name}\n" for name in ("/.", *_files(root, deb)))
        _replace(records / "info" / f"{_list_name(stanza)}.list", listed)
    _replace(records / "status", "".join(f"{text}\n\n" for text in stanzas.values()))


def _stanza(deb: Path) -> str:
    first, _, rest = process.run(["dpkg-deb", "--field", str(deb)]).strip().partition("\n")
    return f"{first}\nStatus: install ok unpacked\n{rest}"


def _key(stanza: str) -> tuple[str, str]:
    """A package may be there once for each architecture."""
    return _field(stanza, "Package"), _field(stanza, "Architecture")


def _list_name(stanza: str) -> str:
    name, architecture = _key(stanza)
    return f"{name}:{architecture}" if _field(stanza, "Multi-Arch") == "same" else name


def _field(stanza: str, name: str) -> str:
    match = re.search(rf"^{name}: *(.*)$", stanza, re.MULTILINE)
    return match[1] if match else ""


def _files(root: Path, deb: Path) -> list[str]:
    """Where they lie: what a package ships in ``/lib`` is in ``/usr/lib`` where the one is a link to the other."""
    said = process.run(["dpkg-deb", "--contents", str(deb)]).splitlines()
    names = [match[1] for line in said if (match := _MEMBER.fullmatch(line)) and match[1] != "/"]
    linked = {entry.name for entry in root.iterdir() if entry.is_symlink()}
    return [f"/usr{name}" if name.split("/")[1] in linked and name.count("/") > 1 else name for name in names]


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f"{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
