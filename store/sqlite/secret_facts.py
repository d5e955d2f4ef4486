"""Random bytes that a store makes once and keeps among its facts, where nobody is shown them."""

from __future__ import annotations

import secrets
from typing import Literal

from store.sqlite.connections import Connections

SecretFact = Literal["fingerprint_salt", "session_key"]


def secret_fact(connections: Connections, name: SecretFact, until: float = float("inf")) -> bytes:
    """The bytes, made at the first call."""
    found = connections.read("SELECT value FROM facts WHERE name = ?", (name,))
    if not found:
        with connections.transaction(until) as db:
            db.execute(
                "INSERT OR IGNORE INTO facts (name, value, at) VALUES (?, ?, ?)",
                (name, secrets.token_hex(32), connections.now()),
            )
            found = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchall()
    return bytes.fromhex(found[0][0])
