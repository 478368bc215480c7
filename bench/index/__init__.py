"""How fast the index answers, beside nginx and the servers that people would take instead: ``make bench-index``."""
