"""What building for ARM costs on this machine, and a node on a small one: ``make bench-arm [NAMES="markupsafe cffi"]``.

Each sdist is built by this machine for itself, in a hybrid image and in one that is wholly emulated, one after the
other, as a node does it; then an idle node of a fresh farm is looked at, and how fast results come over SFTP.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench import arm_transfer, memory
from bench.heal.run import job_of
from builder import build as building
from builder import emulation, images
from builder.log import Log
from builder.workshop import Workshop
from schema.errors import FarmError
from schema.jobs import Limits
from schema.platforms import this_machine
from schema.sections import ImagesSection
from schema.settings import Settings, load
from schema.states import Emulation
from tests.whole_farm import Farm, free_port

PROJECTS = ("markupsafe", "cffi", "netifaces", "pyyaml", "psutil", "msgpack", "greenlet")
_ARCH = "armv7l" if this_machine() == "aarch64" else "aarch64"
_UID = 64850
_IDLE_S = 15.0
_GOAL_MIB = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one build, in seconds; build_s: of its step ``build`` alone."""

    wall_s: float
    cpu_s: float
    build_s: float


def main(names: Sequence[str]) -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory(prefix="wf-arm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        emulation.enable(_ARCH)
        where = {
            "native": _image(load().images.folder, this_machine(), Emulation.HYBRID),
            "hybrid": _image(load().images.folder, _ARCH, Emulation.HYBRID),
            "full": _image(folder / "images", _ARCH, Emulation.FULL),
        }
        print(f"{'project':<12} {'how':<7} {'wall s':>7} {'cpu s':>7} {'build s':>8} {'wall x':>7} {'build x':>8}")
        for number, project in enumerate(names):
            _compare(number, project, where, folder)
    with _idle_node() as pid:
        print(f"\nan idle node: {memory.mib(pid):.1f} MiB (goal: {_GOAL_MIB})")
    with tempfile.TemporaryDirectory(prefix="wf-arm-") as name:
        arm_transfer.compare(Path(name))


def _image(folder: Path, arch: str, emulated: Emulation) -> tuple[str, Path]:
    """The architecture, and the folder with its image, made where it is missing."""
    name = f"debian12-{arch}"
    images.make(folder, name, emulated=emulated, progress=lambda text, _: print(f"{name}: {text}", file=sys.stderr))
    return arch, folder


def _compare(number: int, project: str, where: dict[str, tuple[str, Path]], folder: Path) -> None:
    base: Cost | None = None
    for at, (how, (arch, images_folder)) in enumerate(where.items()):
        settings = replace(load(), images=ImagesSection(folder=images_folder), limits=Limits(wall_s=3600.0))
        try:
            cost = _build(10 * number + at, project, arch, settings, folder)
        except FarmError as err:
            print(f"{project:<12} {how:<7} not built: {str(err)[:90]}", flush=True)
            continue
        base = base or cost
        ratios = f"{cost.wall_s / base.wall_s:7.1f} {cost.build_s / max(base.build_s, 0.01):8.1f}"
        print(f"{project:<12} {how:<7} {cost.wall_s:7.1f} {cost.cpu_s:7.1f} {cost.build_s:8.1f} {ratios}", flush=True)


def _build(number: int, project: str, arch: str, settings: Settings, folder: Path) -> Cost:
    job, _ = job_of(number, project, None, settings, arch=arch)
    shop = Workshop.from_settings(settings, uid=_UID if os.geteuid() == 0 else None)
    log = Log(folder / f"{number}.log", limit_bytes=job.limits.log_bytes)
    with building.build(
        job, replace(shop, workspace=folder), log=log, on_step=lambda _: None, cancelled=threading.Event()
    ) as built:
        build_s = sum(step.seconds or 0.0 for step in built.steps if step.name == "build")
        return Cost(wall_s=built.resources["wall_s"], cpu_s=built.resources["cpu_s"], build_s=build_s)


@contextmanager
def _idle_node() -> Iterator[int]:
    """The process of a node that has been idle for a while."""
    with tempfile.TemporaryDirectory(prefix="wf-arm-", ignore_cleanup_errors=True) as name:
        farm = Farm(folder=Path(name), port=free_port())
        farm.folder.chmod(0o755)
        farm.settings_file.write_text(
            f'[farm]\nname = "idle"\nhome = "home"\n[web]\nport = {farm.port}\n'
            f'[node]\nname = "n-{farm.port}"\nworkspace = "work"\nslots = 1\n'
        )
        wishes = farm.folder / "list.toml"
        wishes.write_text('projects = ["click"]\n')  # which upstream has: there is nothing to build
        farm.start("--list", wishes)
        try:
            yield _node_of(farm)
        finally:
            farm.stop()


def _node_of(farm: Farm) -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(_IDLE_S)
        for pid, command in farm.processes().items():
            if "builder.cli" in command:
                return pid
    raise TimeoutError(f"no node was started: {(farm.folder / 'run.log').read_text()[-1000:]}")


if __name__ == "__main__":
    main(sys.argv[1:] or PROJECTS)
