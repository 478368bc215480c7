"""Call the project's build backend (PEP 517) in the sandbox, in an environment that is always the same (B-01, B-08)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder import requirements
from builder.images import Image
from builder.requirements import Wheelhouse
from builder.resolving import Supply
from builder.room import Answer, Room, failed
from builder.sandbox import Bind
from builder.unpacking import SOURCE, Source
from schema.errors import BuildFailedError
from schema.jobs import BuildJob
from schema.states import FailureClass

ENVIRONMENT = "/build/env"

_MOST_ROUNDS = 3


def build_environment(job: BuildJob, *, epoch: int, arch: str) -> dict[str, str]:
    """The variables that the build sees: the same for every build of this source on this platform.

    Never CFLAGS: it would replace the interpreter's own flags, -O2 and the hardening among them.
    """
    return {
        "PATH": f"{ENVIRONMENT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/build/home",
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
        "LC_ALL": "C.UTF-8",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "VIRTUAL_ENV": ENVIRONMENT,
        "SOURCE_DATE_EPOCH": str(epoch),
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": requirements.WHEELHOUSE,
        # A 32-bit interpreter on a 64-bit kernel would name the kernel's machine (B-09).
        "_PYTHON_HOST_PLATFORM": f"linux-{arch}",
        **_compile_jobs(job.recipe.jobs),
        **job.recipe.environment,
    }


def _compile_jobs(jobs: int | None) -> dict[str, str]:
    return {} if jobs is None else {"MAKEFLAGS": f"-j{jobs}", "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The backend of one unpacked source.

    build: the folder that is ``/build`` inside
    environment: what ``build_environment`` gives
    """

    room: Room
    image: Image
    job: BuildJob
    source: Source
    build: Path
    environment: Mapping[str, str]

    def prepare(self, supply: Supply) -> Wheelhouse:
        """Fetch what the build requires, what the backend then asks for as well, and make the environment of it.

        Raise BuildFailedError if a requirement has no wheel, or the backend is none or never stops asking.
        """
        wanted = requirements.parsed(self.source.requires)
        for round_ in range(1, _MOST_ROUNDS + 1):
            house = requirements.fetch(
                self.room,
                self.image,
                wanted,
                constraints=self.job.recipe.build_constraints,
                supply=supply,
                name=f"wheelhouse-{round_}",
            )
            answer = self._call("get_requires_for_build_wheel", house, wheels=house.inside)
            asked = requirements.parsed(_texts(answer))
            if set(asked) <= set(wanted):
                return house
            wanted = tuple(dict.fromkeys((*wanted, *asked)))
        raise BuildFailedError(
            f"the backend asks for more build requirements after {_MOST_ROUNDS} rounds",
            failure_class=FailureClass.REQUIREMENT,
            evidence=", ".join(asked)[:500],
        )

    def build_wheel(self, house: Wheelhouse, out: Path) -> None:
        """Build into *out*; raise BuildFailedError with what the log tells."""
        self._call("build_wheel", house, Bind(source=out, target="/out", writable=True), wheels=None)

    def _call(self, hook: str, house: Wheelhouse, *binds: Bind, wheels: list[str] | None) -> Answer:
        answer = self.room.run(
            "hooks",
            {
                "hook": hook,
                "source": SOURCE,
                "environment": ENVIRONMENT,
                "wheels": wheels,
                "backend": self.source.backend,
                "backend_path": self.source.backend_path,
                "config_settings": self.job.recipe.config_settings,
                "out": "/out",
            },
            image=self.image,
            binds=[Bind(source=self.build, target="/build", writable=True), house.bind, *binds],
            environment=self.environment,
        )
        if "returned" not in answer.data:
            exit_code = answer.data.get("exit_code")
            raise failed(
                f"the backend's {hook} ended with exit code {exit_code} and no answer",
                answer.output,
                exit_code=exit_code if isinstance(exit_code, int) else None,
                first_line=self.room.log.lines_before(answer.begin) + 1,
            )
        return answer


def _texts(answer: Answer) -> list[str]:
    returned = answer.data["returned"]
    if not isinstance(returned, list) or not all(isinstance(item, str) for item in returned):
        reason = "the backend's get_requires_for_build_wheel did not return a list of texts"
        raise BuildFailedError(reason, failure_class=FailureClass.BACKEND, evidence=reason)
    return returned
