"""Every attack here is refused, with a sentence that says why."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from schema.attest import certificate, issue, verify
from schema.attest.certificate import Holder, Role
from schema.attest.dsse import pae
from schema.errors import TrustError
from schema.jobs import WheelFile
from schema.names import NodeName
from tests.signing import BYTES, FARM, NODE, PLATFORM, WHEEL, SigningFarm, attestations, job, opened, sha256

ECDSA = ec.ECDSA(hashes.SHA256())
MASTER = Holder(role=Role.MASTER)
US = Holder(role=Role.NODE, node=NODE, platforms=frozenset({PLATFORM}))


def seal(payload: bytes, key: ec.EllipticCurvePrivateKey, leaf: x509.Certificate, *, kind: str = "") -> dict[str, Any]:
    """An attestation object, made without any of the checks of our own signer."""
    signed = pae(payload, kind) if kind else pae(payload)
    return {
        "version": 1,
        "verification_material": {
            "certificate": base64.b64encode(certificate.der(leaf)).decode(),
            "transparency_entries": [],
        },
        "envelope": {
            "statement": base64.b64encode(payload).decode(),
            "signature": base64.b64encode(key.sign(signed, ECDSA)).decode(),
        },
    }


def leaf_of(attestation: dict[str, Any]) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(attestation["verification_material"]["certificate"]))


def resealed(farm: SigningFarm, statement: dict[str, Any] | bytes, *, kind: str = "") -> dict[str, Any]:
    """A statement of any content, signed by the true node."""
    payload = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
    return seal(payload, farm.node._key, x509.load_pem_x509_certificate(farm.node.certificate_pem.encode()), kind=kind)


def with_node(farm: SigningFarm, node: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A provenance whose node part is *node*, countersigned by the true master."""
    return verify.make_provenance(node, farm.authority.sign(farm.summary(node, **changes)), FARM)


def issued(farm: SigningFarm, holder: Holder, key: ec.EllipticCurvePrivateKey, **changes: Any) -> x509.Certificate:
    values: dict[str, Any] = {"at": datetime.now(UTC), "days": 365, **changes}
    authority = farm.authority
    return issue.leaf(holder, key.public_key(), authority=authority._authority, authority_key=authority._key, **values)


def refused(farm: SigningFarm, provenance: dict[str, Any], why: str, **changes: Any) -> None:
    with pytest.raises(TrustError, match=why):
        farm.check(provenance, **changes)


# ---- the file


def test_other_bytes_under_the_same_name(farm: SigningFarm) -> None:
    refused(farm, farm.signed().provenance, "signed for other bytes", data=BYTES + b"!")


def test_the_same_bytes_under_another_name(farm: SigningFarm) -> None:
    other = WHEEL.replace("1.0", "2.0")

    refused(farm, farm.signed().provenance, f"signed for the file '{WHEEL}', not for '{other}'", filename=other)


# ---- the signature


def test_a_changed_statement(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    node = attestations(provenance)[0]
    statement = opened(node)
    statement["predicate"]["buildDefinition"]["externalParameters"]["sdist"]["sha256"] = sha256(b"another sdist")
    node["envelope"]["statement"] = base64.b64encode(json.dumps(statement).encode()).decode()

    refused(farm, provenance, "signature does not fit the statement")


def test_another_statements_signature(farm: SigningFarm) -> None:
    provenance, other = farm.signed().provenance, farm.node.sign(farm.statement(isolation="none"))
    attestations(provenance)[0]["envelope"]["signature"] = other["envelope"]["signature"]

    refused(farm, provenance, "signature does not fit the statement")


def test_a_signature_over_the_payload_of_another_type(farm: SigningFarm) -> None:
    refused(
        farm,
        with_node(farm, resealed(farm, farm.statement(), kind="application/json")),
        "signature does not fit the statement",
    )


def test_a_signature_over_the_bare_statement_without_its_type(farm: SigningFarm) -> None:
    node = farm.signed().node
    bare = farm.node._key.sign(base64.b64decode(node["envelope"]["statement"]), ECDSA)
    node["envelope"]["signature"] = base64.b64encode(bare).decode()

    refused(farm, with_node(farm, node), "signature does not fit the statement")


def test_a_signature_with_another_hash(farm: SigningFarm) -> None:
    node = farm.signed().node
    payload = base64.b64decode(node["envelope"]["statement"])
    weak = farm.node._key.sign(pae(payload), ec.ECDSA(hashes.SHA1()))  # noqa: S303 - the attack
    node["envelope"]["signature"] = base64.b64encode(weak).decode()

    refused(farm, with_node(farm, node), "signature does not fit the statement")


# ---- the certificate


def test_a_certificate_of_an_authority_of_ones_own(farm: SigningFarm, tmp_path: Path) -> None:
    refused(farm, SigningFarm.create(tmp_path).signed().provenance, "not of this farm's authority")


def test_a_certificate_that_only_claims_to_be_the_farms(farm: SigningFarm) -> None:
    own, key = issue.new_key(), issue.new_key()
    lie = issue.leaf(
        US, key.public_key(), authority=farm.authority._authority, authority_key=own, at=datetime.now(UTC), days=9
    )

    refused(farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, lie)), "did not sign it")


