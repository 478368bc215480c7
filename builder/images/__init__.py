"""Images: the root file systems that builds run in, made once by mmdebstrap and only read from then on.

An image is a folder ``<images>/<name>/`` with ``root/`` (the file system), ``tools/`` (our own tools for the image's
interpreter, outside the root so that no build requirement can shadow them), ``apt/`` (the package sources it was made
from, for later additions), ``image.json``, and ``bare/``: the image that wheels are tried in, with what people have who
use them.
"""

from __future__ import annotations

from builder.images.checking import check
from builder.images.finding import bare, find, installed, stand_in
from builder.images.making import make
from builder.images.record import Image, read, write
from builder.images.tree import tree_digest
from builder.images.turns import locked, unfinished

__all__ = [
    "Image",
    "bare",
    "check",
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
