"""Whatever is done to an envelope: it still says the very same thing, or it is refused with a TrustError."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.attest import certificate, verify
from schema.attest.claims import read
from schema.errors import TrustError
from tests.signing import BYTES, FARM, WHEEL, Signed, SigningFarm, sha256

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def signed(farm: SigningFarm) -> Signed:
    return farm.signed()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested data."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def put(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(data)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_provenance_with_anything_in_any_place(farm: SigningFarm, signed: Signed, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(places(signed.provenance)))
    changed = put(signed.provenance, path, data.draw(JSON))

    try:
        report = farm.check(changed)
    except TrustError:
        return
    assert report.built.sha256 == sha256(BYTES)
    assert report == farm.check(signed.provenance)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_an_envelope_with_a_flipped_bit(farm: SigningFarm, signed: Signed, data: st.DataObject) -> None:
    part, key = data.draw(
        st.sampled_from(
            [("verification_material", "certificate"), ("envelope", "statement"), ("envelope", "signature")]
        )
    )
    original = base64.b64decode(signed.node[part][key])
    number = data.draw(st.integers(0, len(original) * 8 - 1))
    flipped = bytearray(original)
    flipped[number // 8] ^= 1 << number % 8
    changed = put(signed.node, (part, key), base64.b64encode(flipped).decode())

    with pytest.raises(TrustError):
        verify.attestation(changed, authority_pem=farm.authority.certificate_pem)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_an_envelope_cut_short_or_with_text_put_in(farm: SigningFarm, signed: Signed, data: st.DataObject) -> None:
    part, key = data.draw(
        st.sampled_from(
            [("verification_material", "certificate"), ("envelope", "statement"), ("envelope", "signature")]
        )
    )
    text = signed.node[part][key]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    changed = text[:start] + data.draw(st.text(max_size=8)) + text[end:]

    try:
        verify.attestation(put(signed.node, (part, key), changed), authority_pem=farm.authority.certificate_pem)
    except TrustError:
        return
    assert changed == text


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_statement_with_anything_in_any_place_that_the_node_truly_signed(
    farm: SigningFarm, data: st.DataObject
) -> None:
    """A node that lies gets as far as its own statement: reading it never fails in another way."""
    statement = farm.statement()
    path = data.draw(st.sampled_from(places(statement)))
    changed = put(statement, path, data.draw(JSON))

    try:
        said = read(changed)
    except TrustError:
        return
    assert said.filename


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | JSON.map(repr).map(str.encode))
def test_any_bytes_at_all_as_the_statement(farm: SigningFarm, payload: bytes) -> None:
    node = farm.signed().node
    node["envelope"]["statement"] = base64.b64encode(payload).decode()

    with pytest.raises(TrustError):
        verify.provenance(
            verify.make_provenance(node, node, FARM),
            filename=WHEEL,
            sha256=sha256(BYTES),
            authority_pem=farm.authority.certificate_pem,
        )


@settings(max_examples=200, deadline=None)
@given(pem=st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")))
def test_any_text_at_all_as_the_authority(farm: SigningFarm, signed: Signed, pem: str) -> None:
    wrapped = f"-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n"

    for text in (pem or "-", wrapped):
        with pytest.raises(TrustError):
            farm.check(signed.provenance, authority=text)


def test_a_report_of_a_lying_node_prints_no_control_characters(farm: SigningFarm) -> None:
    statement = farm.statement(isolation="\x1b[2J")
    parameters = statement["predicate"]["buildDefinition"]["externalParameters"]
    parameters["sdist"]["name"] = "\x1b]8;;http://evil\x07demo\u202e.tar.gz\nTrusted: yes"
    node = farm.node.sign(statement)

    report = farm.check(verify.make_provenance(node, farm.authority.sign(farm.summary(node)), FARM))

    assert not set("\x1b\x07\u202e") & set(report.text())
    assert len(report.text().splitlines()) == len(report.sentences)


def test_no_single_bit_of_a_certificate_can_be_flipped(farm: SigningFarm) -> None:
    authority = certificate.read_authority(farm.authority.certificate_pem)
    encoded = farm.node.sign(farm.statement())["verification_material"]["certificate"]
    whole = base64.b64decode(encoded)

    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TrustError):
            certificate.holder_of(certificate.read_leaf(bytes(changed), authority))
