"""Which webhooks are verified."""

from __future__ import annotations

from store.postgres.connections import IMPATIENT, Connections
from store.postgres.secret_facts import secret_fact
from store.protocols import Verifications


class PostgresVerifications(Verifications):
    """Verifications on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def verified_at(self, webhook: str, fingerprint: str, until: float = float("inf")) -> int | None:
        sql = "SELECT verified_at FROM bridge.verifications WHERE webhook = %s AND fingerprint = %s"
        found = self._connections.read(sql, (webhook, fingerprint), IMPATIENT, until)
        return found[0][0] if found else None

    def set_verified(self, webhook: str, fingerprint: str, at: int, until: float = float("inf")) -> None:
        with self._connections.transaction(IMPATIENT, until=until) as connection:
            connection.write(
                "INSERT INTO bridge.verifications (webhook, fingerprint, verified_at) VALUES (%s, %s, %s)"
                " ON CONFLICT (webhook) DO UPDATE SET fingerprint = excluded.fingerprint,"
                " verified_at = excluded.verified_at WHERE verifications.fingerprint != excluded.fingerprint",
                (webhook, fingerprint, at),
            )

    def salt(self, until: float = float("inf")) -> bytes:
        return secret_fact(self._connections, "fingerprint_salt", until)

    def all(self, until: float = float("inf")) -> dict[str, tuple[str, int]]:
        sql = "SELECT webhook, fingerprint, verified_at FROM bridge.verifications"
        return {webhook: (fingerprint, at) for webhook, fingerprint, at in self._connections.read(sql, until=until)}
