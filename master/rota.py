"""The table of the master's loops: what runs, and how often."""

from __future__ import annotations

from master.inbox import Inbox
from master.loops import Loops
from master.parts import Parts
from master.turns import Turns

_DEMAND_S = 5.0
_ABI_S = 30.0
_FAILURES_S = 5.0
_HOURS_S = 60.0


def fill(loops: Loops, parts: Parts, inbox: Inbox, turns: Turns) -> None:
    """Add every loop; the pause after each turn is in seconds."""
    timing, watch = parts.settings.timing, parts.settings.watch
    tick_s = timing.tick_s
    for name, turn, pause_s in (
        ("watch", turns.watch, tick_s),
        ("feed", turns.feed, watch.pause_s),
        ("reconcile", turns.reconcile, watch.pause_s),
        ("resolve", parts.planner.turn, tick_s),
        ("follow", turns.follow, tick_s),
        ("ripen", turns.ripen, tick_s),
        ("dispatch", turns.dispatch, tick_s),
        ("needs", turns.needs, max(timing.lease_s / 20, tick_s)),
        ("sweep", turns.sweep, max(timing.lease_s / 10, tick_s)),
        ("hear", inbox.hear, tick_s),
        ("collect", inbox.collect, 0.01),
        ("render", turns.render, tick_s),
        ("lists", parts.listing.turn, tick_s),
        ("pages", parts.pages.turn, 1.0),
        ("room", parts.room.look, 5.0),
        ("scrub", parts.scrubber.turn, 5.0),
        ("gc", parts.rubbish.turn, 10.0),
        ("watchdog", turns.watchdog, 30.0),
        ("tell", parts.notifier.tell, 5.0),
        ("webhooks", parts.sender.turn, 1.0),
        ("abi", turns.abi, _ABI_S),
        ("rescore", turns.rescore, tick_s),
        ("scope", turns.scope, tick_s),
        ("demand", turns.demand, _DEMAND_S),
        ("failures", turns.failures, _FAILURES_S),
        ("hours", turns.hours, _HOURS_S),
        ("orders", turns.orders, tick_s),
    ):
        loops.add(name, turn, pause_s=pause_s)
