"""The database: tables, sessions, migrations. Only master and web import it; only master writes."""
