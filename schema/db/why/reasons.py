"""Why a version is, or is not, there: codes for programs, which stay what they are while sentences may change."""

from __future__ import annotations

from enum import StrEnum


class Actor(StrEnum):
    """Who must do something before this changes."""

    NOBODY = "nobody"
    FARM = "farm"
    OPERATOR = "operator"
    UPSTREAM = "upstream"
    REQUESTER = "requester"


class Reason(StrEnum):
    """One for each situation; ``docs/reference/why.md`` tells each in a line."""

    # About the project as a whole
    UNREQUESTED = "unrequested"
    MISTYPED = "mistyped"
    DELETED = "deleted"
    QUARANTINED = "quarantined"
    ARCHIVED = "archived"
    DEPRECATED = "deprecated"
    UPSTREAM_ERROR = "upstream-error"

    # A request, and no build of it
    UNREAD = "unread"
    UNDECIDED = "undecided"
    BACKFILL = "backfill"
    NO_VERSION = "no-version"
    NO_FILES = "no-files"
    NO_DIGEST = "no-digest"
    NO_SOURCE = "no-source"
    PYTHON = "python"
    YANKED_UPSTREAM = "yanked-upstream"
    UNRESOLVED = "unresolved"

    # There, or not needed
    PUBLISHED = "published"
    YANKED = "yanked"
    HIDDEN = "hidden"
    SERVED = "served"
    UPSTREAM_WHEEL = "upstream-wheel"
    REPEATED = "repeated"
    UNASKED = "unasked"
    UNNEEDED = "unneeded"

    # Waiting for a time or for another build
    COOLDOWN = "cooldown"
    PAUSE = "pause"
    DUE = "due"
    REQUIREMENT = "requirement"
    CIRCLE = "circle"
    WAITING = "waiting"

    # Waiting for a node
    NO_LEADER = "no-leader"
    REDIS_AWAY = "redis-away"
    INTAKE_STOPPED = "intake-stopped"
    NO_NODE = "no-node"
    NODES_PROBATION = "nodes-probation"
    NODES_UNFIT = "nodes-unfit"
    NODES_QUARANTINED = "nodes-quarantined"
    NODES_DRAINING = "nodes-draining"
    NODES_SILENT = "nodes-silent"
    NODES_TRIED = "nodes-tried"
    NODES_TOO_SMALL = "nodes-too-small"
    NODES_BUSY = "nodes-busy"
    NEXT = "next"

    # With a node
    BUILDING = "building"
    NODE_SILENT = "node-silent"
    LEASE_OVER = "lease-over"
    CHECKING = "checking"

    # Failed: the classes of ``FailureClass``, then what the farm found without an attempt
    FAILED_BUILD = "failed-build"
    FAILED_SDIST = "failed-sdist"
    FAILED_BACKEND = "failed-backend"
    FAILED_REQUIREMENT = "failed-requirement"
    FAILED_REQUIREMENT_TOO_NEW = "failed-requirement-too-new"
    FAILED_REQUIREMENT_TOO_OLD = "failed-requirement-too-old"
    FAILED_PYTHON_MODULE = "failed-python-module"
    FAILED_HEADER = "failed-header"
    FAILED_PKG_CONFIG = "failed-pkg-config"
    FAILED_PROGRAM = "failed-program"
    FAILED_LIBRARY = "failed-library"
    FAILED_LIBRARY_VERSION = "failed-library-version"
    FAILED_COMPILER = "failed-compiler"
    FAILED_TOOLCHAIN = "failed-toolchain"
    FAILED_INTERPRETER = "failed-interpreter"
    FAILED_TESTS = "failed-tests"
    FAILED_SOURCE = "failed-source"
    FAILED_NETWORK = "failed-network"
    FAILED_MEMORY = "failed-memory"
    FAILED_PROCESSES = "failed-processes"
    FAILED_DISK = "failed-disk"
    FAILED_LOG = "failed-log"
    FAILED_TIMEOUT = "failed-timeout"
    FAILED_SILENCE = "failed-silence"
    FAILED_WHEEL = "failed-wheel"
    FAILED_IMPORT = "failed-import"
    FAILED_NODE = "failed-node"
    FAILED_LOST = "failed-lost"
    FAILED_CANCELLED = "failed-cancelled"
    REQUIREMENT_FAILED = "requirement-failed"
    RULED_OUT = "ruled-out"
    INSTEAD = "built-instead"
    FAILED = "failed"

    # Set aside until a person acts
    POISONED = "poisoned"
    HELD = "held"
    HELD_RECIPE = "held-recipe"
    CANCELLED = "cancelled"

    # Taken back
    REMOVED = "removed"
    DAMAGED = "damaged"
    WITHDRAWN_DELETED = "withdrawn-deleted"
    WITHDRAWN_QUARANTINED = "withdrawn-quarantined"
    WITHDRAWN_YANKED = "withdrawn-yanked"
    WITHDRAWN_REPLACED = "withdrawn-replaced"
    WITHDRAWN = "withdrawn"
