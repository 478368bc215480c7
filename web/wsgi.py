"""The door for any WSGI server: ``web.wsgi:application()`` makes the application from the settings of this machine."""

from __future__ import annotations

from flask import Flask

from schema import log, settings
from web.app import create_app


def application() -> Flask:
    """Read the settings as every command of the farm does; raise SettingsError."""
    log.set_up("web")
    return create_app(settings.load())