def test_a_certificate_that_signs_itself(farm: SigningFarm) -> None:
    key = issue.new_key()
    own = issue.authority(key, at=datetime.now(UTC))

    refused(farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, own)), "not of this farm's auth")


def test_the_authority_itself_as_signer(farm: SigningFarm) -> None:
    sealed = seal(json.dumps(farm.statement()).encode(), farm.authority._key, farm.authority._authority)

    refused(farm, with_node(farm, sealed), "an authority signs certificates, not wheels")


def test_a_chain_through_a_node(farm: SigningFarm) -> None:
    """A node's certificate must not be able to make others."""
    key = issue.new_key()
    ours = x509.load_pem_x509_certificate(farm.node.certificate_pem.encode())
    lie = issue.leaf(US, key.public_key(), authority=ours, authority_key=farm.node._key, at=datetime.now(UTC), days=9)

    refused(farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, lie)), "not of this farm's auth")


def test_a_node_that_signs_for_another(farm: SigningFarm) -> None:
    node = farm.node.sign(farm.statement(node=NodeName("pi4-b")))

    refused(farm, with_node(farm, node), "node pi4-a signed a statement that node pi4-b built the wheel")


def test_a_node_that_signs_for_another_platform(farm: SigningFarm) -> None:
    node = farm.node.sign(farm.statement(job=job(platform="debian12-x86_64-cp311")))

    refused(
        farm,
        with_node(farm, node, platform="debian12-x86_64-cp311"),
        f"may not build for debian12-x86_64-cp311; its certificate allows {PLATFORM}",
    )


def test_a_master_that_says_what_a_node_built(farm: SigningFarm) -> None:
    """The master's key alone cannot make a wheel (T14)."""
    refused(farm, with_node(farm, farm.authority.sign(farm.statement())), "the master signed that node pi4-a built")


def test_a_node_that_says_what_the_master_checked(farm: SigningFarm) -> None:
    node = farm.signed().node

    provenance = verify.make_provenance(node, farm.node.sign(farm.summary(node)), FARM)

    refused(farm, provenance, "only the master may say so")


def test_a_key_on_another_curve(farm: SigningFarm) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    sealed = seal(json.dumps(farm.statement()).encode(), key, issued(farm, US, key))

    refused(farm, with_node(farm, sealed), "another kind than ECDSA P-256")


def test_an_rsa_key(farm: SigningFarm) -> None:
    key: Any = rsa.generate_private_key(65537, 2048)
    node = farm.signed().node
    node["verification_material"]["certificate"] = base64.b64encode(certificate.der(issued(farm, US, key))).decode()

    refused(farm, with_node(farm, node), "another kind than ECDSA P-256")


def test_a_certificate_with_more_to_it_than_this_farm_gives(farm: SigningFarm) -> None:
    key, real = issue.new_key(), farm.authority._authority
    builder = issue._builder(
        issue._name("x"), real.subject, key.public_key(), starts=datetime.now(UTC), ends=real.not_valid_after_utc
    )
    for extension in issued(farm, US, key).extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    builder = builder.add_extension(x509.OCSPNoCheck(), critical=True)
    odd = builder.sign(farm.authority._key, hashes.SHA256())

    refused(farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, odd)), "other extensions")


def test_a_certificate_that_names_two_nodes(farm: SigningFarm) -> None:
    class Two(Holder):
        @property
        def uris(self) -> tuple[str, ...]:
            return (*US.uris, "urn:wheelfarm:node:pi4-b")

    key = issue.new_key()
    two = issued(farm, Two(role=Role.NODE, node=NODE, platforms=US.platforms), key)

    refused(farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, two)), "neither the master nor one")


# ---- the time


def test_a_certificate_that_had_run_out(farm: SigningFarm) -> None:
    key, at = issue.new_key(), datetime.now(UTC)
    farms_leaf = issued(farm, US, key, at=at - timedelta(hours=25), days=1)

    refused(
        farm, with_node(farm, seal(json.dumps(farm.statement()).encode(), key, farms_leaf)), "after the certificate"
    )


