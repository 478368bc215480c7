"""The dashboard and the alert rules in the docs ask for figures that there are, and do what they say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from schema.db import metrics, totals
from schema.db.models import Leadership
from schema.db.session import transaction
from schema.settings import Settings
from schema.states import AttemptOutcome
from tests import entries
from tests.entries import HERE, later
from tests.web import seed
from web.latency import Latency

_DOCS = Path(__file__).parents[2] / "docs" / "monitoring"
_NAME = re.compile(r"\bwheelfarm_[a-z0-9_]+")
_PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(_PROMTOOL is None, reason="promtool (Debian's package prometheus) is not installed")


def _dashboard() -> dict[str, Any]:
    found = json.loads((_DOCS / "grafana.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def _queries() -> Iterator[str]:
    """Of the dashboard and of the rules."""
    for panel in _dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for group in yaml.safe_load((_DOCS / "alerts.yml").read_text(encoding="utf-8"))["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.fixture
def scrape(database: Engine, settings: Settings, tmp_path: Path) -> str:
    """Everything that a busy farm tells."""
    with transaction(database) as session:
        seed.farm(session, settings)
        entries.alarm(session)
        entries.mark(session, "feed", finished_at=entries.ago())
        session.add(Leadership(id=1, holder="farm-a:4711", epoch=1, until=later(minutes=1)))
        totals.note(session, HERE, outcome=AttemptOutcome.BUILT, what="built", seconds=9.0)
    latency = Latency(tmp_path / "latency")
    latency.observe("page", 0.001)
    with transaction(database) as session:
        found = [*metrics.families(session, silent_s=90), latency.family()]
    return metrics.text(found)[0].decode()


def test_every_figure_that_is_asked_for_is_told(scrape: str) -> None:
    told = {sample.name for family in text_string_to_metric_families(scrape) for sample in family.samples}
    asked = {name for query in _queries() for name in _NAME.findall(query)}

    assert asked - told == set()
    assert len(asked) > 20


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = _dashboard()
    panels = dashboard["panels"]

    assert {"title", "uid", "schemaVersion", "templating", "time"} <= set(dashboard)
    assert dashboard.get("id") is None  # it would take another's place
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
        assert panel["type"] in {"stat", "timeseries", "table"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    (group,) = yaml.safe_load((_DOCS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    tested = yaml.safe_load((_DOCS / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]

    for rule in group["rules"]:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
    assert {rule["alert"] for rule in group["rules"]} == {
        item["alertname"] for test in tested for item in test["alert_rule_test"] if item["exp_alerts"]
    }


@needs_promtool
def test_prometheus_takes_the_figures(scrape: str) -> None:
    checked = _promtool("check", "metrics", given=scrape)

    assert (checked.returncode, checked.stdout) == (0, "")


@needs_promtool
def test_the_alerts_begin_and_end_as_they_should() -> None:
    assert _promtool("check", "rules", "alerts.yml").returncode == 0
    tested = _promtool("test", "rules", "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout


def _promtool(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_PROMTOOL or "", *arguments],
        check=False,
        input=given,
        cwd=_DOCS,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
