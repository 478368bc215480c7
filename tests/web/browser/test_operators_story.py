"""An operator mends the most damaging failure by the dashboard alone, on a real farm from a cold start.

The farm learns by itself what mends a missing ffi.h: its node heals one project. Then its nodes are told to try each
build once only, so that others fail of the same; one fails of something else, and is downloaded less.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.builder.pipeline.archives import PROJECTS, file, tar_of
from tests.upstream import FakeUpstream
from tests.web.people_kit import GOOD
from tests.whole_farm import Farm, new_farm

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
_PATIENCE_S = 240
_HEALED, _SAME, _OTHER = "eastwind", ("northwind", "southwind"), "westwind"
_DOWNLOADS = "northwind,900000\nsouthwind,40000\nwestwind,1000\neastwind,10\n"


@pytest.fixture(scope="module")
def site(image: object) -> Iterator[Farm]:  # noqa: ARG001 - the farm's node takes it
    """A farm that serves, learned one cure, and has three failed builds of two causes."""
    with FakeUpstream() as upstream, new_farm() as farm:
        for name in (_HEALED, *_SAME):
            upstream.add_file(name, _sdist(name, "needs-ffi"), filename=f"{name}-1.0.tar.gz")
        upstream.add_file(_OTHER, _sdist(_OTHER, "build-fails"), filename=f"{_OTHER}-1.0.tar.gz")
        own = farm.settings_file.read_text() + f'[upstream]\nindex_url = "{upstream.url}"\n[watch]\ncooldown_s = 0\n'
        farm.settings_file.write_text(own)
        _until_idle(farm, _HEALED)
        farm.settings_file.write_text(own + "[heal]\ntries = 1\n")
        (farm.folder / "ranking.csv").write_text(_DOWNLOADS)
        _good(farm, "request", *_SAME, _OTHER)
        _until_idle(farm, *_SAME, _OTHER)
        _good(farm, "ranking", farm.folder / "ranking.csv")
        _good(farm, "user", "add", "ada", "--role", "operator", typed=f"{GOOD}\n")
        farm.start()
        farm.wait_until_it_serves()
        yield farm


def test_an_operator_finds_the_most_damaging_failure_tries_what_mended_it_before_and_watches_it_succeed(
    site: Farm, browser: webdriver.Chrome
) -> None:
    screen = {"width": 1280, "height": 860, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(site.url)
    _link(browser, "Log in")
    for field, text in {"name": "ada", "password": GOOD}.items():
        browser.find_element(By.NAME, field).send_keys(text)
    browser.find_element(By.CSS_SELECTOR, ".form button").click()
    _until(browser, lambda: "ada" in browser.find_element(By.TAG_NAME, "header").text)

    _failures(browser, lambda rows: len(rows) == 2 and "940,000" in rows[0])
    causes = browser.find_elements(By.CSS_SELECTOR, "tbody tr")
    assert ["Header ffi.h is missing" in row.text for row in causes] == [True, False]
    _picture(browser, "1-failures")

    causes[0].find_element(By.TAG_NAME, "a").click()
    assert _shown(browser, "h1") == "Header ffi.h is missing"
    assert "fatal error: ffi.h: No such file or directory" in _shown(browser, ".evidence")
    assert "This mended 1 build that failed of the same" in _shown(browser, ".card")
    assert 'debian_packages = ["libffi-dev"]' in _shown(browser, ".card pre")
    assert {name for name in _SAME if name in _shown(browser, "main")} == set(_SAME)
    _picture(browser, "2-cause")

    browser.find_element(By.XPATH, "//button[starts-with(., 'Try it with build')]").click()
    assert "try-recipe" in _shown(browser, "h1")
    _until(browser, lambda: "Watch build" in _shown(browser, "main"))
    assert "done" in _shown(browser, ".lead")
    _picture(browser, "3-order")

    browser.find_element(By.PARTIAL_LINK_TEXT, "Watch build").click()
    mended = _shown(browser, "h1").split()[0]
    assert mended in _SAME
    assert "try-recipe" in _shown(browser, "main")
    _picture(browser, "4-rebuild")
    _until(browser, lambda: _shown(browser, ".note .pill") == "published")
    assert f"{mended}-1.0-py3-none-any.whl" in _shown(browser, ".card")
    _picture(browser, "5-published")

    _failures(browser, lambda rows: [mended in row for row in rows if "ffi.h" in row] == [False])
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []  # type: ignore[no-untyped-call]


def _sdist(name: str, project: str) -> bytes:
    """A project of ``tests/projects`` under another name."""
    here = PROJECTS / project
    members = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        "project.json": json.dumps({"name": name, "version": "1.0"}).encode(),
        "pyproject.toml": (here / "pyproject.toml").read_bytes(),
        "behaviour.py": (here / "behaviour.py").read_bytes(),
        "tiny_backend.py": (PROJECTS / "tiny_backend.py").read_bytes(),
        f"src/{name}/__init__.py": b"",
    }
    return tar_of(*(file(f"{name}-1.0/{path}", data) for path, data in members.items()))


def _until_idle(farm: Farm, *projects: str) -> None:
    chosen = farm.folder / "list.toml"
    chosen.write_text(f"projects = {json.dumps(projects)}\n")
    farm.call("run", "--until-idle", "--list", chosen, timeout_s=_PATIENCE_S)
    tried = {row["project"]: row["state"] for row in farm.json("builds", "--json")}
    assert set(projects) <= set(tried), tried


def _good(farm: Farm, *words: object, typed: str = "") -> None:
    called = farm.call(*words, typed=typed)
    assert called.returncode == 0, called.stderr


def _link(browser: webdriver.Chrome, text: str) -> None:
    browser.find_element(By.TAG_NAME, "header").find_element(By.LINK_TEXT, text).click()


def _failures(browser: webdriver.Chrome, are_so: Callable[[list[str]], bool]) -> None:
    """Open the page of failures until its rows are so: the master sorts them every few seconds."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        _link(browser, "Failures")
        rows = [row.text for row in browser.find_elements(By.CSS_SELECTOR, "tbody tr")]
        if are_so(rows):
            return
        assert time.monotonic() < deadline, rows
        time.sleep(0.5)


def _shown(browser: webdriver.Chrome, selector: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def _until(browser: webdriver.Chrome, is_so: Callable[[], object]) -> None:
    """Until the page tells so of itself, across the reloads that it does; nobody reloads it here."""
    WebDriverWait(browser, _PATIENCE_S, ignored_exceptions=[WebDriverException]).until(lambda _: is_so())


def _picture(browser: webdriver.Chrome, name: str) -> None:
    if os.environ.get("WRITE_REFERENCE"):
        _PICTURES.mkdir(exist_ok=True)
        browser.save_screenshot(str(_PICTURES / f"mend-{name}.png"))
