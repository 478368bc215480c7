"""Run ``auditwheel repair`` on one wheel; it and patchelf read hostile ELF files, so they do so in here (T11)."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from builder.inside import licenses

_AUDITWHEEL = "import sys; sys.path.insert(0, '/tools'); from auditwheel.main import main; sys.exit(main())"
# What ``auditwheel repair`` would graft: the same question that it asks itself (main_repair.py), by the same functions.
_OUTSIDE = """
import json, sys
from pathlib import Path
sys.path.insert(0, '/tools')
from auditwheel.wheel_abi import analyze_wheel_abi
from auditwheel.wheeltools import get_wheel_architecture
wheel = Path(sys.argv[1])
found = analyze_wheel_abi(
    None, get_wheel_architecture(wheel.name), wheel, frozenset(),
    disable_isa_ext_check=False, allow_graft=True, requested_policy_base_name='auto',
)
none = found.overall_policy == found.policies.linux
policy = found.policies.lowest if none else found.overall_policy
print(json.dumps(sorted(found.external_refs[policy.name].libs)))
"""


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Leave the repaired ``wheel`` in ``out``; answer auditwheel's exit code, and the libraries that are ``left`` out.

    bundle: as in ``schema.states.Bundle``; there: the libraries of the bare root, for ``when-missing``
    Only the exit code counts: a failed repair may still leave a file behind. It is null where the wheel is to stay as
    it is, for nothing that it needs is grafted.
    """
    left: list[str] = []
    if request["bundle"] != "always":
        asked = _run(_OUTSIDE, request["wheel"], stdout=subprocess.PIPE)
        if asked.returncode:
            return {"exit_code": asked.returncode, "left": []}
        outside = json.loads(asked.stdout)
        left = [name for name in outside if request["bundle"] == "never" or name in request["there"]]
        if left and left == outside:
            return {"exit_code": None, "left": left}
    # auditwheel would tag it as if nothing were left out.
    options = ["--no-update-tags", *(f"--exclude={glob.escape(name)}" for name in left)] if left else []
    done = _run(_AUDITWHEEL, "repair", "--wheel-dir", request["out"], *options, request["wheel"])
    if done.returncode == 0:
        for wheel in Path(request["out"]).glob("*.whl"):
            licenses.tell(wheel)
    return {"exit_code": done.returncode, "left": left}


def _run(script: str, *arguments: str, stdout: int | None = None) -> subprocess.CompletedProcess[bytes]:
    tools = {**os.environ, "PATH": f"/tools/bin:{os.environ['PATH']}"}
    return subprocess.run([sys.executable, "-I", "-c", script, *arguments], check=False, env=tools, stdout=stdout)
