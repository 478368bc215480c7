"""The last step of the main job: install from this farm what was asked for, and import it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from master.idle import Wanted
from master.supervisor import Program, Supervisor
from schema.platforms import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one project on one platform; trouble: "" if all is well."""

    wanted: Wanted
    trouble: str = ""

    @property
    def verdict(self) -> str:
        """A word or two for people."""
        if self.trouble:
            return "FAILED"
        return "installed and imported" if self.wanted.is_published else self.wanted.state


def try_all(
    wanted: Sequence[Wanted],
    *,
    public_url: str,
    command: Sequence[str],
    log_file: Path,
    supervisor: Supervisor,
    say: Callable[[str], None],
) -> list[Trial]:
    """Install and import each published wheel in a clean environment; what has no wheel is judged by its state.

    command: of ``wheelfarm-node try``, without its arguments
    """
    trials = []
    for item in wanted:
        if item.is_published:
            say(f"{item.project} {item.version} {item.platform}: installing it from the farm into a clean environment")
            view = Platform.parse(item.platform).view
            argv = [*command, f"{item.project}=={item.version}", "--platform", item.platform]
            argv += [word for package in item.debian_packages for word in ("--debian-package", package)]
            argv += ["--index-url", f"{public_url}/{view}/simple/", "--json"]
            program = Program(name=f"try {item.project}", argv=argv, log_file=log_file)
            trials.append(Trial(wanted=item, trouble=_trouble(program, supervisor)))
        else:
            trials.append(Trial(wanted=item, trouble="" if item.is_settled_well else _why_not(item)))
    return trials


def _trouble(program: Program, supervisor: Supervisor) -> str:
    said: list[str] = []
    code = supervisor.run(program, on_line=said.append)
    try:
        told = json.loads("\n".join(said))
        return "" if code == 0 and told["imported"] else str(told["trouble"] or f"exit code {code}")
    except (ValueError, KeyError, TypeError):
        return f"`wheelfarm-node try` ended with exit code {code}; see {program.log_file}"


def _why_not(item: Wanted) -> str:
    return f"{item.state}: {item.reason}" if item.state else item.reason
