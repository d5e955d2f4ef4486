"""The parts of the store that SQLite and PostgreSQL share: each statement is written once."""
