"""One node: fetches, builds, repairs, checks and signs; it knows no database and no web."""
