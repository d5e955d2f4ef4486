"""What the processes last said of themselves, and random bytes that a store makes once."""

from __future__ import annotations

import secrets
from typing import Literal

from store.protocols import Facts
from store.sql.database import Database

SecretFact = Literal["fingerprint_salt", "session_key"]
_SHOWN = "SELECT name, value FROM bridge.facts WHERE name NOT IN ('fingerprint_salt', 'session_key')"
SET_FACT = """
INSERT INTO bridge.facts (name, value, at) VALUES (%s, %s, %s)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at
"""
_OF_NAME = "SELECT value FROM bridge.facts WHERE name = %s"


class SqlFacts(Facts):
    """The facts, but for the secret ones."""

    def __init__(self, database: Database):
        self._database = database

    def all(self) -> dict[str, str]:
        return dict(self._database.read(_SHOWN))

    def set(self, name: str, value: str | None) -> None:
        with self._database.transaction() as transaction:
            if value is None:
                transaction.write("DELETE FROM bridge.facts WHERE name = %s", (name,))
            else:
                transaction.write(SET_FACT, (name, value, self._database.now()))


def secret_fact(database: Database, name: SecretFact, until: float = float("inf")) -> bytes:
    """32 random bytes, made by the first call and kept among the facts, but never shown."""
    found = database.read(_OF_NAME, (name,), until=until)
    if not found:
        with database.transaction(until=until) as transaction:
            transaction.write(
                "INSERT INTO bridge.facts (name, value, at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (name, secrets.token_hex(32), database.now()),
            )
        found = database.read(_OF_NAME, (name,), until=until)
    return bytes.fromhex(found[0][0])
