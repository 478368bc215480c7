"""``wheelfarm-node``: the command of a machine that builds."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import click
from packaging.utils import NormalizedName

from builder import alone, emulation, images, isolation, node, selftest, trying
from builder.debian_index import making, telling
from builder.image_commands import image, tell
from schema import log
from schema.attest.authority import NodeKey
from schema.door import (
    Door,
    Group,
    answer,
    answer_json,
    as_json,
    columns,
    for_platform,
    pass_door,
    progress,
    settings_file,
)
from schema.door import run as run_command
from schema.errors import UsageError, WireError
from schema.jobs import BuildJob
from schema.missing import MissingKind
from schema.names import Release, node_name, project_name, release
from schema.platforms import DEBIAN_ARCHITECTURES, Platform
from schema.printable import printable


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@settings_file
@click.version_option(version("wheelfarm"), prog_name="wheelfarm-node")
@click.pass_context
def farm_node(context: click.Context, *, settings_file: Path | None) -> None:
    """A node of a wheel farm: it builds what the master sends."""
    context.obj = Door(settings_file)


@farm_node.command()
@pass_door
def run(door: Door) -> None:
    """Run the node until SIGTERM or Ctrl-C."""
    log.set_up(f"node.{door.settings.node.name}")
    node.run(door.settings)


@farm_node.command()
@as_json
@pass_door
def check(door: Door, *, as_json: bool) -> int:
    """Whether this machine can build, and how well it keeps builds apart."""
    problems, found = isolation.problems(), isolation.probe()
    made = [item.name for item in images.installed(door.settings.images.folder)]
    if as_json:
        answer_json({"problems": problems, "isolation": found, "images": made})
    else:
        rows = [*found.items(), ("images", ", ".join(made) or f"none in {door.settings.images.folder}")]
        answer(columns(("WHAT", "HERE"), rows))
        for problem in problems:
            answer(f"problem: {problem}")
    return 1 if problems else 0


@farm_node.command("self-test")
@as_json
@pass_door
def self_test(door: Door, *, as_json: bool) -> int:
    """Try in a sandbox of each image what a hostile build would try; exit 1 if anything is not refused.

    A node does so itself, at its start and for each new image, and signs what came of it: without, or where something
    got through, the master gives it no builds.
    """
    found = images.installed(door.settings.images.folder)
    if not found:
        raise UsageError(
            f"there is no image in {door.settings.images.folder}", advice="wheelfarm-node image make NAME makes one"
        )
    tested = selftest.run(door.settings, found)
    if as_json:
        answer_json([asdict(item) for item in tested])
    else:
        for item in tested:
            answer(f"{item.name}: {item.refused} of {item.refused + len(item.through)} probes were refused")
            for text in item.through:
                answer(f"  let through: {printable(text)}")
    return 1 if any(item.through for item in tested) else 0


@farm_node.command("new-key")
@click.option("--if-missing", is_flag=True, help="Only where this node has no key yet: nothing is replaced.")
@as_json
@pass_door
def new_key(door: Door, *, if_missing: bool, as_json: bool) -> None:
    """Make another signing key for this node, which must then be enrolled again; the old one is kept beside it.

    After a key was revoked, or once in a while. Wheels that were signed with the old key stay as they are.
    """
    settings = door.settings
    name, folder = node_name(settings.node.name), settings.node_keys
    is_there = if_missing and folder.is_dir()
    made = NodeKey.create(folder, name) if if_missing else NodeKey.renew(folder)
    request = folder / "node.csr"
    if as_json:
        answer_json({"node": made.node, "csr": str(request), "key": made.digest, "changed": not is_there})
    else:
        had = "has a key already" if is_there else "has a new key"
        answer(f"node {made.node} {had} (sha256:{made.digest})")
        answer(f"on the master: wheelfarm node enrol {made.node} --csr {request}")


@farm_node.command()
@click.argument("architecture", type=click.Choice(sorted(DEBIAN_ARCHITECTURES)))
@as_json
def emulate(*, architecture: str, as_json: bool) -> None:
    """Have the kernel hand programs of ARCHITECTURE, such as aarch64, to qemu until the next restart; as root.

    Images of it can then be made and built in here. A machine with systemd does the same at each start once Debian's
    package binfmt-support (from Debian 13 on: qemu-user-binfmt) is installed beside qemu.
    """
    if emulation.is_native(architecture):
        raise UsageError(f"this machine runs programs of {architecture} by itself")
    found = emulation.enable(architecture)
    if as_json:
        answer_json({"architecture": architecture, "program": str(found.program), "version": found.version})
    else:
        answer(f"{architecture}: {found.program} {found.version}")


farm_node.add_command(image)


@farm_node.command()
@click.argument("words", nargs=-1, metavar="[NAME]...")
@click.option("--header", multiple=True, metavar="FILE", help="As C includes it: gssapi/gssapi.h.")
@click.option("--program", multiple=True, metavar="NAME", help="Such as krb5-config.")
@click.option("--library", multiple=True, metavar="NAME", help="As the linker is told: gssapi_krb5.")
@click.option("--pkg-config", multiple=True, metavar="MODULE", help="Such as libsystemd.")
@click.option("--cmake", multiple=True, metavar="NAME", help="Such as Qt5, for Qt5Config.cmake.")
@click.option(
    "--project", "projects", type=project_name, multiple=True, metavar="NAME", help="What Debian builds it with."
)
@for_platform
@click.option("--refresh", is_flag=True, help="Fetch Debian's lists anew first; else once a week.")
@as_json
@pass_door
def packages(
    door: Door,
    /,
    *,
    words: tuple[str, ...],
    projects: tuple[NormalizedName, ...],
    platform: Platform | None,
    refresh: bool,
    as_json: bool,
    **named: tuple[str, ...],
) -> int:
    """Which Debian packages bring what a build misses, best first, and what Debian builds a project with.

    A NAME without an option is taken for what it looks like: zlib.h, libsystemd.pc, libjpeg.so, krb5-config; else for
    a library or program of that name. Each option can be given several times. Exit 1 if one of them has no package.
    """
    wanted = [telling.missing(MissingKind(kind.replace("_", "-")), name) for kind in named for name in named[kind]]
    for word in words:
        guessed, meaning = telling.guess(word)
        wanted.append(guessed)
        progress(f"{word}: taken for {meaning}")
    if not wanted and not projects:
        raise UsageError(
            "what does the build miss?", advice="write --header lber.h, --program pg_config, … or --project"
        )
    chosen = platform or door.settings.farm.platforms[0]
    image = images.find(door.settings.images.folder, chosen.image)
    index = making.make(image, progress=tell, fresh=timedelta(0) if refresh else making.FRESH)
    told = telling.ask(index, wanted, projects)
    suite, architecture, made_at = (told.about[key] for key in ("suite", "architecture", "made_at"))
    progress(f"{chosen.distribution.title} ({suite}) for {architecture}, as its lists were on {made_at[:10]}")
    recipe = told.packages(image.packages)
    if as_json:
        answer_json(told.to_json() | {"debian_packages": recipe})
    else:
        answer(columns(("ASKED", "PACKAGE", "VERSION", "BY", "WHY"), told.rows()))
        progress(f"for a recipe: debian_packages = {json.dumps(recipe)}")
    return 0 if told.is_whole else 1


@farm_node.command("build")
@click.argument("job", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--into", type=click.Path(path_type=Path), required=True, help="A new folder for the wheel and the build's log."
)
@as_json
@pass_door
def build_job(door: Door, *, job: Path, into: Path, as_json: bool) -> int:
    """Build the job in the file JOB on this machine alone, in one try.

    JOB is what a master sends, as JSON. No farm is needed, but an image of the job's platform. Exit 1 if it fails.
    """
    result = alone.build_alone(_job(job), settings=door.settings, into=into, say=progress)
    if as_json:
        answer_json(result.to_json())
    else:
        answer(str(into / result.wheel.filename) if result.wheel else printable(f"{result.outcome}: {result.message}"))
    return 0 if result.wheel else 1


def _job(path: Path) -> BuildJob:
    try:
        return BuildJob.from_json(json.loads(path.read_bytes()))
    except (WireError, ValueError, RecursionError) as err:
        raise UsageError(f"{path}: no job: {err}") from err


@farm_node.command("try")
@click.argument("release", metavar="NAME==VERSION", type=release)
@for_platform
@click.option("--index-url", metavar="URL", help="The farm's index; else that of the settings.")
@click.option(
    "--debian-package",
    "packages",
    metavar="NAME",
    multiple=True,
    help="Installed there first: what the wheel's page says that it needs. Can be given several times.",
)
@as_json
@pass_door
def try_release(
    door: Door,
    *,
    release: Release,
    platform: Platform | None,
    index_url: str | None,
    packages: tuple[str, ...],
    as_json: bool,
) -> int:
    """Install NAME==VERSION from the farm alone into a clean environment of an image, and import it."""
    name, wanted = release
    if wanted is None:
        raise UsageError(f"which version of {name}?", advice=f"write {name}==VERSION")
    settings = door.settings
    chosen = platform or settings.farm.platforms[0]
    index = index_url or f"{settings.public_url}/{chosen.view}/simple/"
    tried = trying.try_install(name, wanted, platform=chosen, index_url=index, settings=settings, packages=packages)
    if as_json:
        answer_json(tried.to_json())
    else:
        for project, url in tried.installed.items():
            answer(f"{project}: {url}")
        answer(tried.trouble or tried.imported)
    return 1 if tried.trouble else 0


def main() -> None:
    """Run the command that the process was started with."""
    run_command(farm_node, name="wheelfarm-node")


if __name__ == "__main__":
    main()
