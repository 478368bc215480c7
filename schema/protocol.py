"""Which agents and masters understand each other: those whose protocols differ by one at most.

What is new in a version is a field of its own with a default, which the version before does not send and does not
read. A new word of a closed choice (a class of failures, an action of a rule) is said only to who speaks the version
that has it. What is to go is sent, and not needed, for one version more. So either end can be upgraded first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schema import fields

# 2: the agent says which protocol it speaks, how its machine is, and whether its sandboxes hold.
PROTOCOL = 2
SELF_TEST = 2
# Of those that do not say.
FIRST = 1
MOST = 2**31 - 1


def speaks(theirs: int) -> bool:
    """Whether we and who speaks *theirs* understand each other."""
    return abs(theirs - PROTOCOL) <= 1


def trouble(theirs: int, *, version: str) -> str:
    """Why a node with that protocol and release gets no builds, and what to do; "" where it may."""
    if speaks(theirs):
        return ""
    how, remedy = ("old", "upgrade the node") if theirs < PROTOCOL else ("new", "upgrade the master")
    return (
        f"its agent ({version or 'unknown release'}, protocol {theirs}) is too {how} for this master"
        f" (protocol {PROTOCOL}), which gives it no builds: {remedy}"
    )


def of(data: Mapping[str, Any]) -> int:
    """The protocol of a message off the wire; raise ValueError for what is none."""
    return fields.count(data.get("protocol", FIRST), most=MOST)
