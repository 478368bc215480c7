"""``wheelfarm node add``: get to know a machine that shall build."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from master import audit, deploying, host_keys, identity, inspecting, judging, ssh
from master.cli.farm import reading, writing
from master.deploying import NewNode
from master.inspecting import Facts
from master.judging import Lack
from master.ssh import HostKey
from master.targets import Target
from schema import log, names
from schema.door import Door, answer, answer_json, as_json, columns, pass_door, progress
from schema.errors import NodeError, TrustError, UsageError
from schema.names import NodeName
from schema.platforms import Platform
from schema.printable import one_line
from schema.settings import Settings, find

_VARIABLE = re.compile(r"[a-z][a-z0-9_]*=")
_COMPARE = "on that machine itself: for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done"


def _variables(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for text in given:
        if not _VARIABLE.match(text):
            raise click.BadParameter(f"{text!r} is not VARIABLE=VALUE")
    return given


@click.command()
@click.argument("name", type=names.node_name)
@click.argument("target", type=Target.parse, metavar="USER@HOST[:PORT]")
@click.option(
    "--identity",
    "key_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Log in with this private key (without a passphrase); else with the farm's own.",
)
@click.option(
    "--host-key", metavar="SHA256:…", help="The fingerprint that the machine must show; nobody is asked then."
)
@click.option("--new-host-key", is_flag=True, help="Accept another host key than the one that was accepted before.")
@click.option("--yes", is_flag=True, help="Accept the host key that is shown, without asking.")
@click.option("--deploy", is_flag=True, help="Go on and have ansible make it a node.")
@click.option(
    "--inventory",
    type=click.Path(exists=True, path_type=Path),
    help="Your own ansible inventory, in which NAME is; else one of this master and NAME is written.",
)
@click.option(
    "-e",
    "--extra",
    "extra",
    metavar="VARIABLE=VALUE",
    multiple=True,
    callback=_variables,
    help="For ansible, such as node_firewall=true; may be given several times.",
)
@as_json
@pass_door
def add(
    door: Door,
    *,
    name: NodeName,
    target: Target,
    key_file: Path | None,
    host_key: str | None,
    new_host_key: bool,
    yes: bool,
    deploy: bool,
    inventory: Path | None,
    extra: tuple[str, ...],
    as_json: bool,
) -> int:
    """Accept the SSH host key of a machine that shall be node NAME, and see what it can build.

    Nothing is changed on that machine, unless with --deploy: then ansible sets it up and enrols it.
    """
    log.hush()
    settings = door.settings
    if deploy:
        deploying.check(settings)
    shown = _accepted(settings, name, target, host_key=host_key, new_host_key=new_host_key, yes=yes)
    progress(f"the farm's own key: {identity.public(settings.ssh)}")
    key = identity.of_a_person(key_file) if key_file else identity.own(settings.ssh)
    with ssh.connected(target, node=name, pinned=shown, key=key) as transport:
        facts = inspecting.inspect(transport, target)
    platforms = judging.native(facts, settings.farm.platforms)
    lacks = judging.lacks(facts, settings.farm.platforms)
    if inventory is None:
        lets_in = key_file or identity.file(settings.ssh)
        new = NewNode(name=name, target=target, host_key=shown, key_file=lets_in, platforms=platforms)
        inventory = deploying.write_inventory(settings, find(door.settings_file), new)
    following = deploying.command(inventory, name, extra)
    if as_json:
        answer_json(
            {
                "node": name,
                "target": str(target),
                "host_key": shown.fingerprint,
                "public_key": identity.public(settings.ssh),
                "facts": asdict(facts),
                "platforms": [str(platform) for platform in platforms],
                "lacks": [asdict(lack) for lack in lacks],
                "next": shlex.join(following),
            }
        )
    else:
        answer(_table(name, target, shown, facts, platforms))
        answer(_text(lacks))
        if not deploy:
            answer(f"next:\n  {shlex.join(following)}")
    return _deploy(following, name, lacks, only_stderr=as_json) if deploy else 0


def _accepted(
    settings: Settings, name: NodeName, target: Target, *, host_key: str | None, new_host_key: bool, yes: bool
) -> HostKey:
    """The key that the machine shows, which was accepted for this node before, or is now; raise TrustError if not."""
    shown = ssh.shown_host_key(target)
    with reading(settings) as session:
        is_pinned = host_keys.is_pinned(session, name, target, shown)
        if not new_host_key:
            host_keys.refuse_another(session, name, target, shown)
    if host_key is not None:
        _expect(host_key, target, shown)
    if is_pinned:
        return shown
    if host_key is None:
        _ask(target, shown, yes=yes)
    with writing(settings) as session:
        host_keys.pin(session, name, target, shown, who=audit.person())
    if new_host_key:
        progress(f"the host key is accepted; if node {name} was set aside for it: wheelfarm node resume {name}")
    return shown


def _deploy(command: Sequence[str], node: NodeName, lacks: Sequence[Lack], *, only_stderr: bool) -> int:
    """Have ansible do it, in sight of the person; 0 if it could."""
    if stopping := [lack.what for lack in lacks if lack.stops]:
        raise NodeError(f"it cannot be made a node as it is: {'; '.join(stopping)}")
    progress(f"$ {shlex.join(command)}")
    return deploying.run(command, node, only_stderr=only_stderr)


def _expect(fingerprint: str, target: Target, shown: HostKey) -> None:
    if fingerprint != shown.fingerprint:
        raise TrustError(
            f"{target.place} shows the host key {shown.fingerprint}, not {one_line(fingerprint, limit=80)}",
            advice=f"compare both with what is printed {_COMPARE}",
        )


def _ask(target: Target, shown: HostKey, *, yes: bool) -> None:
    """Raise TrustError unless a person says that the key is right, or that it need not be asked."""
    progress(f"{target.place} shows this host key ({shown.kind}): {shown.fingerprint}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "nobody is there to say whether the host key is right", advice=f"--host-key {shown.fingerprint}, or --yes"
        )
    progress(f"compare it with what is printed {_COMPARE}")
    if not click.confirm("is it the same?", err=True):
        raise TrustError("the host key was not accepted, and nothing was noted")


def _table(name: NodeName, target: Target, shown: HostKey, facts: Facts, platforms: tuple[Platform, ...]) -> str:
    machine = " on ".join(filter(None, (facts.release or facts.system, facts.model)))
    clock = f"{abs(facts.clock_s):.0f} s {'ahead' if facts.clock_s > 0 else 'behind'}"
    rows = [
        ("node", f"{name}, {target}"),
        ("host key", shown.fingerprint),
        ("machine", machine),
        ("kernel", f"{facts.kernel}, {facts.kernel_arch}"),
        ("userland", f"{facts.userland_arch or 'unknown'}, {facts.libc or 'unknown libc'}"),
        ("processors", facts.cores or "unknown"),
        ("memory", f"{judging.gib(facts.memory_bytes)}, and {judging.gib(facts.swap_bytes)} of swap"),
        ("free disk", judging.gib(facts.disk_free_bytes)),
        ("python3", judging.dotted(facts.python)),
        ("bubblewrap", judging.dotted(facts.bubblewrap)),
        ("control groups", "version 1" if facts.is_cgroup_v1 else " ".join(facts.controllers) or "none"),
        ("clock", "right" if abs(facts.clock_s) <= facts.clock_error_s else clock),
        ("can build", ", ".join(map(str, platforms)) or "nothing of what the farm builds for"),
    ]
    return columns(("what", "found"), rows)


def _text(lacks: list[Lack]) -> str:
    if not lacks:
        return "\nit lacks nothing\n"
    return "\n" + columns(("it lacks", "remedy"), [(lack.what, lack.remedy) for lack in lacks]) + "\n"
