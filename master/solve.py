"""Which wheels fit together: the newest of everything that is asked for, and of what they need in turn.

resolvelib, the library inside pip, searches. The installers themselves cannot be asked: pip evaluates markers for the
machine that it runs on, and uv knows no armv7l and no i686, and no glibc as new as Debian 13's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver
from resolvelib.structs import RequirementInformation

from master.plan import is_pinned
from master.sources import Sources
from schema.errors import UnsolvableError
from schema.printable import one_line
from schema.simple.read import File

_MOST_CAUSES = 10

# A project, and the extras of it that are asked for: each set of extras counts as a project of its own to resolvelib.
Key = tuple[NormalizedName, frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A requirement on its way.

    exact: this version and no other, as ``name[extra]`` needs ``name``
    unmeetable: what no index can satisfy, such as a requirement by URL; "" for all others
    """

    name: NormalizedName
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    extras: frozenset[str] = frozenset()
    exact: Version | None = None
    unmeetable: str = ""

    @classmethod
    def of(cls, requirement: Requirement) -> Need:
        """One whose marker was evaluated."""
        return cls(
            name=canonicalize_name(requirement.name),
            specifier=requirement.specifier,
            extras=frozenset(map(canonicalize_name, requirement.extras)),
        )

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        return self.unmeetable or f"{self.name}{extras}{self.specifier}"

    def is_met_by(self, version: Version) -> bool:
        """Whether that version is one it allows; pre-releases were looked at before."""
        return version == self.exact if self.exact else self.specifier.contains(version, prereleases=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A wheel that was chosen; own: it is one of the farm's."""

    name: NormalizedName
    extras: frozenset[str]
    wheel: File
    own: bool

    @property
    def version(self) -> Version:
        """Of the wheel."""
        return self.wheel.version

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """A requirement that no wheel meets; by: what needs it, "" for what was asked for."""

    need: Need
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Wheels that fit together.

    pins: one of each project, by name; ranges: name → what was asked of it, by all that need it
    lacks: what newer releases would need, and has no wheel
    """

    pins: tuple[Pin, ...]
    ranges: Mapping[NormalizedName, SpecifierSet]
    lacks: tuple[Lack, ...] = ()


def solve(
    wanted: Iterable[Requirement],
    sources: Sources,
    limits: Mapping[str, SpecifierSet],
    *,
    most_tried: int = 100_000,
    most_stepped_back: int = 1_000,
) -> Solution | tuple[Lack, ...]:
    """Wheels for *wanted*, whose markers were evaluated, and for all that they need; else each requirement without one.

    Where what a release needs has no wheel, older releases are tried, as pip does, but not without end: each costs the
    upstream a request.

    limits: name → versions that are allowed, as in a constraints file
    most_tried: wheels, of the search; most_stepped_back: the same of the search among older releases
    Raise UnsolvableError where there are wheels, but none that fit together.
    """
    needs = [Need.of(item) for item in wanted]
    lenient = _Provider(sources, limits, most_tried, gaps=True)
    try:
        found = _resolve(needs, lenient)
    except ResolutionImpossible as err:
        raise UnsolvableError(f"what was asked for does not fit together: {_conflict(err.causes)}") from err
    except ResolutionTooDeep as err:
        raise UnsolvableError(
            f"no answer was found among {most_tried} wheels", advice="narrow the ranges of what is asked for"
        ) from err
    lacks = _lacks(found, lenient)
    if not lacks:
        return _solution(found)
    try:
        found = _resolve(needs, _Provider(sources, limits, most_stepped_back))
    except (ResolutionImpossible, ResolutionTooDeep):
        return lacks
    return replace(_solution(found), lacks=lacks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    """Stands for a wheel that there is not, so that the search goes on and finds the others that are missing."""

    name: NormalizedName
    extras: frozenset[str]


_Candidate = Pin | _Gap
_Information = RequirementInformation[Need, _Candidate]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What resolvelib gives: the candidates, and who needed each."""

    candidates: Sequence[_Candidate]
    needed: Sequence[_Information]


def _resolve(needs: Sequence[Need], provider: _Provider) -> _Found:
    """Raise ResolutionImpossible or ResolutionTooDeep."""
    resolver: Resolver[Need, _Candidate, Key] = Resolver(provider, BaseReporter())
    # The provider counts; in one round the library may try every version there is.
    result = resolver.resolve(needs, max_rounds=sys.maxsize)
    return _Found(
        candidates=[result.mapping[key] for key in result.mapping],
        needed=[item for key in result.mapping for item in result.criteria[key].information],
    )


def _solution(found: _Found) -> Solution:
    pins = {item.name: item for item in found.candidates if isinstance(item, Pin) and not item.extras}
    extras: dict[NormalizedName, frozenset[str]] = {}
    ranges: dict[NormalizedName, SpecifierSet] = {}
    for need, _ in found.needed:
        ranges[need.name] = ranges.get(need.name, SpecifierSet()) & need.specifier
        extras[need.name] = extras.get(need.name, frozenset()) | need.extras
    return Solution(
        pins=tuple(
            Pin(name=name, extras=extras[name], wheel=pins[name].wheel, own=pins[name].own) for name in sorted(pins)
        ),
        ranges=ranges,
    )


def _lacks(found: _Found, provider: _Provider) -> tuple[Lack, ...]:
    """Each project that is missing once, with a requirement that nothing meets."""
    lacks: dict[NormalizedName, Lack] = {}
    gaps = {item.name for item in found.candidates if isinstance(item, _Gap)}
    # Those that nothing meets come first: a project may be missing for one of several that need it.
    needed = [item for item in found.needed if item.requirement.name in gaps]
    for need, parent in sorted(needed, key=lambda item: not provider.is_unmet(item.requirement)):
        lacks.setdefault(need.name, Lack(need=need, by=str(parent) if parent is not None else ""))
    return tuple(lacks.values())


def _conflict(causes: Iterable[_Information]) -> str:
    told = {f"{need}, {f'which {parent} needs' if parent else 'which was asked for'}" for need, parent in causes}
    return one_line("; ".join(sorted(told)[:_MOST_CAUSES]), limit=2000)


class _Provider(AbstractProvider[Need, _Candidate, Key]):
    """What resolvelib asks: which candidates there are, and what they need.

    most_tried: wheels; gaps: what no wheel meets is met by a gap
    """

    def __init__(
        self, sources: Sources, limits: Mapping[str, SpecifierSet], most_tried: int, *, gaps: bool = False
    ) -> None:
        self._sources, self._limits, self._gaps = sources, limits, gaps
        self._left = most_tried

    def identify(self, requirement_or_candidate: Need | _Candidate) -> Key:
        return requirement_or_candidate.name, requirement_or_candidate.extras

    def get_preference(
        self,
        identifier: Key,
        resolutions: Mapping[Key, _Candidate],  # noqa: ARG002 - the library names what it gives
        candidates: Mapping[Key, Iterator[_Candidate]],  # noqa: ARG002
        information: Mapping[Key, Iterator[_Information]],
        backtrack_causes: Sequence[_Information],
    ) -> tuple[bool, bool, bool, str, list[str]]:
        """What is in conflict first, then what leaves little choice."""
        name, extras = identifier
        needs = [need for need, _ in information[identifier]]
        in_conflict = any(cause.requirement.name == name for cause in backtrack_causes)
        pinned = any(need.exact or is_pinned(need.specifier) for need in needs)
        return not in_conflict, not pinned, not any(need.specifier for need in needs), name, sorted(extras)

    def find_matches(
        self,
        identifier: Key,
        requirements: Mapping[Key, Iterator[Need]],
        incompatibilities: Mapping[Key, Iterator[_Candidate]],
    ) -> list[_Candidate]:
        """The newest first; what other extras of the project ask for counts, too."""
        name, extras = identifier
        needs = [need for key in requirements if key[0] == name for need in requirements[key]]
        ruled_out = {item.version for item in incompatibilities[identifier] if isinstance(item, Pin)}
        found: list[_Candidate] = [
            Pin(name=name, extras=extras, wheel=wheel, own=self._sources.offers(name).is_own(wheel))
            for wheel in self._wheels(name, needs)
            if wheel.version not in ruled_out
        ]
        if not found and self._gaps and any(map(self.is_unmet, needs)):
            return [_Gap(name=name, extras=extras)]
        return found

    def is_satisfied_by(self, requirement: Need, candidate: _Candidate) -> bool:
        return isinstance(candidate, _Gap) or requirement.is_met_by(candidate.version)

    def get_dependencies(self, candidate: _Candidate) -> list[Need]:
        if isinstance(candidate, _Gap):
            return []
        if not self._left:
            raise ResolutionTooDeep(0)
        self._left -= 1
        needs = self._sources.needs(candidate.wheel, own=candidate.own, extras=candidate.extras)
        itself = [Need(name=candidate.name, exact=candidate.version)] if candidate.extras else []
        return [*itself, *map(Need.of, needs.requirements), *map(_unmeetable, needs.left_out)]

    def is_unmet(self, need: Need) -> bool:
        """Whether no wheel meets it, whatever else is needed."""
        return not need.exact and not self._wheels(need.name, [need])

    def _wheels(self, name: NormalizedName, needs: Sequence[Need]) -> list[File]:
        if any(need.unmeetable for need in needs):
            return []
        limit = self._limits.get(name, SpecifierSet())
        specifier = reduce(and_, (need.specifier for need in needs), limit)
        wheels = self._sources.offers(name).wheels(specifier)
        return [wheel for wheel in wheels if all(need.is_met_by(wheel.version) for need in needs)]


def _unmeetable(text: str) -> Need:
    """Under a name that no project has."""
    told = one_line(text, limit=200)
    return Need(name=NormalizedName(f"- {told}"), unmeetable=told)
