"""Why a build failed, as far as its log tells: a class, the line that says so, and what was missing.

A limit that the build hit is told by the sandbox (``LimitExceededError``), not by the log, and is not asked about here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from builder.plain import LINE_LIMIT, plain
from schema.missing import Missing, MissingKind
from schema.states import FailureClass
from schema.symptoms import SYMPTOMS, named

_MOST_CHARACTERS = 256 * 1024
_SEARCHED = 2000  # characters of a line
_KILLED = frozenset({-9, 137})

# Best first: a compiler's complaint, Python's last word, whatever else looks like a reason.
_TELLING = (
    re.compile(r"(fatal )?error: (?!command |subprocess-exited)"),
    re.compile(r"^(?!.*(CalledProcessError|SystemExit|CompileError))[\w.]*(Error|Exception|Exit)\b"),
    re.compile(r"(?i)\berror\b|not found|missing|failed|no such file|can'?t find|cannot find|could not find"),
)
_NOISE = re.compile(r"^--- |^\s+(File|\^|\|)|^Traceback|^\s*\^")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """failure_class: BUILD where nothing more special shows; evidence: one line, fit to be shown.

    line: the place of the evidence in the log, counted from 1; None where the log says nothing
    missing: what the evidence, and whatever complains in the same words, names: MOST_NAMED at most, the first first
    """

    failure_class: FailureClass
    evidence: str
    line: int | None = None
    missing: tuple[Missing, ...] = ()


def diagnose(text: str, *, exit_code: int | None = None, first_line: int = 1) -> Failure:
    """Judge the output of the process that failed.

    exit_code: negative or above 128 for a signal; None where it is not known
    first_line: the number of the text's first line in the log
    """
    dropped, text = text[:-_MOST_CHARACTERS], text[-_MOST_CHARACTERS:]
    first_line += dropped.count("\n")
    lines = [plain(_last_shown(line), limit=_SEARCHED) for line in text.split("\n")]
    failure = _by_symptom("\n".join(_without_ours(lines)), first_line) or _unknown(lines, first_line)
    if failure.failure_class is FailureClass.BUILD and exit_code in _KILLED:
        return Failure(failure_class=FailureClass.MEMORY, evidence=failure.evidence, line=failure.line)
    return failure


def _last_shown(line: str) -> str:
    """What a terminal would leave of a line that is written over and over, as progress bars are."""
    return line.rstrip("\r").rpartition("\r")[2]


def _without_ours(lines: list[str]) -> list[str]:
    return ["" if line.startswith("--- ") else line for line in lines]


def _by_symptom(text: str, first_line: int) -> Failure | None:
    for symptom in SYMPTOMS:
        if match := symptom.pattern.search(text):
            missing = named(symptom, text)
            failure_class = symptom.failure_class
            if missing and missing[0].kind is MissingKind.COMPILER:
                failure_class = FailureClass.COMPILER
            return Failure(
                failure_class=failure_class,
                evidence=_around(text, match),
                line=first_line + text.count("\n", 0, match.start() + _leading_ends(match)),
                missing=missing,
            )
    return None


def _leading_ends(match: re.Match[str]) -> int:
    """So many characters of the match are blank: a pattern that begins with blanks may begin on the line before."""
    return len(match[0]) - len(match[0].lstrip())


def _around(text: str, match: re.Match[str]) -> str:
    """The line of the match, cut where it is long so that the match is seen."""
    start = match.start() + _leading_ends(match)
    begin = text.rfind("\n", 0, start) + 1
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    if match.end() - begin > LINE_LIMIT:
        begin = max(begin, start - LINE_LIMIT // 2)
    return text[begin:end].strip()[:LINE_LIMIT]


def _unknown(lines: list[str], first_line: int) -> Failure:
    told = [(number, line) for number, line in enumerate(lines, first_line) if line and not _NOISE.search(line)]
    if not told:
        return Failure(failure_class=FailureClass.BUILD, evidence="")
    number, line = _most_telling(told)
    return Failure(failure_class=FailureClass.BUILD, evidence=line[:LINE_LIMIT], line=number)


def _most_telling(told: list[tuple[int, str]]) -> tuple[int, str]:
    for pattern in _TELLING:
        found = [(number, line) for number, line in told if pattern.search(line)]
        if found:
            # The first complaint of a compiler causes the others; Python's last line is the one that counts.
            return found[0] if pattern is _TELLING[0] else found[-1]
    return told[-1]
