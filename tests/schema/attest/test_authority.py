from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from schema.attest import certificate, issue, keys, verify
from schema.attest.authority import Authority, NodeKey
from schema.attest.certificate import Holder, Role
from schema.errors import FarmError, TrustError
from schema.names import NodeName
from tests.signing import NODE, PLATFORM, SigningFarm

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


# ---- certificates


def leaf(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def test_a_node_certificate_names_the_node_and_its_platforms_and_can_only_sign(farm: SigningFarm) -> None:
    found = leaf(farm.node.certificate_pem)

    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "urn:wheelfarm:node:pi4-a",
        "urn:wheelfarm:platform:debian12-aarch64-cp311",
    ]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert timedelta(days=364) < found.not_valid_after_utc - datetime.now(UTC) < timedelta(days=366)


def test_nothing_that_a_request_asks_for_is_given(farm: SigningFarm) -> None:
    key = issue.new_key()
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the master")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:wheelfarm:master")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )

    given = farm.authority.certify(certificate.pem(greedy), node=NODE, platforms=[PLATFORM])

    holder = certificate.holder_of(leaf(given))
    assert holder == Holder(role=Role.NODE, node=NODE, platforms=frozenset({PLATFORM}))
    assert leaf(given).public_key() == key.public_key()
    assert "the master" not in str(leaf(given).subject)


def test_a_request_for_somebody_elses_key_is_refused(farm: SigningFarm) -> None:
    """Whoever asks must prove to own the key: the signature of the request is by another one."""
    mine = x509.load_pem_x509_csr(issue.request(issue.new_key(), NODE).encode())
    data = bytearray(mine.public_bytes(serialization.Encoding.DER))
    other = x509.load_pem_x509_csr(issue.request(issue.new_key(), NODE).encode())
    spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    stolen = bytes(data).replace(mine.public_key().public_bytes(*spki), other.public_key().public_bytes(*spki))
    pem = x509.load_der_x509_csr(stolen).public_bytes(serialization.Encoding.PEM).decode()

    with pytest.raises(TrustError, match="not signed by the key that it asks a certificate for"):
        farm.authority.certify(pem, node=NODE, platforms=[PLATFORM])


def test_a_request_with_a_key_on_another_curve_is_refused(farm: SigningFarm) -> None:
    csr = issue.request(ec.generate_private_key(ec.SECP384R1()), NODE)

    with pytest.raises(TrustError, match="another kind than ECDSA P-256"):
        farm.authority.certify(csr, node=NODE, platforms=[PLATFORM])


@pytest.mark.parametrize("csr", ["", "rubbish", "é", "x" * 10**6])
def test_something_that_is_no_request_is_refused(farm: SigningFarm, csr: str) -> None:
    with pytest.raises(TrustError, match="not a certificate request in PEM"):
        farm.authority.certify(csr, node=NODE, platforms=[PLATFORM])


def test_a_certificate_is_for_known_platforms_a_real_name_and_a_bounded_time(farm: SigningFarm) -> None:
    csr = farm.node.csr_pem()

    for changes in (
        {"platforms": []},
        {"platforms": ["windows"]},
        {"node": NodeName("pi4-a:evil")},
        {"days": 0},
        {"days": 10_000},
    ):
        with pytest.raises(FarmError):
            farm.authority.certify(csr, **{"node": NODE, "platforms": [PLATFORM], **changes})  # type: ignore[arg-type]


def test_a_certificate_never_outlives_the_authority() -> None:
    key, at = issue.new_key(), datetime.now(UTC)
    authority = issue.authority(key, at=at - timedelta(days=issue.AUTHORITY_DAYS - 30))
    holder = Holder(role=Role.MASTER)

    short = issue.leaf(holder, key.public_key(), authority=authority, authority_key=key, at=at, days=365)

    assert short.not_valid_after_utc == authority.not_valid_after_utc
    with pytest.raises(TrustError, match="authority has run out"):
        issue.leaf(
            holder, key.public_key(), authority=authority, authority_key=key, at=at + timedelta(days=60), days=365
        )


# ---- enrolment and renewal


