"""The states of a build, the moves between them, and what happens after each class of failure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BuildState(StrEnum):
    """Where one build (a source distribution on a platform) stands."""

    WAITING = "waiting"
    QUEUED = "queued"
    LEASED = "leased"
    COLLECTING = "collecting"
    PUBLISHED = "published"
    FAILED = "failed"
    HELD = "held"
    POISONED = "poisoned"
    UNNEEDED = "unneeded"
    WITHDRAWN = "withdrawn"


# The states in which a node has the build.
LEASED_STATES = frozenset({BuildState.LEASED, BuildState.COLLECTING})

# The states in which the farm still has something to do by itself.
OPEN_STATES = frozenset({BuildState.WAITING, BuildState.QUEUED, BuildState.LEASED, BuildState.COLLECTING})

# A move that is not in this table is refused, whoever asks for it.
TRANSITIONS: dict[BuildState, frozenset[BuildState]] = {
    BuildState.WAITING: frozenset(
        {BuildState.QUEUED, BuildState.HELD, BuildState.FAILED, BuildState.UNNEEDED, BuildState.WITHDRAWN}
    ),
    BuildState.QUEUED: frozenset(
        {
            BuildState.LEASED,
            BuildState.WAITING,
            BuildState.FAILED,
            BuildState.HELD,
            BuildState.UNNEEDED,
            BuildState.WITHDRAWN,
        }
    ),
    BuildState.LEASED: frozenset(
        {
            BuildState.COLLECTING,
            BuildState.QUEUED,
            BuildState.WAITING,
            BuildState.FAILED,
            BuildState.HELD,
            BuildState.POISONED,
            BuildState.WITHDRAWN,
        }
    ),
    BuildState.COLLECTING: frozenset(
        {
            BuildState.PUBLISHED,
            BuildState.UNNEEDED,
            BuildState.QUEUED,
            BuildState.WAITING,
            BuildState.FAILED,
            BuildState.HELD,
            BuildState.POISONED,
            BuildState.WITHDRAWN,
        }
    ),
    BuildState.PUBLISHED: frozenset({BuildState.WITHDRAWN}),
    BuildState.FAILED: frozenset({BuildState.QUEUED, BuildState.HELD, BuildState.UNNEEDED, BuildState.WITHDRAWN}),
    BuildState.HELD: frozenset(
        {BuildState.QUEUED, BuildState.WAITING, BuildState.FAILED, BuildState.UNNEEDED, BuildState.WITHDRAWN}
    ),
    BuildState.POISONED: frozenset({BuildState.QUEUED, BuildState.HELD, BuildState.WITHDRAWN}),
    BuildState.UNNEEDED: frozenset({BuildState.QUEUED, BuildState.WITHDRAWN}),
    BuildState.WITHDRAWN: frozenset({BuildState.QUEUED}),
}


class FailureClass(StrEnum):
    """Why an attempt ended without a wheel."""

    BUILD = "build"  # the project's own build failed, and its log does not tell why
    SDIST = "sdist"  # the source distribution is not what the index said, or is hostile
    BACKEND = "backend"  # build backend missing, or pyproject.toml broken
    REQUIREMENT = "requirement"  # a build requirement has no wheel for the platform
    REQUIREMENT_TOO_NEW = "requirement-too-new"  # the sdist is older than what a build requirement has become
    REQUIREMENT_TOO_OLD = "requirement-too-old"
    PYTHON_MODULE = "python-module"  # a module that it does not list as a build requirement
    HEADER = "header"  # a C header is missing
    PKG_CONFIG = "pkg-config"  # a module of pkg-config is missing
    PROGRAM = "program"  # a program is missing
    LIBRARY = "library"  # a library is missing
    LIBRARY_VERSION = "library-version"  # a library is there, in a version that does not fit
    COMPILER = "compiler"  # a compiler is missing
    TOOLCHAIN = "toolchain"  # a compiler or build tool is there, in a version that does not fit
    INTERPRETER = "interpreter"  # it is not for this Python
    TESTS = "tests"  # tests that its build runs failed
    SOURCE = "source"  # its own code does not compile, or a file of it is missing
    NETWORK = "network"  # the build wanted the network
    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"
    LOG = "log"
    TIMEOUT = "timeout"
    SILENCE = "silence"
    WHEEL = "wheel"  # the wheel breaks a rule
    IMPORT = "import"  # the wheel does not import in a clean environment
    NODE = "node"  # the node's own fault: disk, image, upstream; tried again elsewhere
    LOST = "lost"  # the node went silent with the build
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a class of failure is tried again.

    retries: attempts after the first
    pauses: before each of them, in units of ``timing.retry_s``; where there are none, it is tried again at once
    elsewhere: only on a node that has not tried yet; where there is none, the failure stands at once
    bigger: only on one with more memory, as far as the nodes tell; the build counts as a size larger from then on
    """

    retries: int
    pauses: tuple[float, ...] = ()
    elsewhere: bool = False
    bigger: bool = False

    def pause_s(self, failures: int, *, retry_s: float) -> float:
        """Seconds to wait after the *failures*-th failure (1 is the first)."""
        return self.pauses[min(failures, len(self.pauses)) - 1] * retry_s if self.pauses else 0.0


