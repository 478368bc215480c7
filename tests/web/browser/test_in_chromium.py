"""The pages in a real browser, from the real server: they fit, they report nothing, they work without scripts."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import product
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from sqlalchemy import select

from schema.db.models import Attempt, Build, Node
from schema.db.session import transaction
from tests import entries
from tests.web import hostile, seed
from tests.web.browser.conftest import Farm, is_styled
from web.app import create_app
from web.live import MOST_STREAMS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTHS = [360, 800, 1440]
SCHEMES = ["light", "dark"]
# Endpoint → addresses; of those with a number, of a build of the seed farm in that state.
PAGES = {
    "pages.home": ["/"],
    "pages.install": ["/install/", "/install/?view=debian12-aarch64&name=cffi"],
    "pages.search": ["/search", "/search?q=nothing-like-it"],
    "pages.project": ["/project/cffi/", "/project/click/", "/project/nosuchthing/"],
    "pages.builds": ["/builds/"],
    "pages.build": [
        "/build/{published}/",
        "/build/{failed}/",
        "/build/{leased}/",
        "/build/{queued}/",
        "/build/{held}/",
    ],
    "pages.wheel": [
        "/wheel/cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl/",
        "/wheel/click-8.3.1-py3-none-any.whl/",
    ],
    "pages.nodes": ["/nodes/"],
    "pages.platforms": ["/platforms/"],
    "pages.queue": ["/queue/"],
    "pages.failures": ["/failures/", "/failures/?class=wheel"],
    "pages.failure": ["/failures/1/", "/failures/2/"],
    "pages.recipes": ["/recipes/"],
    "pages.farm": ["/farm/"],
    "pages.audit": ["/audit/"],
    "pages.settings": ["/settings/"],
}
# What a browser shows no page for.
FOR_PROGRAMS = {
    "pages.badge",
    "pages.badge_of",
    "pages.build_events",
    "pages.events",
    "pages.figures",
    "pages.health",
    "pages.log",
    "pages.portability",
    "pages.progress",
    "pages.wheel_anatomy",
}
GRAVE = {"serious", "critical"}
# How often the page asked for news of its build.
_ASKED = """return performance.getEntriesByType("resource").map((item) => item.name)
    .filter((name) => name.endsWith("progress.json"));"""

_OVERFLOW = """
const wide = [...document.querySelectorAll("body *")].filter(
  (item) => item.getBoundingClientRect().right > innerWidth + 1 && !item.closest(".scroll, .unseen, .skip, pre"));
