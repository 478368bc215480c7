"""Run ``auditwheel repair`` on one wheel; it and patchelf read hostile ELF files, so they do so in here (T11)."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

_AUDITWHEEL = "import sys; sys.path.insert(0, '/tools'); from auditwheel.main import main; sys.exit(main())"


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Leave the repaired ``wheel`` in ``out``; answer auditwheel's exit code.

    Only the exit code counts: a failed repair may still leave a file behind.
    """
    command = [sys.executable, "-I", "-c", _AUDITWHEEL, "repair", "--wheel-dir", request["out"], request["wheel"]]
    tools = {**os.environ, "PATH": f"/tools/bin:{os.environ['PATH']}"}
    return {"exit_code": subprocess.run(command, check=False, env=tools).returncode}