_NEVER = RetryPolicy(retries=0)

# What the sdist itself says cannot change by trying again; what the machine did can.
RETRY: dict[FailureClass, RetryPolicy] = {
    FailureClass.BUILD: RetryPolicy(retries=1, elsewhere=True),
    FailureClass.SDIST: _NEVER,
    FailureClass.BACKEND: _NEVER,
    FailureClass.REQUIREMENT: _NEVER,
    FailureClass.REQUIREMENT_TOO_NEW: _NEVER,
    FailureClass.REQUIREMENT_TOO_OLD: _NEVER,
    FailureClass.PYTHON_MODULE: _NEVER,
    FailureClass.HEADER: _NEVER,
    FailureClass.PKG_CONFIG: _NEVER,
    FailureClass.PROGRAM: _NEVER,
    FailureClass.LIBRARY: _NEVER,
    FailureClass.LIBRARY_VERSION: _NEVER,
    FailureClass.COMPILER: _NEVER,
    FailureClass.TOOLCHAIN: _NEVER,
    FailureClass.INTERPRETER: _NEVER,
    FailureClass.TESTS: RetryPolicy(retries=1, elsewhere=True),
    FailureClass.SOURCE: _NEVER,
    FailureClass.NETWORK: _NEVER,
    FailureClass.MEMORY: RetryPolicy(retries=1, elsewhere=True, bigger=True),
    FailureClass.PROCESSES: _NEVER,
    FailureClass.DISK: _NEVER,
    FailureClass.LOG: _NEVER,
    FailureClass.TIMEOUT: RetryPolicy(retries=1),
    FailureClass.SILENCE: _NEVER,
    FailureClass.WHEEL: _NEVER,
    FailureClass.IMPORT: _NEVER,
    FailureClass.NODE: RetryPolicy(retries=5, pauses=(1, 4, 16, 64, 120)),
    FailureClass.LOST: _NEVER,  # not counted here: see POISONED_AFTER_NODES
    FailureClass.CANCELLED: RetryPolicy(retries=20),  # the node was told to stop; bounded, for a node may say anything
}

# A build that was lost by so many different nodes, or so often by the same one, is poisoned and waits for a person.
POISONED_AFTER_NODES = 2
POISONED_AFTER_LOSSES = 10


class AttemptOutcome(StrEnum):
    """How one attempt at a build ended."""

    RUNNING = "running"
    BUILT = "built"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"


class Bundle(StrEnum):
    """Which libraries beyond the manylinux policies are grafted into a wheel; with one left out it is ``linux_*``."""

    ALWAYS = "always"
    NEVER = "never"
    WHEN_MISSING = "when-missing"  # those that the bare root does not have


class NodeState(StrEnum):
    """Whether a node gets builds."""

    PROBATION = "probation"  # it builds only what is known already, until enough of it came out the same
    ACTIVE = "active"
    DRAINING = "draining"  # no new ones; it ends those it has
    QUARANTINED = "quarantined"  # it brought what does not stand
    RETIRED = "retired"  # it left the farm
    REVOKED = "revoked"  # it was not to be trusted; what it built since is taken back


# A node that is out of the farm for good: it comes back only when it is enrolled again.
GONE = frozenset({NodeState.RETIRED, NodeState.REVOKED})


class Emulation(StrEnum):
    """How an image is made whose architecture this machine does not run by itself."""

    HYBRID = "hybrid"  # interpreter and libraries are emulated; compiler, shell and make are this machine's own
    FULL = "full"  # every program is


class BuildPolicy(StrEnum):
    """Whether a wheel is built although the upstream has a usable one."""

    MISSING = "missing"
    ALWAYS = "always"
