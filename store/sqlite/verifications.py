"""Which webhooks are verified."""

from __future__ import annotations

from store.protocols import Verifications
from store.sqlite.connections import Connections
from store.sqlite.secret_facts import secret_fact


class SqliteVerifications(Verifications):
    """Verifications on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def verified_at(self, webhook: str, fingerprint: str, until: float = float("inf")) -> int | None:
        sql = "SELECT verified_at FROM verifications WHERE webhook = ? AND fingerprint = ?"
        found = self._connections.read(sql, (webhook, fingerprint))
        return found[0][0] if found else None

    def set_verified(self, webhook: str, fingerprint: str, at: int, until: float = float("inf")) -> None:
        with self._connections.transaction(until) as db:
            db.execute(
                "INSERT INTO verifications (webhook, fingerprint, verified_at) VALUES (?, ?, ?)"
                " ON CONFLICT (webhook) DO UPDATE SET fingerprint = excluded.fingerprint,"
                " verified_at = excluded.verified_at WHERE fingerprint != excluded.fingerprint",
                (webhook, fingerprint, at),
            )

    def salt(self, until: float = float("inf")) -> bytes:
        return secret_fact(self._connections, "fingerprint_salt", until)

    def all(self, until: float = float("inf")) -> dict[str, tuple[str, int]]:
        found = self._connections.read("SELECT webhook, fingerprint, verified_at FROM verifications")
        return {webhook: (fingerprint, at) for webhook, fingerprint, at in found}
