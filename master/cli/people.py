"""``wheelfarm user`` and ``token``: who may log in at the front-end, and what programs may do in their names."""

from __future__ import annotations

import sys

import click

from master import audit
from master.cli.farm import reading, writing
from master.cli.questions import moment
from schema.db.models import ApiToken, User
from schema.db.people import passwords, tokens, users
from schema.door import Door, Group, answer, answer_json, as_json, columns, pass_door, progress
from schema.errors import UsageError
from schema.people import Role, Scope

as_role = click.Choice([role.value for role in Role])


@click.group(cls=Group)
def user() -> None:
    """The people who may log in at the front-end."""


@user.command()
@click.argument("name")
@click.option("--role", type=as_role, required=True, help="viewer: look; operator: steer; admin: everything.")
@as_json
@pass_door
def add(door: Door, *, name: str, role: str, as_json: bool) -> None:
    """Let NAME log in.

    The password is asked for at a terminal, else read from the first line of standard input.
    """
    password = _password()
    with writing(door.settings) as session:
        made = users.add(session, name, Role(role), password=password, who=audit.person())
        _tell(made, as_json=as_json)


@user.command("list")
@as_json
@pass_door
def list_users(door: Door, *, as_json: bool) -> None:
    """Everybody who may log in, or might once."""
    with reading(door.settings) as session:
        found = users.everyone(session)
    if as_json:
        answer_json([_row(item) for item in found])
        return
    rows = [(item.name, item.role, "yes" if item.totp else "no", _state(item)) for item in found]
    empty = "nobody may log in; wheelfarm user add NAME --role admin lets somebody"
    answer(columns(("NAME", "ROLE", "SECOND FACTOR", "STATE"), rows) if rows else empty)


@user.command()
@click.argument("name")
@click.argument("role", type=as_role)
@as_json
@pass_door
def role(door: Door, *, name: str, role: str, as_json: bool) -> None:
    """Give NAME another role; ends their sessions."""
    with writing(door.settings) as session:
        found = users.named(session, name)
        users.set_role(session, found, Role(role), who=audit.person())
        _tell(found, as_json=as_json)


@user.command()
@click.argument("name")
@as_json
@pass_door
def password(door: Door, *, name: str, as_json: bool) -> None:
    """Give NAME another password; ends their sessions.

    It is asked for at a terminal, else read from the first line of standard input.
    """
    given = _password()
    with writing(door.settings) as session:
        found = users.named(session, name)
        users.set_password(session, found, given, who=audit.person())
        _tell(found, as_json=as_json)


@user.command()
@click.argument("name")
@click.option("--off", is_flag=True, required=True, help="It is set up by the person, on the page of the account.")
@as_json
@pass_door
def totp(door: Door, *, name: str, off: bool, as_json: bool) -> None:
    """Have NAME log in without a second factor, whose device was lost; ends their sessions."""
    assert off  # noqa: S101 - click requires it
    with writing(door.settings) as session:
        found = users.named(session, name)
        users.set_totp(session, found, "", who=audit.person())
        _tell(found, as_json=as_json)


@user.command()
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let them in again.")
@as_json
@pass_door
def disable(door: Door, *, name: str, undo: bool, as_json: bool) -> None:
    """Let NAME in no more, nor any program with a token of theirs."""
    with writing(door.settings) as session:
        found = users.named(session, name)
        users.disable(session, found, who=audit.person(), disabled=not undo)
        _tell(found, as_json=as_json)


@click.group(cls=Group)
def token() -> None:
    """What programs show at the API, in somebody's name."""


@token.command("add")
@click.argument("name")
@click.argument("label")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    default=(Scope.READ.value,),
    show_default=True,
    help="What it is good for; may be given several times.",
)
@click.option(
    "--days", type=click.IntRange(1, tokens.MOST_DAYS), default=90, show_default=True, help="It holds so long."
)
@as_json
@pass_door
def add_token(door: Door, *, name: str, label: str, scopes: tuple[str, ...], days: int, as_json: bool) -> None:
    """Make a token in the name of user NAME, for LABEL, and print it, this once."""
    with writing(door.settings) as session:
        found = users.named(session, name)
        made, text = tokens.add(session, found, label, set(map(Scope, scopes)), days=days, who=audit.person())
        row = _token_row(made)
    if as_json:
        answer_json({**row, "token": text})
        return
    progress(
        f"token {made.id} of {name} for {made.label} holds until {moment(made.expires_at)}; it is shown this once:"
    )
    answer(text)


@token.command("list")
@click.option("--user", "name", help="Of this person only.")
@as_json
@pass_door
def list_tokens(door: Door, *, name: str | None, as_json: bool) -> None:
    """The tokens that can be used."""
    with reading(door.settings) as session:
        of = next((item for item in users.everyone(session) if item.name == name), None) if name else None
        if name and of is None:
            raise UsageError(f"there is no user {name}", advice="wheelfarm user list names them")
        found = tokens.usable(session, of)
        rows = [(item.id, item.user.name, item.label, item.start, " ".join(item.scopes), item) for item in found]
    if as_json:
        answer_json([_token_row(item) for item in found])
        return
    head = ("TOKEN", "USER", "FOR", "BEGINS", "SCOPES", "LAST USED", "EXPIRES")
    lines = [(*row, moment(item.used_at) if item.used_at else "never", moment(item.expires_at)) for *row, item in rows]
    answer(columns(head, lines) if rows else "there are no tokens; wheelfarm token add makes one")


@token.command()
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
@as_json
@pass_door
def revoke(door: Door, *, number: int, as_json: bool) -> None:
    """Have the token of that NUMBER open nothing any more."""
    with writing(door.settings) as session:
        found = tokens.revoke(session, number, who=audit.person())
        row = _token_row(found)
    answer_json(row) if as_json else answer(f"token {number} of {row['user']} is revoked")


def _password() -> str:
    """Never an argument: those are seen by everybody on the machine, and kept in the shell's history."""
    if sys.stdin.isatty():
        asked = f"Password ({passwords.LEAST} characters or more)"
        return str(click.prompt(asked, hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline(4 * passwords.MOST).rstrip("\r\n")


def _tell(found: User, *, as_json: bool) -> None:
    if as_json:
        answer_json(_row(found))
    else:
        answer(f"{found.name} is {found.role}, {_state(found)}, {'with' if found.totp else 'without'} a second factor")


def _state(found: User) -> str:
    return "may log in" if found.disabled_at is None else "may not log in"


def _row(found: User) -> dict[str, object]:
    keys = ("name", "role", "created_at", "disabled_at")
    return {**{key: getattr(found, key) for key in keys}, "second_factor": bool(found.totp)}


def _token_row(found: ApiToken) -> dict[str, object]:
    keys = ("id", "label", "start", "scopes", "created_at", "expires_at", "used_at")
    return {"user": found.user.name, **{key: getattr(found, key) for key in keys}}


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    group.add_command(user)
    group.add_command(token)
