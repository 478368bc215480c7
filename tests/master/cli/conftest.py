"""A farm that was started once, and its command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from master.cli import farm as command
from schema import door
from schema.db import migrate
from schema.db.session import engine
from schema.settings import Settings, load
from tests.receiver import Receiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """How a call of ``wheelfarm`` ended."""

    code: Any
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Called]


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    file = tmp_path / "farm.toml"
    file.write_text(f'[farm]\nhome = "{tmp_path}/home"\nplatforms = ["debian12-x86_64-cp311"]\n')
    return file


@pytest.fixture
def settings(settings_file: Path) -> Settings:
    """Of a farm whose database was made."""
    found = load(settings_file)
    made = engine(found.database_url)
    migrate.upgrade(made)
    made.dispose()
    return found


@pytest.fixture
def wheelfarm(settings_file: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call ``wheelfarm`` with arguments."""

    def call(*arguments: object) -> Called:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            door.run(command, name="wheelfarm", arguments=["--settings", str(settings_file), *map(str, arguments)])
        out, err = capsys.readouterr()
        return Called(code=end.value.code, out=out, err=err)

    return call


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Of webhooks, on loopback."""
    with Receiver() as made:
        yield made
