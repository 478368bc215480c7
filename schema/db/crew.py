"""Why a queued build has no node yet: who offers its platform, who of them answers, who is busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schema.db.answers import Actor, Scene, Sentence, moment
from schema.db.models import Build, Node
from schema.printable import one_line
from schema.states import RETRY, FailureClass

_ELSEWHERE = frozenset(item.value for item in FailureClass if RETRY[item].elsewhere)


def why_queued(build: Build, scene: Scene) -> Sentence:
    """What the build in the queue waits for."""
    offering = [node for node in scene.nodes if _offers(node, build.platform)]
    active = [node for node in offering if node.state == "active"]
    heard = [node for node in active if not scene.is_silent(node)]
    tried = _tried(build, scene)
    fresh = [node for node in heard if node.name not in tried]
    if not offering:
        text = f"no node offers {build.platform}: start one there with `wheelfarm-node run`"
    elif not active:
        text = f"{_who(offering, build)} set aside: {_listed(offering, _set_aside)}"
    elif not heard:
        text = f"{_who(active, build)} silent: {_listed(active, lambda node: f'{node.name} {since(node)}')}"
    elif not fresh:
        text = f"it failed on {', '.join(sorted(tried))}, and no other node for {build.platform} answers"
    else:
        return _takes_its_turn(build, fresh, scene), Actor.FARM
    return f"Queued, but {text}.", Actor.OPERATOR


def since(node: Node) -> str:
    """For how long *node* has been silent."""
    return "never heard yet" if node.heard_at is None else f"silent since {moment(node.heard_at)}"


def _takes_its_turn(build: Build, nodes: Sequence[Node], scene: Scene) -> str:
    count = scene.queued.get(build.platform, 1) - 1
    others = f"; {count} other build{'s are' if count > 1 else ' is'} queued for it" if count > 0 else ""
    if any(scene.busy.get(node.name, 0) < node.slots for node in nodes):
        return f"Queued: a node for {build.platform} is free, so it begins soon{others}."
    return f"Queued: {_who(nodes, build)} busy ({_listed(nodes, lambda node: node.name)}){others}."


def _tried(build: Build, scene: Scene) -> set[str]:
    """The nodes on which it failed in a class that is tried again elsewhere only."""
    attempts = scene.attempts.get(build.id, ())
    return {
        item.node for item in attempts if item.failure_class in _ELSEWHERE and item.fence > (build.pardoned_fence or 0)
    }


def _offers(node: Node, platform: str) -> bool:
    return isinstance(node.platforms, list) and platform in node.platforms


def _who(nodes: Sequence[Node], build: Build) -> str:
    if len(nodes) == 1:
        return f"the only node for {build.platform} is"
    return f"all {len(nodes)} nodes for {build.platform} are"


def _listed(nodes: Sequence[Node], text: Callable[[Node], str], *, limit: int = 5) -> str:
    shown = [text(node) for node in nodes[:limit]]
    return ", ".join(shown) + (f" and {len(nodes) - limit} more" if len(nodes) > limit else "")


def _set_aside(node: Node) -> str:
    return f"{node.name} {node.state}" + (f" ({one_line(node.state_reason, limit=120)})" if node.state_reason else "")
