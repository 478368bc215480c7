"""What waits, and what the farm builds for."""

from __future__ import annotations

from flask import render_template

from web.pages import asked
from web.pages.asked import pages
from web.platforms import platforms_page
from web.queue import queue_page


@pages.get("/queue/")
def queue() -> str:
    """What waits for a node, in order, with the score of each build."""
    with asked.database().reading() as session:
        page = queue_page(session, platform=asked.text("platform"), after=asked.number("after"))
    return render_template("queue.html", page=page)


@pages.get("/platforms/")
def platforms() -> str:
    """Each platform with its nodes, and how its builds stand."""
    with asked.database().reading() as session:
        places = platforms_page(session, farm=asked.settings().farm.platforms, rules=asked.rules())
    return render_template("platforms.html", places=places)
