"""What the relay writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from store.records import Committed, NewEvent, Rejection


class Deliveries(Protocol):
    """Events in, and what became of the requests that brought none.

    Whoever has to answer by some time waits for the database `until` then, by `time.monotonic`.
    """

    def append(self, events: Sequence[NewEvent], until: float = float("inf")) -> list[Committed]:
        """Commits the events of a delivery durably, all or none, and only those whose delivery id is new.

        Returns one `Committed` per event, in the order given. Concurrent deliveries share a commit.
        """

    def record_rejections(self, rejections: Sequence[Rejection], counts: Mapping[tuple[str, str], int]) -> None:
        """Keeps the newest rejections of each webhook and, apart from them, the newest filtered deliveries; adds
        `counts`, (webhook, outcome) → number, to those of the current hour."""

    def check_writable(self, until: float = float("inf")) -> None:
        """Raises StoreUnavailable unless a write would succeed now."""


class Verifications(Protocol):
    """Which webhooks are verified, and by which verifier: a changed secret has another fingerprint.

    `until` is as in `Deliveries`.
    """

    def verified_at(self, webhook: str, fingerprint: str, until: float = float("inf")) -> int | None:
        """When the webhook was verified with the verifier of this fingerprint; None if it isn't."""

    def set_verified(self, webhook: str, fingerprint: str, at: int, until: float = float("inf")) -> None:
        """The webhook is verified. The time of the first call for a fingerprint stays."""

    def all(self, until: float = float("inf")) -> dict[str, tuple[str, int]]:
        """webhook → (fingerprint of its verifier, when it was verified)."""

    def salt(self, until: float = float("inf")) -> bytes:
        """Random bytes of this store, made once: the salt of the fingerprints."""
