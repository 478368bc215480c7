"""The remedies for a failure, in the order of what they cost and how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from pathlib import Path

from builder.debian_index import asking
from builder.heal import requirements
from builder.heal.ladder import Failed
from schema.jobs import BuildJob
from schema.missing import Missing, MissingKind
from schema.recipes import Actions
from schema.remedies import Remedy, Rung, of_rule
from schema.states import FailureClass

# So many packages that ship what is missing are tried one after the other.
_MOST_CANDIDATES = 3
# What a log or an archive names may cost only so much.
_MOST_PACKAGES = 40

# What no Debian package is asked for.
_PYTHONS_OWN = frozenset({MissingKind.PYTHON_MODULE, MissingKind.PACKAGE_REQUIREMENT})
_TIMES_HAVE_CHANGED = frozenset({FailureClass.REQUIREMENT_TOO_NEW})
# Where older build requirements are worth a guess, after everything that answers what the log says.
_MAYBE_TOO_NEW = frozenset(
    {
        FailureClass.BUILD,
        FailureClass.BACKEND,
        FailureClass.SOURCE,
        FailureClass.PYTHON_MODULE,
        FailureClass.INTERPRETER,
    }
)
# Where something may be missing that the log does not name.
_MAYBE_MISSING = frozenset(
    {
        FailureClass.BUILD,
        FailureClass.HEADER,
        FailureClass.PKG_CONFIG,
        FailureClass.PROGRAM,
        FailureClass.LIBRARY,
        FailureClass.LIBRARY_VERSION,
        FailureClass.NETWORK,
        FailureClass.SOURCE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rungs:
    """What is known about the build of one job.

    job: with the recipe that holds from the start
    index: gives the index of the image's suite, making it if need be; None: Debian is not asked
    installed: the image's own packages
    older: whether older build requirements may be tried
    """

    job: BuildJob
    index: Callable[[], Path] | None
    installed: frozenset[str]
    older: bool = True

    def candidates(self, failed: Failed) -> Iterator[Remedy]:
        """The remedies for this failure that are not in effect yet, best first."""
        failure_class = failed.error.failure_class
        yield from self._rules(failed)
        if failure_class is FailureClass.MEMORY and self._applied(failed).isdisjoint({"jobs"}):
            yield Remedy(rung=Rung.MACHINE, why="one compile job at a time takes less memory", jobs=1)
        yield from self._forgotten(failed)
        if self.older and failure_class in _TIMES_HAVE_CHANGED:
            yield from self._older(failed)
        if self.index is not None:
            yield from self._shipping(failed, self.index)
            if failure_class in _MAYBE_MISSING:
                yield from self._build_depends(failed, self.index)
        if self.older and failure_class in _MAYBE_TOO_NEW:
            yield from self._as_of_upload(failed)

    def _rules(self, failed: Failed) -> Iterator[Remedy]:
        used = {remedy.rule for remedy in failed.remedies}
        for rule in self.job.remedies:
            # Another version is another build: the master follows that.
            fits = rule.follows((failed.error.failure_class, failed.log)) and rule.build_instead is None
            if fits and rule.id not in used:
                yield of_rule(rule)

    def _forgotten(self, failed: Failed) -> Iterator[Remedy]:
        there = {name for remedy in failed.remedies for name in remedy.build_requirements}
        for lacks in failed.error.lacks:
            project = requirements.project_of(lacks.name) if lacks.kind is MissingKind.PYTHON_MODULE else None
            if project is not None and project not in there:
                there.add(project)
                why = f"its build imports {lacks.name}, which its build requirements do not list"
                yield Remedy(rung=Rung.REQUIREMENTS, why=why, build_requirements=(project,))

    def _older(self, failed: Failed) -> Iterator[Remedy]:
        yield from self._as_of_upload(failed)
        for constraints in requirements.pins(failed.error.evidence):
            why = f"with {', '.join(constraints)}: before what it was written for was taken away"
            yield Remedy(rung=Rung.REQUIREMENTS, why=why, build_constraints=constraints)

    def _as_of_upload(self, failed: Failed) -> Iterator[Remedy]:
        uploaded = self.job.sdist.uploaded_at
        if uploaded is not None and "requirements_as_of_upload" not in self._applied(failed):
            why = f"with build requirements as they were when it was uploaded, {uploaded:%Y-%m-%d}"
            yield Remedy(rung=Rung.REQUIREMENTS, why=why, requirements_as_of_upload=True)

    def _shipping(self, failed: Failed, index: Callable[[], Path]) -> Iterator[Remedy]:
        """Each alone, and all at once: first where one sentence names them, last where they may be alternatives."""
        found = self._found(failed, index)
        ranked = zip_longest(*([(lacks, item) for item in candidates] for lacks, candidates in found))
        choices = [[one] for rank in ranked for one in rank if one is not None][:_MOST_CANDIDATES]
        at_once = all(lacks.name in failed.error.evidence for lacks, _ in found)
        choices.insert(0 if at_once else len(choices), [(lacks, candidates[0]) for lacks, candidates in found])
        offered: set[tuple[str, ...]] = {()}
        for remedy in map(_shipped, choices):
            if remedy.debian_packages not in offered:
                offered.add(remedy.debian_packages)
                yield remedy

    def _found(self, failed: Failed, index: Callable[[], Path]) -> list[tuple[Missing, list[asking.Candidate]]]:
        """Each thing that is missing with the packages that may bring it, best first; without those that none ships."""
        wanted = [lacks for lacks in failed.error.lacks if lacks.kind not in _PYTHONS_OWN]
        there = self.installed | _packages(failed)
        found = []
        for lacks in wanted:
            candidates = asking.lookup(index(), lacks)
            # It is named again because of the others.
            is_there = len(wanted) > 1 and bool(candidates) and candidates[0].package in there
            if left := [item for item in candidates if item.package not in there and not is_there]:
                found.append((lacks, left))
        return found

    def _build_depends(self, failed: Failed, index: Callable[[], Path]) -> Iterator[Remedy]:
        there = self.installed | _packages(failed)
        wanted = [name for name in asking.build_depends(index(), self.job.project) if name not in there]
        if wanted and len(wanted) <= _MOST_PACKAGES:
            why = f"what Debian builds {self.job.project} with: {', '.join(wanted)}"
            yield Remedy(rung=Rung.BUILD_DEPENDS, why=why[:1000], debian_packages=tuple(wanted))

    def _applied(self, failed: Failed) -> set[str]:
        """The names of the actions that are in effect."""
        in_effect = (self.job.recipe, *failed.remedies)
        return {item.name for item in fields(Actions) for action in in_effect if getattr(action, item.name)}


def _packages(failed: Failed) -> set[str]:
    return {name for remedy in failed.remedies for name in remedy.debian_packages}


def _shipped(found: Sequence[tuple[Missing, asking.Candidate]]) -> Remedy:
    """The remedy of the packages that bring these things."""
    called = " and ".join(_called(lacks) for lacks, _ in found)
    packages = {
        candidate.package: f"ships {candidate.path}" if candidate.path else "is what builds call so"
        for _, candidate in found
    }
    brings = "; ".join(f"{package}, it {does}" for package, does in packages.items())
    why = f"{called} {'is' if len(found) == 1 else 'are'} missing: {brings}"
    return Remedy(rung=Rung.DEBIAN, why=why[:1000], debian_packages=tuple(packages))


def _called(lacks: Missing) -> str:
    if lacks.kind is MissingKind.NAMED:
        return lacks.name
    return f"-l{lacks.name}" if lacks.kind is MissingKind.LIBRARY else f"the {lacks.kind} {lacks.name}"