def test_a_node_that_is_not_enrolled_signs_nothing_and_says_what_to_do(farm: SigningFarm, tmp_path: Path) -> None:
    node = NodeKey.create(tmp_path / "keys", NodeName("pi4-b"))

    with pytest.raises(TrustError, match=r"has no certificate yet .*wheelfarm node enrol pi4-b --csr"):
        node.sign(farm.statement())
    with pytest.raises(TrustError, match="has no certificate yet"):
        assert node.certificate_pem


def test_a_renewed_certificate_replaces_the_old_one_and_old_signatures_stay_good(tmp_path: Path) -> None:
    farm = SigningFarm.create(tmp_path)
    old, before = farm.signed(), farm.node.certificate_pem

    farm.node.install(farm.authority.certify(farm.node.csr_pem(), node=NODE, platforms=[PLATFORM], days=30))

    assert farm.node.certificate_pem != before
    assert NodeKey.open(farm.node._folder).certificate_pem == farm.node.certificate_pem
    farm.check(old.provenance)
    farm.check(farm.signed().provenance)


def test_a_certificate_for_another_key_is_not_installed(farm: SigningFarm, tmp_path: Path) -> None:
    node = NodeKey.create(tmp_path / "keys", NODE)

    with pytest.raises(TrustError, match="for another key than node pi4-a has"):
        node.install(farm.node.certificate_pem)

    assert not (tmp_path / "keys" / "node.pem").exists()


def test_a_certificate_for_another_node_is_not_installed(farm: SigningFarm, tmp_path: Path) -> None:
    node = NodeKey.create(tmp_path / "keys", NodeName("pi4-b"))

    with pytest.raises(TrustError, match="is for node pi4-a, not for node pi4-b"):
        node.install(farm.authority.certify(node.csr_pem(), node=NODE, platforms=[PLATFORM]))


def test_a_certificate_that_ran_out_is_not_installed_and_not_signed_with(farm: SigningFarm, tmp_path: Path) -> None:
    node = NodeKey.create(tmp_path / "keys", NODE)
    old = issue.leaf(
        Holder(role=Role.NODE, node=NODE, platforms=frozenset({PLATFORM})),
        node._key.public_key(),
        authority=farm.authority._authority,
        authority_key=farm.authority._key,
        at=datetime.now(UTC) - timedelta(hours=36),
        days=1,
    )

    with pytest.raises(TrustError, match="had run out"):
        node.install(certificate.pem(old))
    keys.replace(tmp_path / "keys" / "node.pem", certificate.pem(old).encode())
    with pytest.raises(TrustError, match="had run out"):
        NodeKey.open(tmp_path / "keys").sign(farm.statement())


def test_the_authority_is_not_installed_as_a_nodes_certificate(farm: SigningFarm, tmp_path: Path) -> None:
    node = NodeKey.create(tmp_path / "keys", NODE)

    with pytest.raises(TrustError, match="for another key"):
        node.install(farm.authority.certificate_pem)


def test_one_folder_is_one_nodes(tmp_path: Path) -> None:
    NodeKey.create(tmp_path / "keys", NODE)

    with pytest.raises(TrustError, match="holds the key of node pi4-a, not of pi4-b"):
        NodeKey.create(tmp_path / "keys", NodeName("pi4-b"))


def test_the_masters_certificate_is_renewed_before_it_runs_out(tmp_path: Path) -> None:
    farm = SigningFarm.create(tmp_path)
    authority = farm.authority
    soon = issue.leaf(
        Holder(role=Role.MASTER),
        authority._master_key.public_key(),
        authority=authority._authority,
        authority_key=authority._key,
        at=datetime.now(UTC),
        days=20,
    )
    keys.replace(tmp_path / "authority" / "master.pem", certificate.pem(soon).encode())
    opened = Authority.open(tmp_path / "authority")

    attestation = opened.sign(farm.summary(farm.signed().node))

    verify.attestation(attestation, authority_pem=authority.certificate_pem, at=datetime.now(UTC) + timedelta(days=300))
    assert leaf((tmp_path / "authority" / "master.pem").read_text()).not_valid_after_utc > soon.not_valid_after_utc


def test_what_no_verifier_would_read_is_not_signed(farm: SigningFarm) -> None:
    with pytest.raises(TrustError, match="more than"):
        farm.node.sign({**farm.statement(), "more": "x" * 5_000_000})
    with pytest.raises(TrustError, match="not plain JSON"):
        farm.node.sign(farm.statement(isolation="\ud800"))
