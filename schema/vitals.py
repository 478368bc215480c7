"""How a node's machine is: what it says with each heartbeat, and what of that a person should do something about.

A sensor may be broken and a node may lie: a number that cannot be counts as not told, and never costs the heartbeat.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from schema import fields
from schema.messages import Message

# The way of a message takes no time as far as the master can tell, nor is it asked for at the very moment.
CLOCK_ERROR_S = 2.0
_CLOCK_S = 5.0
_DISK_BYTES = 2 * 2**30
_HOT_C = 80.0  # where a Raspberry Pi begins to slow down
# What was raised ends only when it is clearly over, or it would come and go with every build.
_COOL_C = 70.0
_DISK_AGAIN_BYTES = 3 * 2**30
# Bits of the Raspberry Pi's firmware (get_throttled): what is so now; the same 16 bits further up: what was so once.
_UNDER_VOLTAGE, _SLOWED = 0x1, 0x2 | 0x4 | 0x8
_MOST_BYTES = 2**60


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals(Message):
    """What a node says of its machine; None: not told.

    at: the time by its own clock
    load: processes that run or want to, over the last minute
    memory_free_bytes: what can be had without swapping
    temperature_c: of its hottest part; throttled: the bits of a Raspberry Pi's firmware
    """

    at: datetime | None = None
    load: float | None = None
    memory_free_bytes: int | None = None
    swap_bytes: int | None = None
    swap_free_bytes: int | None = None
    temperature_c: float | None = None
    throttled: int | None = None

    @classmethod
    def from_json(cls, data: Any) -> Self:  # noqa: ANN401 - anything may come off the wire
        """Read them off the wire, or from the database: whatever is not as it should be was not told."""
        told = data if isinstance(data, Mapping) else {}
        return cls(
            at=_instant(told.get("at")),
            load=_number(told.get("load"), 0, 1e6),
            memory_free_bytes=_whole(told.get("memory_free_bytes"), _MOST_BYTES),
            swap_bytes=_whole(told.get("swap_bytes"), _MOST_BYTES),
            swap_free_bytes=_whole(told.get("swap_free_bytes"), _MOST_BYTES),
            temperature_c=_number(told.get("temperature_c"), -100, 1000),
            throttled=_whole(told.get("throttled"), 2**32 - 1),
        )

    @property
    def throttled_now(self) -> bool | None:
        """Whether the processor is slowed down at this moment, or the voltage too low; None: not told."""
        return None if self.throttled is None else bool(self.throttled & (_UNDER_VOLTAGE | _SLOWED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The same as the master knows it.

    clock_s: how far the node's clock is ahead of the farm's, give or take ``CLOCK_ERROR_S``; None: nobody can tell
    disk_free_bytes: 0: not told
    """

    vitals: Vitals
    clock_s: float | None
    disk_free_bytes: int

    @classmethod
    def read(cls, kept: Any, disk_free_bytes: int | None) -> Self:  # noqa: ANN401
        """From the columns of ``Node``."""
        told = kept if isinstance(kept, Mapping) else {}
        return cls(
            vitals=Vitals.from_json(told),
            clock_s=_number(told.get("clock_s"), -1e12, 1e12),
            disk_free_bytes=disk_free_bytes or 0,
        )

    def words(self) -> str:
        """Such as ``load 0.31, 52 °C``: what a glance should tell; "" where nothing was told."""
        told = self.vitals
        said = [
            f"load {told.load:.2f}" if told.load is not None else "",
            f"{_gib(told.memory_free_bytes)} of memory free" if told.memory_free_bytes is not None else "",
            f"{_gib(_swapped(told))} swapped" if _swapped(told) else "",
            f"{told.temperature_c:.0f} °C" if told.temperature_c is not None else "",
            f"clock {self.clock_s:+.0f} s" if self.clock_s is not None and abs(self.clock_s) > CLOCK_ERROR_S else "",
        ]
        return ", ".join(filter(None, said))

    def troubles(self, still: Collection[str] = ()) -> dict[str, str]:
        """Kind → a sentence that goes on after the node's name, with what to do.

        still: the kinds that are known already; they end later than they began
        """
        told, found = self.vitals, {}
        if self.clock_s is not None and abs(self.clock_s) > _CLOCK_S + CLOCK_ERROR_S:
            way = "ahead of" if self.clock_s > 0 else "behind"
            found["clock"] = f"its clock is {abs(self.clock_s):.0f} s {way} the farm's: timedatectl set-ntp true there"
        if 0 < self.disk_free_bytes < (_DISK_AGAIN_BYTES if "disk" in still else _DISK_BYTES):
            found["disk"] = (
                f"{_gib(self.disk_free_bytes)} of its disk are free for builds: free some there, or mount a larger"
                " disk at /var/cache/wheelfarm"
            )
        if told.temperature_c is not None and told.temperature_c >= (_COOL_C if "hot" in still else _HOT_C):
            found["hot"] = (
                f"it has {told.temperature_c:.0f} °C: give it a heat sink, a fan, or fewer slots (node.slots)"
            )
        elif (told.throttled or 0) & _SLOWED:
            found["hot"] = "its processor is slowed down: give it a heat sink, a fan, or fewer slots (node.slots)"
        if (told.throttled or 0) & _UNDER_VOLTAGE:
            found["power"] = "its voltage is too low: use the power supply that was made for this board"
        return found


def _swapped(told: Vitals) -> int:
    return max((told.swap_bytes or 0) - (told.swap_free_bytes or 0), 0)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"


def _number(value: Any, least: float, most: float) -> float | None:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        return None
    return float(value)


def _whole(value: Any, most: int) -> int | None:  # noqa: ANN401
    try:
        return fields.count(value, most=most)
    except ValueError:
        return None


def _instant(value: Any) -> datetime | None:  # noqa: ANN401
    try:
        return fields.instant(value)
    except (ValueError, OverflowError):
        return None
