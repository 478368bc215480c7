from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import NormalizedName

from schema.errors import WireError
from schema.jobs import (
    BuildJob,
    BuildResult,
    FarmWheel,
    Heartbeat,
    Lease,
    Limits,
    Material,
    Outcome,
    Progress,
    Sdist,
    Step,
    Usage,
    WheelFile,
)
from schema.names import NodeName, Sha256
from schema.portability import Fate, Verdict
from schema.recipes import Recipe
from schema.states import FailureClass

DIGEST = Sha256("ab" * 32)
AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
LEASE = Lease(build_id=7, fence=2)
STEPS = (Step(name="fetch", started_at=AT, seconds=1.5, note="1 file"), Step(name="build", started_at=AT))

MESSAGES: list[Any] = [
    LEASE,
    BuildJob(
        build_id=7,
        fence=2,
        project=NormalizedName("psycopg2"),
        version="2.9.13",
        platform="debian12-x86_64-cp311",
        sdist=Sdist(filename="psycopg2-2.9.13.tar.gz", url="https://x.example/p", sha256=DIGEST, uploaded_at=AT),
        build_number=1,
        recipe=Recipe(debian_packages=("libpq-dev",), environment={"A": "b"}, config_settings={"--x": "y"}),
        limits=Limits(memory_bytes=1),
        wheels=(FarmWheel(filename="a-1-py3-none-any.whl", url="https://f.example/a", sha256=DIGEST, size_bytes=9),),
        before=AT,
    ),
    Heartbeat(
        node=NodeName("pi4-a"),
        version="0.1.0",
        platforms=("debian12-aarch64-cp311",),
        slots=2,
        cores=4,
        memory_bytes=4 * 2**30,
        disk_free_bytes=9 * 2**30,
        running=(LEASE,),
        finished=(Lease(build_id=8, fence=1),),
        facts={"kernel": "6.18"},
        boot="b1",
        uptime_s=12.5,
    ),
    Progress(node=NodeName("pi4-a"), lease=LEASE, steps=STEPS, log_offset=3, log="gcc …"),
    BuildResult(
        node=NodeName("pi4-a"),
        lease=LEASE,
        outcome=Outcome.BUILT,
        started_at=AT,
        finished_at=AT,
        steps=STEPS,
        log_sha256=DIGEST,
        wheel=WheelFile(filename="a-1-py3-none-any.whl", sha256=DIGEST, size_bytes=9),
        materials=(Material(kind="requirement", name="setuptools", version="84", sha256=DIGEST),),
        environment={"LC_ALL": "C.UTF-8"},
        resources={"wall_s": 3.5},
        usage=(Usage(at_s=1.0, cpu_s=0.7, memory_bytes=2**20),),
        portability=(
            Verdict(image="debian11-x86_64", fate=Fate.NOT_CLAIMED),
            Verdict(image="debian13-x86_64", fate=Fate.LOADS, why="cp313 is not what it is for"),
        ),
    ),
    BuildResult(
        node=NodeName("pi4-a"),
        lease=LEASE,
        outcome=Outcome.FAILED,
        started_at=AT,
        finished_at=AT,
        steps=(),
        log_sha256=DIGEST,
        failure_class=FailureClass.REQUIREMENT,
        message="no wheel for cython>=3",
        missing=("cython>=3",),
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_wire(message: Any) -> None:
    wire = json.loads(json.dumps(message.to_json()))

    assert type(message).from_json(wire) == message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@given(data=st.data())
def test_whatever_comes_off_the_wire_is_a_message_or_a_wire_error(message: Any, data: st.DataObject) -> None:
    wire = message.to_json()
    key = data.draw(st.sampled_from(sorted(wire)))
    wire[key] = data.draw(_JSON)

    with suppress(WireError):
        type(message).from_json(wire)


@given(_JSON)
def test_no_json_at_all_breaks_the_reader(wire: Any) -> None:
    for kind in {type(message) for message in MESSAGES}:
        with suppress(WireError):
            kind.from_json(wire)


@pytest.mark.parametrize("name", ["../a.whl", "a/b.whl", ".hidden", "", "a\nb", "a\0b", "a\\b", "x" * 256])
def test_a_file_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(WireError):
        WheelFile.from_json({"filename": name, "sha256": DIGEST, "size_bytes": 1})


@pytest.mark.parametrize(
    "missing",
    [
        ["a @ https://evil.example/a.whl"],
        ["a; python_version > '3'"],
        ["not a name"],
        [""],
        ["a" * 256],
        ["a"] * 21,
        "a",
    ],
)
def test_only_plain_requirements_can_be_missing_and_not_many(missing: Any) -> None:
    failed = MESSAGES[-1].to_json()

    with pytest.raises(WireError):
        BuildResult.from_json({**failed, "missing": missing})


@pytest.mark.parametrize(
    "verdicts",
    [
        [{"image": "../debian13", "fate": "loads"}],
        [{"image": "debian13-x86_64", "fate": "excellent"}],
        [{"image": "debian13-x86_64", "fate": "broken", "why": "x" * 501}],
        [{"image": "debian13-x86_64", "fate": "broken", "why": 1}],
        [{"image": "debian13-x86_64", "fate": "imported"}] * 21,
        "debian13-x86_64",
    ],
)
def test_what_is_told_of_other_images_is_known_short_and_not_much(verdicts: Any) -> None:
    built = MESSAGES[-2].to_json()

    with pytest.raises(WireError):
        BuildResult.from_json({**built, "portability": verdicts})


def test_a_result_and_a_job_of_an_older_side_are_fine() -> None:
    result, job = MESSAGES[-1].to_json(), MESSAGES[1].to_json()
    for message, fields in ((result, ["missing"]), (job, ["wheels", "before"])):
        for name in fields:
            del message[name]

    assert BuildResult.from_json(result).missing == ()
    assert (BuildJob.from_json(job).wheels, BuildJob.from_json(job).before) == ((), None)


def test_a_wheel_of_the_farm_must_have_a_wheels_name() -> None:
    with pytest.raises(WireError):
        FarmWheel.from_json({"filename": "a.whl", "url": "https://f.example/a", "sha256": DIGEST, "size_bytes": 1})


def test_a_time_without_its_zone_is_refused_and_any_zone_becomes_utc() -> None:
    zone = timezone(timedelta(hours=2))
    step = Step.from_json({"name": "fetch", "started_at": datetime(2026, 1, 1, 12, tzinfo=zone).isoformat()})

    assert step.started_at == datetime(2026, 1, 1, 10, tzinfo=UTC)
    with pytest.raises(WireError, match="zone"):
        Step.from_json({"name": "fetch", "started_at": "2026-01-01T12:00:00"})


def test_a_result_with_a_wheel_must_be_built_and_the_other_way_round() -> None:
    failed = MESSAGES[-1].to_json()

    with pytest.raises(WireError, match="without a wheel"):
        BuildResult.from_json({**failed, "outcome": "built"})
    with pytest.raises(WireError, match="with a wheel"):
        BuildResult.from_json({**MESSAGES[-2].to_json(), "outcome": "failed"})


def test_a_self_test_of_any_depth_is_an_error_of_the_message() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"": deep}
    data = {"node": "n1", "version": "1", "platforms": [], "slots": 1, "protocol": 2, "self_test": deep}

    with pytest.raises(WireError, match="Heartbeat"):
        Heartbeat.from_json(data)
    while deep:  # from outside in, or taking it apart would go as deep
        deep = deep.pop("")
