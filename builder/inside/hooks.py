"""Call one hook of the project's build backend (PEP 517) with the environment's interpreter."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from pyproject_hooks import (  # type: ignore[import-not-found] # lies in /tools only
    BackendUnavailable,
    BuildBackendHookCaller,
    HookMissing,
    UnsupportedOperation,
)

from builder.inside import environment
from builder.inside.refusal import RefusedError


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Answer ``returned`` if the hook did, else the ``exit_code`` it died with; refuse a backend that is none.

    wheels: where given, the environment is made of them first
    """
    Path(os.environ["HOME"]).mkdir(exist_ok=True)
    if request["wheels"] is not None:
        environment.make(request["environment"])
        environment.install(request["environment"], request["wheels"])
    try:
        caller = BuildBackendHookCaller(
            request["source"],
            request["backend"],
            request["backend_path"] or None,
            python_executable=f"{request['environment']}/bin/python",
        )
        return {"returned": _call(caller, request)}
    except subprocess.CalledProcessError as err:
        return {"exit_code": err.returncode}
    except FileNotFoundError:
        # The backend ended its own process before it could leave an answer.
        return {"exit_code": 0}
    except BackendUnavailable as err:
        raise _refused(request, _last_line(err.traceback) or str(err)) from err
    except HookMissing as err:
        raise _refused(request, f"it has no hook {err.hook_name}") from err
    except UnsupportedOperation as err:
        raise _refused(request, "it says that it cannot build a wheel here") from err
    except ValueError as err:
        raise _refused(request, str(err)) from err


def _call(caller: BuildBackendHookCaller, request: dict[str, Any]) -> object:
    settings = request["config_settings"] or None
    if request["hook"] == "get_requires_for_build_wheel":
        return list(caller.get_requires_for_build_wheel(settings))
    return caller.build_wheel(request["out"], settings)


def _refused(request: dict[str, Any], reason: str) -> RefusedError:
    return RefusedError(f"the build backend {request['backend']!r} cannot be used: {reason}", failure_class="backend")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
