"""What people know about building a project: rules, which of them hold for a build, and what they add up to.

Rules are text that goes to every node, so they are checked by the same code where a person's file is read and where
they come off the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, Final, Self

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from schema import names, rule_keys, sizes
from schema.messages import Json, Message, T, checked
from schema.platforms import Platform
from schema.states import Bundle, FailureClass

# So many rules may wait for a failure of one build.
MOST_REMEDIES: Final = 20
_MOST_APPLIED = 200
# So many bytes from the end of a failure's log are looked through for what a rule wants to see.
MOST_LOG: Final = 4 * 2**20

# What an attempt ended with: the class, and the text of its log.
Failed = tuple[FailureClass, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions(Message):
    """What is done differently.

    runtime_packages: Debian packages that the wheel needs where it is used, which its files do not tell
    build_requirements: required for the build beside what the project lists
    requirements_as_of_upload: of build requirements, only releases count that were there when the sdist was uploaded
    jobs: compile jobs at once, 1 … 64; None: as many as the build itself takes
    memory: the name of a size (``schema.sizes``) that the build counts as at least; None: of what it took so far
    bundle: which libraries are grafted into the wheel; None: as its platform is set, else all that may not be there
    test: Python that must end well in the clean room, once the wheel is installed and its modules are imported
    skip_tests: the bundled tests are left out; a note for people, since what leaves them out is the environment
    build_instead: the version to build instead
    use_upstream_wheel: the upstream's wheel serves, whatever the policy says
    do_not_build: nothing is built
    """

    debian_packages: tuple[str, ...] = ()
    runtime_packages: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    config_settings: dict[str, str] = field(default_factory=dict)
    build_constraints: tuple[str, ...] = ()
    build_requirements: tuple[str, ...] = ()
    requirements_as_of_upload: bool = False
    jobs: int | None = None
    memory: str | None = None
    bundle: Bundle | None = None
    test: str | None = None
    skip_tests: bool = False
    build_instead: str | None = None
    use_upstream_wheel: bool = False
    do_not_build: bool = False

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """The rules that it comes from."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Actions):
    """What the rules and remedies that hold for one build add up to.

    rules: the ids of the rules, in the order in which they were applied
    """

    rules: tuple[str, ...] = ()

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """The rules that it adds up."""
        return self.rules

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        applied = data.get("rules") or ()
        if not isinstance(applied, (list, tuple)) or len(applied) > _MOST_APPLIED:
            raise ValueError(f"rules: not a list of at most {_MOST_APPLIED} ids")
        return cls(rules=tuple(map(rule_keys.rule_id, applied)), **actions(data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Actions):
    """One thing that people know, as ``[[rule]]`` in ``recipes/NAME.toml``.

    id: farm-wide: ``NAME/ID``
    why: one line; link: a page that tells more, or ""; author: who knows it, or ""
    expires: the last day on which it holds; None: it holds until it is removed
    versions: a range (PEP 440), "" for all
    platforms: patterns, one of which must fit; none for all
    after: classes of failures, after one of which it holds; none: it holds from the start
    log: what the log of that failure must contain: plain text, "" for anything
    """

    id: str
    why: str
    link: str = ""
    author: str = ""
    expires: date | None = None
    versions: str = ""
    platforms: tuple[str, ...] = ()
    after: tuple[FailureClass, ...] = ()
    log: str = ""

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls.parse(data)

    @classmethod
    def parse(cls, data: Json) -> Self:
        """Read one from plain data; raise ValueError that begins with the key: ``KEY: what is wrong``."""
        for key in ("id", "why"):
            if not data.get(key):
                raise ValueError(f"{key}: is missing")
        rule = cls(**_read(data, _TERMS | _ACTIONS))
        for wrong in _contradictions(rule):
            raise ValueError(wrong)
        return rule

    def fits(self, version: Version, platform: Platform, today: date) -> bool:
        """Whether it is for that version and platform, and has not expired."""
        return (
            (self.expires is None or today <= self.expires)
            and _among(self.versions, version)
            and (not self.platforms or any(_is_for(platform, pattern) for pattern in self.platforms))
            and self.build_instead != str(version)
        )

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """Its own."""
        return (self.id,)

    @property
    def applies(self) -> str:
        """When it holds, in words."""
        after = f"after {' or '.join(self.after)}" if self.after else "from the start"
        log = f" with {self.log!r} in the log" if self.log else ""
        platforms = f" on {', '.join(self.platforms)}" if self.platforms else ""
        return f"{self.versions or 'any version'}{platforms}, {after}{log}"

    def follows(self, failure: Failed) -> bool:
        """Whether it is to be tried after that failure."""
        failure_class, log = failure
        return failure_class in self.after and self.log in log


def applicable(
    found: Iterable[Rule], *, version: Version, platform: Platform, failures: Sequence[Failed] = (), today: date
) -> tuple[Rule, ...]:
    """The rules that hold, in their order: from the start, and after one of the *failures* of this build so far."""
    return tuple(
        rule
        for rule in found
        if rule.fits(version, platform, today) and (not rule.after or any(map(rule.follows, failures)))
    )


def remedies(found: Iterable[Rule], *, version: Version, platform: Platform, today: date) -> tuple[Rule, ...]:
    """The rules that may hold after a failure, in their order, MOST_REMEDIES at most."""
    return tuple(rule for rule in found if rule.after and rule.fits(version, platform, today))[:MOST_REMEDIES]


def combined(applied: Sequence[Actions]) -> Recipe:
    """What they add up to: of a single value the last counts, lists are joined, of sizes the largest is taken.

    Each brings the ids of the rules that it comes from.
    """
    return Recipe(
        debian_packages=_joined(item.debian_packages for item in applied),
        runtime_packages=_joined(item.runtime_packages for item in applied),
        environment={name: value for item in applied for name, value in item.environment.items()},
        config_settings={name: value for item in applied for name, value in item.config_settings.items()},
        build_constraints=_joined(item.build_constraints for item in applied),
        build_requirements=_joined(item.build_requirements for item in applied),
        requirements_as_of_upload=any(item.requirements_as_of_upload for item in applied),
        jobs=_last(item.jobs for item in applied),
        memory=max(filter(None, (item.memory for item in applied)), key=size_of, default=None),
        bundle=_last(item.bundle for item in applied),
        test=_last(item.test for item in applied),
        skip_tests=any(item.skip_tests for item in applied),
        build_instead=_last(item.build_instead for item in applied),
        use_upstream_wheel=any(item.use_upstream_wheel for item in applied),
        do_not_build=any(item.do_not_build for item in applied),
        rules=_joined(item.rule_ids for item in applied),
    )


def ruled_out(applied: Iterable[Rule]) -> str:
    """Which of them says not to build, and why: ``NAME/ID: WHY``; "" where none does."""
    return next((f"{rule.id}: {rule.why}" for rule in applied if rule.do_not_build), "")


def done(item: Actions) -> tuple[str, ...]:
    """The names of the actions that it has."""
    return tuple(action.name for action in fields(Actions) if getattr(item, action.name))


def actions(data: Json) -> dict[str, Any]:
    """The actions that *data* names, by their names; raise ValueError that begins with the key."""
    return _read(data, _ACTIONS)


def size_of(name: str) -> int:
    """The number of the size that is called so."""
    return next(number for number, need in enumerate(sizes.NEEDS) if need.name == name)


_ACTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "debian_packages": rule_keys.debian_packages,
    "runtime_packages": rule_keys.debian_packages,
    "environment": rule_keys.environment,
    "config_settings": rule_keys.config_settings,
    "build_constraints": rule_keys.constraints,
    "build_requirements": rule_keys.constraints,
    "requirements_as_of_upload": rule_keys.switch,
    "jobs": rule_keys.jobs,
    "memory": rule_keys.size,
    "bundle": rule_keys.bundle,
    "test": rule_keys.test,
    "skip_tests": rule_keys.switch,
    "build_instead": rule_keys.version,
    "use_upstream_wheel": rule_keys.switch,
    "do_not_build": rule_keys.switch,
}
_TERMS: Final[dict[str, Callable[[Any], Any]]] = {
    "id": rule_keys.rule_id,
    "why": rule_keys.text(most=1000),
    "link": rule_keys.link,
    "author": rule_keys.text(most=100),
    "expires": rule_keys.day,
    "versions": rule_keys.versions,
    "platforms": rule_keys.platforms,
    "after": rule_keys.failure_classes,
    "log": rule_keys.log,
}
ACTIONS: Final = frozenset(_ACTIONS)
KEYS: Final = frozenset(_TERMS) | ACTIONS


