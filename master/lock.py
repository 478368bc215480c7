"""What is to be installed on a platform, pinned to the bytes of one wheel each: the farm's, or else the upstream's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master.coverage import Cover, coverage
from master.site import constraints
from master.site.constraints import HeldBack
from master.solve import Lack, Pin, Solution, solve
from master.sources import Sources
from schema.db.session import transaction
from schema.errors import UnsolvableError
from schema.platforms import Platform
from schema.printable import one_line
from schema.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A set of wheels that fit together.

    pins: by name, one wheel of each project
    notes: what was taken in place of a newer release, and why; each on one line
    """

    platform: Platform
    pins: tuple[Pin, ...]
    notes: tuple[str, ...]


def lock(wanted: Sequence[Requirement], *, sources: Sources, database: Engine, settings: Settings) -> Lock:
    """Pin *wanted* and all that it needs in turn, within the farm's constraints of the platform.

    Raise UnsolvableError, which tells of each requirement without a wheel what ``coverage`` tells of it, or which
    requirements exclude each other; UpstreamError where the upstream cannot be read.
    """
    platform = sources.platform
    with transaction(database) as session:
        held = {item.name: item for item in constraints.held_back(session, platform)}
    limits = {name: SpecifierSet(f"<={item.newest_wheel.public}") for name, item in held.items()}
    found = solve(wanted, sources, limits)
    lacks = found.lacks if isinstance(found, Solution) else found
    with transaction(database) as session:
        told = [_lacking(session, lack, sources, settings) for lack in lacks]
    if not isinstance(found, Solution):
        verb = "has" if len(lacks) == 1 else "have"
        head = f"{len(lacks)} of the projects to be installed {verb} no wheel for {platform}:"
        raise UnsolvableError("\n".join([head, *told]))
    return Lock(platform=platform, pins=found.pins, notes=(*_replaced(found, sources, held), *told))


def _lacking(session: Session, lack: Lack, sources: Sources, settings: Settings) -> str:
    by = f" ({one_line(lack.by)} needs it)" if lack.by else ""
    return f"{lack.need}{by}: {_why_missing(session, lack, sources, settings)}"


def _why_missing(session: Session, lack: Lack, sources: Sources, settings: Settings) -> str:
    if lack.need.unmeetable:
        return "No index can satisfy it."
    (row,) = coverage(session, [Requirement(str(lack.need))], platform=sources.platform, settings=settings)
    if row.status is Cover.NOT_WATCHED and not sources.offers(lack.need.name).upstream:
        return f"The upstream index has no project {lack.need.name}: is the name spelt right?"
    return row.sentence


def _replaced(solution: Solution, sources: Sources, held: Mapping[str, HeldBack]) -> Iterator[str]:
    """Of each pin that is older than what pip would take, were it allowed to build."""
    for pin in solution.pins:
        offers, limit = sources.offers(pin.name), held.get(pin.name)
        newest = offers.choose(solution.ranges[pin.name]).version
        if newest is None or newest <= pin.version:
            continue
        lacks = ", ".join(str(lack.need) for lack in solution.lacks if lack.by == f"{pin.name} {newest}")
        if limit is not None and limit.version == newest:
            why = f"which is {limit.reason}"
        elif offers.own_wheel(newest) is None and offers.upstream_wheel(newest) is None:
            why = f"which has no wheel for {sources.platform}"
        else:
            why = f"which needs {lacks}" if lacks else "for that does not fit with the rest"
        yield one_line(f"{pin} instead of {newest}, {why}")
