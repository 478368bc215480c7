"""The pages in a real browser, from the real server: they fit, they report nothing, they work without scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from sqlalchemy import select

from schema.db.models import Attempt, Build, Node
from schema.db.session import transaction
from tests.web import hostile, seed
from tests.web.browser.conftest import Farm, is_styled

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTHS = [360, 768, 1280]
SCHEMES = ["light", "dark"]
PAGES = {
    "home": "/",
    "project": "/project/cffi/",
    "pure project": "/project/click/",
    "missing project": "/project/nosuchthing/",
    "builds": "/builds/",
    "nodes": "/nodes/",
    "projects": "/search",
    "search": "/search?q=nothing-like-it",
    "published": "/build/{published}/",
    "failed": "/build/{failed}/",
    "leased": "/build/{leased}/",
    "queued": "/build/{queued}/",
    "poisoned": "/build/{poisoned}/",
    "anatomy": "/wheel/cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl/",
    "no anatomy": "/wheel/click-8.3.1-py3-none-any.whl/",
}

_OVERFLOW = """
const wide = [...document.querySelectorAll("body *")].filter(
  (item) => item.getBoundingClientRect().right > innerWidth + 1 && !item.closest(".scroll, .unseen, .skip, pre"));
return [document.documentElement.scrollWidth, wide.map((item) => item.outerHTML.slice(0, 120))];
"""
_CONTRAST = """
const parse = (text) => text.match(/[0-9.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, index) => sum + v * [0.2126, 0.7152, 0.0722][index], 0);
const behind = (item) => {
  for (; item; item = item.parentElement) {
    const colour = getComputedStyle(item).backgroundColor;
    if (colour.startsWith("rgb(")) return parse(colour);
  }
  return [255, 255, 255];
};
const poor = [];
for (const item of document.querySelectorAll("body *")) {
  const says = [...item.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!says || item.closest("noscript, select, .unseen") || !item.offsetParent) continue;
  const [a, b] = [light(parse(getComputedStyle(item).color)), light(behind(item))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) poor.push(ratio.toFixed(2) + " " + item.outerHTML.slice(0, 100));
}
return poor;
"""


@pytest.fixture
def look(browser: webdriver.Chrome, farm: Farm) -> Iterator[Callable[..., webdriver.Chrome]]:
    """Open a page at a width, in a colour scheme; afterwards the browser is as it was."""

    def open_page(path: str, *, width: int = 1280, scheme: str = "light", scripts: bool = True) -> webdriver.Chrome:
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        browser.get(farm.url + path.format(**farm.builds))
        WebDriverWait(browser, 10).until(is_styled, f"the stylesheet of {path} does not come")
        return browser

    _reports(browser)
    yield open_page
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.get("about:blank")
    _reports(browser)


def _reports(browser: webdriver.Chrome) -> list[Any]:
    """What stands on the console, reports of the content security policy included."""
    return list(browser.get_log("browser"))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_fits_and_reports_nothing(
    look: Callable[..., webdriver.Chrome], page: str, width: int, scheme: str
) -> None:
    browser = look(PAGES[page], width=width, scheme=scheme)

    across, wide = browser.execute_script(_OVERFLOW)

    assert across <= width
    assert wide == []
    assert browser.execute_script(_CONTRAST) == []
    assert browser.find_elements(By.TAG_NAME, "h1")
    assert _reports(browser) == []


@pytest.mark.parametrize("key", hostile.PAYLOADS)
def test_hostile_texts_run_no_script(look: Callable[..., webdriver.Chrome], farm: Farm, key: str) -> None:
    paths = ["/", "/nodes/", "/builds/", f"/project/hostile-{key}/", f"/search?q=hostile-{key}"]
    paths += [f"/build/{number}/" for number in farm.hostile[key].values()]
    paths += [f"/wheel/hostile_{key}-2.0-py3-none-any.whl/"]

    for path in paths:
        browser = look(path, width=360)
        for item in browser.find_elements(By.CSS_SELECTOR, "summary"):
            item.click()

        across, _ = browser.execute_script(_OVERFLOW)

        assert browser.execute_script("return window.pwned") is None, path
        assert across <= 360, path
        assert _reports(browser) == [], path


def test_hostile_news_of_a_running_build_run_no_script(look: Callable[..., webdriver.Chrome], farm: Farm) -> None:
    for key in ("script", "image", "closing", "code"):
        browser = look(f"/build/{farm.hostile[key]['leased']}/")
        steps = browser.find_element(By.ID, "steps")
        browser.execute_script("document.getElementById('steps').replaceChildren()")

        WebDriverWait(browser, 10).until(lambda page: page.find_element(By.ID, "steps").text != "")

        assert hostile.PAYLOADS[key][:20] in steps.text
        assert browser.execute_script("return window.pwned") is None
        assert _reports(browser) == []


def test_without_scripts_the_pages_and_their_choosers_work(look: Callable[..., webdriver.Chrome]) -> None:
    browser = look("/", scripts=False)
    browser.find_element(By.CSS_SELECTOR, "label[for=way-uv]").click()
    shown = [item.text for item in browser.find_elements(By.CSS_SELECTOR, ".panel pre") if item.is_displayed()]

    browser.find_element(By.LINK_TEXT, "Debian 12, aarch64").click()
    chosen = browser.find_element(By.CSS_SELECTOR, ".panel pre").text

    assert len(shown) == 1
    assert shown[0].startswith("uv pip install ")
    assert "/debian12-aarch64/simple/" in chosen


def test_without_scripts_the_page_of_a_running_build_loads_itself_again(
    look: Callable[..., webdriver.Chrome], farm: Farm
) -> None:
    browser = look("/build/{leased}/", scripts=False)
    log = browser.find_element(By.ID, "log")
    file = farm.settings.logs / str(farm.builds["leased"]) / "1.log"
    file.write_text(seed.LOG + "a line without scripts\n", encoding="utf-8")

    WebDriverWait(browser, 15, ignored_exceptions=[Exception]).until(
        lambda page: "a line without scripts" in page.find_element(By.ID, "log").text
    )

    assert log.id != browser.find_element(By.ID, "log").id


def test_search_by_keyboard(look: Callable[..., webdriver.Chrome]) -> None:
    browser = look("/")
    browser.find_element(By.ID, "q").send_keys("CFF", Keys.ENTER)

    WebDriverWait(browser, 10).until(lambda page: "q=CFF" in page.current_url)

    assert browser.find_element(By.CSS_SELECTOR, ".list a").text == "cffi"


def test_the_first_tab_stop_skips_to_the_content_and_focus_is_visible(look: Callable[..., webdriver.Chrome]) -> None:
    browser = look("/")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)

    focused = browser.switch_to.active_element

    assert focused.text == "Skip to the content"
    assert focused.value_of_css_property("outline-style") == "solid"


def test_the_page_of_a_running_build_follows_it_to_its_end(look: Callable[..., webdriver.Chrome], farm: Farm) -> None:
    number = farm.builds["leased"]
    file = farm.settings.logs / str(number) / "1.log"
    browser = look(f"/build/{number}/")
    WebDriverWait(browser, 10).until(lambda page: "part_1199.o" in page.find_element(By.ID, "log").text)

    with transaction(farm.database) as session:
        for node in session.scalars(select(Node)):
            node.heard_at = datetime.now(UTC)  # the farm may have been filled minutes ago
        attempt = session.scalars(select(Attempt).where(Attempt.build_id == number)).one()
        attempt.steps = seed.steps(5, running=True)
        file.write_text(seed.LOG + "repairing the wheel\n", encoding="utf-8")
    WebDriverWait(browser, 10).until(lambda page: "repairing the wheel" in page.find_element(By.ID, "log").text)
    steps = browser.find_element(By.ID, "steps").text
    sentence = browser.find_element(By.ID, "sentence").text

    with transaction(farm.database) as session:
        session.get_one(Build, number).state = "failed"
        build = session.get_one(Build, number)
        build.leased_to = build.lease_until = None
        attempt = session.scalars(select(Attempt).where(Attempt.build_id == number)).one()
        attempt.outcome, attempt.failure_class, attempt.message = "failed", "timeout", "three hours are over"
        attempt.finished_at = datetime.now(UTC)
    WebDriverWait(browser, 10, ignored_exceptions=[Exception]).until(
        lambda page: "three hours are over" in page.find_element(By.ID, "sentence").text
    )

    assert "repair" in steps
    assert "now at step “repair”" in sentence
    assert browser.find_elements(By.CSS_SELECTOR, "[data-progress]") == []
    assert _reports(browser) == []
