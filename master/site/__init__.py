"""The index as a tree of static files, rendered from the database: any web server can serve it."""

from master.site.renderer import Site

__all__ = ["Site"]
