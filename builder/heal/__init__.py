"""Heal a build that failed: what to do differently, tried one thing after another inside the same job.

``ladder`` decides what is tried next and remembers what came of it. ``rungs`` knows the remedies, cheapest first: the
rules of people, fewer compile jobs, what Debian knows, build requirements of another time (``requirements``).
"""
