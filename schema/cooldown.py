"""A new file is not built at once: a hostile release is mostly found, and taken back, within its first day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from schema import names
from schema.sections import WatchSection

# The reason of a build that cools down begins so, and with nothing else.
REASON = "cooling down until "


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldown:
    """seconds: from an upload to the build, 0 for none; exempt: names or patterns that are built at once."""

    seconds: float = 0.0
    exempt: tuple[str, ...] = ()

    @classmethod
    def of(cls, watch: WatchSection) -> Self:
        """What the settings say."""
        return cls(seconds=watch.cooldown_s, exempt=watch.cooldown_exempt)

    def ends_at(self, name: str, uploaded_at: datetime) -> datetime:
        """When the file of the project *name* (normalised) may be built, maybe long ago."""
        if any(names.fits(name, pattern) for pattern in self.exempt):
            return uploaded_at
        return uploaded_at + timedelta(seconds=self.seconds)


def reason(filename: str, *, uploaded_at: datetime, ends_at: datetime) -> str:
    """Why the build of that file waits, for people; both moments are in UTC."""
    return f"{REASON}{ends_at:%Y-%m-%d %H:%M} UTC: {filename} is new, of {uploaded_at:%Y-%m-%d %H:%M}"


def is_reason(text: str) -> bool:
    """Whether a build that waits with that reason cools down."""
    return text.startswith(REASON)
