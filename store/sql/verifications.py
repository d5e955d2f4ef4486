"""Which webhooks are verified."""

from __future__ import annotations

from store.sql.database import Part
from store.sql.facts import secret_fact

_SET = """
INSERT INTO bridge.verifications (webhook, fingerprint, verified_at) VALUES (%s, %s, %s)
ON CONFLICT (webhook) DO UPDATE SET fingerprint = excluded.fingerprint, verified_at = excluded.verified_at
WHERE verifications.fingerprint != excluded.fingerprint
"""


class Verifications(Part):
    """Which webhooks are verified, and with which verifier: a changed secret has a different fingerprint.

    `until` is as in `Deliveries`. One row per webhook: the verifier that was last verified.
    """

    def verified_at(self, webhook: str, fingerprint: str, until: float = float("inf")) -> int | None:
        """When the webhook was verified with the verifier of this fingerprint; None if it isn't."""
        sql = "SELECT verified_at FROM bridge.verifications WHERE webhook = %s AND fingerprint = %s"
        found = self._database.read(sql, (webhook, fingerprint), until=until)
        return found[0][0] if found else None

    def set_verified(self, webhook: str, fingerprint: str, at: int, until: float = float("inf")) -> None:
        """Records that the webhook is verified. A fingerprint keeps the time of its first call."""
        with self._database.transaction(until=until) as transaction:
            transaction.write(_SET, (webhook, fingerprint, at))

    def all(self, until: float = float("inf")) -> dict[str, tuple[str, int]]:
        """webhook → (fingerprint of its verifier, when it was verified)."""
        found = self._database.read("SELECT webhook, fingerprint, verified_at FROM bridge.verifications", until=until)
        return {webhook: (fingerprint, at) for webhook, fingerprint, at in found}

    def salt(self, until: float = float("inf")) -> bytes:
        """This store's random bytes, generated once: the salt of the fingerprints."""
        return secret_fact(self._database, "fingerprint_salt", until)
