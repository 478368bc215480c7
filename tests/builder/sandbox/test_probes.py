"""The probes of a node's self-test: all are refused in a sandbox that holds, and those that are not are named."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from builder import probes, selftest
from builder.images import Image
from builder.sandbox import Bind
from schema.sections import NodeSection
from schema.settings import Settings
from tests.builder.sandbox.conftest import BUILD_UID, Box


def test_a_sandbox_of_ours_holds_against_every_probe_and_every_bomb(image: Image, jobs: Path) -> None:
    settings = Settings(node=NodeSection(workspace=jobs, build_uid=BUILD_UID))

    (tested,) = selftest.run(settings, [image])

    assert tested.through == ()
    assert (tested.name, tested.digest) == (image.name, image.digest)
    assert tested.refused == len(probes.EXPRESSIONS) + 4


def test_a_sandbox_that_lets_something_through_is_caught(box: Box, jobs: Path, tmp_path: Path) -> None:
    shown = jobs / "job" / "shown"
    shown.mkdir(mode=0o755)
    shown.joinpath("node.key").write_text("secret")
    box.binds = (*box.binds, Bind(source=shown, target="/keys"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        places: dict[str, object] = {
            "key": "/keys/node.key",
            "outbox": "/keys",
            "workspace": str(tmp_path),
            "token": "/usr/local/bin",  # it stands in PATH
            "port": listener.getsockname()[1],
            "socket": str(tmp_path / "socket"),
            "abstract": "nobody",
        }
        filled = json.dumps(probes.filled(places))

        finished = box.run("/usr/bin/python3", "-I", "-c", probes.SCRIPT, filled, network=True)

    assert finished.exit_code == 0, box.said()
    through = probes.through(json.loads((box.binds[0].source / "answers").read_text()))
    assert {
        "read the node's key",
        "list the node's outbox",
        "find the node's environment",
        "connect to a listener of this machine",
    } <= through.keys()
    assert "secret" in through["read the node's key"]
    assert "mount" not in through


@pytest.mark.parametrize("answers", [None, [], "x", {}, dict.fromkeys(probes.EXPRESSIONS, 1)])
def test_a_probe_without_an_answer_was_not_refused(answers: Any) -> None:
    assert probes.through(answers) == dict.fromkeys(probes.EXPRESSIONS, "no answer")


def test_a_probe_that_does_not_work_was_not_refused() -> None:
    answers = {name: {"refused": "no"} for name in probes.EXPRESSIONS}

    assert probes.through(answers) == {}
    assert probes.through(answers | {"mount": {"broken": "NameError: libc"}}) == {
        "mount": "the probe does not work: NameError: libc"
    }


@pytest.mark.parametrize("said", ["[" * 100_000, '{"mount": {}', "\x00", ""])
def test_answers_that_cannot_be_read_are_none(said: str, tmp_path: Path) -> None:
    file = tmp_path / "answers"
    file.write_text(said)

    assert selftest._answers(file) is None


def test_answers_behind_a_link_or_a_pipe_are_none_at_once(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe")

    assert [selftest._answers(tmp_path / name) for name in ("link", "pipe", "nothing")] == [None] * 3
