"""The remedies for a failure, in the order of what they cost and how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from builder.debian_index import asking
from builder.heal import requirements
from builder.heal.ladder import Failed
from schema.jobs import BuildJob
from schema.missing import Missing, MissingKind
from schema.recipes import Actions
from schema.remedies import Remedy, Rung, of_rule
from schema.states import FailureClass

# So many packages that ship the same thing are tried one after the other.
_MOST_CANDIDATES = 3
# What a log or an archive names may cost only so much.
_MOST_PACKAGES = 40

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
        lacks = failed.error.lacks
        if lacks is None or lacks.kind is not MissingKind.PYTHON_MODULE:
            return
        project = requirements.project_of(lacks.name)
        if project is not None and not any(project in remedy.build_requirements for remedy in failed.remedies):
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
        lacks = failed.error.lacks
        if lacks is None or lacks.kind in {MissingKind.PYTHON_MODULE, MissingKind.PACKAGE_REQUIREMENT}:
            return
        there = self.installed | _packages(failed)
        found = [item for item in asking.lookup(index(), lacks) if item.package not in there]
        for candidate in found[:_MOST_CANDIDATES]:
            ships = f"it ships {candidate.path}" if candidate.path else "it is what builds call so"
            why = f"{_called(lacks)} is missing: {candidate.package}, {ships}"
            yield Remedy(rung=Rung.DEBIAN, why=why, debian_packages=(candidate.package,))

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


def _called(lacks: Missing) -> str:
    return f"-l{lacks.name}" if lacks.kind is MissingKind.LIBRARY else f"the {lacks.kind} {lacks.name}"
