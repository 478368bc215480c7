"""What a person learns about a wheel whose signatures hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Self

from schema.attest.claims import BuiltFrom, Checked
from schema.printable import one_line

_KINDS = {
    "image": "image",
    "tarball": "tarball of the image",
    "debian": "Debian package",
    "tool": "tool",
    "emulator": "emulator",
    "python": "build requirement",
    "farm-wheel": "farm wheel",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A wheel that is what its farm's node and master signed.

    authority: the fingerprint of the authority that both certificates come from
    notes: what the reader must know about how this was checked, such as where the authority came from
    """

    built: BuiltFrom
    checked: Checked
    authority: str
    notes: tuple[str, ...] = ()

    def noting(self, *notes: str) -> Self:
        """The same with more notes."""
        return replace(self, notes=self.notes + notes)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Who built it from what, where and when, who checked that, and how far that reaches; each safe to print."""
        built, checked = self.built, self.checked
        when = f"from {_minute(built.started_at)} to {_minute(built.finished_at)} UTC"
        said = (
            f"{built.filename} (sha256 {built.sha256}) is what node {built.node} of the farm {built.farm!r} built.",
            f"It was built for {built.platform} from {built.sdist_filename} (sha256 {built.sdist_sha256}).",
            f"That source distribution came from {built.sdist_url}.",
            f"Build {built.build_id}, attempt {built.fence}, ran {when} with {_inventory(built)}.",
            f"The farm's master checked the wheel again and countersigned at {_minute(checked.verified_at)} UTC.",
            f"It counts as {', '.join(checked.levels)}." if checked.levels else "",
            f"Both keys are certified by the farm's authority, {self.authority}.",
            *self.notes,
            "The signatures say where the wheel comes from, not that its code is safe to run.",
        )
        return tuple(one_line(sentence, limit=2000) for sentence in said if sentence)

    def text(self) -> str:
        """The sentences, a line each."""
        return "\n".join(self.sentences)

    def to_json(self) -> dict[str, Any]:
        """The same as plain data; times are ISO 8601."""
        built = {key: _plain(value) for key, value in asdict(self.built).items()}
        checked = self.checked
        return {
            "trusted": True,
            **built,
            "recipe": self.built.recipe.to_json(),
            "verified_at": _plain(checked.verified_at),
            "levels": list(checked.levels),
            "authority": self.authority,
            "notes": list(self.notes),
        }


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _inventory(built: BuiltFrom) -> str:
    """Such as ``image debian12-x86_64, 3 build requirements``."""
    images = [f"image {item.name}" for item in built.materials if item.kind == "image"]
    counts = Counter(item.kind for item in built.materials if item.kind != "image")
    rest = [f"{count} {_KINDS.get(kind, kind)}{'' if count == 1 else 's'}" for kind, count in counts.items()]
    return ", ".join(images + rest) or "nothing else"


def _plain(value: Any) -> Any:  # noqa: ANN401 - walks plain data
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
