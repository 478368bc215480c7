"""Build one job on this machine without a farm: nobody leases it, signs it or fetches what comes of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from builder import build as building
from builder.attempt import Attempt, failed, succeeded
from builder.log import Log
from builder.workshop import Workshop
from schema.errors import JobError, NodeError, UsageError
from schema.jobs import BuildJob, BuildResult, Step
from schema.settings import Settings

LOG = "build.log"


def build_alone(job: BuildJob, *, settings: Settings, into: Path, say: Callable[[str], None]) -> BuildResult:
    """Build *job* just as it says, in one try; what a node would leave in its outbox goes into the new folder *into*.

    That is the log and, where it was built, the wheel. say: told of each step
    Raise UsageError if the folder is there already or cannot be made, NodeError if it cannot be written to; everything
    else is in the result.
    """
    try:
        into.mkdir(parents=True)
    except OSError as err:
        raise UsageError(f"{into}: cannot be made: {err.strerror}", advice="name a folder that is not there") from err
    # No master ever gives the fence 0, and a running node has the build users before this one, and its trial the next.
    job = replace(job, fence=0)
    uid = settings.node.build_uid + settings.node.slots + 1 if os.geteuid() == 0 else None
    shop = Workshop.from_settings(settings, uid=uid)
    shop = replace(shop, heal=replace(shop.heal, tries=1))
    attempt = Attempt(job=job, log=Log(into / LOG, limit_bytes=job.limits.log_bytes))

    def on_step(steps: tuple[Step, ...]) -> None:
        if len(steps) > len(attempt.steps):
            say(steps[-1].name)
        attempt.note_steps(steps)

    try:
        with building.build(job, shop, log=attempt.log, on_step=on_step, cancelled=attempt.cancelled) as built:
            shutil.copyfile(built.wheel, into / built.facts.filename)
            return succeeded(attempt, built, node=shop.node)
    except (JobError, NodeError) as err:
        return failed(attempt, err, node=shop.node)
    except OSError as err:  # there may be no room for its log either
        raise NodeError(f"{into}: the build cannot be kept: {err}") from err
