"""An upstream of any size, made up on the spot: the same number always gives the same project, and nothing is stored.

At full size 700,000 projects have about 8 million files: most have a few, some have hundreds.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FULL_SIZE = 700_000

_FIRST_UPLOAD = datetime(2018, 1, 1, tzinfo=UTC)
_NATIVE_TAGS = (
    "cp311-cp311-manylinux_2_28_x86_64",
    "cp312-cp312-manylinux_2_28_x86_64",
    "cp311-cp311-macosx_11_0_arm64",
    "cp312-cp312-macosx_11_0_arm64",
    "cp311-cp311-win_amd64",
    "cp312-cp312-win_amd64",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """projects: how many there are; numbers from 0 on are their names' order, too."""

    projects: int

    def name(self, number: int) -> str:
        """Normalised."""
        return f"project-{number:06d}"

    def number(self, name: str) -> int | None:
        """None for a name that this catalogue does not have."""
        _, _, digits = name.partition("-")
        found = int(digits) if digits.isdigit() and len(digits) == 6 else -1  # noqa: PLR2004 - as ``name`` writes them
        return found if 0 <= found < self.projects and self.name(found) == name else None

    def serial(self, number: int) -> int:
        """Of the project's last change; no two are alike."""
        return 1_000_000 + number * 3

    @property
    def last_serial(self) -> int:
        """Of the whole catalogue."""
        return self.serial(self.projects - 1)

    def releases(self, number: int) -> list[str]:
        """The versions of a project, the oldest first: about five, seldom a hundred."""
        dice = random.Random(number)
        count = 1 + min(int(dice.expovariate(0.235)), 200)
        return [f"{1 + index // 20}.{index % 20}.0" for index in range(count)]

    def page(self, number: int, *, extra: int = 0) -> bytes:
        """A project's page as PEP 691 JSON; extra: so many further releases, of today.

        Written by hand: an encoder would take longer than the farm takes to read it.
        """
        name, dice = self.name(number).replace("-", "_"), random.Random(~number)
        kind = dice.random()
        tags = ("py3-none-any",) if kind < 0.6 else _NATIVE_TAGS if kind < 0.75 else ()  # noqa: PLR2004
        versions = [*self.releases(number), *(f"99.{more}.0" for more in range(extra))]
        files = []
        for index, version in enumerate(versions):
            uploaded = f"{_FIRST_UPLOAD + timedelta(days=index * 17 + number % 900):%Y-%m-%dT%H:%M:%S.%fZ}"
            files.append(_file(f"{name}-{version}.tar.gz", uploaded, ""))
            files += [_file(f"{name}-{version}-{tag}.whl", uploaded, ".metadata") for tag in tags]
        meta = f'{{"api-version":"1.4","_last-serial":{self.serial(number)}}}'
        return (f'{{"meta":{meta},"name":"{self.name(number)}","versions":[],"files":[{",".join(files)}]}}').encode()

    def root(self) -> bytes:
        """The list of all projects with their serials, as PEP 691 JSON."""
        projects = ",".join(
            f'{{"_last-serial":{self.serial(number)},"name":"{self.name(number)}"}}' for number in range(self.projects)
        )
        meta = f'{{"_last-serial":{self.last_serial},"api-version":"1.4"}}'
        return f'{{"meta":{meta},"projects":[{projects}]}}'.encode()


def _file(filename: str, uploaded: str, sidecar: str) -> str:
    digest = hashlib.sha256(filename.encode()).hexdigest()
    metadata = f'{{"sha256":"{digest}"}}' if sidecar else "false"
    return (
        f'{{"filename":"{filename}","url":"https://files.example/packages/{digest[:2]}/{digest[2:4]}/{digest}/{filename}",'
        f'"hashes":{{"sha256":"{digest}"}},"requires-python":">=3.8","size":{10_000 + int(digest[:4], 16)},'
        f'"upload-time":"{uploaded}","yanked":false,"core-metadata":{metadata}}}'
    )
