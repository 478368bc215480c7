"""A filled farm behind the real server, and one headless Chromium for all of its tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from sqlalchemy import Engine, select

from schema.db import migrate
from schema.db.models import Failure
from schema.db.session import engine, transaction
from schema.settings import Settings, load
from tests.web import hostile, seed
from tests.web.server import settings_file, started

_CHROMIUM = "/usr/bin/chromium"
_CHROMEDRIVER = "/usr/bin/chromedriver"
_AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Farm:
    """A farm that people look at. builds: numbers by state; hostile: numbers of every hostile project's builds.

    clusters: addresses of the causes of which those have failed
    """

    url: str
    settings: Settings
    database: Engine
    builds: dict[str, int]
    hostile: dict[str, dict[str, int]]
    clusters: dict[str, list[str]]


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    file = settings_file(tmp_path_factory.mktemp("farm"))
    settings = load(file)
    database = engine(settings.database_url)
    migrate.upgrade(database)
    with transaction(database) as session:
        builds = {state: build.id for state, build in seed.farm(session, settings).items()}
        attacks = {key: hostile.project(session, settings, key) for key in hostile.PAYLOADS}
        rows = session.execute(select(Failure.build_id, Failure.cluster_id))
        causes = {build_id: f"/failures/{cluster_id}/" for build_id, cluster_id in rows}
    clusters = {key: [causes[numbers["failed"]]] for key, numbers in attacks.items()}
    with started(file) as server:
        yield Farm(
            url=server.url, settings=settings, database=database, builds=builds, hostile=attacks, clusters=clusters
        )
    database.dispose()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory, farm: Farm) -> Iterator[webdriver.Chrome]:
    for program in (_CHROMIUM, _CHROMEDRIVER):
        if not Path(program).exists():
            pytest.fail(
                f"{program} is not installed; `make test` installs it (Debian packages chromium, chromium-driver)"
            )
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # The driver's path is given, so that selenium never looks for one on the network.
    driver = webdriver.Chrome(options=options, service=Service(_CHROMEDRIVER))
    driver.set_page_load_timeout(30)
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _AXE.read_text(encoding="utf-8")})
    _warm(driver, farm.url)
    yield driver
    driver.quit()


def is_styled(driver: webdriver.Chrome) -> bool:
    """Whether the page's stylesheet has come: without it nothing can be said of what fits."""
    return bool(driver.execute_script("return [...document.styleSheets].some((sheet) => sheet.cssRules.length)"))


def _warm(driver: webdriver.Chrome, url: str) -> None:
    """A browser that has just started may drop its first connections; seen once: a page without its stylesheet."""
    for _ in range(5):
        driver.get(url)
        if is_styled(driver):
            return
        time.sleep(1)
    pytest.fail(f"the stylesheet does not come: {driver.current_url}")
