"""A wheel's file name taken apart (A-01, PEP 427)."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.tags import Tag
from packaging.utils import BuildTag, InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from schema.wheels import wheelfile
from schema.wheels.finding import broken


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelName:
    """A file name taken apart.

    tag_text: the tags as written, such as ``py2.py3-none-any``
    """

    text: str
    project: NormalizedName
    version: Version
    build: BuildTag
    tags: frozenset[Tag]
    tag_text: str

    @property
    def build_text(self) -> str:
        """The build tag as written; empty without one."""
        return f"{self.build[0]}{self.build[1]}" if self.build else ""


def parse(text: str) -> WheelName:
    """Raise WheelRejectedError (A-01) if *text* is not a wheel's file name."""
    tag_text = "-".join(text.removesuffix(".whl").split("-")[-3:])
    try:
        wheelfile.expand(tag_text)
        project, version, build, tags = parse_wheel_filename(text)
    except (InvalidWheelFilename, ValueError) as err:
        raise broken("A-01", f"{text[:300]!r} is not a wheel's file name: {err}") from err
    return WheelName(text=text, project=project, version=version, build=build, tags=tags, tag_text=tag_text)