def test_a_statement_from_before_the_certificate(farm: SigningFarm) -> None:
    early = datetime.now(UTC) - timedelta(days=30)
    node = farm.node.sign(farm.statement(started_at=early, finished_at=early))

    refused(farm, with_node(farm, node), "before the certificate of node pi4-a began")


def test_a_statement_from_after_the_certificate(farm: SigningFarm) -> None:
    late = datetime.now(UTC) + timedelta(days=400)
    node = farm.node.sign(farm.statement(started_at=late, finished_at=late))

    refused(farm, with_node(farm, node), "after the certificate of node pi4-a had run out")


def test_a_statement_from_before_the_authority(farm: SigningFarm) -> None:
    """A leaf cannot reach further than what made it, whatever its own dates say."""
    key, real = issue.new_key(), farm.authority._authority
    early = datetime.now(UTC) - timedelta(days=30)
    builder = issue._builder(
        issue._name("x"), real.subject, key.public_key(), starts=early, ends=real.not_valid_after_utc
    )
    for extension in issued(farm, US, key).extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    odd = builder.sign(farm.authority._key, hashes.SHA256())
    statement = farm.statement(started_at=early, finished_at=early + timedelta(hours=1))

    refused(farm, with_node(farm, seal(json.dumps(statement).encode(), key, odd)), "certificate of the authority")


def test_an_old_statement_shown_to_a_master_whose_clock_says_that_the_certificate_ran_out(farm: SigningFarm) -> None:
    """The signer's own time is a claim: somebody with an old key could put any date there (T13)."""
    with pytest.raises(TrustError, match="after the certificate of node pi4-a had run out"):
        verify.attestation(
            farm.signed().node,
            authority_pem=farm.authority.certificate_pem,
            at=datetime.now(UTC) + timedelta(days=366),
        )


def test_a_countersignature_from_long_before_the_build(farm: SigningFarm) -> None:
    ended = datetime.now(UTC) + timedelta(days=3)
    node = farm.node.sign(farm.statement(started_at=ended, finished_at=ended))

    refused(farm, with_node(farm, node), "before the build ended")


# ---- what is said


def test_two_subjects(farm: SigningFarm) -> None:
    statement = farm.statement()
    statement["subject"].append({"name": "evil-1.0-py3-none-any.whl", "digest": {"sha256": sha256(b"evil")}})

    refused(farm, with_node(farm, resealed(farm, statement)), "subject: 2 entries where exactly one belongs")


def test_no_subject(farm: SigningFarm) -> None:
    refused(farm, with_node(farm, resealed(farm, {**farm.statement(), "subject": []})), "subject: 0 entries")


def test_a_subject_with_a_weaker_digest_only(farm: SigningFarm) -> None:
    statement = {**farm.statement(), "subject": [{"name": WHEEL, "digest": {"md5": "0" * 32}}]}

    refused(farm, with_node(farm, resealed(farm, statement)), r"digest.sha256: missing")


def test_an_upper_case_digest(farm: SigningFarm) -> None:
    statement = {**farm.statement(), "subject": [{"name": WHEEL, "digest": {"sha256": sha256(BYTES).upper()}}]}

    refused(farm, with_node(farm, resealed(farm, statement)), "not a sha256 digest")


@pytest.mark.parametrize(
    "predicate", ["https://docs.pypi.org/attestations/publish/v1", "https://slsa.dev/provenance/v0.2", ""]
)
def test_a_predicate_of_another_type(farm: SigningFarm, predicate: str) -> None:
    node = resealed(farm, {**farm.statement(), "predicateType": predicate})

    refused(farm, with_node(farm, node), "says nothing about a build of this farm")


def test_a_statement_of_another_version(farm: SigningFarm) -> None:
    node = resealed(farm, {**farm.statement(), "_type": "https://in-toto.io/Statement/v0.1"})

    refused(farm, with_node(farm, node), "_type.*only 'https://in-toto.io/Statement/v1' is trusted")


