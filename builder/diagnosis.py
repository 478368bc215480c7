"""Why a build failed, as far as its log tells: a class and the line that says so. Deeper diagnosis is not done here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schema.states import FailureClass

_EVIDENCE_LIMIT = 500
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)

# The first that matches a line counts; lines are read from the last one up.
_CLASSES: tuple[tuple[FailureClass, re.Pattern[str]], ...] = (
    (
        FailureClass.NETWORK,
        re.compile(
            r"Name or service not known|Temporary failure in name resolution|Could not resolve host|urlopen error"
            r"|Network is unreachable|getaddrinfo failed|NameResolutionError|Max retries exceeded with url"
        ),
    ),
    (FailureClass.REQUIREMENT, re.compile(r"No matching distribution found for|Could not find suitable distribution")),
    (FailureClass.DISK, re.compile(r"No space left on device|File too large|Disk quota exceeded")),
    (FailureClass.PROCESSES, re.compile(r"can't start new thread|fork: retry: Resource temporarily unavailable")),
    (FailureClass.MEMORY, re.compile(r"Killed signal terminated program|^MemoryError|virtual memory exhausted")),
)

# Best first: a compiler's complaint, Python's last word, whatever else looks like a reason.
_TELLING = (
    re.compile(r"(fatal )?error: (?!command |subprocess-exited)|undefined reference to|cannot find -l"),
    re.compile(r"^(?!.*(CalledProcessError|SystemExit|CompileError))[\w.]*(Error|Exception|Exit)\b"),
    re.compile(r"(?i)\berror\b|not found|missing|failed|no such file"),
)
_NOISE = re.compile(r"^\s*$|^--- |^\s+(File|\^|\|)|^Traceback|^\s*\^")


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """failure_class: BUILD where nothing more special shows; evidence: one line, fit to be shown."""

    failure_class: FailureClass
    evidence: str


def diagnose(text: str) -> Diagnosis:
    """Judge the output of the process that failed."""
    lines = [line for line in map(plain, text.splitlines()) if not _NOISE.search(line)]
    for line in reversed(lines):
        for failure_class, pattern in _CLASSES:
            if pattern.search(line):
                return Diagnosis(failure_class=failure_class, evidence=line)
    return Diagnosis(failure_class=FailureClass.BUILD, evidence=_evidence(lines))


def plain(line: str) -> str:
    """One line without escape sequences, control and bidi characters, and not too long (T26)."""
    return _CONTROL.sub("", line).strip()[:_EVIDENCE_LIMIT]


def _evidence(lines: list[str]) -> str:
    for pattern in _TELLING:
        found = [line for line in lines if pattern.search(line)]
        if found:
            # The first complaint of a compiler causes the others; Python's last line is the one that counts.
            return found[0] if pattern is _TELLING[0] else found[-1]
    return lines[-1] if lines else ""