def _read(data: Json, parsers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    found = {}
    for key, parse in parsers.items():
        if data.get(key) is not None:
            try:
                found[key] = parse(data[key])
            except ValueError as err:
                raise ValueError(f"{key}: {err}") from None
    return found


def _contradictions(rule: Rule) -> Iterator[str]:
    """What cannot be meant."""
    named = done(rule)
    if not named:
        yield f"id: the rule does nothing; it needs one of {', '.join(_ACTIONS)}"
    if rule.log and not rule.after:
        yield "log: there is no log before the first attempt; say after which failures (after)"
    for alone in ("do_not_build", "use_upstream_wheel"):
        if alone in named and len(named) > 1:
            yield f"{alone}: contradicts {', '.join(name for name in named if name != alone)}"
        if alone in named and rule.after:
            yield f"{alone}: is decided before anything is built, so it cannot come after a failure"
    if rule.skip_tests and not (rule.environment or rule.config_settings):
        yield "skip_tests: is only a note; the environment or config_settings must leave the tests out"
    if rule.build_instead and len(named) > 1:
        others = ", ".join(name for name in named if name != "build_instead")
        yield f"build_instead: {others} would be for the other version; say them in a rule of its own for that version"
    if rule.build_instead and not rule.after:
        yield "build_instead: say after which failures (after)"
    if rule.build_instead and rule.versions and _among(rule.versions, Version(rule.build_instead)):
        yield f"build_instead: {rule.build_instead} is itself among the versions {rule.versions}"


def _among(versions: str, version: Version) -> bool:
    return SpecifierSet(versions).contains(version, prereleases=True)


def _is_for(platform: Platform, pattern: str) -> bool:
    return names.fits(canonicalize_name(str(platform)), pattern)


def _joined(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for found in lists for item in found))


def _last(values: Iterable[T | None]) -> T | None:
    return next((value for value in reversed(list(values)) if value is not None), None)