def set_at(statement: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """*statement* with another value at a place such as ``predicate/runDetails/builder/id``."""
    changed = copy.deepcopy(statement)
    *folders, last = path.split("/")
    place = changed
    for folder in folders:
        place = place[folder]
    place[last] = value
    return changed


PARAMETERS = "predicate/buildDefinition/externalParameters"
INNER = "predicate/buildDefinition/internalParameters"
RUN = "predicate/runDetails"


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("predicate/buildDefinition/buildType", "https://actions.example/v1", "buildType.*is trusted"),
        ("predicate/buildDefinition/resolvedDependencies", [], "does not name the one source distribution"),
        (f"{PARAMETERS}/project", "other", "is not a wheel of other 1.0"),
        (f"{PARAMETERS}/project", "../../etc", "not a project name"),
        (f"{PARAMETERS}/version", "9", "is not a wheel of demo-pkg 9"),
        (f"{PARAMETERS}/platform", "windows-x86_64-cp311", "not a platform"),
        (f"{PARAMETERS}/buildNumber", -1, "not a whole number"),
        (f"{PARAMETERS}/buildNumber", True, "not a whole number"),
        (f"{PARAMETERS}/sdist", None, "sdist: not an object"),
        (f"{PARAMETERS}/sdist/sha256", "0" * 64, "does not name the one source distribution"),
        (f"{INNER}/fence", 3, "invocation '17-2' is not build 17-3"),
        (f"{INNER}/isolation", ["none"], "not a text"),
        (f"{RUN}/builder/id", "https://github.com/actions/runner", "not a node"),
        (f"{RUN}/builder/id", "urn:wheelfarm:node:Shed & Sons:pi4-a", "not a node of a farm"),
        (f"{RUN}/metadata/finishedOn", "2026-11-21T10:00:00", "a time without its zone"),
        (f"{RUN}/metadata/finishedOn", "yesterday", "not a time"),
        (f"{RUN}/metadata/finishedOn", "9999-12-31T23:59:59-23:59", "not a time"),
        (f"{RUN}/byproducts", [], "byproducts: 0 entries"),
    ],
)
def test_a_field_that_cannot_be(farm: SigningFarm, path: str, value: Any, why: str) -> None:
    refused(farm, with_node(farm, resealed(farm, set_at(farm.statement(), path, value))), why)


# ---- the text


def texted(farm: SigningFarm, change: Callable[[str], str]) -> dict[str, Any]:
    """A provenance whose node has truly signed the changed text of its statement."""
    text = json.dumps(farm.statement())
    changed = change(text)
    assert changed != text
    return with_node(farm, resealed(farm, changed.encode("utf-8", "surrogatepass")))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace('"fence": 2', '"fence": 2, "fence": 2'), "the key 'fence' stands there twice"),
        (lambda text: text.replace('"buildNumber": 0', '"buildNumber": NaN'), "NaN is not a JSON number"),
        (lambda text: text.replace('"buildNumber": 0', '"buildNumber": 1e999'), "too large"),
        (lambda text: text.replace('"buildNumber": 0', f'"buildNumber": {"9" * 5000}'), "not plain JSON"),
        (lambda text: text.replace("seccomp", "\\ud800"), "not plain JSON"),
        (lambda text: text.replace("seccomp", "\ud800"), "not plain JSON"),
        (lambda text: "\ufeff" + text, "not plain JSON"),
        (lambda text: text + "{}", "not plain JSON"),
        (lambda text: text[:-20], "not plain JSON"),
        (lambda _: "[" * 100_000, "not plain JSON"),
        (lambda _: "[]", "not a JSON object"),
        (lambda _: "null", "not a JSON object"),
    ],
)
def test_a_text_with_two_meanings_or_none(farm: SigningFarm, change: Callable[[str], str], why: str) -> None:
    refused(farm, texted(farm, change), why)


def test_a_statement_of_five_megabytes(farm: SigningFarm) -> None:
    node = resealed(farm, json.dumps({**farm.statement(), "more": "x" * 5_000_000}).encode())

    with pytest.raises(TrustError, match="not a text of at most"):
        verify.attestation(node, authority_pem=farm.authority.certificate_pem)


# ---- the objects around it


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("version", 2, "version.*only 1 is trusted"),
        ("version", True, "version.*only 1 is trusted"),
        ("version", 1.0, "version.*only 1 is trusted"),
        ("verification_material", None, "not an object"),
        ("verification_material/transparency_entries", None, "not a list"),
        ("verification_material/certificate", "", "empty"),
        ("verification_material/certificate", "AAAA", "not of this farm's authority"),
        ("verification_material/certificate", "x" * 100_000, "not a text of at most"),
        ("envelope", {}, "missing"),
        ("envelope/statement", "e30", "not base64"),
        ("envelope/statement", "e3 0=", "not base64"),
        ("envelope/statement", "ée0=", "not base64"),
        ("envelope/signature", "AB==", "canonical base64"),
        ("envelope/signature", "MAYCAQECAQE=", "signature does not fit"),
        ("envelope/signature", 7, "not a text"),
    ],
)
def test_an_attestation_object_of_another_form(farm: SigningFarm, path: str, value: Any, why: str) -> None:
    with pytest.raises(TrustError, match=why):
        verify.attestation(set_at(farm.signed().node, path, value), authority_pem=farm.authority.certificate_pem)


