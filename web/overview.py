"""The first page: what the farm has, what it did today, what is stuck, and what it does now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from schema.db import counts, hours, repeats
from schema.db.health import open_alarms
from schema.db.models import Alarm, Wheel
from schema.db.why.surroundings import Rules
from schema.states import BuildState
from web import plots, queue
from web.failures import Ranked, ranking
from web.plots import Plot
from web.queries import Crew, Shown, given_out, newest_builds, nodes, shown_with
from web.wheels import served

_NEWEST = 8
_WORST = 3
_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the farm has and does.

    states: state → builds; today: what ended in the last 24 hours, as ``schema.db.hours`` has it
    running: at most a page of builds; newest: wheels, the newest first; worst: what to mend first
    empty_in_s: until nothing is left to do, at today's rate; None where nobody can tell
    repeats: verdict → builds
    """

    alarms: Sequence[Alarm]
    states: dict[str, int]
    today: Counter[str]
    running: Sequence[Shown]
    newest: Sequence[Wheel]
    crews: Sequence[Crew]
    worst: Sequence[Ranked]
    empty_in_s: float | None
    repeats: dict[str, int]
    plots: Sequence[Plot]

    @property
    def repeated(self) -> str:
        """What building a share of the builds twice has shown; "" where none was."""
        return repeats.sentence(self.repeats)

    @property
    def to_do(self) -> int:
        """Builds that wait for a node, or for something else."""
        return self.states.get(BuildState.QUEUED, 0) + self.states.get(BuildState.WAITING, 0)

    @property
    def built(self) -> int:
        """Attempts of the last 24 hours that gave a wheel."""
        return self.today[hours.BUILT]

    @property
    def failed(self) -> int:
        """Attempts of the last 24 hours that gave none."""
        return self.today.total() - self.built

    @property
    def heard(self) -> int:
        """Nodes that speak."""
        return sum(not crew.silent for crew in self.crews)

    @property
    def last_published_at(self) -> datetime | None:
        """When the newest wheel came; None before the first."""
        return self.newest[0].published_at if self.newest else None


def overview(session: Session, *, rules: Rules) -> Overview:
    """Everything on the page, in a few queries that do not grow with the farm."""
    running = newest_builds(session, given_out())
    states, days = counts.by_state(session), hours.days(session, most=_DAYS)
    to_do = states.get(BuildState.QUEUED, 0) + states.get(BuildState.WAITING, 0)
    empty_in_s = queue.empty_in_s(queue.lanes(session))
    drawn = (plots.ended(days), plots.left(days, now=to_do, empty_in_s=empty_in_s))
    return Overview(
        alarms=open_alarms(session),
        states=states,
        today=hours.since(session),
        running=shown_with(session, running, rules=rules),
        newest=served(session, limit=_NEWEST, newest_first=True),
        crews=nodes(session, rules=rules),
        worst=ranking(session)[0][:_WORST],
        empty_in_s=empty_in_s,
        repeats=repeats.figures(session),
        plots=[plot for plot in drawn if plot],
    )