return [document.documentElement.scrollWidth, wide.map((item) => item.outerHTML.slice(0, 120))];
"""
_AXE = """
const done = arguments[arguments.length - 1];
const rules = arguments[0] ? { runOnly: [arguments[0]] } : {};
axe.run(document, { resultTypes: ["violations"], ...rules }).then((found) => done(found.violations.map((item) =>
  [item.impact, item.id + ": " + item.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")])));
"""


@pytest.fixture
def look(browser: webdriver.Chrome, farm: Farm) -> Iterator[Callable[..., webdriver.Chrome]]:
    """Open a page at a width, in a colour scheme; afterwards the browser is as it was."""

    def open_page(path: str, *, width: int = 1440, scheme: str = "light", scripts: bool = True) -> webdriver.Chrome:
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        _scheme(browser, scheme)
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        browser.get(farm.url + path.format(**farm.builds))
        WebDriverWait(browser, 10).until(is_styled, f"the stylesheet of {path} does not come")
        return browser

    _reports(browser)
    yield open_page
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.get("about:blank")
    _reports(browser)


def _scheme(browser: webdriver.Chrome, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def _reports(browser: webdriver.Chrome) -> list[Any]:
    """What stands on the console, reports of the content security policy included."""
    return list(browser.get_log("browser"))  # type: ignore[no-untyped-call]


def test_every_page_that_the_front_end_has_is_opened_here(farm: Farm) -> None:
    app = create_app(farm.settings)
    rules = {rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint.startswith("pages.")}

    assert rules - FOR_PROGRAMS == set(PAGES)


@pytest.mark.parametrize("endpoint", PAGES)
def test_every_page_fits_reports_nothing_and_can_be_used_by_everybody(
    look: Callable[..., webdriver.Chrome], endpoint: str
) -> None:
    for path, width in product(PAGES[endpoint], WIDTHS):
        browser = look(path, width=width)
        for item in browser.find_elements(By.CSS_SELECTOR, "summary"):
            item.click()

        across, wide = browser.execute_script(_OVERFLOW)
        reports = _reports(browser)
        # The rules about what is there hold for any width but the one at which tables become blocks, and any colours.
        found = browser.execute_async_script(_AXE, None) if width != WIDTHS[1] else []
        for scheme in SCHEMES[1:]:
            _scheme(browser, scheme)
            found += browser.execute_async_script(_AXE, "color-contrast")

        assert across <= width, path
        assert wide == [], path
        assert len(browser.find_elements(By.TAG_NAME, "h1")) == 1, path
        assert [text for impact, text in found if impact in GRAVE] == [], f"{path} {width}"
        assert [*reports, *_reports(browser)] == [], path


@pytest.mark.parametrize("key", hostile.PAYLOADS)
def test_hostile_texts_run_no_script(look: Callable[..., webdriver.Chrome], farm: Farm, key: str) -> None:
    paths = ["/", "/nodes/", "/builds/", f"/project/hostile-{key}/", f"/search?q=hostile-{key}"]
    paths += [f"/build/{number}/" for number in farm.hostile[key].values()]
    paths += [
        f"/wheel/hostile_{key}-2.0-py3-none-any.whl/",
        "/failures/",
        *farm.clusters[key],
        "/queue/",
        "/platforms/",
    ]
    paths += ["/recipes/", "/farm/", "/audit/", f"/queue/?platform={quote(hostile.PAYLOADS[key][:200])}"]

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
    # The log and the rest of the page come apart.
    _wait_for_text(browser, "steps", "repair")
    _wait_for_text(browser, "sentence", "now at step “repair”")
    asked = browser.execute_script(_ASKED)

    with transaction(farm.database) as session:
        session.get_one(Build, number).state = "failed"
        build = session.get_one(Build, number)
        build.leased_to = build.lease_until = None
        attempt = session.scalars(select(Attempt).where(Attempt.build_id == number)).one()
        attempt.outcome, attempt.failure_class, attempt.message = "failed", "timeout", "three hours are over"
        attempt.finished_at = datetime.now(UTC)
    _wait_for_text(browser, "sentence", "three hours are over")

    assert asked == []
    assert browser.find_elements(By.CSS_SELECTOR, "[data-progress]") == []
    assert _reports(browser) == []


def _wait_for_text(browser: webdriver.Chrome, place: str, text: str) -> None:
    """Until the element of that id shows *text*; it may be replaced while it is looked at."""
    WebDriverWait(browser, 10, ignored_exceptions=[Exception]).until(
        lambda page: text in page.find_element(By.ID, place).text, f"no {text!r} in {place}"
    )


def test_the_page_of_a_running_build_asks_for_itself_while_nothing_is_sent(
    look: Callable[..., webdriver.Chrome], farm: Farm
) -> None:
    with transaction(farm.database) as session:
        leased: dict[str, Any] = {
            "state": "leased",
            "leased_to": "pi4-a",
            "leased_at": entries.ago(),
            "lease_until": entries.later(days=1),
        }
        build = entries.build(session, entries.project(session, "followed"), fence=1, **leased)
        attempt = entries.attempt(session, build, node="pi4-a", steps=seed.steps(2, running=True))
    file = farm.settings.logs / str(build.id) / "1.log"
    file.parent.mkdir(parents=True)
    file.write_text("begun\n")
    browser = look("/builds/")
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [f"*/build/{build.id}/events"]})
    browser = look(f"/build/{build.id}/")

    file.write_text("begun\ngoes on\n")
    WebDriverWait(browser, 20).until(lambda page: "goes on" in page.find_element(By.ID, "log").text)

    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    browser.execute_cdp_cmd("Network.disable", {})
    assert browser.execute_script(_ASKED) != []
    with transaction(farm.database) as session:
        session.merge(attempt).finished_at = entries.ago()
        kept = session.get_one(Build, build.id)
        kept.state, kept.leased_to, kept.lease_until = "failed", None, None
    assert [item["message"] for item in _reports(browser) if "/events" not in item["message"]] == []


def test_the_first_page_shows_news_without_being_loaded_again(
    look: Callable[..., webdriver.Chrome], farm: Farm
) -> None:
    browser = look("/")
    browser.execute_script("window.here = true")
    with transaction(farm.database) as session:
        alarm = entries.alarm(session, "news", text="<img src=x onerror=window.pwned=1> Something new: `look`.")

    WebDriverWait(browser, 20).until(lambda page: "Something new" in page.find_element(By.ID, "live-alarms").text)
    with transaction(farm.database) as session:
        session.merge(alarm).ended_at = datetime.now(UTC)
    WebDriverWait(browser, 20).until(lambda page: "Something new" not in page.find_element(By.ID, "live-alarms").text)

    assert browser.execute_script("return window.here") is True
    assert browser.execute_script("return window.pwned") is None
    assert _reports(browser) == []


def test_where_too_many_listen_the_page_asks_from_time_to_time(
    look: Callable[..., webdriver.Chrome], farm: Farm
) -> None:
    with ExitStack() as listening:
        for _ in range(2 * MOST_STREAMS):
            connection = http.client.HTTPConnection(str(urlsplit(farm.url).netloc), timeout=20)
            listening.callback(connection.close)
            connection.request("GET", "/events?topic=queue")
            if connection.getresponse().status == 503:
                break
        browser = look("/nodes/")
        with transaction(farm.database) as session:
            session.get_one(Node, "pi4-a").state = "draining"

        WebDriverWait(browser, 30).until(
            lambda page: page.find_element(By.ID, "live-load").text.count("draining") > len(hostile.PAYLOADS) + 1
        )

    with transaction(farm.database) as session:
        session.get_one(Node, "pi4-a").state = "active"
    messages = [item["message"] for item in _reports(browser)]
    assert [text for text in messages if "503" not in text and "/vendor/htmx" not in text] == []


def test_what_is_looked_for_in_a_log_is_marked_and_its_step_opened(
    look: Callable[..., webdriver.Chrome], farm: Farm
) -> None:
    file = farm.settings.logs / str(farm.builds["poisoned"]) / "2.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = "--- fetch\n<i>Needle</i> one\n--- build\nhay\nneedle two\n--- sign\nhay\n"
    file.write_text(lines, encoding="utf-8")
    browser = look("/build/{poisoned}/")
    steps = browser.find_elements(By.CSS_SELECTOR, "#log details")
    opened = [step.get_attribute("open") is not None for step in steps]

    browser.find_element(By.ID, "find").send_keys("NEEDLE", Keys.ENTER)
    marks = browser.find_elements(By.CSS_SELECTOR, "#log mark")
    first = browser.find_element(By.CSS_SELECTOR, "mark.here").text
    browser.find_element(By.ID, "find").send_keys(Keys.ENTER)
    second = browser.find_element(By.CSS_SELECTOR, "mark.here").text

    assert opened == [False, False, True]
    assert [step.get_attribute("open") is not None for step in steps] == [True, True, True]
    assert [mark.text for mark in marks] == ["Needle", "needle"]
    assert (first, second) == ("Needle", "needle")
    assert browser.find_element(By.CSS_SELECTOR, ".find output").text == "2 of 2"
    assert _reports(browser) == []
