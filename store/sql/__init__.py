"""The parts of the store that are the same on SQLite and PostgreSQL: each statement is written once."""
