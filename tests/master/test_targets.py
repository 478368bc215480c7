"""What people type to name another machine; what they type is printed again for a shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from master import targets
from master.targets import RemoteOutbox, Target
from schema.errors import UsageError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("pi@pi4.local", Target(user="pi", host="pi4.local")),
        ("root@10.0.0.7:2222", Target(user="root", host="10.0.0.7", port=2222)),
        ("pi@[fe80::1]:2222", Target(user="pi", host="fe80::1", port=2222)),
        ("pi@[::1]", Target(user="pi", host="::1")),
    ],
)
def test_an_account_keeps_its_spelling(text: str, target: Target) -> None:
    assert Target.parse(text) == target
    assert str(target) == text


@pytest.mark.parametrize(
    "text",
    ["pi4.local", "@pi4", "pi@", "-oProxyCommand=x@pi4", "pi@-pi4", "pi@pi4:0", "pi@pi4:65536", "pi@pi4;id", "p i@pi4",
     "pi@pi4\n", "pi@$(id)", "pi@pi4:", "pi@pi4/x", "pi@"+"a" * 300],
)  # fmt: skip
def test_what_a_shell_or_ssh_would_obey_is_no_account(text: str) -> None:
    with pytest.raises(UsageError, match="not an account to reach by SSH"):
        Target.parse(text)


def test_an_outbox_behind_sftp_keeps_its_spelling() -> None:
    outbox = RemoteOutbox.parse("sftp://farm@pi4:2222/srv/outbox")

    assert (outbox.target, outbox.path) == (Target(user="farm", host="pi4", port=2222), "/srv/outbox")
    assert str(outbox) == "sftp://farm@pi4:2222/srv/outbox"
    assert RemoteOutbox.parse("sftp://farm@pi4//srv/./outbox/").path == "/srv/outbox"


@pytest.mark.parametrize(
    "text",
    ["sftp://farm@pi4", "sftp://pi4/outbox", "ssh://farm@pi4/outbox", "sftp://farm:secret@pi4/outbox",
     "sftp://farm@pi4/a/../../etc", "sftp://farm@pi4/a b", "sftp://farm@pi4/%2e%2e", "https://farm.example/outbox"],
)  # fmt: skip
def test_anything_else_with_a_scheme_is_no_outbox(text: str) -> None:
    with pytest.raises(UsageError):
        targets.outbox(text)


def test_a_folder_stays_a_folder() -> None:
    assert targets.outbox("/srv/out") == Path("/srv/out")
