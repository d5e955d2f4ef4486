"""Which webhooks are verified."""

from __future__ import annotations

from store.protocols import Verifications
from store.sql.database import Database
from store.sql.facts import secret_fact

_SET = """
INSERT INTO bridge.verifications (webhook, fingerprint, verified_at) VALUES (%s, %s, %s)
ON CONFLICT (webhook) DO UPDATE SET fingerprint = excluded.fingerprint, verified_at = excluded.verified_at
WHERE verifications.fingerprint != excluded.fingerprint
"""


class SqlVerifications(Verifications):
    """One row per webhook: the verifier that was last verified."""

    def __init__(self, database: Database):
        self._database = database

    def verified_at(self, webhook: str, fingerprint: str, until: float = float("inf")) -> int | None:
        sql = "SELECT verified_at FROM bridge.verifications WHERE webhook = %s AND fingerprint = %s"
        found = self._database.read(sql, (webhook, fingerprint), until=until)
        return found[0][0] if found else None

    def set_verified(self, webhook: str, fingerprint: str, at: int, until: float = float("inf")) -> None:
        with self._database.transaction(until=until) as transaction:
            transaction.write(_SET, (webhook, fingerprint, at))

    def all(self, until: float = float("inf")) -> dict[str, tuple[str, int]]:
        found = self._database.read("SELECT webhook, fingerprint, verified_at FROM bridge.verifications", until=until)
        return {webhook: (fingerprint, at) for webhook, fingerprint, at in found}

    def salt(self, until: float = float("inf")) -> bytes:
        return secret_fact(self._database, "fingerprint_salt", until)
