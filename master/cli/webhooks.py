"""``wheelfarm webhook``: who is told of events by HTTP, with which secret, and how that goes."""

from __future__ import annotations

import click

from master import audit
from master.cli.farm import reading, writing
from master.cli.questions import moment
from master.webhooks.outbox import Parcel
from master.webhooks.sender import Letterhead
from schema import webhooks as hooks
from schema.db import webhooks as table
from schema.db.models import Delivery
from schema.db.session import now
from schema.door import Door, Group, answer, answer_json, as_json, columns, pass_door, progress
from schema.webhooks import PING, Event


@click.group(cls=Group)
def webhook() -> None:
    """Who is told by HTTP when a build fails, a wheel is published or withdrawn, an alarm opens or closes."""


@webhook.command()
@click.argument("name")
@click.argument("url")
@click.option(
    "--event",
    "events",
    type=click.Choice([event.value for event in Event]),
    multiple=True,
    help="Tell it of this only; may be given several times.",
)
@as_json
@pass_door
def add(door: Door, *, name: str, url: str, events: tuple[str, ...], as_json: bool) -> None:
    """Tell URL of events from now on, and print the secret that its messages are signed with, this once."""
    with writing(door.settings) as session:
        made = table.add(session, name, url, events, who=audit.person())
        told, secret = list(made.events), made.secret
    if as_json:
        answer_json({"name": name, "events": told, "secret": secret})
        return
    progress(f"webhook {name} is told of {', '.join(told)}; its secret is shown this once:")
    answer(secret)


@webhook.command("list")
@as_json
@pass_door
def list_webhooks(door: Door, *, as_json: bool) -> None:
    """All of them, and how they do; what follows the host of an address is not shown."""
    with reading(door.settings) as session:
        found = table.everyone(session)
    if as_json:
        answer_json([_plain(item) for item in found])
        return
    head = ("NAME", "STATE", "WAITING", "GIVEN UP", "DROPPED", "LAST SUCCESS", "WHERE", "EVENTS", "TROUBLE")
    rows = [
        (
            item.webhook.name,
            item.state,
            str(item.waiting),
            str(item.given_up),
            str(item.webhook.dropped),
            moment(item.webhook.succeeded_at),
            hooks.shown(item.webhook.url),
            " ".join(item.webhook.events),
            item.trouble,
        )
        for item in found
    ]
    answer(columns(head, rows) if rows else "there are no webhooks; wheelfarm webhook add NAME URL makes one")


@webhook.command()
@click.argument("name")
@as_json
@pass_door
def remove(door: Door, *, name: str, as_json: bool) -> None:
    """Tell NAME of nothing any more, and forget what waited for it."""
    with writing(door.settings) as session:
        table.remove(session, table.named(session, name, keep=True), who=audit.person())
    answer_json({"removed": name}) if as_json else answer(f"webhook {name} is removed")


@webhook.command()
@click.argument("name")
@as_json
@pass_door
def enable(door: Door, *, name: str, as_json: bool) -> None:
    """Tell NAME of events again, after it was switched off because it failed for days, or wanted no more (410)."""
    with writing(door.settings) as session:
        table.enable(session, table.named(session, name, keep=True), who=audit.person())
    answer_json({"enabled": name}) if as_json else answer(f"webhook {name} is on")


@webhook.command()
@click.argument("name")
@as_json
@pass_door
def test(door: Door, *, name: str, as_json: bool) -> int:
    """Send NAME a ping now, and say what it answers; exit 1 unless that is a success.

    The master need not run. Nothing is tried again, and nothing else is sent.
    """
    with writing(door.settings) as session:
        found = table.named(session, name, keep=True)
        at = now(session)
        parcel = Parcel(
            number=0,
            webhook=name,
            url=found.url,
            secrets=found.secrets(at),
            message=hooks.new_message_id(),
            event=PING,
            data={"webhook": name},
            at=at,
        )
        table.note_test(session, found, who=audit.person(), message=parcel.message)
    said = Letterhead.of(door.settings).send(parcel)
    if as_json:
        answer_json({"answered": said.is_success, "status": said.status, "told": said.told, "seconds": said.seconds})
    else:
        answer(f"{name} {said.told}" + (f" within {said.seconds:.2f} s" if said.status else ""))
    return 0 if said.is_success else 1


@webhook.command()
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@as_json
@pass_door
def deliveries(door: Door, *, name: str, limit: int, as_json: bool) -> None:
    """What was, or is to be, sent to NAME, the newest first."""
    with reading(door.settings) as session:
        found = table.deliveries(session, table.named(session, name), limit=limit)
    if as_json:
        answer_json([{**_delivery(item), "data": item.data} for item in found])
        return
    head = ("DELIVERY", "EVENT", "AT (UTC)", "STATE", "TRIES", "NEXT TRY (UTC)", "WHAT CAME OF IT")
    rows = [
        (
            str(item.id),
            item.event,
            moment(item.at),
            item.outcome or "waits",
            str(item.tries),
            "-" if item.outcome else moment(item.due_at),
            item.told or "-",
        )
        for item in found
    ]
    answer(columns(head, rows) if rows else f"nothing was to be sent to {name} yet; wheelfarm webhook test {name}")


@webhook.command()
@click.argument("name")
@click.argument("delivery", type=click.IntRange(1, 2**31 - 1), required=False)
@as_json
@pass_door
def resend(door: Door, *, name: str, delivery: int | None, as_json: bool) -> None:
    """Have the master send again at once what waits for NAME or was given up; or the one DELIVERY, whatever it is."""
    with writing(door.settings) as session:
        many = table.resend(session, table.named(session, name, keep=True), delivery, who=audit.person())
    answer_json({"deliveries": many}) if as_json else answer(f"{many} deliveries to {name} are due now")


@webhook.command("rotate-secret")
@click.argument("name")
@as_json
@pass_door
def rotate_secret(door: Door, *, name: str, as_json: bool) -> None:
    """Give NAME another secret, and print it, this once.

    For a day messages are signed with the one before, too, so that the receiver can be changed without losing any.
    """
    with writing(door.settings) as session:
        found = table.named(session, name, keep=True)
        secret = table.rotate(session, found, who=audit.person())
        until = found.old_secret_until
    if as_json:
        answer_json({"name": name, "secret": secret, "both_until": until})
        return
    progress(f"messages are signed with the old secret too until {moment(until)} UTC; the new one is shown this once:")
    answer(secret)


def _plain(item: table.Standing) -> dict[str, object]:
    row = item.webhook
    keys = ("name", "events", "created_at", "disabled_because", "failing_since", "trouble", "succeeded_at", "dropped")
    counts = {"state": item.state, "waiting": item.waiting, "given_up": item.given_up}
    return {**{key: getattr(row, key) for key in keys}, "where": hooks.shown(row.url), **counts}


def _delivery(item: Delivery) -> dict[str, object]:
    keys = ("id", "message", "event", "at", "tries", "outcome", "ended_at", "told")
    return {**{key: getattr(item, key) for key in keys}, "due_at": None if item.outcome else item.due_at}


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    group.add_command(webhook)
