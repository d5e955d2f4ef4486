"""Random bytes that a store makes once and keeps among its facts, where nobody is shown them."""

from __future__ import annotations

import secrets
from typing import Literal

from store.postgres.connections import IMPATIENT, Connections

SecretFact = Literal["fingerprint_salt", "session_key"]


def secret_fact(connections: Connections, name: SecretFact, until: float = float("inf")) -> bytes:
    """The bytes, made at the first call."""
    sql = "SELECT value FROM bridge.facts WHERE name = %s"
    found = connections.read(sql, (name,), IMPATIENT, until)
    if not found:
        with connections.transaction(IMPATIENT, until=until) as connection:
            connection.write(
                "INSERT INTO bridge.facts (name, value, at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (name, secrets.token_hex(32), connections.now()),
            )
        found = connections.read(sql, (name,), IMPATIENT, until)
    return bytes.fromhex(found[0][0])
