"""What is wrong with a wheel: one broken rule, said in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from schema.errors import WheelRejectedError
from schema.printable import one_line

_SHOWN_OF_A_RULE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One broken rule of the checklist for wheels (A-01 … A-16).

    advice: what its maker can do, where the rule alone does not tell
    """

    rule: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {one_line(self.text)}"


def broken(rule: str, text: str) -> WheelRejectedError:
    """The error for a wheel that cannot even be looked at further."""
    return WheelRejectedError(str(Finding(rule=rule, text=text)))


def rejection(filename: str, findings: Sequence[Finding]) -> WheelRejectedError:
    """One error that names every broken rule; of many findings of one rule it shows the first few and their number."""
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    lines = [f"{one_line(filename)} breaks {', '.join(sorted(by_rule))}"]
    for rule, found in sorted(by_rule.items()):
        lines += map(str, found[:_SHOWN_OF_A_RULE])
        if len(found) > _SHOWN_OF_A_RULE:
            lines.append(f"{rule}: and {len(found) - _SHOWN_OF_A_RULE} more like these")
    return WheelRejectedError("\n".join(lines))


def grouped(faults: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One sentence for each fault, from pairs of fault and file, with the first file and the number of the others."""
    files: dict[str, list[str]] = {}
    for fault, file in faults:
        files.setdefault(fault, []).append(file)
    for fault, found in files.items():
        others = f" and {len(found) - 1} more" if len(found) > 1 else ""
        yield f"{found[0]!r}{others}: {fault}"
