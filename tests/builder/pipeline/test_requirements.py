"""Build requirements: fetched once for the node, by digest, from the upstream before the farm (T19)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builder import resolving
from builder.build import Built
from schema.errors import JobError, NodeError
from schema.jobs import BuildJob, FarmWheel, Material
from schema.names import Sha256
from schema.states import FailureClass
from tests.builder.pipeline.archives import with_module
from tests.builder.pipeline.conftest import Attempts, helper_wheel
from tests.upstream import FakeUpstream, metadata_text, wheel_bytes

HELPER = "tiny_helper-1.0-py3-none-any.whl"
LATER = "tiny_helper-2.0-py3-none-any.whl"
CONFLICT = """ERROR: Cannot install a because these package versions have conflicting dependencies.

The conflict is caused by:
    a 2 depends on b
    a 1 depends on b

Additionally, some packages in these conflicts have no matching distributions available for your environment:
    b

To fix this you could try to:
1. loosen the range of package versions you've specified
"""
JOB_TIME = datetime(2026, 3, 1, tzinfo=UTC)


def _asked(upstream: FakeUpstream) -> list[str]:
    """What the index was asked for, about the helper."""
    return [path for path, _ in upstream.requests if "tiny-helper" in path]


def _material(attempt: Attempts, job: BuildJob) -> tuple[str, str]:
    (found,) = (item for item in attempt.run(job).materials if item.name == "tiny-helper")
    return found.kind, found.version


def _note(attempt: Attempts) -> str:
    return next(step.note for step in attempt.steps if step.name == "requirements")


def _python(built: Built) -> list[Material]:
    return [item for item in built.materials if item.kind == "python"]


def _cached(attempt: Attempts) -> Path:
    """Where the cache of the node has the helper."""
    digest = attempt.upstream.file("tiny-helper", HELPER).sha256
    return attempt.workshop.workspace / "wheels" / digest[:2] / digest


def test_the_second_build_with_the_same_requirements_asks_nobody(
    attempt: Attempts, upstream: FakeUpstream, helper: str
) -> None:
    first = attempt("asks-for-helper")
    upstream.remove_project(helper)

    second = attempt("asks-for-helper")

    assert _python(second) == _python(first) != []
    assert "as resolved" in _note(attempt)


def test_a_resolution_holds_only_for_its_time(attempt: Attempts, upstream: FakeUpstream, helper: str) -> None:
    attempt("asks-for-helper")
    attempt.workshop = replace(attempt.workshop, resolve_s=1e-6)
    upstream.requests.clear()

    attempt("asks-for-helper")

    assert f"/simple/{helper}/" in _asked(upstream)


@pytest.mark.parametrize("spoiled", [b"", b"PK\5\6 something else"])
def test_a_spoiled_file_of_the_cache_is_found_and_fetched_again(
    attempt: Attempts, upstream: FakeUpstream, helper: str, spoiled: bytes
) -> None:
    first = attempt("asks-for-helper")
    _cached(attempt).write_bytes(spoiled)
    upstream.requests.clear()

    second = attempt("asks-for-helper")

    assert _python(second) == _python(first) != []
    assert f"/simple/{helper}/" in _asked(upstream)
    assert _cached(attempt).read_bytes() == upstream.file(helper, HELPER).data


def test_builds_that_begin_together_fetch_once(attempt: Attempts, upstream: FakeUpstream, helper: str) -> None:
    jobs = [attempt.job("asks-for-helper") for _ in range(2)]
    # A user of its own for each, as slots have; so pip's cache is not what helps.
    uid = attempt.workshop.uid
    others = [
        replace(attempt, workshop=replace(attempt.workshop, uid=None if uid is None else uid + n)) for n in range(2)
    ]
    threads = [threading.Thread(target=other.run, args=[job]) for other, job in zip(others, jobs, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert _asked(upstream).count(f"/files/{helper}/{HELPER}") == 1
    assert [bool(other.steps) and other.steps[-1].name for other in others] == ["import", "import"]


def test_a_requirement_without_a_wheel_is_named(attempt: Attempts) -> None:
    with pytest.raises(JobError) as caught:
        attempt("requirement-missing")

    assert caught.value.failure_class is FailureClass.REQUIREMENT
    assert caught.value.missing == ("no-such-helper>=2",)


def test_what_was_uploaded_after_the_job_was_given_out_does_not_count(
    attempt: Attempts, upstream: FakeUpstream
) -> None:
    for filename, uploaded in ((HELPER, "2026-02-01T00:00:00Z"), (LATER, "2026-03-02T00:00:00Z")):
        upstream.add_file("tiny-helper", _helper(filename), filename=filename, upload_time=uploaded)

    found = _material(attempt, attempt.job("asks-for-helper", before=JOB_TIME))

    assert found == ("python", "1.0")
    assert "not checked" not in _note(attempt)


def test_where_the_index_tells_no_times_it_is_said_that_they_were_not_checked(attempt: Attempts, helper: str) -> None:
    found = _material(attempt, attempt.job("asks-for-helper", before=JOB_TIME))

    assert found == ("python", "1.0")
    assert "upload times not checked" in _note(attempt)
    assert helper in _note(attempt)


def test_a_wheel_of_the_farm_is_taken_where_the_upstream_has_none(attempt: Attempts, upstream: FakeUpstream) -> None:
    wheel = _farm_wheel(upstream, HELPER, helper_wheel())

    found = _material(attempt, attempt.job("asks-for-helper", wheels=(wheel,)))

    assert found == ("farm-wheel", "1.0")


def test_the_upstream_goes_before_the_farm_even_with_a_lower_version(
    attempt: Attempts, upstream: FakeUpstream, helper: str
) -> None:
    wheel = _farm_wheel(upstream, LATER, _helper(LATER))

    found = _material(attempt, attempt.job("asks-for-helper", wheels=(wheel,)))

    assert found == ("python", "1.0")
    assert f"/files/farm/{LATER}" not in [path for path, _ in upstream.requests]
    assert helper in _note(attempt)


def test_what_a_wheel_of_the_farm_needs_comes_from_the_upstream_where_it_can(
    attempt: Attempts, upstream: FakeUpstream
) -> None:
    upstream.add_wheel("common", "common-1.0-py3-none-any.whl")
    wheels = (
        _farm_wheel(upstream, HELPER, _helper(HELPER, requires=["common", "rare"])),
        _farm_wheel(upstream, "common-9.0-py3-none-any.whl"),
        _farm_wheel(upstream, "rare-1.0-py3-none-any.whl"),
    )

    built = attempt.run(attempt.job("asks-for-helper", wheels=wheels))

    kinds = {item.name: (item.kind, item.version) for item in built.materials if item.kind in {"python", "farm-wheel"}}
    assert kinds == {
        "tiny-helper": ("farm-wheel", "1.0"),
        "common": ("python", "1.0"),
        "rare": ("farm-wheel", "1.0"),
    }


def test_a_wheel_of_the_farm_with_other_bytes_is_not_taken(attempt: Attempts, upstream: FakeUpstream) -> None:
    wheel = replace(_farm_wheel(upstream, HELPER, helper_wheel()), sha256=Sha256("0" * 64))

    with pytest.raises(NodeError, match=r"a wheel of the farm cannot be had: .*the index promised"):
        attempt.run(attempt.job("asks-for-helper", wheels=(wheel,)))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("ERROR: No matching distribution found for rare>2 (from tiny-helper)\n", ["rare>2"]),
        ("ERROR: No matching distribution found for cython>=3\n", ["cython>=3"]),
        ("ERROR: No matching distribution found for Cython[x]>=3; python_version > '3'\n", ["Cython[x]>=3"]),
        ("No matching distribution found for a b c\n", []),
        ("No matching distribution found for a @ https://evil.example/a.whl\n", []),
        ("No matching distribution found for \x1b[31mred\n", ["red"]),
        (CONFLICT, ["b"]),
    ],
)
def test_pips_words_tell_what_has_no_wheel(output: str, expected: Sequence[str]) -> None:
    assert list(resolving.missing(output)) == expected


def test_no_more_are_named_than_the_wire_takes() -> None:
    output = "".join(f"No matching distribution found for p{number}\n" for number in range(100))

    assert len(resolving.missing(output)) == 20


def _helper(filename: str, *, requires: Sequence[str] = ()) -> bytes:
    """A wheel of the helper, with the module that the project wants."""
    metadata = metadata_text("tiny-helper", filename.split("-")[1], requires_dist=requires)
    return with_module(wheel_bytes(filename, metadata), "tiny_helper.py", "WORKS = True\n")


def _farm_wheel(upstream: FakeUpstream, filename: str, data: bytes | None = None) -> FarmWheel:
    """A wheel at the farm, which is a project of the fake index that no build requires."""
    name, version, *_ = filename.split("-")
    data = wheel_bytes(filename, metadata_text(name, version)) if data is None else data
    upstream.add_file("farm", data, filename=filename)
    return FarmWheel(
        filename=filename,
        url=f"{upstream.root}/files/farm/{filename}",
        sha256=Sha256(hashlib.sha256(data).hexdigest()),
        size_bytes=len(data),
    )
