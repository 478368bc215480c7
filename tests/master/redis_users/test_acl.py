from __future__ import annotations

from master import redis_acl
from schema.names import NodeName

DIGEST = redis_acl.digest("a password")


def test_a_node_takes_from_its_own_queue_and_pushes_to_the_masters() -> None:
    line = redis_acl.line("node.pi4", redis_acl.node_rules(NodeName("pi4"), DIGEST))

    assert line == (
        "user node.pi4 resetchannels -@all +ping +multi +exec +llen +brpop ~wheelfarm:node.pi4"
        f" (-@all +lpush %W~wheelfarm:master) #{DIGEST} on"
    )


def test_the_master_may_empty_its_own_queue_and_push_to_those_of_nodes() -> None:
    line = redis_acl.line("master", redis_acl.master_rules(DIGEST))

    assert line == (
        "user master resetchannels -@all +ping +multi +exec +llen +brpop +del ~wheelfarm:master"
        f" (-@all +lpush %W~wheelfarm:node.*) #{DIGEST} on"
    )


def test_a_user_who_is_set_anew_keeps_nothing_of_what_it_had() -> None:
    assert redis_acl.set_user("node.pi4", ("+ping",)) == ("SETUSER", "node.pi4", "reset", "+ping")


def test_no_rule_allows_a_class_of_commands() -> None:
    for rules in (redis_acl.node_rules(NodeName("pi4"), DIGEST), redis_acl.master_rules(DIGEST)):
        assert not any("+@" in rule or "~*" in rule or "&" in rule for rule in rules)
        assert "a password" not in " ".join(rules)
