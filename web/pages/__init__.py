"""The pages for people, by subject, and the few answers for their scripts."""

from web.pages import badges, builds, events, failures, farm, home, knowledge, metrics, projects, queue, wheels
from web.pages.asked import pages

__all__ = [
    "badges",
    "builds",
    "events",
    "failures",
    "farm",
    "home",
    "knowledge",
    "metrics",
    "pages",
    "projects",
    "queue",
    "wheels",
]
