"""Whole builds of tiny projects in the real sandbox, from the fetch to the import."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builder import build as building
from schema.errors import LimitExceededError
from schema.recipes import Recipe
from schema.states import FailureClass
from schema.wheels.canonical import is_canonical
from tests.builder.pipeline.archives import file, tar_of
from tests.builder.pipeline.conftest import Attempts
from tests.upstream import FakeUpstream

# A node that builds one job: arguments are the job, the images, the workspace, the build user, the log.
NODE = """
import json, sys, threading
from pathlib import Path
from builder.build import build
from builder.workshop import Workshop
from builder.log import Log
from schema.jobs import BuildJob
job, images, workspace, uid, log = sys.argv[1:]
shop = Workshop(
    images=Path(images), workspace=Path(workspace), uid=int(uid) if uid else None, index_url="", node="killed"
)
build(
    BuildJob.from_json(json.loads(job)), shop, log=Log(Path(log), limit_bytes=2**20), on_step=print,
    cancelled=threading.Event(),
)
"""
STEPS = ["fetch", "unpack", "requirements", "build", "repair", "check", "import"]


def test_a_pure_project_becomes_a_canonical_wheel_step_by_step(attempt: Attempts) -> None:
    built = attempt("good-pure")

    assert built.facts.filename == "good_pure-1.0-py3-none-any.whl"
    assert is_canonical(built.wheel)
    assert [step.name for step in attempt.steps] == STEPS
    assert all(step.seconds is not None for step in attempt.steps)
    assert attempt.steps[-1].note == "1 of 1 modules imported"
    assert built.resources["wall_s"] > 0
    assert built.resources["peak_memory_bytes"] > 2**20
    assert built.usage[-1].at_s <= built.resources["wall_s"]
    assert built.usage[-1].cpu_s == pytest.approx(built.resources["cpu_s"], abs=0.5)


def test_the_result_names_everything_that_went_in(attempt: Attempts, helper: str) -> None:
    built = attempt("asks-for-helper")

    kinds = {item.kind: item for item in built.materials}
    assert set(kinds) == {"sdist", "image", "tool", "python"}
    assert (kinds["python"].name, kinds["python"].version) == (helper, "1.0")
    assert all(item.sha256 for kind, item in kinds.items() if kind != "tool")
    assert built.environment["SOURCE_DATE_EPOCH"] == "1700000000"
    assert "CFLAGS" not in built.environment


def test_nothing_of_a_job_is_left_once_its_result_is_closed(attempt: Attempts) -> None:
    built = attempt("good-pure")
    wheel = built.wheel
    assert wheel.is_file()

    attempt.opened.close()

    left = [path.name for path in attempt.workshop.workspace.iterdir()]
    assert not wheel.exists()
    assert all(name.startswith(("pip-cache-", "wheels")) for name in left)


def test_what_one_build_plants_the_next_does_not_find(attempt: Attempts) -> None:
    lines = []
    for _ in range(2):
        attempt("plants-files")
        lines += [line for line in attempt.log.splitlines() if line.startswith("planted")]

    assert [line.partition(", ")[2].partition(", ")[0] for line in lines] == ["found 0", "found 0"]
    assert lines[0] == lines[1]
    assert not lines[0].startswith("planted 0")


def test_what_a_killed_node_left_is_removed_when_it_starts_again(attempt: Attempts, tmp_path: Path) -> None:
    job, shop = attempt.job("hangs"), attempt.workshop
    log_file = tmp_path / "killed.log"
    arguments = [json.dumps(job.to_json()), str(shop.images), str(shop.workspace), str(shop.uid or ""), str(log_file)]
    node = subprocess.Popen([sys.executable, "-c", NODE, *arguments])
    while not log_file.exists() or "waiting for ever" not in log_file.read_text():
        time.sleep(0.1)
        assert node.poll() is None
    node.kill()
    node.wait()

    building.clean(shop.workspace)

    assert not [path.name for path in shop.workspace.iterdir() if not path.name.startswith(("pip-cache-", "wheels"))]
    assert str(shop.workspace) not in Path("/proc/mounts").read_text()


def test_what_the_backend_asks_for_is_fetched_too(attempt: Attempts, helper: str) -> None:
    attempt("asks-for-helper")

    assert f"Successfully downloaded {helper}" in attempt.log
    assert "tiny_helper /build/env/lib/python3.11/site-packages/tiny_helper.py" in attempt.log


def test_the_epoch_is_the_upload_time_where_the_index_tells_it(attempt: Attempts) -> None:
    job = attempt.job("good-pure")
    uploaded = datetime(2024, 2, 29, 12, tzinfo=UTC)
    object.__setattr__(job.sdist, "uploaded_at", uploaded)

    built = attempt.run(job)

    assert built.environment["SOURCE_DATE_EPOCH"] == str(int(uploaded.timestamp()))


def test_a_recipe_reaches_the_build(attempt: Attempts) -> None:
    built = attempt("good-pure", recipe=Recipe(environment={"GREETING": "hello"}))

    assert built.environment["GREETING"] == "hello"
    assert "GREETING=hello" in attempt.log


def test_a_recipes_test_runs_in_the_clean_room(attempt: Attempts) -> None:
    test = "import good_pure, shutil, sys\nassert sys.prefix == '/build/env'\nassert shutil.which('gcc') is None"

    attempt("good-pure", recipe=Recipe(test=test))

    assert attempt.steps[-1].note == "1 of 1 modules imported; the recipe's test passed"


def test_a_recipe_says_how_many_compile_jobs_run_at_once(attempt: Attempts) -> None:
    built = attempt("good-pure", recipe=Recipe(jobs=2))

    assert (built.environment["MAKEFLAGS"], built.environment["CMAKE_BUILD_PARALLEL_LEVEL"]) == ("-j2", "2")


def test_what_is_worth_telling_of_a_wheel_stands_beside_its_check(attempt: Attempts) -> None:
    built = attempt("brings-pth")

    (check,) = (step for step in built.steps if step.name == "check")
    assert "brings.pth" in check.note


def test_a_build_number_is_in_the_wheels_name(attempt: Attempts) -> None:
    assert attempt("good-pure", build_number=3).facts.filename == "good_pure-1.0-3-py3-none-any.whl"


def test_an_output_folder_full_of_traps_gives_its_wheel_and_nothing_else(attempt: Attempts) -> None:
    built = attempt("output-traps")

    assert [path.name for path in built.wheel.parent.iterdir()] == ["output_traps-1.0-py3-none-any.whl"]


def test_a_module_that_needs_another_project_is_noted_and_passes(attempt: Attempts) -> None:
    attempt("import-needs-another")

    assert attempt.steps[-1].note == "0 of 1 modules imported; import_needs_another needs another_project"


def test_a_module_that_raises_something_of_its_own_is_noted_and_passes(attempt: Attempts) -> None:
    attempt("import-raises")

    assert "RuntimeError: no display" in attempt.steps[-1].note


def test_a_cancelled_build_ends_at_once(attempt: Attempts) -> None:
    job, cancelled = attempt.job("hangs"), threading.Event()
    threading.Timer(3, cancelled.set).start()
    started = time.monotonic()

    with pytest.raises(LimitExceededError) as caught:
        attempt.run(job, cancelled=cancelled)

    assert caught.value.failure_class is FailureClass.CANCELLED
    assert time.monotonic() - started < 20


@pytest.mark.slow
def test_an_extension_is_built_repaired_and_the_same_twice(
    attempt: Attempts, upstream: FakeUpstream, real_wheels: Callable[[FakeUpstream], None]
) -> None:
    real_wheels(upstream)

    first, second = attempt("good-extension"), attempt("good-extension")

    assert first.facts.sha256 == second.facts.sha256
    assert first.facts.portable
    assert "manylinux" in first.facts.filename
    assert attempt.steps[-1].note == "2 of 2 modules imported"
    assert "-O2" in attempt.log


@pytest.mark.slow
def test_a_library_that_came_with_the_compilers_is_told_as_a_package_that_users_need(
    attempt: Attempts, upstream: FakeUpstream, real_wheels: Callable[[FakeUpstream], None]
) -> None:
    real_wheels(upstream)
    source = (
        '#include <Python.h>\nstatic struct PyModuleDef about = {PyModuleDef_HEAD_INIT, "linked"};\n'
        "PyMODINIT_FUNC PyInit_linked(void) { return PyModule_Create(&about); }\n"
    )
    setup = (
        "from setuptools import Extension, setup\n"
        "linked = Extension('linked', ['linked.c'], extra_link_args=['-Wl,--no-as-needed', '-latomic'])\n"
        "setup(name='linked', version='1.0', ext_modules=[linked])\n"
    )
    about = "Metadata-Version: 2.1\nName: linked\nVersion: 1.0\n"
    files = {"PKG-INFO": about, "setup.py": setup, "linked.c": source}

    built = attempt("linked", tar_of(*(file(f"linked-1.0/{name}", text.encode()) for name, text in files.items())))

    assert "libatomic.so.1" in built.facts.needed
    assert built.runtime_packages == ("libatomic1",)
    assert attempt.steps[-1].note == "1 of 1 modules imported; needs libatomic1"


@pytest.mark.slow
def test_a_library_that_a_module_opens_by_itself_is_there_where_a_recipe_names_its_package(attempt: Attempts) -> None:
    built = attempt("import-needs-library", recipe=Recipe(runtime_packages=("libgomp1",)))

    assert built.runtime_packages == ("libgomp1",)
    assert attempt.steps[-1].note == "1 of 1 modules imported; needs libgomp1"


@pytest.mark.slow
def test_setup_requires_of_old_projects_is_met(
    attempt: Attempts, upstream: FakeUpstream, real_wheels: Callable[[FakeUpstream], None], helper: str
) -> None:
    real_wheels(upstream)

    attempt("setup-requires")

    assert f"Successfully downloaded setuptools {helper}" in attempt.log
