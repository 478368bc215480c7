"""Publish and render one wheel as the master does; runs on a host, as the farm's user, beside its settings."""

from __future__ import annotations

import tempfile
from pathlib import Path

from master.site import Site
from master.store import Store
from schema.db.session import engine, transaction
from schema.settings import load
from tests import published

_BYTES = 1_000_000


def main() -> None:
    settings = load()
    store = Store(settings.store)
    site = Site(settings.site, store, settings.public_url, settings.farm.platforms)
    with tempfile.TemporaryDirectory() as folder, transaction(engine(settings.database_url)) as session:
        published.publish(session, store, published.wheel_file(Path(folder), "demo", "1.0", padding_bytes=_BYTES))
        site.rebuild(session)


if __name__ == "__main__":
    main()
