"""The room that one job has on this node: its folder, its log, its time; and the one door from there to the sandbox."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builder import collecting, process, sandbox
from builder.diagnose import diagnose
from builder.images import Image
from builder.inside.refusal import REFUSED
from builder.log import Log
from builder.plain import plain
from builder.sandbox import Bind, Sandbox
from builder.track import Track
from builder.workspace import JobFolder
from schema.errors import BuildFailedError, SdistError
from schema.jobs import Limits
from schema.states import FailureClass

_OUTPUT_BYTES = 256 * 1024
_SCRIPTS = Path(__file__).parent / "inside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a script inside the sandbox answered (hostile), and the end of what that run said.

    begin: the byte of the log at which *output* begins
    """

    data: Mapping[str, Any]
    output: str
    begin: int = 0


@dataclass(slots=True, kw_only=True)
class Room:
    """Where one job is worked on.

    deadline: of the whole attempt, by ``time.monotonic()``
    kept: files of ours; the sandbox sees one of them only where it is bound
    """

    folder: JobFolder
    log: Log
    limits: Limits
    deadline: float
    cancelled: threading.Event
    resources: dict[str, float] = field(default_factory=dict)
    track: Track = field(default_factory=Track)
    kept: Path = field(init=False)
    _scripts: Path = field(init=False)
    _runs: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.kept = self.folder.path / "kept"
        self.kept.mkdir(mode=0o755)
        # A copy: the build user may not be able to reach our own source.
        self._scripts = self.folder.path / "inside"
        target = self._scripts / "builder" / "inside"
        shutil.copytree(_SCRIPTS, target, ignore=shutil.ignore_patterns("__pycache__"))
        (target / "__main__.py").rename(self._scripts / "__main__.py")
        for path in (self._scripts, *self._scripts.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def run(
        self,
        command: str,
        request: Mapping[str, Any],
        *,
        image: Image,
        binds: Sequence[Bind] = (),
        environment: Mapping[str, str] | None = None,
        network: bool = False,
        at_most_s: float | None = None,
    ) -> Answer:
        """Run one of the scripts in ``builder/inside`` and read its answer.

        Raise what the script refuses with, BuildFailedError if it dies, LimitExceededError, NodeError.
        """
        self._runs += 1
        result, tmp = self.folder.make(f"result-{self._runs}"), self.folder.make(f"tmp-{self._runs}")
        begin = self.log.bytes_written
        finished = sandbox.run(
            Sandbox(
                root=image.root,
                binds=(
                    Bind(source=self._scripts, target="/inside"),
                    Bind(source=image.tools.resolve(), target="/tools"),
                    Bind(source=result, target="/result", writable=True),
                    Bind(source=tmp, target="/tmp", writable=True),  # noqa: S108 - inside
                    *binds,
                ),
                environment={**(environment or {}), **image.variables},
                network=network,
                uid=self.folder.uid,
            ),
            [image.program, "-I", "/inside", command, json.dumps(request)],
            limits=self.limits,
            log=self.log,
            deadline=min(self.deadline, time.monotonic() + (at_most_s or self.limits.wall_s)),
            scratch=[result, tmp, *(bind.source for bind in binds if bind.writable and self._owns(bind.source))],
            cancelled=self.cancelled,
            track=self.track,
        )
        self._account(finished)
        begin = max(begin, self.log.bytes_written - _OUTPUT_BYTES)
        output = self.log.read(begin, _OUTPUT_BYTES).decode(errors="replace")
        if finished.exit_code not in (0, REFUSED):
            message = f"{command} ended with exit code {finished.exit_code}"
            raise failed(message, output, exit_code=finished.exit_code, first_line=self.log.lines_before(begin) + 1)
        answer = collecting.answer(result)
        if finished.exit_code == REFUSED:
            raise _refusal(answer)
        return Answer(data=answer, output=output, begin=begin)

    def start_over(self, *, keep: Path) -> None:
        """Empty the job's folder for another try, but for our scripts and the file *keep*, which lies in ``kept``."""
        for path in self.folder.path.iterdir():
            if path not in {self.kept, self._scripts}:
                process.remove(path)
        for path in self.kept.iterdir():
            if path != keep:
                process.remove(path)

    def _owns(self, folder: Path) -> bool:
        """Whether it goes with the job; pip's cache does not."""
        return folder.is_relative_to(self.folder.path)

    def _account(self, finished: sandbox.Finished) -> None:
        self.resources["cpu_s"] = round(self.resources.get("cpu_s", 0.0) + finished.cpu_s, 3)
        for name in ("peak_memory_bytes", "disk_bytes"):
            self.resources[name] = max(self.resources.get(name, 0.0), float(getattr(finished, name)))


def failed(message: str, output: str, *, exit_code: int | None, first_line: int) -> BuildFailedError:
    """The error for a process that failed, with what its output tells; the other two as in ``diagnose``."""
    found = diagnose(output, exit_code=exit_code, first_line=first_line)
    return BuildFailedError(
        message,
        failure_class=found.failure_class,
        evidence=found.evidence,
        line=found.line,
        lacks=found.missing,
    )


def _refusal(answer: Mapping[str, Any]) -> BuildFailedError | SdistError:
    """The refusal as an error; its words may be the project's own."""
    text = plain(str(answer.get("refused", ""))) or "refused without a reason"
    try:
        failure_class = FailureClass(answer.get("failure_class", ""))
    except ValueError:
        failure_class = FailureClass.BUILD
    if failure_class is FailureClass.SDIST:
        return SdistError(text)
    return BuildFailedError(text, failure_class=failure_class, evidence=text)
