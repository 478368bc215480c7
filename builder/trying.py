"""Try a published wheel as a user would: pip in a clean environment of the image, from the farm's index; import it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from packaging.utils import NormalizedName
from packaging.version import Version

from builder import debian, images, importing, network, workspace
from builder.diagnose import diagnose
from builder.log import Log
from builder.room import Answer, Room
from builder.sandbox import Bind
from schema.errors import BuildFailedError
from schema.platforms import Platform
from schema.settings import Settings

_AT_MOST_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of it.

    installed: project → URL of the file it was installed from, without credentials
    imported: one line about the import; empty if it did not work, and then *trouble* says why
    """

    requirement: str
    installed: Mapping[str, str]
    imported: str
    trouble: str

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def try_install(
    name: NormalizedName,
    version: Version,
    *,
    platform: Platform,
    index_url: str,
    settings: Settings,
    packages: Sequence[str] = (),
) -> Tried:
    """Install *name* from *index_url* alone, then what it needs from there and the upstream, and import it.

    packages: Debian packages that are there too
    No compiler is used: only wheels count. Raise PackagesError for packages that there are not, ImageError if there is
    no image of the platform, NodeError if the sandbox does not start, LimitExceededError.
    """
    image = images.find(settings.images.folder, platform.image)
    upstream = settings.upstream.index_url or network.index_url_of_this_machine()
    # A build user of its own: the slots of a running node have the ones before.
    uid = settings.node.build_uid + settings.node.slots if os.geteuid() == 0 else None
    requirement = f"{name}=={version}"
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            workspace.open_job(
                settings.node.workspace, f"try-{name}-{os.getpid()}", uid=uid, disk_bytes=settings.limits.disk_bytes
            )
        )
        room = Room(
            folder=folder,
            log=Log(folder.path / "log", limit_bytes=settings.limits.log_bytes),
            limits=settings.limits,
            deadline=time.monotonic() + _AT_MOST_S,
            cancelled=threading.Event(),
        )
        image = debian.with_packages(image, packages, log=room.log, cancelled=room.cancelled)
        request = {"requirement": requirement, "folder": "/build/env"}
        # Not in the request: the URLs may carry credentials, and everybody can read arguments.
        environment = {
            "HOME": "/build",
            "ALONE": json.dumps(network.pip_environment(index_url)),
            "WITH_OTHERS": json.dumps(network.pip_environment(upstream, extra_index_url=index_url)),
        }
        build = folder.make("build")
        binds = [Bind(source=build, target="/build", writable=True), *network.binds()]
        answer = room.run("trial", request, image=image, binds=binds, environment=environment, network=True)
        return _judged(requirement, answer)


def _judged(requirement: str, answer: Answer) -> Tried:
    installed = {str(item[0]): network.without_credentials(str(item[1])) for item in answer.data.get("installed", [])}
    imported, trouble = "", ""
    if code := answer.data.get("exit_code"):
        trouble = f"pip ended with exit code {code}: {diagnose(answer.output).evidence}"
    else:
        try:
            imported = importing.judge(answer)
        except BuildFailedError as err:
            trouble = str(err)
        verdicts = answer.data.get("verdicts", [])
        if verdicts and all(item.get("outcome") != "imported" for item in verdicts):
            imported, trouble = "", trouble or imported
    return Tried(requirement=requirement, installed=installed, imported=imported, trouble=trouble)
