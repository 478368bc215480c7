"""Images: the root file systems that builds run in, made or imported once and only read from then on.

An image is a folder ``<images>/<name>/`` with ``root/`` (the file system), ``tools/`` (our own tools for the image's
interpreter, outside the root so that no build requirement can shadow them), ``apt/`` (the package sources it was made
from, for later additions), ``image.json``, and ``bare/``: the image that wheels are tried in, with what people have who
use them. An imported one (``adopting``) has no ``apt/``, and the same root to try wheels in, unless another was given.
One for an interpreter that was added (``adding``) lies beside the image that it was added to, and shares its files.
"""

from __future__ import annotations

from builder.images.adding import add_python
from builder.images.adopting import adopt
from builder.images.checking import check
from builder.images.exporting import export
from builder.images.finding import bare, find, installed, stand_in
from builder.images.making import make
from builder.images.record import Image, Interpreter, Origin, read, write
from builder.images.tree import tree_digest
from builder.images.turns import locked, unfinished

__all__ = [
    "Image",
    "Interpreter",
    "Origin",
    "add_python",
    "adopt",
    "bare",
    "check",
    "export",
    "find",
    "installed",
    "locked",
    "make",
    "read",
    "stand_in",
    "tree_digest",
    "unfinished",
    "write",
]
