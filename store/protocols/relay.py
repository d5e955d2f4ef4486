"""What the relay writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from store.records import Committed, NewEvent, Rejection


class Deliveries(Protocol):
    """Events in, and what became of the requests that brought none."""

    def append(self, events: Sequence[NewEvent]) -> list[Committed]:
        """Commits the events of a delivery durably, all or none, and only those whose delivery id is new.

        Returns one `Committed` per event, in the order given. Concurrent deliveries share a commit.
        """

    def record_rejections(self, rejections: Sequence[Rejection], counts: Mapping[tuple[str, str], int]) -> None:
        """Keeps the newest rejections of each webhook and, apart from them, the newest filtered deliveries; adds
        `counts`, (webhook, outcome) → number, to those of the current hour."""

    def check_writable(self) -> None:
        """Raises StoreUnavailable unless a write would succeed now."""


class Verifications(Protocol):
    """Which webhooks are verified, and by which verifier: a changed secret has another fingerprint."""

    def verified_at(self, webhook: str, fingerprint: str) -> int | None:
        """When the webhook was verified with the verifier of this fingerprint; None if it isn't."""

    def set_verified(self, webhook: str, fingerprint: str, at: int) -> None:
        """The webhook is verified. The time of the first call for a fingerprint stays."""

    def all(self) -> dict[str, tuple[str, int]]:
        """webhook → (fingerprint of its verifier, when it was verified)."""

    def salt(self) -> bytes:
        """Random bytes of this store, made once: the salt of the fingerprints."""
