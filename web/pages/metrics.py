"""The farm's figures for Prometheus."""

from __future__ import annotations

from typing import cast

from flask import Response, current_app, request

from schema.db import metrics
from web.latency import Latency
from web.pages import asked
from web.pages.asked import pages
from web.people.needs import METRICS, needs
from web.people.person import METRICS as ADDRESS


@pages.get(ADDRESS)
@needs(METRICS)
def figures() -> Response:
    """What ``wheelfarm metrics`` prints, and how fast the index answers."""
    latency = cast("Latency", current_app.extensions["latency"])
    with asked.database().reading() as session:
        found = metrics.families(session, silent_s=asked.settings().timing.lease_s)
    data, content_type = metrics.text([*found, latency.family()], request.headers.get("Accept", ""))
    return Response(data, content_type=content_type, headers={"Cache-Control": "no-store"})
