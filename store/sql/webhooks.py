"""What is remembered about webhooks: which are paused, which are verified, and their last good definitions."""

from __future__ import annotations

from collections.abc import Mapping

from store.protocols import Signals
from store.sql.database import Database, Part
from store.sql.facts import secret_fact

PAUSED = "SELECT webhook, at FROM bridge.pauses"


class Pauses:
    """Webhooks whose deliveries are accepted but not decided. One row per paused webhook."""

    def __init__(self, database: Database, signals: Signals):
        self._database = database
        self._signals = signals

    def pause(self, webhook: str, now: int) -> None:
        """Pauses the webhook from now on, unless it is paused already."""
        with self._database.transaction() as transaction:
            transaction.write(
                "INSERT INTO bridge.pauses (webhook, at) VALUES (%s, %s) ON CONFLICT DO NOTHING", (webhook, now)
            )
        self._signals.notify("events")

    def resume(self, webhook: str) -> bool:
        """Ends the pause; False if the webhook wasn't paused."""
        with self._database.transaction() as transaction:
            resumed = transaction.write("DELETE FROM bridge.pauses WHERE webhook = %s", (webhook,))
        self._signals.notify("events")
        return resumed == 1

    def paused(self) -> dict[str, int]:
        """webhook → since when it has been paused."""
        return dict(self._database.read(PAUSED))


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


_KEPT = "SELECT file, text FROM bridge.kept_definitions"
_KEEP = """
INSERT INTO bridge.kept_definitions (file, text) VALUES (%s, %s)
ON CONFLICT (file) DO UPDATE SET text = excluded.text
"""


class KeptDefinitions(Part):
    """The last good definitions, for a process that starts while their files are broken. They hold no secrets.

    One row per file.
    """

    def all(self) -> dict[str, str]:
        """file name → what `config.last_good` keeps of it."""
        return dict(self._database.read(_KEPT))

    def keep(self, kept: Mapping[str, str]) -> None:
        """Replaces all of them; only what differs is written."""
        if self.all() == kept:
            return
        with self._database.transaction() as transaction:
            before: dict[str, str] = dict(transaction.fetch(_KEPT))
            # Always in the same order, so that processes waiting for each other's rows can't deadlock.
            for file in sorted(before.keys() | kept.keys()):
                if file not in kept:
                    transaction.write("DELETE FROM bridge.kept_definitions WHERE file = %s", (file,))
                elif before.get(file) != kept[file]:
                    transaction.write(_KEEP, (file, kept[file]))
