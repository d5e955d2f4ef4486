"""The store as relay, worker and admin see it; `events.sqlite` is the one that ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from events.event import Committed, Event, EventFilter, NewEvent, Rejection, Target, Task


class StoreUnavailable(Exception):
    """The store can't be read or written now: the disk is full, the database is locked, or the file is gone."""


class NewerStore(Exception):
    """The database was made by a newer version of the bridge."""


class DeliveryStore(Protocol):
    """What the relay needs. Every method raises StoreUnavailable when the store can't do it now."""

    def append(self, events: Sequence[NewEvent]) -> list[Committed]:
        """Commits the events of one delivery durably, all or none, and only those whose delivery id is new.

        Callers on several threads share one commit. Returns in the order given.
        """

    def verified_at(self, webhook: str, fingerprint: str) -> int | None:
        """When the webhook was verified with the verifier of this fingerprint; None while it isn't."""

    def set_verified(self, webhook: str, fingerprint: str, at: int) -> None:
        """Remembers that the webhook is verified, from the first time on."""

    def fingerprint_salt(self) -> bytes:
        """Random bytes of this store, made once: salts the fingerprints of verifiers."""

    def record_rejections(self, rejections: Sequence[Rejection], counts: Mapping[tuple[str, str], int]) -> None:
        """Keeps the newest rejections of each webhook, and adds to the day's counts of (webhook, outcome)."""

    def check_writable(self) -> None:
        """Raises StoreUnavailable unless a write would succeed now."""


class QueryStore(Protocol):
    """What people look at, from command line and page."""

    def events(self, query: EventFilter) -> list[Event]: ...

    def event(self, event_id: str) -> Event | None: ...

    def targets_of(self, event_ids: Sequence[str]) -> list[Target]: ...

    def waiting_tasks(self, after: str = "", limit: int = 1000, workflow: str | None = None) -> list[Task]:
        """Waiting tasks in the order of their ids, after that id."""

    def task(self, task_id: str) -> Task | None: ...

    def targets_on(self, task_id: str) -> list[Target]:
        """The targets that ever aimed at this task."""

    def verifications(self) -> dict[str, tuple[str, int]]:
        """webhook → (fingerprint of its verifier, when it was verified)."""

    def rejections(self, webhook: str | None = None, limit: int = 50) -> list[Rejection]:
        """The newest rejections."""

    def delivery_counts(self, since: int) -> dict[str, dict[str, int]]:
        """webhook → outcome (accepted, duplicate, rejected, challenge) → number since then."""

    def event_counts(self) -> dict[str, int]:
        """status → number of events."""

    def facts(self) -> dict[str, str]:
        """What the processes last said of themselves: conductor (up or the error), definitions errors, …"""

    def set_fact(self, name: str, value: str | None) -> None:
        """Says such a thing; None takes it back."""
