"""What failures have in common: the class, and what was missing or, where nothing is named, how the complaint reads.

Failures of one cause are one cluster: who mends one of them probably mends all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schema.missing import MissingKind
from schema.printable import one_line
from schema.states import FailureClass
from schema.symptoms import SYMPTOMS, named

NO_SOURCE = "no-source"  # the release has no source distribution: no class of an attempt

_SUBJECT = 160
_SEARCHED = 500
# What the sandbox says of itself, or what is the machine's: whatever else the line tells is of that one build.
_ALIKE = frozenset(
    {
        FailureClass.MEMORY,
        FailureClass.PROCESSES,
        FailureClass.DISK,
        FailureClass.LOG,
        FailureClass.TIMEOUT,
        FailureClass.SILENCE,
        FailureClass.NODE,
        FailureClass.LOST,
        FailureClass.CANCELLED,
    }
)
_NEEDS = re.compile(r"needs (?P<name>[A-Za-z0-9][\w.-]{0,100})")
# What differs from build to build though the complaint is the same, in this order.
_PARTICULARS = (
    (re.compile(r"(?:[A-Za-z]:)?[\w.~+-]*/[\w./~+-]*"), "PATH"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{7,64}\b"), "HEX"),
    (re.compile(r"\b[\w-]+\.(?:c|cc|cpp|cxx|h|hpp|py|pyx|f|f90|rs)(?::\d+)+\b"), "FILE"),
    (re.compile(r"\d+(?:\.\d+)*"), "N"),
)
_PLACE = re.compile(r"^(?:PATH|FILE)(?::N)*: ")  # where a compiler complains, before of what


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """kind: of what is missing, as ``MissingKind`` has it, "" where *subject* is how the complaint reads, or nothing.

    failure_class: a ``FailureClass``, or ``NO_SOURCE``; subject: one inert line, at most 160 characters
    """

    failure_class: str
    kind: str = ""
    subject: str = ""


def cause(failure_class: str, text: str) -> Cause:
    """Of a failure of that class whose evidence, or else message, is *text*."""
    if failure_class == NO_SOURCE or failure_class in _ALIKE:
        return Cause(failure_class)
    line = one_line(text[: 4 * _SEARCHED], limit=_SEARCHED)
    if failure_class == FailureClass.REQUIREMENT and (found := _NEEDS.search(line)):
        return Cause(failure_class, MissingKind.PACKAGE_REQUIREMENT, found["name"].rstrip("."))
    for symptom in SYMPTOMS:
        if failure_class in {symptom.failure_class, FailureClass.COMPILER} and symptom.pattern.search(line):
            for item in named(symptom, line):
                return Cause(failure_class, item.kind, item.name)
    return Cause(failure_class, "", _pattern(line))


def _pattern(line: str) -> str:
    for particular, placeholder in _PARTICULARS:
        line = particular.sub(placeholder, line)
    return one_line(_PLACE.sub("", line, count=1), limit=_SUBJECT)
