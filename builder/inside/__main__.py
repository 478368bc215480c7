"""The door of what runs inside the sandbox: ``python3 -I /inside COMMAND REQUEST``, where REQUEST is a JSON object.

These scripts know the standard library of the image's own interpreter and what lies in ``/tools``, nothing else of
ours. They answer with one small JSON file, ``/result/result.json``, which the host reads as it reads anything hostile.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from builder.inside.refusal import REFUSED, RefusedError
from builder.inside.tools import TOOLS

RESULT = Path("/result/result.json")
COMMANDS = ("unpack", "download", "hooks", "repair", "imports", "loads", "trial")


def main() -> int:
    """Run one command; 0 if it has an answer, REFUSED if the answer is a refusal."""
    os.umask(0o022)
    sys.path.insert(1, TOOLS)  # before what the image has
    command, request = sys.argv[1:]
    if command not in COMMANDS:
        raise SystemExit(f"no such command: {command}")
    try:
        _answer(import_module(f"builder.inside.{command}").main(json.loads(request)))
    except RefusedError as err:
        print(f"refused: {err}", file=sys.stderr)
        _answer({"refused": str(err), "failure_class": err.failure_class})
        return REFUSED
    return 0


def _answer(data: dict[str, Any]) -> None:
    RESULT.write_text(json.dumps(data), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
