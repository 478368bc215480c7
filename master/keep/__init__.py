"""Housekeeping, so that nothing is ever lost: scrub, gc, backup, room on the disk, alarms."""
