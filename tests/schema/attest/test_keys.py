from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from schema.attest import keys
from schema.attest.authority import Authority, NodeKey
from schema.errors import TrustError
from tests.signing import NODE, SigningFarm

AS_SOMEBODY = [
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--"
]  # fmt: skip


def modes(folder: Path) -> dict[str, str]:
    found = {path.name: f"{stat.S_IMODE(path.stat().st_mode):04o}" for path in folder.iterdir()}
    return {".": f"{stat.S_IMODE(folder.stat().st_mode):04o}", **found}


def test_private_keys_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        farm = SigningFarm.create(tmp_path)
    finally:
        os.umask(before)

    assert modes(tmp_path / "authority") == {
        ".": "0700", "authority.key": "0400", "authority.pem": "0444", "master.key": "0400", "master.pem": "0444",
    }  # fmt: skip
    assert modes(farm.node._folder) == {".": "0700", "node.key": "0400", "node.csr": "0444", "node.pem": "0444"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_reads_no_key_and_sees_no_folder(servers: Path) -> None:
    home = servers / "signing"
    home.mkdir(mode=0o755)
    farm = SigningFarm.create(home)
    files = [*(home / "authority").iterdir(), *farm.node._folder.iterdir()]

    for path in files:
        done = subprocess.run([*AS_SOMEBODY, "cat", path], capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "Permission denied" in done.stderr


def test_an_authority_is_opened_again_as_it_was(tmp_path: Path) -> None:
    first = Authority.create(tmp_path / "authority")

    again = Authority.create(tmp_path / "authority")

    assert again.certificate_pem == first.certificate_pem
    assert again.fingerprint == first.fingerprint


RACE = """
import sys, time
from pathlib import Path
from schema.attest.authority import Authority, NodeKey
from schema.names import NodeName
folder, at = Path(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0.0, at - time.time()))
authority = Authority.create(folder / "authority")
node = NodeKey.create(folder / "keys", NodeName("pi4-a"))
print(authority.fingerprint, node._key.public_key().public_numbers().x)
"""


def test_processes_that_create_the_same_keys_at_once_all_get_the_same_ones(tmp_path: Path) -> None:
    at = str(datetime.now(UTC).timestamp() + 2)
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, tmp_path, at], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]

    answers = [racer.communicate(timeout=60)[0] for racer in racers]

    assert [racer.returncode for racer in racers] == [0] * 6
    assert len(set(answers)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authority", "keys"]  # the losers left nothing


def test_of_two_who_make_it_at_once_the_first_to_finish_wins(tmp_path: Path) -> None:
    """The same race, with the worst timing: another process finishes while this one is still making its files."""
    folder = tmp_path / "keys"

    def slow() -> dict[str, bytes]:
        keys.create_folder(folder, lambda: {"a.key": b"first"})
        return {"a.key": b"second"}

    keys.create_folder(folder, slow)

    assert (folder / "a.key").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_a_maker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> dict[str, bytes]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        keys.create_folder(tmp_path / "keys", fails)

    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_that_others_can_read_becomes_a_private_one(tmp_path: Path) -> None:
    (tmp_path / "authority").mkdir(mode=0o755)

    Authority.create(tmp_path / "authority")

    assert modes(tmp_path / "authority")["."] == "0700"


@pytest.mark.parametrize(("name", "mode"), [("authority.key", 0o440), ("master.key", 0o404), (".", 0o755)])
def test_keys_that_others_can_reach_are_not_used(tmp_path: Path, name: str, mode: int) -> None:
    Authority.create(tmp_path / "authority")
    (tmp_path / "authority" / name).chmod(mode)

    with pytest.raises(TrustError, match=r"can be used by others .*chmod"):
        Authority.open(tmp_path / "authority")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_that_another_user_put_there_is_not_used(tmp_path: Path) -> None:
    Authority.create(tmp_path / "authority")
    os.chown(tmp_path / "authority" / "master.key", 65534, 65534)

    with pytest.raises(TrustError, match="belongs to another user"):
        Authority.open(tmp_path / "authority")


def test_a_key_is_not_read_through_a_link(tmp_path: Path) -> None:
    Authority.create(tmp_path / "authority")
    key = tmp_path / "authority" / "authority.key"
    key.rename(tmp_path / "elsewhere")
    key.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(TrustError, match="cannot be read"):
        Authority.open(tmp_path / "authority")


def test_a_key_is_read_from_a_plain_file_only(tmp_path: Path) -> None:
    Authority.create(tmp_path / "authority")
    key = tmp_path / "authority" / "authority.key"
    key.unlink()
    os.mkfifo(key, 0o400)

    with pytest.raises(TrustError, match="not a plain file"):
        Authority.open(tmp_path / "authority")


def test_a_certificate_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match=r"none/node\.pem cannot be written: No such file"):
        keys.replace(tmp_path / "none" / "node.pem", b"")


@pytest.mark.parametrize("name", ["authority.key", "authority.pem", "master.key", "master.pem"])
@pytest.mark.parametrize("damage", ["missing", "empty", "of another farm", "rubbish"])
def test_a_damaged_folder_is_refused_and_never_overwritten(tmp_path: Path, name: str, damage: str) -> None:
    Authority.create(tmp_path / "authority")
    Authority.create(tmp_path / "other")
    path = tmp_path / "authority" / name
    bad = {"empty": b"", "of another farm": (tmp_path / "other" / name).read_bytes(), "rubbish": b"\xff" * 99}
    path.unlink()
    if damage in bad:
        path.write_bytes(bad[damage])
        path.chmod(0o400)
    before = {item.name: item.read_bytes() for item in path.parent.iterdir()}

    with pytest.raises(TrustError):
        Authority.create(tmp_path / "authority")

    assert {item.name: item.read_bytes() for item in path.parent.iterdir()} == before


def test_a_key_on_another_curve_is_not_used(tmp_path: Path) -> None:
    NodeKey.create(tmp_path / "keys", NODE)
    key = tmp_path / "keys" / "node.key"
    key.unlink()
    key.write_bytes(keys.dump(ec.generate_private_key(ec.SECP384R1())))
    key.chmod(0o400)

    with pytest.raises(TrustError, match="another kind than ECDSA P-256"):
        NodeKey.open(tmp_path / "keys")


def test_what_does_not_exist_is_named_with_who_makes_it(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match=r"no authority in .*the master makes it"):
        Authority.open(tmp_path / "none")
    with pytest.raises(TrustError, match=r"no node key in .*the node makes it"):
        NodeKey.open(tmp_path / "none")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(TrustError, match="file/keys cannot be made: File exists"):
        NodeKey.create(tmp_path / "file" / "keys", NODE)
