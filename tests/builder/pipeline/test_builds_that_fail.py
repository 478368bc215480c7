"""Every way a build goes wrong ends as one error with the right class and a line that says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from schema.errors import JobError, NodeError
from schema.missing import Missing, MissingKind
from schema.names import Sha256
from schema.recipes import Recipe
from schema.states import FailureClass
from tests.builder.pipeline.archives import file, sdist_of, tar_of
from tests.builder.pipeline.conftest import Attempts


def failure(attempt: Attempts, project: str, data: bytes | None = None, **fields: Any) -> JobError:
    with pytest.raises(JobError) as caught:
        attempt(project, data, **fields)
    left = [path.name for path in attempt.workshop.workspace.iterdir()]
    assert all(name.startswith(("pip-cache-", "wheels")) for name in left)
    return caught.value


@pytest.mark.parametrize(
    ("project", "failure_class", "words"),
    [
        ("backend-missing", FailureClass.BACKEND, "ModuleNotFoundError: No module named 'no_such_backend'"),
        ("pyproject-broken", FailureClass.BACKEND, "pyproject.toml cannot be read: Expected ']'"),
        ("build-fails", FailureClass.HEADER, "fatal error: no_such_library.h: No such file or directory"),
        ("requirement-missing", FailureClass.REQUIREMENT, "No matching distribution found for no-such-helper>=2"),
        ("requirement-by-url", FailureClass.REQUIREMENT, "helper is wanted from a URL"),
        ("wants-network", FailureClass.NETWORK, "failure in name resolution"),
        ("import-broken", FailureClass.IMPORT, "No module named 'import_broken._missing'"),
        ("import-crashes", FailureClass.IMPORT, "killed by signal 11"),
    ],
)
def test_the_class_and_the_telling_line_of_each_failure(
    attempt: Attempts, project: str, failure_class: FailureClass, words: str
) -> None:
    error = failure(attempt, project)

    assert error.failure_class is failure_class
    assert words in error.evidence


def test_a_library_that_only_the_build_image_has_is_missing_in_the_clean_room_and_its_package_named(
    attempt: Attempts,
) -> None:
    error = failure(attempt, "import-needs-library")

    assert error.failure_class is FailureClass.IMPORT
    assert "libgomp.so.1: cannot open shared object file" in error.evidence
    assert "(Debian package libgomp1)" in str(error)
    assert error.lacks == (Missing(kind=MissingKind.LIBRARY, name="gomp"),)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (
            "import good_pure\nprint('so far')\ngood_pure.nothing_of_it",
            "has no attribute 'nothing_of_it'",
        ),
        ("raise SystemExit(3)", "the test ended with exit code 3"),
        ("import os\nos.kill(os.getpid(), 9)", "the test was killed by signal 9"),
    ],
)
def test_a_recipes_test_that_fails_fails_the_build(attempt: Attempts, test: str, words: str) -> None:
    error = failure(attempt, "good-pure", recipe=Recipe(test=test))

    assert error.failure_class is FailureClass.IMPORT
    assert words in error.evidence
    assert "testing, as the recipe says" in attempt.log


def test_a_failure_names_the_line_of_the_log_and_what_is_missing(attempt: Attempts) -> None:
    error = failure(attempt, "build-fails")

    assert error.lacks == (Missing(kind=MissingKind.HEADER, name="no_such_library.h"),)
    assert error.line is not None
    assert error.evidence in attempt.log.split("\n")[error.line - 1]


@pytest.mark.parametrize(
    ("project", "words"),
    [
        ("wrong-name", "'somebody_else-1.0-py3-none-any.whl' instead of a wheel of wrong-name 1.0"),
        ("wrong-version", "'wrong_version-9.9-py3-none-any.whl' instead of a wheel of wrong-version 1.0"),
        ("two-wheels", "2 wheels instead of one"),
    ],
)
def test_a_wheel_that_is_not_the_one_asked_for_is_refused(attempt: Attempts, project: str, words: str) -> None:
    error = failure(attempt, project)

    assert error.failure_class is FailureClass.WHEEL
    assert words in str(error)


@pytest.mark.parametrize(
    ("project", "words"),
    [
        ("no-wheel", "left no wheel"),
        ("spoils-its-answer", "its own answer"),
        ("ends-without-a-word", "exit code 0 and no answer"),
    ],
)
def test_a_build_that_leaves_no_wheel_or_no_answer_failed(attempt: Attempts, project: str, words: str) -> None:
    error = failure(attempt, project)

    assert error.failure_class is FailureClass.BUILD
    assert words in str(error)


@pytest.mark.parametrize(
    ("project", "limits", "failure_class"),
    [
        ("hangs", {"silence_s": 2.0}, FailureClass.SILENCE),
        ("hangs", {"wall_s": 6.0}, FailureClass.TIMEOUT),
        ("floods-log", {"log_bytes": 2**18}, FailureClass.LOG),
        ("forks-without-end", {"processes": 64, "wall_s": 60.0}, FailureClass.PROCESSES),
        ("fills-disk", {"disk_bytes": 64 * 2**20}, FailureClass.DISK),
        ("eats-memory", {"memory_bytes": 256 * 2**20}, FailureClass.MEMORY),
    ],
)
def test_a_build_that_goes_over_a_limit_is_stopped_and_says_which(
    attempt: Attempts, project: str, limits: dict[str, float], failure_class: FailureClass
) -> None:
    error = failure(attempt, project, limits=limits)

    assert error.failure_class is failure_class
    assert error.resources["wall_s"] > 0
    assert error.usage


def test_a_backend_that_never_stops_asking_is_stopped(attempt: Attempts, helper: str) -> None:
    error = failure(attempt, "never-stops-asking")

    assert error.failure_class is FailureClass.REQUIREMENT
    assert helper in error.evidence


def test_an_sdist_with_other_bytes_than_promised_is_never_unpacked(attempt: Attempts) -> None:
    job = attempt.job("good-pure")

    with pytest.raises(JobError, match="the index promised") as caught:
        attempt.run(replace(job, sdist=replace(job.sdist, sha256=Sha256("0" * 64))))

    assert caught.value.failure_class is FailureClass.SDIST
    assert [step.name for step in attempt.steps] == ["fetch"]


def test_an_sdist_whose_pkg_info_names_another_project_is_refused(attempt: Attempts) -> None:
    error = failure(attempt, "good-pure", sdist_of("good-pure", name="somebody-else"))

    assert error.failure_class is FailureClass.SDIST
    assert "lies about its name" in str(error)


def test_an_sdist_whose_file_name_is_another_projects_is_not_even_fetched(attempt: Attempts) -> None:
    error = failure(attempt, "good-pure", filename="other-1.0.tar.gz")

    assert "lies about its name" in str(error)
    assert not attempt.upstream.requests


def test_an_sdist_that_escapes_is_refused_inside_the_sandbox(attempt: Attempts) -> None:
    error = failure(attempt, "good-pure", tar_of(file("good_pure-1.0/../../../evil", b"x")))

    assert error.failure_class is FailureClass.SDIST
    assert "a path with '..'" in str(error)
    assert [step.name for step in attempt.steps] == ["fetch", "unpack"]


def test_an_unreachable_index_is_the_nodes_trouble(attempt: Attempts) -> None:
    attempt.workshop = replace(attempt.workshop, index_url="http://127.0.0.1:9/simple/")

    with pytest.raises(NodeError, match="does not answer"):
        attempt("requirement-missing")


def test_the_credentials_of_the_index_are_in_no_log(attempt: Attempts) -> None:
    url = attempt.upstream.url.replace("http://", "http://someone:hunter2@")
    attempt.workshop = replace(attempt.workshop, index_url=url)

    failure(attempt, "requirement-missing")

    assert "no-such-helper" in attempt.log
    assert "hunter2" not in attempt.log
