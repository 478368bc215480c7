"""The pages for people, by subject, and the few answers for their scripts."""

from web.pages import builds, farm, home, projects, wheels
from web.pages.asked import pages

__all__ = ["builds", "farm", "home", "pages", "projects", "wheels"]
