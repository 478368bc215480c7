"""``python -m master.cli`` is ``wheelfarm``."""

from master.cli import main

main()
