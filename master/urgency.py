"""Which of the projects that are due is looked at first: the more urgent, the further back lies its ``check_at``.

So a first import of all of the upstream, which takes a day, holds up neither news nor people.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

# What was taken away upstream is hidden before anything else is done (trap 13).
TAKEN_AWAY: Final = timedelta(days=3650)
PERSON: Final = timedelta(days=1825)
# News of a project, and what somebody or something but the farm's own scope asks for.
NEWS: Final = timedelta(days=365)
# Everything else: the backlog.
NONE: Final = timedelta()
