"""Why a queued build has no node yet: who leads, who offers its platform, who of them answers, who is busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from schema.capacity import Machine, fits
from schema.db.models import Build, Node
from schema.db.why.answers import Said, clause, moment
from schema.db.why.places import MOST
from schema.db.why.reasons import Actor, Reason
from schema.db.why.surroundings import INTAKE, REDIS, Scene
from schema.printable import one_line
from schema.sizes import LARGEST, UNKNOWN
from schema.states import RETRY, FailureClass

_ELSEWHERE = frozenset(item.value for item in FailureClass if RETRY[item].elsewhere)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crew:
    """The nodes that a build could go to, fewer and fewer.

    offering: its platform; active: not set aside; heard: lately; fresh: it may be tried there; roomy: their machines
    are large enough
    """

    offering: Sequence[Node]
    active: Sequence[Node]
    heard: Sequence[Node]
    fresh: Sequence[Node]
    roomy: Sequence[Node]

    @classmethod
    def of(cls, build: Build, scene: Scene) -> Self:
        tried = _tried(build, scene)
        offering = [node for node in scene.nodes if _offers(node, build.platform)]
        active = [node for node in offering if node.state == "active"]
        heard = [node for node in active if not scene.is_silent(node)]
        fresh = [node for node in heard if node.name not in tried]
        roomy = [node for node in fresh if not _no_room(build, node)]
        return cls(offering=offering, active=active, heard=heard, fresh=fresh, roomy=roomy)


def queued(build: Build, scene: Scene) -> Said:
    """What the build in the queue waits for."""
    crew = _Crew.of(build, scene)
    found = _farm(scene) or _nobody(build, crew, scene)
    if found is not None:
        reason, text = found
        return Said(reason, Actor.OPERATOR, f"Queued, but {text}.")
    return _takes_its_turn(build, crew, scene)


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
    redis = scene.marks.get(REDIS)
    if redis is not None and redis.note:
        return Reason.REDIS_AWAY, clause(redis.note, otherwise="Redis does not answer the master")
    intake = scene.marks.get(INTAKE)
    if intake is not None and intake.note:
        return Reason.INTAKE_STOPPED, clause(intake.note, otherwise="the farm gives out no builds")
    return None


def _nobody(build: Build, crew: _Crew, scene: Scene) -> tuple[Reason, str] | None:
    """Why no node takes it, however long it waits; None where some node will."""
    if not crew.active:
        return _not_active(build, crew.offering) if crew.offering else _not_offered(build.platform, scene)
    if not crew.heard:
        return Reason.NODES_SILENT, f"{_who(crew.active, build)} silent: {_listed(crew.active, _silent)}"
    if not crew.fresh:
        tried = ", ".join(sorted(_tried(build, scene)))
        return Reason.NODES_TRIED, f"it failed on {tried}, and no other node for {build.platform} answers"
    if not crew.roomy:
        small = _listed(crew.fresh, lambda node: f"{node.name} {_no_room(build, node)}")
        return Reason.NODES_TOO_SMALL, f"no node for {build.platform} has room for it: {small}"
    return None


def _not_offered(platform: str, scene: Scene) -> tuple[Reason, str]:
    unfit = next((node for node in scene.nodes if _is_unfit(node, platform)), None)
    if unfit is not None:
        return Reason.NODES_UNFIT, f"node {unfit.name} may not build: {one_line(unfit.unfit, limit=300)}"
    return Reason.NO_NODE, f"no node offers {platform}: start one there with `wheelfarm-node run`"


def _not_active(build: Build, offering: Sequence[Node]) -> tuple[Reason, str]:
    if on_probation := [node for node in offering if node.state == "probation"]:
        text = f"no node for {build.platform} is let in yet ({_listed(on_probation, _set_aside)})"
        return Reason.NODES_PROBATION, f"{text}: `wheelfarm node list` tells how they stand"
    quarantined = all(node.state == "quarantined" for node in offering)
    reason = Reason.NODES_QUARANTINED if quarantined else Reason.NODES_DRAINING
    text = f"{_who(offering, build)} set aside ({_listed(offering, _set_aside)})"
    return reason, f"{text}: `wheelfarm node resume {offering[0].name}` takes one back"


def _takes_its_turn(build: Build, crew: _Crew, scene: Scene) -> Said:
    busy = {node.name: _busy(build, node, scene) for node in crew.roomy}
    if not all(busy.values()):
        text = f"Queued: a node for {build.platform} is free, so it begins soon{_place(build, scene)}."
        return Said(Reason.NEXT, Actor.FARM, text)
    down = [node for node in crew.active if scene.is_silent(node)]
    others = f", {_listed(down, _silent)}" if down else ""
    at_work = _listed(crew.roomy, lambda node: busy[node.name])
    text = f"Queued: {_who(crew.roomy, build)} busy ({at_work}){others}{_place(build, scene)}."
    return Said(Reason.NODES_BUSY, Actor.FARM, text)


def _busy(build: Build, node: Node, scene: Scene) -> str:
    """The node's name, and why it has no room just now where a slot is free; "" where it could begin."""
    running = scene.running.get(node.name, ())
    if len(running) >= (node.slots or 0):
        return node.name
    why = _no_room(build, node, running)
    return f"{node.name} {why}" if why else ""


def _no_room(build: Build, node: Node, running: Sequence[int] = ()) -> str:
    """Why the node's machine is too small, to be put after its name; "" where it is not."""
    machine = Machine(memory_bytes=node.memory_bytes or 0, disk_free_bytes=node.disk_free_bytes or 0)
    return fits(_size(build.size), machine, [_size(item) for item in running])


def _size(size: int | None) -> int:
    return UNKNOWN if size is None else min(size, LARGEST)


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


def _is_unfit(node: Node, platform: str) -> bool:
    """Whether it would offer the platform, if it were allowed to build."""
    allowed = isinstance(node.allowed_platforms, list) and platform in node.allowed_platforms
    return allowed and bool(node.unfit) and node.state in {"active", "probation"}


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
