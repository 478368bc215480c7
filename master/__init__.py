"""The master: the only writer of the database and of the store."""
