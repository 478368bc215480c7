"""Which remedy is tried next: depth first, each remedy kept only if the failure became another one.

A try that failed as one before it did, or whose packages cannot be had, shows that its newest remedy does nothing: it
is dropped, and the next one for the same failure is tried. A try that failed differently has come further: its remedies
are kept, and the new failure gets remedies of its own. Bounded in tries, and in time: no try begins that could not run
as long as the one before it.

Where nothing heals the new failure, the earlier one's other remedies are tried: a try that failed otherwise in the same
step, or in linking, may have had the wrong package. A whole wheel tells more. Where one thing was missing, and the
package that was added for it led to a wheel that passes every check and only does not import, no other package is tried
for that thing: each may take a whole build, and the thing is not missing any more. Nor is anything tried that adds up
to what an earlier try had.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from schema.errors import JobError, PackagesError
from schema.recipes import Recipe, combined
from schema.remedies import Remedy, Rung, Try
from schema.states import FailureClass

# After these there is nothing left to try with, or nobody who wants it.
_FINAL = frozenset({FailureClass.CANCELLED, FailureClass.SDIST, FailureClass.TIMEOUT, FailureClass.LOG})
_VARIES = re.compile(r"[0-9a-fA-F]{6,}|\d+")
_LONGEST_EVIDENCE = 2000
_LEFT_OUT = "No module named"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """How a try ended: the error, the text that its log had, and the remedies that were in effect."""

    error: JobError
    log: str
    remedies: tuple[Remedy, ...]

    @property
    def identity(self) -> tuple[str, str]:
        """Equal for two failures that are the same one, numbers and digests aside: they lack the same things."""
        error = self.error
        lacks = ", ".join(sorted(f"{item.kind} {item.name}" for item in error.lacks))
        return str(error.failure_class), lacks or _VARIES.sub("#", error.evidence or str(error))

    @property
    def of_whole_wheel(self) -> bool:
        """Whether all was built, and the wheel does not import.

        Not so where it lacks a module, nor where it breaks a rule (WHEEL): a build that did not find what it looked
        for may leave an extension out, and end well.
        """
        return self.error.failure_class is FailureClass.IMPORT and _LEFT_OUT not in self.error.evidence


# The remedies for a failure, best first; asked for one at a time, since an answer may cost a look-up.
Candidates = Callable[[Failed], Iterator[Remedy]]


@dataclass(slots=True)
class _Level:
    """A failure that was reached, and what is left to try against it."""

    failed: Failed
    left: Iterator[Remedy]


@dataclass(slots=True, kw_only=True)
class Ladder:
    """The tries of one job.

    known: what worked before: in effect in the first try, and dropped with it
    most: tries in all
    remedies: in effect in the present try
    tries: those that have ended
    """

    candidates: Candidates
    known: tuple[Remedy, ...] = ()
    most: int
    remedies: tuple[Remedy, ...] = field(init=False)
    tries: list[Try] = field(init=False, default_factory=list)
    _levels: list[_Level] = field(init=False, default_factory=list)
    _seen: set[tuple[str, str]] = field(init=False, default_factory=set)
    _reached: list[Failed] = field(init=False, default_factory=list)
    _tried: list[Recipe] = field(init=False, default_factory=lambda: [Recipe()])
    _added: tuple[Remedy, ...] = field(init=False)
    _from_memory: bool = field(init=False)

    def __post_init__(self) -> None:
        self.remedies = self._added = self.known
        self._from_memory = bool(self.known)

    def built(self, *, seconds: float) -> None:
        """The present try gave the wheel."""
        self._note(Try(seconds=seconds, helped=bool(self._added)))

    def failed(self, error: JobError, *, log: str, seconds: float, left_s: float) -> bool:
        """The present try failed; whether there is another, which then is the present one.

        log: what this try wrote; seconds: how long it took; left_s: how long the job may still take
        """
        failed = Failed(error=error, log=log, remedies=self.remedies)
        new = failed.identity not in self._seen and not (self._added and isinstance(error, PackagesError))
        self._note(
            Try(
                seconds=seconds,
                helped=new and bool(self._added) and not self._from_memory,
                failure_class=error.failure_class,
                evidence=(error.evidence or str(error))[:_LONGEST_EVIDENCE],
                line=error.line,
            )
        )
        stop = error.failure_class in _FINAL or len(self.tries) >= self.most or left_s < seconds
        if self._from_memory:
            # What it failed with may be of the remedies' own making: it says nothing of the bare build.
            self._from_memory, self.remedies, self._added = False, (), ()
            if stop:
                self._reached.append(failed)
            return not stop
        if failed.of_whole_wheel:
            self._settle()
        if new:
            self._seen.add(failed.identity)
            self._reached.append(failed)
            self._levels.append(_Level(failed, self.candidates(failed)))
        return not stop and self._next()

    @property
    def verdict(self) -> JobError:
        """The failure that the build ends with: the one that was reached with most remedies for what was missing."""
        final = [failed for failed in self._reached if failed.error.failure_class is FailureClass.CANCELLED]
        return (final or [max(self._reached, key=lambda failed: _solved(failed.remedies))])[0].error

    def _settle(self) -> None:
        """Leave nothing to try against a failure that lacked one thing, which is there now.

        A level's remedy of the present try stands in the level's own place. People's rules settle nothing: two for one
        failure are alternatives.
        """
        for level, remedy in zip(self._levels, self.remedies, strict=True):
            if len(level.failed.error.lacks) == 1 and _brings(remedy):
                level.left = iter(())

    def _next(self) -> bool:
        while self._levels:
            level = self._levels[-1]
            for remedy in level.left:
                remedies = (*level.failed.remedies, remedy)
                if (effect := _effect(remedies)) not in self._tried:
                    self._tried.append(effect)
                    self.remedies, self._added = remedies, (remedy,)
                    return True
            self._levels.pop()
        return False

    def _note(self, ended: Try) -> None:
        self.tries.append(replace(ended, added=self._added, from_memory=self._from_memory))


def _solved(remedies: tuple[Remedy, ...]) -> int:
    """How many of them answer what was really missing; older build requirements are a guess."""
    return sum(remedy.rung is Rung.RULE or _brings(remedy) for remedy in remedies)


def _effect(remedies: tuple[Remedy, ...]) -> Recipe:
    """What they add up to, whichever of them, and in whichever order, packages come from."""
    recipe = combined(remedies)
    return replace(recipe, debian_packages=tuple(sorted(recipe.debian_packages)), rules=())


def _brings(remedy: Remedy) -> bool:
    """Whether it is of a thing that the log named."""
    return remedy.rung is Rung.DEBIAN or (remedy.rung is Rung.REQUIREMENTS and bool(remedy.build_requirements))
