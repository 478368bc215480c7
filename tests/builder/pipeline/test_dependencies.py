"""A finished wheel is imported together with what it needs, where that can be had; nobody else's faults are its own."""

from __future__ import annotations

import errno
import json
import threading
import time
from pathlib import Path

import pytest

from builder.wheel_cache import WheelCache
from schema.errors import BuildFailedError, LimitExceededError, WheelRejectedError
from schema.names import Sha256
from schema.states import FailureClass
from tests.builder.pipeline.archives import PROJECTS, file, tar_of, with_module
from tests.builder.pipeline.conftest import Attempts
from tests.upstream import FakeUpstream, metadata_text, wheel_bytes

# Writes an extension module beside itself that no linker loads.
BROKEN_EXTENSION = """
import sysconfig
open(__file__.replace("__init__.py", "_broken" + sysconfig.get_config_var("EXT_SUFFIX")), "wb").write(b"\\x7fELF")
"""


def sdist(module: str, *requires: str) -> bytes:
    """The project demo 1.0 with one module, which needs those when it is used."""
    good = PROJECTS / "good-pure"
    about = {"name": "demo", "version": "1.0", "requires_dist": requires}
    return tar_of(
        file("demo-1.0/PKG-INFO", b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"),
        file("demo-1.0/pyproject.toml", (good / "pyproject.toml").read_bytes()),
        file("demo-1.0/tiny_backend.py", (PROJECTS / "tiny_backend.py").read_bytes()),
        file("demo-1.0/project.json", json.dumps(about).encode()),
        file("demo-1.0/src/demo/__init__.py", module.encode()),
    )


def offer(upstream: FakeUpstream, name: str, module: str, *requires: str, padding: bytes = b"") -> None:
    """A wheel at the index, with a module of its name."""
    filename = f"{name}-1.0-py3-none-any.whl"
    data = wheel_bytes(filename, metadata_text(name, "1.0", requires_dist=requires))
    upstream.add_file(name, with_module(data, f"{name}.py", module) + padding, filename=filename)


def test_it_is_imported_with_what_it_needs(attempt: Attempts, upstream: FakeUpstream) -> None:
    offer(upstream, "inner", "VALUE = 7\n")
    offer(upstream, "outer", "from inner import VALUE\n", "inner")

    built = attempt("demo", sdist("import outer\nassert outer.VALUE == 7\n", "outer>=1"))

    assert attempt.steps[-1].note == "1 of 1 modules imported; with inner, outer"
    assert {item.kind for item in built.materials} == {"sdist", "image", "tool"}  # none of them went into the wheel


def test_what_has_no_wheel_yet_is_done_without(attempt: Attempts) -> None:
    attempt("demo", sdist("import absent\n", "absent"))

    assert attempt.steps[-1].note == "0 of 1 modules imported; demo needs absent"
    assert "imported without what it needs: no wheel for the build requirement absent" in attempt.log


def test_what_is_very_large_is_done_without(
    attempt: Attempts, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.dependencies._FILE_BYTES", 100_000)
    offer(upstream, "large", "", padding=bytes(200_000))

    attempt("demo", sdist("import large\n", "large"))

    assert attempt.steps[-1].note == "0 of 1 modules imported; demo needs large"
    assert "imported without what it needs" in attempt.log


def test_nothing_is_fetched_from_a_url(attempt: Attempts, upstream: FakeUpstream) -> None:
    offer(upstream, "outer", "")
    url = f"{upstream.root}/files/outer/outer-1.0-py3-none-any.whl"

    with pytest.raises(WheelRejectedError, match="names a URL"):
        attempt("demo", sdist("import outer\n", f"outer @ {url}"))

    assert not [path for path, _ in upstream.requests if "outer" in path]


def test_a_disk_that_they_fill_costs_no_wheel(
    attempt: Attempts, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(upstream, "outer", "")
    real = WheelCache.give

    def full(self: WheelCache, digest: Sha256, target: Path) -> bool:
        if target.parent.name == "dependencies":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, digest, target)

    monkeypatch.setattr(WheelCache, "give", full)

    attempt("demo", sdist("import outer\n", "outer"))

    assert attempt.steps[-1].note == "0 of 1 modules imported; demo needs outer"
    assert "No space left on device" in attempt.log


def test_an_index_that_is_away_by_then_costs_no_wheel(attempt: Attempts, upstream: FakeUpstream) -> None:
    upstream.fail("outer", status=503)

    attempt("demo", sdist("import outer\n", "outer"))

    assert attempt.steps[-1].note == "0 of 1 modules imported; demo needs outer"


def test_extras_and_the_project_itself_are_not_fetched(attempt: Attempts, upstream: FakeUpstream) -> None:
    offer(upstream, "demo", "raise SystemExit('the upstream has another demo')\n")
    offer(upstream, "outer", "", "demo")

    attempt("demo", sdist("VALUE = 1\n", "outer", "absent; extra == 'all'", "demo[all]; extra == 'more'"))

    assert attempt.steps[-1].note == "1 of 1 modules imported; with outer"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("raise ImportError('we are broken')\n", "import outer\n"),
        ("def (\n", "import outer\n"),
        ("import ctypes; ctypes.CDLL('libnowhere.so.1')\n", "import outer\n"),
        ("", "from outer import gone_since\n"),
        ("import outer_part\n", "import outer\n"),
    ],
)
def test_what_another_project_does_wrong_is_told_and_no_fault_of_this_wheel(
    attempt: Attempts, upstream: FakeUpstream, theirs: str, ours: str
) -> None:
    offer(upstream, "outer", theirs)

    attempt("demo", sdist(ours, "outer"))

    assert attempt.steps[-1].note.startswith(
        ("0 of 1 modules imported; demo raised ", "0 of 1 modules imported; demo needs ")
    )


@pytest.mark.parametrize(
    "ours",
    [
        "import outer\nfrom demo import nowhere\n",
        "import outer\nimport demo._missing\n",
        "import outer\nraise ImportError('outer does not fit')\n",
        "import outer\ndef (\n",
        "import outer, ctypes; ctypes.CDLL('libnowhere.so.1')\n",
        f"import outer\n{BROKEN_EXTENSION}from demo import _broken\n",
    ],
)
def test_what_it_does_wrong_itself_fails_as_ever(attempt: Attempts, upstream: FakeUpstream, ours: str) -> None:
    offer(upstream, "outer", "")

    with pytest.raises(BuildFailedError) as caught:
        attempt("demo", sdist(ours, "outer"))

    assert caught.value.failure_class is FailureClass.IMPORT


def test_one_that_cannot_be_installed_is_left_out(attempt: Attempts, upstream: FakeUpstream) -> None:
    upstream.add_file("outer", b"no archive", filename="outer-1.0-py3-none-any.whl")

    attempt("demo", sdist("VALUE = 1\n", "outer"))

    assert attempt.steps[-1].note.startswith("1 of 1 modules imported")


def test_a_build_that_is_cancelled_meanwhile_ends(attempt: Attempts, upstream: FakeUpstream) -> None:
    offer(upstream, "outer", "")
    upstream.fail("outer", drip_s=0.2)
    cancelled = threading.Event()

    def cancel() -> None:
        while not any(path == "/simple/outer/" for path, _ in upstream.requests):
            time.sleep(0.02)
        cancelled.set()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(LimitExceededError, match="cancelled"):
        attempt.run(attempt.job("demo", sdist("VALUE = 1\n", "outer")), cancelled=cancelled)
    canceller.join()
