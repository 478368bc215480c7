"""Where the sandbox has the farm's own tools for the image's interpreter; ``builder.toolbox`` installs them."""

from __future__ import annotations

TOOLS = "/tools"
PIP = f"{TOOLS}/pip"
