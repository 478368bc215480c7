"""The master does what people asked for in a browser or over the API, as the command line would, and tells what came.

An order is done and marked in one transaction: whoever is killed in between leaves neither, and it is done once.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from master import operate, pinned, steer, wishes
from master.coverage import coverage, summary
from master.leader import NotLeadingError
from master.which import Which
from schema import names, orders
from schema.db.models import Build, Node
from schema.db.models import Order as Row
from schema.db.session import now, transaction
from schema.errors import FarmError, UnavailableError, UsageError
from schema.names import NodeName
from schema.platforms import Platform
from schema.printable import one_line
from schema.settings import Settings
from schema.states import BuildPolicy

log = logging.getLogger(__name__)

_AT_ONCE = 20
_MOST_REQUIREMENTS = 1000
_QUESTIONS = frozenset({"coverage"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of an order: a sentence for people, and the same as data."""

    told: str
    result: dict[str, Any] = field(default_factory=dict)


def turn(database: Engine, *, snapshot: Engine, settings: Settings) -> int:
    """Do the orders that wait, the oldest first, at most some at once; say how many.

    snapshot: reads only; what is only asked is looked up there, so that no writer waits for it
    """
    with transaction(snapshot) as session:
        waiting = select(Row).where(Row.outcome.is_(None)).order_by(Row.id).limit(_AT_ONCE)
        rows = session.scalars(waiting).all()
    for row in rows:
        if row.action in _QUESTIONS:
            _look_up(database, row, snapshot=snapshot, settings=settings)
        else:
            _do(database, row.id, settings=settings)
    return len(rows)


def _do(database: Engine, order_id: int, *, settings: Settings) -> None:
    with transaction(database) as session:
        row = session.get(Row, order_id, with_for_update=True)
        if row is None or row.outcome is not None:
            return

        def doing(order: orders.Order) -> Answer:
            with session.begin_nested():
                return _done(session, order, who=row.who, settings=settings)

        _mark(session, row, *_attempt(row, doing))


def _look_up(database: Engine, row: Row, *, snapshot: Engine, settings: Settings) -> None:
    """Nothing is changed by it, so it may well be looked up twice."""

    def doing(order: orders.Order) -> Answer:
        assert isinstance(order, orders.Coverage)  # noqa: S101 - for mypy
        with transaction(snapshot) as session:
            return _coverage(session, order, settings)

    outcome, answer = _attempt(row, doing)
    with transaction(database) as session:
        _mark(session, session.get_one(Row, row.id), outcome, answer)


def _attempt(row: Row, doing: Callable[[orders.Order], Answer]) -> tuple[str, Answer]:
    """The outcome, and what to tell; raise what says nothing about the order: it stays, and its turn comes again."""
    try:
        return "done", doing(orders.read(row.action, row.arguments))
    except (NotLeadingError, UnavailableError, OperationalError):
        raise
    except FarmError as err:
        return "refused", Answer(told=str(err))
    except Exception as err:  # it must not keep those behind it from being done
        log.exception("order %s (%s)", row.id, row.action)
        return "failed", Answer(told=f"a fault of the farm ({type(err).__name__}); its log tells more")


def _mark(session: Session, row: Row, outcome: str, answer: Answer) -> None:
    row.outcome, row.done_at = outcome, now(session)
    row.told, row.result = one_line(answer.told, limit=2000), answer.result
    log.info("order %s of %s: %s: %s: %s", row.id, row.who, row.action, outcome, row.told)


def _done(session: Session, order: orders.Order, *, who: str, settings: Settings) -> Answer:  # noqa: C901, PLR0911 - one case for each order
    match order:
        case orders.Request():
            return _request(session, order, who=who, settings=settings)
        case orders.Rebuild():
            name, version = names.release(order.builds)
            if version is None:
                raise UsageError(f"which version of {name}?")
            return _builds(operate.rebuild(session, name, version, _platform(order.platform), who=who))
        case orders.Retry():
            return _builds(steer.retry(session, _which(order), who=who))
        case orders.Hold():
            return _builds(steer.hold(session, _which(order), who=who, reason=order.reason))
        case orders.Release():
            return _builds(steer.release(session, _which(order), who=who, at_once=order.at_once))
        case orders.Cancel():
            return _builds(steer.cancel(session, _which(order), who=who, reason=order.reason))
        case orders.Priority():
            return _builds(steer.boost(session, _which(order), by=order.points, who=who, reason=order.reason))
        case orders.TryRecipe():
            return _builds(pinned.try_with(session, order.build, orders.tried(order.recipe), who=who))
        case orders.NodeDrain():
            return _node(operate.drain(session, NodeName(order.node), who=who, reason=order.reason))
        case orders.NodeResume():
            return _node(operate.resume(session, NodeName(order.node), who=who))
        case orders.NodeQuarantine():
            return _node(operate.quarantine(session, NodeName(order.node), who=who, reason=order.reason))
    raise UsageError(f"this master does not know how to do {orders.name_of(order)}")


def _request(session: Session, order: orders.Request, *, who: str, settings: Settings) -> Answer:
    wish = wishes.Wish(requirement=names.requirement(order.requirement))
    platforms = [Platform.parse(item) for item in order.platforms]
    policy = BuildPolicy.ALWAYS if order.always else None
    operate.request(session, wish, platforms=platforms, policy=policy, farm=settings.farm, who=who)
    return Answer(told=f"requested {wish.requirement}", result={"requested": str(wish.requirement)})


def _coverage(session: Session, order: orders.Coverage, settings: Settings) -> Answer:
    platform = _platform(order.platform) or settings.farm.platforms[0]
    with tempfile.TemporaryDirectory(prefix="wheelfarm-coverage-") as folder:
        file = Path(folder, order.file)
        file.write_text(order.text, encoding="utf-8")
        try:
            wanted = wishes.on_platform([file], platform)
        except FarmError as err:
            raise UsageError(str(err).replace(f"{folder}/", "").replace(folder, "the file")) from err
    if len(wanted) > _MOST_REQUIREMENTS:
        raise UsageError(f"{len(wanted)} requirements; at most {_MOST_REQUIREMENTS} are looked up at once")
    found = coverage(session, wanted, platform=platform, settings=settings)
    told = summary(found)
    rows = [item.to_json() for item in found]
    return Answer(told=told, result={"platform": str(platform), "summary": told, "requirements": rows})


def _which(order: orders.OfBuilds) -> Which:
    return Which(one=names.some(order.builds), platform=_platform(order.platform))


def _platform(text: str) -> Platform | None:
    return Platform.parse(text) if text else None


def _builds(found: Sequence[Build]) -> Answer:
    said = [f"build {item.id} of {item.project.name} {item.version} is {item.state}" for item in found]
    more = f" and {len(said) - 3} more" if len(said) > 3 else ""  # noqa: PLR2004 - as many as a line has room for
    return Answer(told="; ".join(said[:3]) + more, result={"builds": [item.id for item in found]})


def _node(node: Node) -> Answer:
    return Answer(told=f"node {node.name} is {node.state}", result={"node": node.name, "state": node.state})
