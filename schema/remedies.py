"""What a node tries beyond the recipe when a build fails, and what came of each try.

A remedy comes off the wire from a node, is remembered by the master, and goes to other nodes as what worked before: so
each kind may do only what it is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from schema import fields, rule_keys
from schema.messages import Json, Message, checked
from schema.recipes import Actions, Rule, actions, done
from schema.states import FailureClass

# So many tries one attempt may have, and so many remedies may be in effect in one of them.
MOST_TRIES: Final = 20


class Rung(StrEnum):
    """Where a remedy comes from, in the order in which they are tried."""

    RULE = "rule"  # what people know: a rule of a recipe with ``after``
    MACHINE = "machine"  # what the machine lacked: fewer compile jobs
    DEBIAN = "debian"  # the package that ships what was missing
    REQUIREMENTS = "requirements"  # build requirements of another time, or one that the project does not list
    BUILD_DEPENDS = "build-depends"  # what Debian builds the project with


# Modules that a setup.py imports without requiring them, and the project that brings each. Only these: a log may name
# any module it likes, and a node any project, whose code would then run in the builds of others.
FORGOTTEN: Final[dict[str, str]] = {
    "Cython": "cython",
    "cffi": "cffi",
    "cmake": "cmake",
    "cppy": "cppy",
    "jinja2": "jinja2",
    "mako": "mako",
    "mesonpy": "meson-python",
    "nanobind": "nanobind",
    "ninja": "ninja",
    "numpy": "numpy",
    "packaging": "packaging",
    "pkgconfig": "pkgconfig",
    "ply": "ply",
    "pybind11": "pybind11",
    "scikit_build_core": "scikit-build-core",
    "setuptools_rust": "setuptools-rust",
    "setuptools_scm": "setuptools-scm",
    "six": "six",
    "skbuild": "scikit-build",
    "toml": "toml",
    "tomli": "tomli",
    "wheel": "wheel",
    "yaml": "pyyaml",
}

# What a remedy of each kind may do; a rule is looked up again by its id before it is used again.
_ALLOWED: Final[dict[Rung, frozenset[str]]] = {
    Rung.MACHINE: frozenset({"jobs"}),
    Rung.DEBIAN: frozenset({"debian_packages"}),
    Rung.REQUIREMENTS: frozenset({"build_constraints", "build_requirements", "requirements_as_of_upload"}),
    Rung.BUILD_DEPENDS: frozenset({"debian_packages"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy(Actions):
    """One thing done differently.

    why: one line for people; rule: the id of the rule that it is, "" for the other kinds
    """

    rung: Rung
    why: str
    rule: str = ""

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        rung = Rung(data["rung"])
        made = cls(
            rung=rung,
            why=fields.text(data["why"], limit=1000),
            rule=rule_keys.rule_id(data["rule"]) if data.get("rule") else "",
            **actions(data),
        )
        if (rung is Rung.RULE) != bool(made.rule):
            raise ValueError(f"a remedy of the kind {rung} {'without' if rung is Rung.RULE else 'with'} a rule")
        if not_allowed := set(done(made)) - _ALLOWED.get(rung, frozenset(done(made))):
            raise ValueError(f"a remedy of the kind {rung} may not have {', '.join(sorted(not_allowed))}")
        if rung is not Rung.RULE and (unknown := set(made.build_requirements) - set(FORGOTTEN.values())):
            raise ValueError(f"a remedy may not require {', '.join(sorted(unknown))}")
        return made

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """The rule that it is."""
        return (self.rule,) if self.rule else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Try(Message):
    """One try of an attempt at its build.

    added: the remedies that the try before did not have; from_memory: they are what worked before
    helped: it gave the wheel, or the failure became another one
    failure_class: None where it gave the wheel; evidence: the line of the log that says why; line: its number, from 1
    """

    seconds: float
    added: tuple[Remedy, ...] = ()
    from_memory: bool = False
    helped: bool = False
    failure_class: FailureClass | None = None
    evidence: str = ""
    line: int | None = None

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            seconds=fields.seconds(data["seconds"]),
            added=remedies(data.get("added", ())),
            from_memory=rule_keys.switch(data.get("from_memory", False)),
            helped=rule_keys.switch(data.get("helped", False)),
            failure_class=fields.maybe(data.get("failure_class"), FailureClass),
            evidence=fields.text(data.get("evidence", ""), limit=2000),
            line=fields.maybe(data.get("line"), fields.line_number),
        )


def of_rule(rule: Rule) -> Remedy:
    """The rule as a remedy."""
    does = {name: getattr(rule, name) for name in done(rule)}
    return Remedy(rung=Rung.RULE, why=rule.why, rule=rule.id, **does)


def remedies(data: object) -> tuple[Remedy, ...]:
    """Read a list of remedies; raise WireError or ValueError."""
    return tuple(Remedy.from_json(item) for item in fields.items(data, limit=MOST_TRIES))
