"""Why a queued build has no node yet: who leads, who offers its platform, who of them answers, who is busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schema.db.answers import Said, clause, moment
from schema.db.models import Build, Node
from schema.db.places import MOST
from schema.db.reasons import Actor, Reason
from schema.db.surroundings import INTAKE, Scene
from schema.printable import one_line
from schema.states import RETRY, FailureClass

_ELSEWHERE = frozenset(item.value for item in FailureClass if RETRY[item].elsewhere)


def queued(build: Build, scene: Scene) -> Said:
    """What the build in the queue waits for."""
    found = _farm(scene) or _nobody(build, scene)
    if found is not None:
        reason, text = found
        return Said(reason, Actor.OPERATOR, f"Queued, but {text}.")
    return _takes_its_turn(build, scene)


def no_leader(scene: Scene) -> str:
    """Since when no master leads; "" where one does, or where none ever said so."""
    if scene.leader is None or scene.leader.until > scene.now:
        return ""
    return f"no master leads the farm since {moment(scene.leader.until)}: start one with `wheelfarm master`"


def silence(node: Node) -> str:
    """For how long *node* has been silent."""
    return "never heard yet" if node.heard_at is None else f"silent since {moment(node.heard_at)}"


def _farm(scene: Scene) -> tuple[Reason, str] | None:
    """What keeps the whole farm from giving out builds."""
    if text := no_leader(scene):
        return Reason.NO_LEADER, text
    intake = scene.marks.get(INTAKE)
    if intake is not None and intake.note:
        return Reason.INTAKE_STOPPED, clause(intake.note, otherwise="the farm gives out no builds")
    return None


def _nobody(build: Build, scene: Scene) -> tuple[Reason, str] | None:
    """Why no node takes it, however long it waits; None where some node will."""
    offering = [node for node in scene.nodes if _offers(node, build.platform)]
    active = [node for node in offering if node.state == "active"]
    heard = [node for node in active if not scene.is_silent(node)]
    if not offering:
        return Reason.NO_NODE, f"no node offers {build.platform}: start one there with `wheelfarm-node run`"
    if not active:
        quarantined = all(node.state == "quarantined" for node in offering)
        reason = Reason.NODES_QUARANTINED if quarantined else Reason.NODES_DRAINING
        text = f"{_who(offering, build)} set aside ({_listed(offering, _set_aside)})"
        return reason, f"{text}: `wheelfarm node resume {offering[0].name}` takes one back"
    if not heard:
        return Reason.NODES_SILENT, f"{_who(active, build)} silent: {_listed(active, _silent)}"
    tried = _tried(build, scene)
    if all(node.name in tried for node in heard):
        return (
            Reason.NODES_TRIED,
            f"it failed on {', '.join(sorted(tried))}, and no other node for {build.platform} answers",
        )
    return None


def _takes_its_turn(build: Build, scene: Scene) -> Said:
    tried = _tried(build, scene)
    active = [node for node in scene.nodes if _offers(node, build.platform) and node.state == "active"]
    heard = [node for node in active if not scene.is_silent(node)]
    fresh = [node for node in heard if node.name not in tried]
    if any(scene.busy.get(node.name, 0) < node.slots for node in fresh):
        text = f"Queued: a node for {build.platform} is free, so it begins soon{_place(build, scene)}."
        return Said(Reason.NEXT, Actor.FARM, text)
    down = [node for node in active if scene.is_silent(node)]
    others = f", {_listed(down, _silent)}" if down else ""
    text = (
        f"Queued: {_who(fresh, build)} busy ({_listed(fresh, lambda node: node.name)}){others}{_place(build, scene)}."
    )
    return Said(Reason.NODES_BUSY, Actor.FARM, text)


def _place(build: Build, scene: Scene) -> str:
    count = scene.ahead.get(build.id)
    if count is None:
        others = scene.queued.get(build.platform, 1) - 1
        return f"; {others:,} other build{'s are' if others > 1 else ' is'} queued there" if others > 0 else ""
    if count == 0:
        return "; it comes next"
    if count > MOST:
        total = scene.queued.get(build.platform, count)
        return f"; more than {MOST:,} of the {total:,} builds in the queue are ahead of it"
    return f"; {count:,} build{'s are' if count > 1 else ' is'} ahead of it"


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


def _silent(node: Node) -> str:
    return f"{node.name} {silence(node)}"


def _set_aside(node: Node) -> str:
    return f"{node.name} {node.state}" + (f": {one_line(node.state_reason, limit=120)}" if node.state_reason else "")
