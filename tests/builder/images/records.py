"""Images of next to nothing, but with all that makes them count, and copies of real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builder import images, process, toolbox
from builder.images import Image
from schema.platforms import Platform


def recorded(folder: Path, name: str) -> Image:
    """The image *name* in *folder*."""
    (folder / name / "root").mkdir(parents=True)
    (folder / name / "root" / "file").write_text("content")
    for record in toolbox.records(Platform.of_image(name)):
        (folder / name / "tools" / record).mkdir(parents=True)
    image = Image(
        name=name,
        folder=folder / name,
        digest=images.tree_digest(folder / name / "root"),
        packages={"gcc": "4:12.2.0-3"},
        python="3.11.2",
        added=(("libpq-dev", "15.1", "0" * 64),),
    )
    images.write(image)
    (folder / name / "bare" / "root").mkdir(parents=True)
    bare = folder / name / "bare"
    images.write(replace(image, folder=bare, digest=images.tree_digest(bare / "root"), packages={}, added=()))
    return image


def copied(folder: Path, image: Image, *, sharing: bool = True) -> Image:
    """*image* in *folder*, without those derived from it, and without its locks.

    sharing: its files are links, which nothing may write to
    """
    copy = folder / image.name
    copy.mkdir(mode=0o755)
    own = (path for path in image.folder.iterdir() if path.name != "derived" and not path.name.startswith("."))
    process.run(["cp", "-al" if sharing else "-a", "--", *map(str, own), str(copy)])
    return replace(image, folder=copy)
