"""A node whose sandboxes were not tested, or did not hold, gets no builds and is told why."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from master import hear
from schema.attest.authority import Authority, NodeKey
from schema.attest.certificate import key_digest, read
from schema.attest.tested import ProbedImage, statement
from schema.db.models import Node
from schema.db.session import transaction
from schema.jobs import Heartbeat
from schema.names import NodeName, Sha256
from schema.platforms import Platform
from tests import rows

N1, N2 = NodeName("n1"), NodeName("n2")
VIEW = Platform.parse(rows.PLATFORM).view
TIMES: dict[str, Any] = {"lease_s": 90.0, "lost_message_s": 20.0}


class Farm:
    """An authority, and the keys of two nodes that it has certified."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.create(folder / "authority")
        self.keys = {name: NodeKey.create(folder / name, name) for name in (N1, N2)}
        for name, key in self.keys.items():
            certified = self.authority.certify(key.csr_pem(), node=name, platforms=[rows.PLATFORM])
            key.install(certified)

    def said(self, *through: str, by: NodeName = N1, of: NodeName = N1, view: str = VIEW) -> dict[str, Any]:
        image = ProbedImage(name=view, digest=Sha256("a" * 64), refused=36 - len(through), through=through)
        return self.keys[by].sign(statement(node=of, version="0.1.0", at=datetime.now(UTC), images=[image]))


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def _heard(database: Engine, farm: Farm, self_test: Any, **said: Any) -> Node:
    """The node after it has said so over the wire."""
    message = Heartbeat.from_json(rows.heartbeat(self_test=self_test).to_json() | said)
    with transaction(database) as session:
        node = session.get(Node, "n1") or rows.node(session)
        hear.heartbeat(session, message, **TIMES, authority_pem=farm.authority.certificate_pem)
        session.flush()
        session.expunge(node)
        return node


def test_a_node_whose_sandbox_held_may_build_there_and_says_so_once(database: Engine, farm: Farm) -> None:
    first = _heard(database, farm, farm.said())
    later = _heard(database, farm, None)

    assert (first.unfit, first.platforms) == ("", [rows.PLATFORM])
    assert (later.unfit, later.platforms) == ("", [rows.PLATFORM])


def test_a_node_that_has_not_tested_its_sandboxes_gets_nothing(database: Engine, farm: Farm) -> None:
    node = _heard(database, farm, None)

    assert node.platforms == []
    assert node.unfit.startswith("its sandboxes were not tested yet")


def test_a_node_whose_sandbox_let_something_through_gets_nothing_and_it_is_named(database: Engine, farm: Farm) -> None:
    node = _heard(database, farm, farm.said("mount: it could: None"))

    assert node.platforms == []
    assert node.unfit == (
        f"its sandbox of {VIEW} does not hold (mount: it could: None): wheelfarm-node self-test there tells all"
    )


def test_an_image_that_was_not_tested_is_not_built_in(database: Engine, farm: Farm) -> None:
    node = _heard(database, farm, farm.said(view="debian12-aarch64"))

    assert (node.unfit, node.platforms) == ("", [])


def test_an_agent_that_was_upgraded_has_to_test_again(database: Engine, farm: Farm) -> None:
    node = _heard(database, farm, farm.said(), version="0.2.0")

    assert node.unfit == "its sandboxes were tested by another release (0.1.0): restart its agent"


def test_the_agent_of_the_protocol_before_knows_no_self_test(database: Engine, farm: Farm) -> None:
    node = _heard(database, farm, None, protocol=1)

    assert (node.unfit, node.platforms) == ("", [rows.PLATFORM])


@pytest.mark.parametrize("lie", ["another node's", "in another's name", "changed", "a wheel's", "nonsense", "revoked"])
def test_a_self_test_that_the_node_did_not_sign_does_not_count(database: Engine, farm: Farm, lie: str) -> None:
    if lie == "revoked":
        digest = key_digest(read(farm.keys[N1].certificate_pem))
        with transaction(database) as session:
            rows.node(session, revoked_keys=[digest])
    changed = farm.said()
    changed["envelope"]["statement"] = farm.said(view="debian12-aarch64")["envelope"]["statement"]
    said: Any = {
        "another node's": farm.said(by=N2, of=N2),
        "in another's name": farm.said(by=N2),
        "changed": changed,
        "a wheel's": farm.keys[N1].sign({"_type": "https://in-toto.io/Statement/v1", "predicateType": "x"}),
        "nonsense": {"version": [1] * 100},
        "revoked": farm.said(),
    }[lie]

    node = _heard(database, farm, said)

    assert node.platforms == []
    assert node.unfit.startswith("its self-test ")
