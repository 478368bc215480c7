"""Attacks with what is said, even where the true node has signed it; each is refused with a sentence that says why."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from schema.attest import verify
from schema.errors import TrustError
from tests.attacks import refused, resealed, set_at, with_node
from tests.signing import BYTES, WHEEL, SigningFarm, attestations, sha256

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
    "predicate", ["https://in-toto.io/attestation/release/v0.1", "https://slsa.dev/provenance/v0.2", ""]
)
def test_a_predicate_of_another_type(farm: SigningFarm, predicate: str) -> None:
    node = resealed(farm, {**farm.statement(), "predicateType": predicate})

    refused(farm, with_node(farm, node), "says nothing about a build of this farm")


def test_a_statement_of_another_version(farm: SigningFarm) -> None:
    node = resealed(farm, {**farm.statement(), "_type": "https://in-toto.io/Statement/v0.1"})

    refused(farm, with_node(farm, node), "_type.*only 'https://in-toto.io/Statement/v1' is trusted")


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
        ("subject/0/name", "demo_pkg-1.0.tar.gz", "its subject is no wheel"),
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
