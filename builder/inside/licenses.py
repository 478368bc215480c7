"""The licences of the Debian packages whose libraries were copied into a wheel, written into auditwheel's SBOM.

A package's ``copyright`` file tells them where it has the machine-readable form (Debian's copyright format 1.0); of
other files nothing is guessed.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

DOCUMENTS = Path("/usr/share/doc")

_SBOM = ".dist-info/sboms/auditwheel.cdx.json"
_FORMAT = re.compile(r"Format(?:-Specification)?:", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}(?: with [A-Za-z0-9 .+-]{1,60})?")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}")
_MOST_BYTES, _MOST_NAMES = 1 << 20, 20


def tell(wheel: Path) -> None:
    """Add ``licenses`` to the packages in the wheel's SBOM, if it has one; RECORD is left to whoever packs it anew."""
    try:
        _tell(wheel)
    except (ValueError, LookupError, TypeError, AttributeError) as err:  # the project's own may have any shape
        print(f"no licences in the SBOM: {err!r}")


def _tell(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sbom = next((name for name in archive.namelist() if name.endswith(_SBOM)), None)
        if sbom is None:
            return
        document = json.loads(archive.read(sbom))
        for component in document["components"]:
            _add(component)
        new = wheel.with_suffix(".new")
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
            for member in archive.infolist():
                if member.filename == sbom:
                    target.writestr(member, json.dumps(document))
                    continue
                with archive.open(member) as source, target.open(member, "w") as copy:
                    shutil.copyfileobj(source, copy)
    new.replace(wheel)


def of_package(name: str) -> list[str]:
    """The short names of its licences, in the order of the file: that of ``Files: *`` first as a rule."""
    try:
        with (DOCUMENTS / name / "copyright").open("rb") as file:
            text = file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return []
    if not _FORMAT.match(text):
        return []
    found = {}
    for paragraph in re.split(r"\n\s*\n", text):
        if re.search(r"^Files:", paragraph, re.MULTILINE | re.IGNORECASE):
            found.update(dict.fromkeys(_names(paragraph)))
    return list(found)[:_MOST_NAMES]


def _add(component: dict[str, Any]) -> None:
    name = str(component.get("name", ""))
    if not str(component.get("purl", "")).startswith("pkg:deb/") or not _PACKAGE.fullmatch(name):
        return
    names = of_package(name)
    if names:
        component["licenses"] = [{"license": {"name": name}} for name in names]


def _names(paragraph: str) -> list[str]:
    """``License: GPL-2+ with OpenSSL exception and Expat, or X`` names three."""
    field = re.search(r"^License:[ \t]*(.*)$", paragraph, re.MULTILINE | re.IGNORECASE)
    words = re.split(r",? +(?:and|or) +|, *", field[1].strip(), flags=re.IGNORECASE) if field else []
    return [word for word in words if _NAME.fullmatch(word)]
