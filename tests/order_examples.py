"""One example of each order, as JSON has it."""

from __future__ import annotations

from typing import Any

GOOD: dict[str, dict[str, Any]] = {
    "request": {"requirement": "cffi>=1.17", "platforms": ["debian12-x86_64-cp311"]},
    "rebuild": {"builds": "cffi==1.17.1"},
    "retry": {"builds": "12"},
    "hold": {"builds": "cffi", "reason": "it is broken"},
    "release": {"builds": "12", "at_once": True},
    "cancel": {"builds": "12"},
    "priority": {"builds": "12", "points": -5.5},
    "try-recipe": {"build": 12, "recipe": {"debian_packages": ["libffi-dev"], "jobs": 1}},
    "node-drain": {"node": "pi4"},
    "node-resume": {"node": "pi4"},
    "node-quarantine": {"node": "pi4", "reason": "strange wheels"},
    "coverage": {"text": "cffi\n", "platform": "debian12-x86_64-cp311"},
}
