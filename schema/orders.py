"""What people may have the farm do from a browser or over the API, and what each such order needs to be told.

An order is checked twice by the same code: when it is asked for, and when the master comes to do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from schema import names
from schema import recipes as recipe
from schema.errors import UsageError
from schema.people import Role, Scope
from schema.platforms import Platform
from schema.score import MOST_BOOST

MOST_FILE: Final = 2**20

_STORABLE = "^[^\\x00]*$"  # no database takes the character NUL

Reason = Annotated[str, Meta(max_length=1000, pattern=_STORABLE, description="Kept in the audit trail.")]
PlatformName = Annotated[str, Meta(max_length=255, description="Such as debian12-x86_64-cp311; empty: all of them.")]
Builds = Annotated[str, Meta(min_length=1, max_length=512, description="A build's number, or NAME[==VERSION].")]
NodeName = Annotated[str, Meta(min_length=1, max_length=63)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What an order is told; making one checks it, and raises UsageError.

    role: who may give it; scope: what a token needs for it
    """

    role: ClassVar[Role] = Role.OPERATOR
    scope: ClassVar[Scope] = Scope.JOBS


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Order):
    """Ask for a project, and for all that its wheels need."""

    requirement: Annotated[str, Meta(min_length=1, max_length=512, description="NAME, or NAME with a version range.")]
    platforms: Annotated[tuple[PlatformName, ...], Meta(max_length=100, description="None: all of the farm's.")] = ()
    always: Annotated[bool, Meta(description="Build it although the upstream has a usable wheel.")] = False

    def __post_init__(self) -> None:
        """Check it."""
        names.requirement(self.requirement)
        names.project_name(names.requirement(self.requirement).name)
        for platform in self.platforms:
            Platform.parse(platform)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfBuilds(Order):
    """Some builds, on all platforms or on one."""

    builds: Builds
    platform: PlatformName = ""

    def __post_init__(self) -> None:
        """Check it."""
        names.some(self.builds)
        if self.platform:
            Platform.parse(self.platform)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild(OfBuilds):
    """Build a published release again, under the next build number."""

    def __post_init__(self) -> None:
        """Check it."""
        super(Rebuild, self).__post_init__()
        one = names.some(self.builds)
        if isinstance(one, int) or one[1] is None:
            raise UsageError(f"which release is {self.builds!r}?", advice="write NAME==VERSION")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(OfBuilds):
    """Queue builds again that failed, were poisoned, held or withdrawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(OfBuilds):
    """Keep builds from being built until they are released."""

    reason: Reason = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(OfBuilds):
    """Let held builds go on where they stood."""

    at_once: Annotated[bool, Meta(description="Do not wait for the rest of a pause or cooldown, either.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(OfBuilds):
    """End running builds, and hold them."""

    reason: Reason = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority(OfBuilds):
    """Add points to the score of builds, or take some away; 0 takes back all that people added."""

    points: Annotated[float, Meta(ge=-MOST_BOOST, le=MOST_BOOST)]
    reason: Reason = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRecipe(Order):
    """Build a release again that failed, with something added to its recipe; it stays so for that release."""

    build: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    recipe: Annotated[
        dict[str, Any], Meta(description='Keys of a rule of a recipe: {"debian_packages": ["libffi-dev"]}')
    ]

    def __post_init__(self) -> None:
        """Check it."""
        tried(self.recipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfNode(Order):
    """One node."""

    scope: ClassVar[Scope] = Scope.NODES

    node: NodeName

    def __post_init__(self) -> None:
        """Check it."""
        names.node_name(self.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDrain(OfNode):
    """Give a node no new builds; it ends those it has."""

    reason: Reason = "a person asked for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResume(OfNode):
    """Give a node builds again, also after its results were refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeQuarantine(OfNode):
    """Give a node no new builds while somebody looks into it."""

    reason: Reason = "a person set it aside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage(Order):
    """How much of what a file names can be installed from wheels on a platform, and why the rest cannot."""

    role: ClassVar[Role] = Role.VIEWER
    scope: ClassVar[Scope] = Scope.READ

    file: Literal["requirements.txt", "pylock.toml"] = "requirements.txt"
    text: Annotated[str, Meta(max_length=MOST_FILE, pattern=_STORABLE, description="What stands in the file.")]
    platform: Annotated[str, Meta(max_length=255, description="Empty: the farm's first one.")] = ""

    def __post_init__(self) -> None:
        """Check it."""
        if self.platform:
            Platform.parse(self.platform)


ORDERS: Final[dict[str, type[Order]]] = {
    "request": Request,
    "rebuild": Rebuild,
    "retry": Retry,
    "hold": Hold,
    "release": Release,
    "cancel": Cancel,
    "priority": Priority,
    "try-recipe": TryRecipe,
    "node-drain": NodeDrain,
    "node-resume": NodeResume,
    "node-quarantine": NodeQuarantine,
    "coverage": Coverage,
}

_Order = TypeVar("_Order", bound=Order)


def kind(action: str) -> type[Order]:
    """What an order of that name is told; raise UsageError for an unknown one."""
    if action not in ORDERS:
        raise UsageError(f"there is no order {action[:40]!r}", advice=f"there are {', '.join(ORDERS)}")
    return ORDERS[action]


def read(action: str, arguments: Mapping[str, Any], *, strict: bool = True) -> Order:
    """The order that *arguments* describe, checked; raise UsageError.

    strict: False where all of them are texts, as a form has them
    """
    return parse(kind(action), arguments, strict=strict)


def parse(wanted: type[_Order], arguments: Mapping[str, Any], *, strict: bool = True) -> _Order:
    """As ``read``, where it is known which one it is."""
    if not isinstance(arguments, Mapping):
        raise UsageError("the arguments of an order have names")
    if unknown := sorted(set(arguments) - {item.name for item in fields(wanted)}):
        raise UsageError(f"unknown argument {unknown[0][:40]!r}")
    try:
        return msgspec.convert(dict(arguments), wanted, strict=strict)
    except msgspec.ValidationError as err:
        raise UsageError(str(err)) from err


def name_of(order: Order) -> str:
    """What the order is called."""
    return next(name for name, wanted in ORDERS.items() if type(order) is wanted)


# What would have nothing built, or something else, is no recipe to try.
_NOT_TRIED: Final = frozenset({"build_instead", "do_not_build", "use_upstream_wheel", "skip_tests"})


def tried(data: Mapping[str, Any]) -> recipe.Actions:
    """The actions of a recipe that is tried; raise UsageError for what is none."""
    allowed = recipe.ACTIONS - _NOT_TRIED
    if unknown := sorted(set(data) - allowed):
        raise UsageError(f"recipe: unknown key {unknown[0][:40]!r}", advice=f"there are {', '.join(sorted(allowed))}")
    try:
        found = recipe.Actions(**recipe.actions(data))
    except ValueError as err:
        raise UsageError(f"recipe: {err}") from err
    if not recipe.done(found):
        raise UsageError("recipe: it does nothing", advice='name something: {"debian_packages": ["libffi-dev"]}')
    return found
