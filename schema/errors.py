"""
Every error that the farm raises on purpose.

* FarmError                    exit code 1
  - SettingsError              2  the farm's own configuration is wrong
  - UsageError                 2  what a person asked for cannot be
    · NotANameError
    · UnknownPlatformError
  - JobError                   this build cannot succeed as it is; carries the class of the failure
    · SdistError               the source distribution is not what the index said, or is hostile
    · BuildFailedError         the project's own build failed
    · LimitExceededError       the build went over a limit
    · PackagesError            Debian packages cannot be added to the image
    · WheelRejectedError       the wheel breaks a rule (A-01 … A-16)
  - NodeError                  this node cannot work now; the job goes back to the queue
    · ToolMissingError
    · ImageError
    · EmulationError           this machine does not run programs of an architecture
  - UpstreamError              the upstream index did not answer as an index does; tried again later
    · UnknownProjectError      the upstream has no such project
  - WireError                  a message is not what schema.jobs says
  - TransferError              bytes that came are not those that were promised; fetched again
  - UnreachableError           a machine does not answer over SSH now; what it holds stays there
  - UnavailableError           3  Redis or the database cannot be reached
    · RefusedError             Redis is there, but not for us: certificate, user, password or rights are wrong
  - BusyError                  the farm has too much to do just now; asked again later
  - TrustError                 a signature, certificate or statement does not hold
    · SignatureError           there is no signature of the farm's that holds: nobody said what it says
    · HostKeyError             a machine shows another SSH host key than the one that was accepted
  - StoreError                 the store cannot take or give a file
  - UnsolvableError            no set of wheels is what a person wants to install

A build that fails is not an exception of the farm: inside a node a JobError ends the job, and leaves it as a
BuildResult.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from schema.missing import Missing
from schema.states import FailureClass

if TYPE_CHECKING:
    from schema.jobs import Usage
    from schema.remedies import Try


class FarmError(Exception):
    """Something the farm can name. *advice*, where given, is the next thing to try."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message if advice is None else f"{message} ({advice})")
        self.advice = advice


class SettingsError(FarmError):
    """A fault in the settings; the text names the file, the key and what is allowed."""

    exit_code = 2


class UsageError(FarmError):
    """A person asked for something that cannot be."""

    exit_code = 2


class NotANameError(UsageError):
    """Not a project name (PEP 508)."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"not a project name: {text!r}",
            advice="letters, digits, '.', '-' and '_', beginning and ending with a letter or digit",
        )


class UnknownPlatformError(UsageError):
    """Not a platform such as ``debian12-x86_64-cp311``."""

    def __init__(self, text: str, *, known: str = "") -> None:
        super().__init__(
            f"not a platform: {text!r}",
            advice=known or "write it as DISTRIBUTION-ARCHITECTURE-PYTHON, such as debian12-x86_64-cp311",
        )


class JobError(FarmError):
    """This build cannot succeed as it is.

    evidence: the line of the log that says why, where there is one; line: its number in the log, from 1
    lacks: the headers, programs or other things that were missing, where the log names them; they stay on the node
    missing: build requirements that the upstream has no usable wheel of, as in ``schema.jobs.BuildResult``
    resources, usage: what the build had used by then; tries: what was tried; all as in ``schema.jobs.BuildResult``
    """

    failure_class: FailureClass = FailureClass.BUILD

    def __init__(
        self,
        message: str,
        *,
        advice: str | None = None,
        failure_class: FailureClass | None = None,
        evidence: str = "",
        line: int | None = None,
        missing: tuple[str, ...] = (),
        lacks: tuple[Missing, ...] = (),
    ) -> None:
        super().__init__(message, advice=advice)
        self.evidence = evidence
        self.line = line
        self.lacks = lacks
        self.missing = missing
        self.resources: dict[str, float] = {}
        self.usage: tuple[Usage, ...] = ()
        self.tries: tuple[Try, ...] = ()
        if failure_class is not None:
            self.failure_class = failure_class


class SdistError(JobError):
    """The source distribution is not what the index said, or would harm whoever unpacks it."""

    failure_class = FailureClass.SDIST


class BuildFailedError(JobError):
    """The project's own build failed."""


class LimitExceededError(JobError):
    """The build went over a limit; the class says which."""

    failure_class = FailureClass.TIMEOUT


class PackagesError(JobError):
    """Debian packages cannot be added to the image: there is none of a name, they exclude each other, are too large."""

    failure_class = FailureClass.REQUIREMENT


class WheelRejectedError(JobError):
    """The wheel breaks a rule of ``schema.wheels.check``; the text names the rules."""

    failure_class = FailureClass.WHEEL


class NodeError(FarmError):
    """This node cannot work now; the job goes back to the queue."""


class ToolMissingError(NodeError):
    """A program that the node needs is not installed."""


class ImageError(NodeError):
    """An image is missing or broken, or could not be made."""


class EmulationError(NodeError):
    """This machine does not run programs of some architecture, not through qemu either."""


class UpstreamError(FarmError):
    """The upstream index did not answer as an index does.

    retry_after_s: what the upstream asked for, in seconds; None if it did not say
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnknownProjectError(UpstreamError):
    """The upstream index has no such project (404)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the upstream index has no project {name!r}; is the name spelt right?")
        self.name = name

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        """As another process sends it: made anew from the name, not from the message."""
        return type(self), (self.name,)


class WireError(FarmError):
    """A message is not what ``schema.jobs`` says."""


class TransferError(FarmError):
    """Bytes that came are not those that were promised: damaged on the way, or a lie; fetched again some times."""


class UnreachableError(FarmError):
    """A machine does not answer over SSH now, or does not let the farm in; what it holds stays there."""


class UnavailableError(FarmError):
    """Redis or the database cannot be reached."""

    exit_code = 3


class BusyError(FarmError):
    """The farm has too much to do just now; ask again later."""


class RefusedError(UnavailableError):
    """Redis is there, but not for us, or is not who it should be; that does not pass by itself."""


class TrustError(FarmError):
    """A signature, certificate or statement does not hold; the text says why."""


class SignatureError(TrustError):
    """There is no signature by a key of this farm that holds, so nobody can be said to have signed anything."""


class HostKeyError(TrustError):
    """A machine shows another SSH host key than the one that was accepted for this node.

    pinned, shown: fingerprints as ``ssh-keygen -l`` prints them
    """

    def __init__(self, node: str, place: str, *, pinned: str, shown: str) -> None:
        super().__init__(
            f"{place} has another SSH host key than the one that was accepted for node {node}:"
            f" it was {pinned}, it is {shown}; nothing was exchanged with it",
            advice="if the machine was set up anew, compare the key there (ssh-keygen -lf"
            f" /etc/ssh/ssh_host_ed25519_key.pub), then: wheelfarm node add {node} USER@{place} --new-host-key;"
            " if not, somebody else answers in its place",
        )


class StoreError(FarmError):
    """The store cannot take or give a file."""


class UnsolvableError(FarmError):
    """No set of wheels is what a person wants to install; the text names what is missing, or what excludes what."""
