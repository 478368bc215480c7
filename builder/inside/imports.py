"""Install one wheel into a clean environment and import what it brings (B-15), each module in a process of its own."""

from __future__ import annotations

import json
import platform
import subprocess
from email.message import Message
from email.parser import BytesHeaderParser
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from builder.inside import environment
from builder.inside.refusal import RefusedError

_MOST_MODULES = 60
_PER_MODULE_S = 120
_TEST_S, _TEST_BYTES = 300, 65_536
# Top-level names that many wheels drop by accident and nobody imports.
_NOT_MEANT = {
    *("test", "tests", "testing", "doc", "docs", "example", "examples"),
    *("benchmark", "benchmarks", "script", "scripts", "tool", "tools"),
}

# Runs in the wheel's own environment. The answer is the last line, on a descriptor of its own.
_TRY = """
import importlib, json, os, sys
name, own, answer = sys.argv[1], set(sys.argv[2].split(",")), os.dup(1)
os.dup2(2, 1)
verdict = {"module": name, "outcome": "imported", "reason": ""}
def foreign(err):
    while err is not None:
        if isinstance(err, ModuleNotFoundError) and err.name and err.name.partition(".")[0] not in own:
            return err.name
        err = err.__cause__ or err.__context__
def others(path):
    inside = (path or "").partition("/site-packages/")[2]
    return inside and inside.partition("/")[0].partition(".")[0] not in own
def by_another(err):
    if isinstance(err, SyntaxError):
        return others(err.filename)
    if isinstance(err, ImportError) and err.path:
        return others(err.path)
    if isinstance(err, ImportError) and err.name:
        return err.name.partition(".")[0] not in own
    step, path = err.__traceback__, ""
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        step, path = step.tb_next, name if "/site-packages/" in name else path
    return others(path)
def outcome(err, text):
    if "does not define module export function" in text:
        return "raised", "a shared library, not a module"
    if not isinstance(err, ModuleNotFoundError) and by_another(err):
        return "raised", text
    if any(sign in text for sign in ("cannot open shared object", "undefined symbol", "version `")):
        return "broken", text
    if foreign(err):
        return "needs", foreign(err)
    return "broken" if isinstance(err, (ImportError, SyntaxError)) else "raised", text
try:
    importlib.import_module(name)
except BaseException as err:
    verdict["outcome"], verdict["reason"] = outcome(err, f"{type(err).__name__}: {err}"[:500])
os.write(answer, json.dumps(verdict).encode())
os._exit(0)
"""


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Answer one verdict for each module: imported, needs (another project), raised, broken or crashed.

    Where the request has a ``test`` and all modules could be imported, also why it failed: "" where it did not.
    """
    folder = request["folder"]
    environment.make(folder)
    _install_others(folder, request["others"])
    site = environment.site_packages(folder)
    others = set(site.glob("*.dist-info"))
    environment.install(folder, [request["wheel"]], failure_class="import")
    (dist_info,) = set(site.glob("*.dist-info")) - others
    _refuse_other_python(dist_info)
    found = verdicts(folder, *modules(dist_info))
    sound = all(item["outcome"] not in ("broken", "crashed") for item in found["verdicts"])
    return found | {"test": _test(folder, request["test"])} if request.get("test") and sound else found


def _install_others(folder: str, wheels: list[str]) -> None:
    """One that cannot be installed is left out: it is not this wheel that is to blame."""
    for wheel in wheels:
        try:
            environment.install(folder, [wheel])
        except RefusedError as err:
            print(f"left out: {err}", flush=True)


def _test(folder: str, program: str) -> str:
    """Why the recipe's test failed: the last line that it said; "" where it did not fail."""
    print(f"testing, as the recipe says:\n{program}", flush=True)
    with Path(folder, "test.log").open("w+b") as said:
        # Unbuffered: what it printed must not come after the line that it died with.
        command = [f"{folder}/bin/python", "-I", "-u", "-c", program]
        try:
            done = subprocess.run(command, check=False, stdout=said, stderr=said, cwd=folder, timeout=_TEST_S)
        except subprocess.TimeoutExpired:
            return f"the test did not end within {_TEST_S} s"
        said.seek(max(0, said.tell() - _TEST_BYTES))
        text = said.read().decode(errors="replace")
    print(text, flush=True)
    code = done.returncode
    if not code:
        return ""
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return next((line for line in reversed(text.splitlines()) if line.strip()), f"the test {how}")[-500:]


def _refuse_other_python(dist_info: Path) -> None:
    """What pip does where a wheel's Requires-Python does not have the interpreter."""
    wanted = _headers(dist_info)["Requires-Python"]
    if wanted and not SpecifierSet(wanted).contains(platform.python_version(), prereleases=True):
        raise RefusedError(f"the wheel requires Python {wanted}", failure_class="import")


def verdicts(folder: str, names: list[str], own: set[str]) -> dict[str, Any]:
    """Try each module; only the first so many, but ``modules`` tells how many there are."""
    return {"verdicts": [_verdict(folder, name, own) for name in names[:_MOST_MODULES]], "modules": len(names)}


def modules(dist_info: Path) -> tuple[list[str], set[str]]:
    """What to import: the Import-Names (PEP 794), else the public top-level names; and each extension module.

    Also every top-level name of the wheel, private ones included.
    """
    files = [_parts(line) for line in (dist_info / "RECORD").read_text(encoding="utf-8").splitlines()]
    found = {name: ext for name, ext in (_module(parts) for parts in files) if name}
    own = {name.partition(".")[0] for name in found}
    public = {name for name in own if not name.startswith("_") and name not in _NOT_MEANT} or own
    named = _import_names(dist_info)
    extensions = {name for name, ext in found.items() if ext}
    return sorted((named or public) | extensions, key=lambda name: (name.count("."), name)), own


def _headers(dist_info: Path) -> Message:
    return BytesHeaderParser().parsebytes((dist_info / "METADATA").read_bytes())


def _import_names(dist_info: Path) -> set[str]:
    values = _headers(dist_info).get_all("Import-Name") or []
    return {name for name in (value.partition(";")[0].strip() for value in values) if _dotted(name)}


def _parts(line: str) -> list[str]:
    return line.rsplit(",", 2)[0].strip('"').split("/")


def _module(parts: list[str]) -> tuple[str, bool]:
    """The module that a file is, and whether it is an extension; an empty name for anything else."""
    *folders, file = parts
    suffix = next((end for end in (*EXTENSION_SUFFIXES, ".py") if file.endswith(end)), None)
    if suffix is None or parts[0] in ("..", ""):
        return "", False
    stem = file[: -len(suffix)]
    name = ".".join(folders if stem == "__init__" else [*folders, stem])
    return (name, suffix != ".py") if _dotted(name) else ("", False)


def _dotted(name: str) -> bool:
    return bool(name) and all(part.isidentifier() for part in name.split("."))


def _verdict(folder: str, name: str, own: set[str]) -> dict[str, str]:
    print(f"importing {name}", flush=True)
    command = [f"{folder}/bin/python", "-I", "-c", _TRY, name, ",".join(sorted(own))]
    try:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, cwd="/", timeout=_PER_MODULE_S)
    except subprocess.TimeoutExpired:
        return {"module": name, "outcome": "crashed", "reason": f"did not end within {_PER_MODULE_S} s"}
    if done.returncode < 0:
        return {"module": name, "outcome": "crashed", "reason": f"killed by signal {-done.returncode}"}
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        return {"module": name, "outcome": "raised", "reason": f"ended Python with {done.returncode}"}
