"""``wheelfarm anatomy``: what is in a wheel, what it needs, and where it can run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from master import anatomies, audit
from master.cli.farm import database, reading
from master.store import Store
from schema.db.session import transaction
from schema.door import Door, Group, answer, answer_json, as_json, columns, pass_door, progress
from schema.errors import UsageError
from schema.settings import Settings
from schema.wheels.examine import examine

_FILES = ("FILE", "KIND", "BYTES", "RELRO", "NOW", "STACK", "PROTECTOR", "FORTIFY", "PIE", "KEPT", "NEEDS")
_YES = {True: "yes", False: "no", None: "-"}
_STACK = {True: "executable", False: "data", None: "unsaid"}


@click.command()
@click.argument("wheel", required=False, metavar="FILE|FILENAME")
@click.option("--missing", is_flag=True, help="Examine every published wheel that was not yet, for its page.")
@as_json
@pass_door
def anatomy(door: Door, *, wheel: str | None, missing: bool, as_json: bool) -> int:
    """What is in a wheel, what its compiled files need, and where it can run.

    FILE is a wheel on this machine: no farm is needed, and nothing of it runs. FILENAME is one that the farm published.
    Exit 1 if --missing met a wheel that cannot be examined.
    """
    if missing == (wheel is not None):
        raise UsageError("name one wheel, or give --missing")
    if wheel is None:
        return _examine_missing(door.settings, as_json=as_json)
    found = _found(door, wheel)
    answer_json(found) if as_json else answer("\n".join(_lines(found)))
    return 0


def _found(door: Door, wheel: str) -> dict[str, Any]:
    path = Path(wheel)
    if path.is_file():
        try:
            return examine(path).to_json()
        except OSError as err:
            raise UsageError(f"{path}: cannot be read: {err.strerror}") from err
    settings = door.settings
    with reading(settings) as session:
        return anatomies.of_published(session, Store(settings.store), wheel)


def _examine_missing(settings: Settings, *, as_json: bool) -> int:
    with database(settings) as opened:
        with transaction(opened) as session:
            audit.note(session, who=audit.person(), action="anatomy", subject=audit.FARM)
        done = anatomies.examine_missing(opened, Store(settings.store), tell=progress)
    if as_json:
        answer_json(asdict(done))
    else:
        answer(f"{done.wheels} wheels examined, {len(done.failed)} cannot be")
    return 1 if done.failed else 0


def _lines(found: dict[str, Any]) -> Iterator[str]:
    where, licenses = found["portability"], found["licenses"]
    facts = [
        ("file", found["filename"]),
        ("sha256", found["sha256"]),
        ("bytes", f"{found['size_bytes']} packed, {found['unpacked_bytes']} unpacked, in {found['members']} files"),
        ("tags", " ".join(where["tags"])),
        ("policy", where["policy"] or ("none" if where["arch"] else "no compiled files for Linux")),
        ("symbols", _families(where["versions"])),
        ("outside", " ".join(where["outside"])),
        ("licence", "; ".join([licenses["expression"], *licenses["older"]]).strip("; ")),
        ("licence files", " ".join(licenses["files"])),
    ]
    yield from (f"{name:14}{text}" for name, text in facts if text)
    yield from (f"{'beyond':14}{text}" for text in where["beyond"])
    if found["grafted"]:
        rows = [
            (item["name"], item["size_bytes"], item["package"], item["version"], ", ".join(item["licenses"]))
            for item in found["grafted"]
        ]
        yield "\n" + columns(("GRAFTED", "BYTES", "PACKAGE", "VERSION", "LICENCES"), rows)
    if found["files"]:
        yield "\n" + columns(_FILES, [_row(item) for item in found["files"]])
    if found["files_left_out"]:
        yield f"and {found['files_left_out']} compiled files more"
    groups = [(item["suffix"], item["files"], item["size_bytes"]) for item in found["others"]]
    yield "\n" + columns(("NOT COMPILED", "FILES", "BYTES"), groups)


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    needs = [
        library["name"] + {"wheel": " (wheel)", "policy": "", "outside": " (outside)"}[library["place"]]
        for library in item["libraries"]
    ]
    guards = item["hardening"]
    hardened: tuple[str, ...] = ("",) * 6
    if guards is not None:
        hardened = (
            *(guards["relro"], _YES[guards["bind_now"]], _STACK[guards["executable_stack"]]),
            *(_YES[guards[name]] for name in ("stack_protector", "fortified", "pie")),
        )
    last = item["fault"] or " ".join([*needs, _families(item["versions"])])
    return (item["name"], item["kind"], item["size_bytes"], *hardened, item["kept"], last)


def _families(versions: dict[str, str]) -> str:
    return " ".join(f"{family}_{number}" for family, number in versions.items())


def add_to(group: Group) -> None:
    """Add the command to *group*."""
    group.add_command(anatomy)
