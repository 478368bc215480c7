"""What pip on this machine is set to use: the index, certificate authorities, a proxy.

pip itself is asked, so that its environment variables, its files in their order and its own default all count.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from schema.errors import SettingsError

_QUESTION = """
import json
from pip._internal.commands import create_command
options = create_command("install").parser.get_default_values()
print(json.dumps({"index_url": options.index_url, "cert": options.cert, "proxy": options.proxy}))
"""
_ADVICE = "set upstream.index_url in farm.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipSettings:
    """index_url: with a slash at the end; ca: file or folder, None for pip's own; proxy: "" for none."""

    index_url: str
    ca: Path | None
    proxy: str


def pip_settings() -> PipSettings:
    """Ask pip; raise SettingsError if there is none, or if its index is not on http or https."""
    for python in (sys.executable, shutil.which("python3"), shutil.which("python")):
        answer = _ask(python) if python else None
        if answer is not None:
            break
    else:
        raise SettingsError("no pip here says which index it uses", advice=_ADVICE)
    index_url = str(answer.get("index_url") or "")
    if urlsplit(index_url).scheme not in {"http", "https"}:
        raise SettingsError("pip's index is not on http or https", advice=_ADVICE)
    cert = answer.get("cert")
    return PipSettings(
        index_url=index_url.rstrip("/") + "/",
        ca=Path(cert) if isinstance(cert, str) and cert else None,
        proxy=str(answer.get("proxy") or ""),
    )


def _ask(python: str) -> dict[str, object] | None:
    try:
        found = subprocess.run([python, "-c", _QUESTION], capture_output=True, text=True, timeout=60, check=True)
        answer = json.loads(found.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