def test_a_truncated_certificate(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    material = attestations(provenance)[0]["verification_material"]
    material["certificate"] = base64.b64encode(base64.b64decode(material["certificate"])[:-7]).decode()

    refused(farm, provenance, "not of this farm's authority")


# ---- node and master together


def test_the_masters_attestation_is_missing(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    del attestations(provenance)[1]

    refused(farm, provenance, "attestation of the master is missing: nothing says that the wheel was checked")


def test_the_nodes_attestation_is_missing(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    del attestations(provenance)[0]

    refused(farm, provenance, "of the node that built it is missing")


def test_the_nodes_attestation_twice(farm: SigningFarm) -> None:
    signed = farm.signed()

    refused(farm, verify.make_provenance(signed.node, signed.node, FARM), "2 attestations of the node")


def test_no_attestation_at_all(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    attestations(provenance).clear()

    refused(farm, provenance, "0 attestations")


def test_a_thousand_attestations(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    attestations(provenance).extend(attestations(provenance) * 500)

    refused(farm, provenance, "1002 attestations")


def test_a_countersignature_of_another_statement(farm: SigningFarm) -> None:
    one, other = farm.signed().node, farm.node.sign(farm.statement(isolation="none"))

    provenance = verify.make_provenance(one, farm.authority.sign(farm.summary(other)), FARM)

    refused(farm, provenance, "the master countersigned another statement")


def test_a_countersignature_of_another_wheel(farm: SigningFarm) -> None:
    node = farm.signed().node
    other = WheelFile(filename="demo_pkg-1.1-py3-none-any.whl", sha256=sha256(BYTES), size_bytes=1)

    refused(farm, with_node(farm, node, wheel=other), "the master signed for the file 'demo_pkg-1.1")


def test_a_countersignature_of_other_bytes(farm: SigningFarm) -> None:
    node = farm.signed().node
    other = WheelFile(filename=WHEEL, sha256=sha256(b"other"), size_bytes=1)

    refused(farm, with_node(farm, node, wheel=other), "the master signed for other bytes")


def test_a_countersignature_for_another_platform(farm: SigningFarm) -> None:
    refused(
        farm, with_node(farm, farm.signed().node, platform="debian12-x86_64-cp311"), "the master checked a wheel for"
    )


def test_a_check_that_failed(farm: SigningFarm) -> None:
    node = farm.signed().node
    summary = set_at(farm.summary(node), "predicate/verificationResult", "FAILED")

    refused(farm, verify.make_provenance(node, farm.authority.sign(summary), FARM), "only 'PASSED' is trusted")


def test_parts_of_two_farms(farm: SigningFarm) -> None:
    node = farm.node.sign(farm.statement(farm="elsewhere"))

    refused(farm, with_node(farm, node), "name different farms")


def test_a_publisher_that_claims_to_be_another_farm(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    provenance["attestation_bundles"][0]["publisher"]["farm"] = "elsewhere"

    refused(farm, provenance, "name different farms")


def test_a_publisher_of_another_kind(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    provenance["attestation_bundles"][0]["publisher"]["kind"] = "GitHub"

    refused(farm, provenance, "only 'wheelfarm' is trusted")


def test_two_bundles(farm: SigningFarm) -> None:
    provenance = farm.signed().provenance
    provenance["attestation_bundles"] *= 2

    refused(farm, provenance, "2 bundles")


@pytest.mark.parametrize("provenance", [{}, {"version": 1}, {"version": 1, "attestation_bundles": {}}, [], None, "x"])
def test_something_that_is_no_provenance(farm: SigningFarm, provenance: Any) -> None:
    refused(farm, provenance, "^provenance: ")


# ---- the authority that the client trusts


def test_a_nodes_certificate_as_authority(farm: SigningFarm) -> None:
    refused(farm, farm.signed().provenance, "is a signer's, not an authority's", authority=farm.node.certificate_pem)


def test_two_authorities_at_once(farm: SigningFarm) -> None:
    refused(
        farm, farm.signed().provenance, "2 certificates where exactly one", authority=farm.authority.certificate_pem * 2
    )


@pytest.mark.parametrize(
    "pem", ["no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "é", "x" * 10**6]
)
def test_something_that_is_no_authority(farm: SigningFarm, pem: str) -> None:
    refused(farm, farm.signed().provenance, "not a certificate in PEM", authority=pem)
