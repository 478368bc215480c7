"""The table of ``bench.heal``: what came of each project, as people and programs read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from schema.portability import Verdict as Portable
from schema.recipes import done
from schema.remedies import Remedy, Try
from schema.wheels.comparing import Comparison, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one project.

    failure: its class and evidence, "" where a wheel came of it; missing: build requirements without a wheel
    needed: build requirements that it got from what was built here
    instead: the version to build instead, then that it was built instead
    repeated: what the wheel is to the one of the run before
    portability: how it fared in the other images that the node has
    """

    project: str
    version: str
    wall_s: float = 0.0
    tries: tuple[Try, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    runtime_packages: tuple[str, ...] = ()
    failure: str = ""
    missing: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    instead: str | None = None
    wheel: str = ""
    repeated: Comparison | None = None
    portability: tuple[Portable, ...] = ()

    @property
    def lost_s(self) -> float:
        """What failed tries took."""
        return sum(item.seconds for item in self.tries if item.failure_class is not None)


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a run: each project, then the figures."""
    print(f"\n{title}:")
    for row in sorted(rows, key=lambda row: (not row.wheel, row.project.lower())):
        print(f"  {line(row)}")
    green = [row for row in rows if row.wheel]
    tries, lost = sum(len(row.tries) for row in green), sum(row.lost_s for row in rows)
    by_rung: dict[str, int] = {}
    for row in green:
        rungs = [*(remedy.rung for remedy in row.remedies), *(["another version"] if row.instead else [])]
        key = " + ".join(dict.fromkeys(rungs)) or "nothing needed"
        by_rung[key] = by_rung.get(key, 0) + 1
    print(f"  green {len(green)} of {len(rows)} ({100 * len(green) / max(len(rows), 1):.0f} %)")
    print("  by " + ", ".join(f"{key}: {many}" for key, many in sorted(by_rung.items(), key=lambda item: -item[1])))
    print(f"  {tries / max(len(green), 1):.2f} tries a green project; {lost:.0f} s in failed tries, of all projects")
    if fates := Counter((item.image, item.fate) for row in green for item in row.portability):
        print("  elsewhere: " + ", ".join(f"{image}: {many} {fate}" for (image, fate), many in sorted(fates.items())))
    if verdicts := Counter(row.repeated.verdict for row in green if row.repeated is not None):
        print("  built twice: " + ", ".join(f"{verdicts[item]} {item}" for item in Verdict if verdicts[item]))


def line(row: Row) -> str:
    """A line for people: what healed the project, or why it is not green."""
    how = ", ".join(_short(remedy) for remedy in row.remedies) or ("plain" if row.wheel else "")
    how += f"; needs {', '.join(row.runtime_packages)}" if row.runtime_packages else ""
    how += "".join(f"; {item}" for item in row.portability)
    how += "; instead of the newest" if row.instead else ""
    how += f"; {row.repeated}" if row.repeated else ""
    end = how if row.wheel else f"NOT GREEN {row.failure[:110]}"
    return (
        f"{row.project:<16} {row.version:<10} {len(row.tries)} tries {row.wall_s:6.1f} s, {row.lost_s:6.1f} lost  {end}"
    )


def _short(remedy: Remedy) -> str:
    does = [str(getattr(remedy, name)) for name in done(remedy) if name != "debian_packages"]
    return f"{remedy.rung} {' '.join((*remedy.debian_packages, *does))}"


def plain(row: Row) -> dict[str, object]:
    """Plain data for programs."""
    return {
        "project": row.project,
        "version": row.version,
        "wall_s": row.wall_s,
        "lost_s": row.lost_s,
        "tries": [item.to_json() for item in row.tries],
        "remedies": [remedy.to_json() for remedy in row.remedies],
        "runtime_packages": row.runtime_packages,
        "instead": row.instead,
        "failure": row.failure,
        "wheel": row.wheel,
        "portability": [item.to_json() for item in row.portability],
        "repeated": row.repeated and row.repeated.to_json(),
    }
