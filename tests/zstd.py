"""Zstandard, which Python has of its own since 3.14."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import decompress
else:
    from backports.zstd import decompress

__all__ = ["decompress"]
