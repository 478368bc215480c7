"""A site as the master renders it, with a little of everything, for the tests of its server and of installers."""

from __future__ import annotations

import sys
from pathlib import Path

from flask import Flask

from master.site import Site
from master.store import Store
from schema.db import migrate
from schema.db.models import Wheel
from schema.db.session import engine, transaction
from schema.platforms import Platform, this_machine
from schema.states import BuildState
from tests import published, rows
from web.index import Index

HERE = Platform.parse(f"debian12-{this_machine()}-cp3{sys.version_info.minor}")
PLATFORMS = (HERE, Platform.parse("debian13-riscv64-cp313"))
NATIVE_TAG = f"{HERE.python}-{HERE.python}-linux_{HERE.arch}"
YANKED_BECAUSE = 'broken: "really" <&>'
BIG_BYTES = 3_000_000
REPEATED = {"big-1.0-py3-none-any.whl": "equivalent", "old-1.0-py3-none-any.whl": "differs"}

# name, version, and what makes it special
_WHEELS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("demo", "1.0", {}),
    ("demo", "1.1", {}),  # yanked below
    ("demo", "2.0", {"requires_python": ">=3.99"}),
    ("app", "1.0", {"requires": ["lib<2"]}),
    ("app", "2.0", {"requires": ["lib>=3"]}),  # no such lib: an installer steps back to app 1.0
    ("lib", "1.0", {}),
    ("lib", "1.9", {"build": "1"}),
    ("lib", "2.0", {}),
    ("Mixed.Name", "1.0", {}),
    ("plus", "1.0+local.1", {}),
    ("big", "1.0", {"padding_bytes": BIG_BYTES}),
    ("old", "1.0", {}),  # archived below
    ("bad", "1.0", {}),  # quarantined below
    ("held", "1.0", {}),  # 2.0 fails below
)


def make(folder: Path, public_url: str) -> Path:
    """Render it; return the site's folder."""
    source = folder / "wheels"
    source.mkdir(parents=True)
    store = Store(folder / "store")
    site = Site(folder / "site", store, public_url, PLATFORMS)
    database = engine(f"sqlite:///{folder / 'farm.sqlite'}")
    migrate.upgrade(database)
    with transaction(database) as session:
        for name, version, special in _WHEELS:
            wheel = published.wheel_file(source, name, version, **special)  # type: ignore[arg-type]
            published.publish(session, store, wheel, platform=str(HERE))
        native = published.wheel_file(source, "native", "1.0", tag=NATIVE_TAG)
        published.publish(session, store, native, view=HERE.view, platform=str(HERE))
        session.get_one(Wheel, "demo-1.1-py3-none-any.whl").yanked = YANKED_BECAUSE
        published.project(session, "old").status = "archived"
        published.project(session, "bad").status = "quarantined"
        failed = {"version": "2.0", "platform": str(HERE), "state": BuildState.FAILED, "reason": "no gcc"}
        rows.build(session, published.project(session, "held"), **failed)
        for filename, verdict in REPEATED.items():
            published.repeat(session, session.get_one(Wheel, filename), verdict)
        session.flush()
        site.rebuild(session)
    site.place_authority("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
    database.dispose()
    return site.folder


def app(site: Path) -> Flask:
    """The smallest app that serves it."""
    made = Flask("sample")
    made.wsgi_app = Index(made.wsgi_app, site)  # type: ignore[assignment, method-assign]
    return made
