"""Wheels as files: read strictly, written canonically, checked against every rule (A-01 … A-17)."""
