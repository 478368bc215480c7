"""The farm's own SSH key."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from master import identity
from schema.errors import TrustError


def test_the_key_is_made_once_for_its_owner_alone_and_openssh_understands_it(tmp_path: Path) -> None:
    folder = tmp_path / "ssh"

    key = identity.own(folder)

    assert identity.own(folder).asbytes() == key.asbytes()
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, folder / "farm.key")] == ["0o700", "0o400"]
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", folder / "farm.key"], check=True, capture_output=True, text=True
    ).stdout
    assert derived.split()[:2] == identity.public(folder).split()[:2] == ["ssh-ed25519", key.get_base64()]


def test_a_key_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    identity.own(tmp_path / "ssh")
    (tmp_path / "ssh" / "farm.key").chmod(0o444)

    with pytest.raises(TrustError, match="chmod 0400"):
        identity.own(tmp_path / "ssh")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_person_may_name_a_key_of_any_kind(tmp_path: Path, kind: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", tmp_path / "id"], check=True)

    key = identity.of_a_person(tmp_path / "id")

    assert key.get_base64() == (tmp_path / "id.pub").read_text().split()[1]


def test_a_key_with_a_passphrase_and_nonsense_are_refused(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "id"], check=True)
    (tmp_path / "nonsense").write_text("hello\n")

    for name in ("id", "nonsense"):
        with pytest.raises(TrustError, match="one with a passphrase"):
            identity.of_a_person(tmp_path / name)
