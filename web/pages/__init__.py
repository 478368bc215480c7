"""The pages for people, by subject, and the few answers for their scripts."""

from web.pages import builds, events, failures, farm, home, knowledge, projects, queue, wheels
from web.pages.asked import pages

__all__ = ["builds", "events", "failures", "farm", "home", "knowledge", "pages", "projects", "queue", "wheels"]
