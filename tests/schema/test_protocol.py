"""Agents and masters that differ by one version of the protocol understand each other; others say so."""

from __future__ import annotations

from typing import Any

import pytest

from schema import protocol
from schema.errors import WireError
from schema.jobs import BuildJob, Heartbeat, Lease
from schema.protocol import PROTOCOL

BEAT: dict[str, Any] = {
    "node": "n1",
    "version": "0.1",
    "platforms": ["debian12-x86_64-cp311"],
    "slots": 2,
    "running": [{"build_id": 1, "fence": 1}],
}
JOB: dict[str, Any] = {
    "build_id": 1,
    "fence": 2,
    "project": "demo",
    "version": "1.0",
    "platform": "debian12-x86_64-cp311",
    "sdist": {"filename": "demo-1.0.tar.gz", "url": "http://127.0.0.1:9/demo-1.0.tar.gz", "sha256": "0" * 64},
    "limits": {
        "memory_bytes": 1,
        "disk_bytes": 1,
        "processes": 1,
        "wall_s": 1,
        "silence_s": 1,
        "log_bytes": 1,
        "wheel_bytes": 1,
    },
}
NEWER = {"protocol": PROTOCOL + 1, "of_the_next_version": {"anything": [1]}}


def test_an_agent_of_the_version_before_does_not_say_so_and_is_understood() -> None:
    read = Heartbeat.from_json(BEAT)

    assert (read.protocol, read.slots, read.running) == (1, 2, (Lease(build_id=1, fence=1),))
    assert protocol.trouble(read.protocol, version=read.version) == ""


def test_what_the_next_version_adds_is_not_read_and_the_rest_is() -> None:
    beat = Heartbeat.from_json(BEAT | NEWER)
    job = BuildJob.from_json(JOB | NEWER | {"sdist": JOB["sdist"] | {"of_the_next_version": 1}})

    assert (beat.protocol, beat.slots, beat.platforms) == (PROTOCOL + 1, 2, ("debian12-x86_64-cp311",))
    assert (job.protocol, job.project) == (PROTOCOL + 1, "demo")
    assert protocol.trouble(beat.protocol, version="9") == ""


@pytest.mark.parametrize("spoken", [PROTOCOL - 2, PROTOCOL + 2, 2**31 - 1])
def test_of_a_heartbeat_in_a_foreign_protocol_only_whose_it_is_is_read(spoken: int) -> None:
    read = Heartbeat.from_json({"node": "n1", "version": "9", "protocol": spoken, "platforms": {"in": "another form"}})

    assert (read.node, read.version, read.protocol, read.platforms) == ("n1", "9", spoken, ())
    side = "node" if spoken < PROTOCOL else "master"
    assert protocol.trouble(spoken, version="9").endswith(f"upgrade the {side}")


def test_a_job_in_a_foreign_protocol_is_not_carried_out() -> None:
    with pytest.raises(WireError, match=f"the master speaks protocol {PROTOCOL + 2}, this node {PROTOCOL}"):
        BuildJob.from_json({"protocol": PROTOCOL + 2, "build": "in another form"})


@pytest.mark.parametrize("spoken", [-1, 2**31, "2", None, True, 1.5])
def test_a_protocol_that_is_no_number_is_no_message(spoken: Any) -> None:
    with pytest.raises(WireError):
        Heartbeat.from_json(BEAT | {"protocol": spoken})
