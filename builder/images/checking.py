"""Whether an image is still what was made, and fit to build in."""

from __future__ import annotations

from builder import inspection
from builder.images.finding import bare, has_bare
from builder.images.record import Image
from builder.images.tree import tree_digest


def check(image: Image) -> list[str]:
    """What is wrong with an image, as sentences; empty if it is as it was made, builds, and is of its platform."""
    found = inspection.problems(image)
    again, tried_in = "make it again", image.folder / "bare"
    if image.origin is not None:
        again, tried_in = f"import {image.origin.file} again", image.folder
    if image.interpreter is not None:
        again, tried_in = f"add the interpreter in {image.interpreter.file} again", image.folder
    # A derived image's digest is that of its base and of its packages, not of its files.
    if not image.added and tree_digest(image.root) != image.digest:
        found.append(f"its files are not those it was made of: remove {image.folder} and {again}")
    if has_bare(image) and tree_digest(bare(image).root) != bare(image).digest:
        found.append(f"the root that wheels are tried in was changed: remove {tried_in} and {again}")
    return found
