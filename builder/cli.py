"""``wheelfarm-node``: the command of a machine that builds."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import click

from builder import images, isolation, node, trying
from builder.images import Image
from schema import log
from schema.door import (
    Door,
    Group,
    Release,
    answer,
    answer_json,
    as_json,
    columns,
    for_platform,
    pass_door,
    progress,
    release,
    settings_file,
)
from schema.door import run as run_command
from schema.errors import UsageError
from schema.platforms import Platform


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


@farm_node.group(cls=Group)
def image() -> None:
    """The images that wheels are built in."""


@image.command("list")
@as_json
@pass_door
def list_images(door: Door, *, as_json: bool) -> None:
    """The images of this machine."""
    found = images.installed(door.settings.images.folder)
    if as_json:
        answer_json([_about(item) for item in found])
        return
    header = ("NAME", "PYTHON", "PACKAGES", "DIGEST", "FOLDER")
    answer(
        columns(header, [(item.name, item.python, len(item.packages), item.digest[:12], item.folder) for item in found])
    )


def _about(image: Image) -> dict[str, object]:
    return {
        "name": image.name,
        "python": image.python,
        "packages": len(image.packages),
        "digest": image.digest,
        "folder": str(image.folder),
    }


@image.command()
@click.argument("name")
@as_json
@pass_door
def make(door: Door, *, name: str, as_json: bool) -> None:
    """Make the image NAME, such as debian12-x86_64, unless it is there already.

    With --json each step is a line of its own: {"step": "...", "done": 0.4}.
    """

    def tell(step: str, done: float | None = None) -> None:
        if as_json:
            answer(json.dumps({"step": step, "done": done}))
        else:
            progress(f"{'' if done is None else f'{done:4.0%} '}{step}")

    made = images.make(door.settings.images.folder, name, progress=tell)
    answer(json.dumps(_about(made))) if as_json else answer(f"{made.name}: {made.folder} ({made.digest})")


@image.command("check")
@click.argument("name")
@as_json
@pass_door
def check_image(door: Door, *, name: str, as_json: bool) -> int:
    """Whether the image NAME is whole; exit 1 and what is wrong with it if not."""
    problems = images.check(images.find(door.settings.images.folder, name))
    answer_json({"name": name, "problems": problems}) if as_json else answer("\n".join(problems) or f"{name} is whole")
    return 1 if problems else 0


@farm_node.command("try")
@click.argument("release", metavar="NAME==VERSION", type=release)
@for_platform
@click.option("--index-url", metavar="URL", help="The farm's index; else that of the settings.")
@as_json
@pass_door
def try_release(
    door: Door, *, release: Release, platform: Platform | None, index_url: str | None, as_json: bool
) -> int:
    """Install NAME==VERSION from the farm alone into a clean environment of an image, and import it."""
    name, wanted = release
    if wanted is None:
        raise UsageError(f"which version of {name}?", advice=f"write {name}==VERSION")
    settings = door.settings
    chosen = platform or settings.farm.platforms[0]
    index = index_url or f"{settings.public_url}/{chosen.view}/simple/"
    tried = trying.try_install(name, wanted, platform=chosen, index_url=index, settings=settings)
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
