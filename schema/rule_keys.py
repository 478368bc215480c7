"""The checks of a rule's single keys: what a person wrote, or the wire brought, becomes a value or a ValueError."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from schema import sizes
from schema.printable import printable
from schema.states import Bundle, FailureClass

T = TypeVar("T")

MOST_JOBS: Final = 64
_MOST_ITEMS = 100
_LONGEST_LOG = 200
_LONGEST_TEST = 4000

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,198}[a-z0-9])?/[a-z0-9][a-z0-9-]{0,39}")
_DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}")
_PLATFORMS = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,100}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")

# Compiler flags in the environment replace the interpreter's own: -O2 and the hardening would be gone. The others are
# the sandbox's: they make builds repeatable, and keep them where they are.
_REFUSED_VARIABLES = frozenset(
    {
        "CFLAGS",
        "CXXFLAGS",
        "OPT",
        "PATH",
        "HOME",
        "TMPDIR",
        "SOURCE_DATE_EPOCH",
        "LANG",
        "TZ",
        "ENV",
        "BASH_ENV",
        "VIRTUAL_ENV",
    }
)
_REFUSED_PREFIXES = ("LC_", "LD_", "PIP_", "PYTHON", "_PYTHON", "WHEELFARM_")


def text(*, most: int) -> Callable[[Any], str]:
    """One line of at most *most* characters that shows all that is in it."""

    def parse(value: Any) -> str:  # noqa: ANN401 - not checked yet, as below
        if not isinstance(value, str) or len(value) > most or "\n" in value or printable(value) != value:
            raise ValueError(f"must be a text of one line, at most {most} characters")
        return value

    return parse


def rule_id(value: Any) -> str:  # noqa: ANN401
    """The farm-wide id, ``NAME/ID``."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("must be at most 40 lower-case letters, digits and hyphens")
    return value


def link(value: Any) -> str:  # noqa: ANN401
    """A page to read, by HTTPS."""
    found = text(most=500)(value)
    parts = urlsplit(found)
    if found and (parts.scheme != "https" or not parts.hostname or parts.username or " " in found):
        raise ValueError(f"{found!r} is not the address of a page (https://…)")
    return found


def day(value: Any) -> date:  # noqa: ANN401
    """A date, as TOML has it or as ISO 8601 text."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(text(most=10)(value))
    except ValueError:
        raise ValueError(f"{str(value)[:40]!r} is not a day such as 2027-03-31") from None


def versions(value: Any) -> str:  # noqa: ANN401
    """A range of versions (PEP 440), "" for all."""
    found = text(most=255)(value)
    try:
        SpecifierSet(found)
    except InvalidSpecifier:
        raise ValueError(f"{found!r} is not a range of versions such as >=1.2,<1.4") from None
    return found


def version(value: Any) -> str:  # noqa: ANN401
    """One version, in its canonical spelling (PEP 440)."""
    found = text(most=255)(value)
    try:
        return str(Version(found))
    except InvalidVersion:
        raise ValueError(f"{found!r} is not a version") from None


def log(value: Any) -> str:  # noqa: ANN401
    """A piece of one line of a log; plain text, not a pattern."""
    return text(most=_LONGEST_LOG)(value)


def platforms(value: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Patterns of platforms, such as ``*-aarch64-*``."""
    return _texts(value, _is(_PLATFORMS), "a platform, or a pattern such as debian12-*")


def failure_classes(value: Any) -> tuple[FailureClass, ...]:  # noqa: ANN401
    """By their names, as in ``schema.states``."""
    known = {str(item) for item in FailureClass}
    rule = f"a class of failure; there are {', '.join(sorted(known))}"
    return tuple(FailureClass(item) for item in _texts(value, known.__contains__, rule))


def debian_packages(value: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Names of binary packages (Debian policy 5.6.1); apt would read a last "-" as "remove it"."""
    return _texts(
        value,
        lambda name: _DEBIAN_PACKAGE.fullmatch(name) is not None and not name.endswith("-"),
        "the name of a Debian package",
    )


def constraints(value: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Constraints for build requirements, as pip takes them."""
    return _texts(value, _is_constraint, "a requirement such as cython<3")


def environment(value: Any) -> dict[str, str]:  # noqa: ANN401
    """Variables for the build; those that keep it repeatable and safe are the farm's."""
    return _table(
        value,
        lambda name: (
            _VARIABLE.fullmatch(name) is not None
            and name not in _REFUSED_VARIABLES
            and not name.startswith(_REFUSED_PREFIXES)
        ),
        f"is not a variable that a recipe may set; not allowed are {', '.join(sorted(_REFUSED_VARIABLES))}"
        f" and what begins with {', '.join(_REFUSED_PREFIXES)}",
    )


def config_settings(value: Any) -> dict[str, str]:  # noqa: ANN401
    """What PEP 517's hooks get as ``config_settings``."""
    return _table(value, lambda name: 0 < len(name) <= _LONGEST_LOG, "is not the name of a config setting")


def jobs(value: Any) -> int:  # noqa: ANN401
    """Compile jobs at once."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_JOBS:
        raise ValueError(f"must be a whole number from 1 to {MOST_JOBS}")
    return value


def size(value: Any) -> str:  # noqa: ANN401
    """The name of a size (``schema.sizes``)."""
    known = [need.name for need in sizes.NEEDS]
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{str(value)[:40]!r} is not a size; there are {', '.join(known)}")
    return value


def bundle(value: Any) -> Bundle:  # noqa: ANN401
    """Which libraries are grafted into the wheel."""
    if value not in list(Bundle):
        raise ValueError(f"{str(value)[:40]!r} is not one of {', '.join(Bundle)}")
    return Bundle(value)


def test(value: Any) -> str:  # noqa: ANN401
    """Python for the clean room, as many lines as it takes; it runs in the sandbox only."""
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_TEST or printable(value) != value:
        raise ValueError(f"must be Python, at most {_LONGEST_TEST} characters, all of them visible")
    return value


def switch(value: Any) -> bool:  # noqa: ANN401
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - all that is wrong here is a ValueError
    return value


def _texts(value: Any, allowed: Callable[[str], bool], rule: str) -> tuple[str, ...]:  # noqa: ANN401
    if not isinstance(value, (list, tuple)) or len(value) > _MOST_ITEMS:
        raise ValueError(f"must be a list of at most {_MOST_ITEMS} texts")
    for item in value:
        if not isinstance(item, str) or not allowed(item):
            raise ValueError(f"{str(item)[:80]!r} is not {rule}")
    return tuple(dict.fromkeys(value))


def _table(value: Any, allowed: Callable[[str], bool], rule: str) -> dict[str, str]:  # noqa: ANN401
    if not isinstance(value, Mapping) or len(value) > _MOST_ITEMS:
        raise ValueError(f"must be a table of at most {_MOST_ITEMS} texts")
    for name, item in value.items():
        if not isinstance(name, str) or not allowed(name):
            raise ValueError(f"{str(name)[:80]!r} {rule}")
        if not isinstance(item, str) or "\0" in item or len(item) > 4096:  # noqa: PLR2004 - more than any flag needs
            raise ValueError(f"{name}: must be a text of at most 4096 characters")
    return dict(value)


def _is(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda found: pattern.fullmatch(found) is not None


def _is_constraint(found: str) -> bool:
    try:
        parsed = Requirement(found)
    except InvalidRequirement:
        return False
    return len(found) <= 255 and not parsed.url and not parsed.extras  # noqa: PLR2004 - as fields.requirement
