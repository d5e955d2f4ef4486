"""The store as relay, worker and admin see it; `events.sqlite` is the one that ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from events.records import (
    Committed,
    Decision,
    Event,
    EventFilter,
    NewEvent,
    Rejection,
    Result,
    Target,
    Task,
    Workflow,
)


class StoreUnavailable(Exception):
    """The store can't be read or written now: the disk is full, the database is locked, or the file is gone."""


class NewerStore(Exception):
    """The database was made by a newer version of the bridge."""


class LeaseLost(Exception):
    """Another worker decides now: this one was too long without a sign of life."""


class Appending(Protocol):
    """Events that were handed in. Whoever did it must ask for their commit."""

    def committed(self) -> list[Committed]:
        """Commits the events durably, all or none, and only those whose delivery id is new.

        Returns in the order given. Raises StoreUnavailable.
        """


class DeliveryStore(Protocol):
    """What the relay needs. Every method raises StoreUnavailable when the store can't do it now."""

    def submit(self, events: Sequence[NewEvent]) -> Appending:
        """Hands in the events of one delivery; deliveries that are handed in together share one commit."""

    def append(self, events: Sequence[NewEvent]) -> list[Committed]:
        """Submits the events and commits them."""

    def verified_at(self, webhook: str, fingerprint: str) -> int | None:
        """When the webhook was verified with the verifier of this fingerprint; None while it isn't."""

    def set_verified(self, webhook: str, fingerprint: str, at: int) -> None:
        """Remembers that the webhook is verified, from the first time on."""

    def verifications(self) -> dict[str, tuple[str, int]]:
        """webhook → (fingerprint of its verifier, when it was verified)."""

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

    def oldest_pending(self) -> int | None:
        """When the oldest event arrived that is undecided or has a call to be made; held events don't count."""

    def broken_tasks(self, limit: int = 50) -> list[Task]:
        """Waiting tasks whose matches can't be parsed."""

    def waiting_by_workflow(self) -> dict[str, int]:
        """workflow → number of waiting tasks."""

    def waiting_count(self) -> int:
        """Number of waiting tasks."""

    def decider(self) -> tuple[str, int] | None:
        """The worker that decides, and until when its lease runs; None if none does."""

    def facts(self) -> dict[str, str]:
        """What the processes last said of themselves: conductor (up or the error), definitions errors, …"""

    def set_fact(self, name: str, value: str | None) -> None:
        """Says such a thing; None takes it back."""


class WorkStore(QueryStore, Protocol):
    """What the worker needs. Methods with a `holder` raise LeaseLost unless it holds the decider's lease.

    Every method raises StoreUnavailable when the store can't do it now. Times are Unix milliseconds.
    """

    # One worker at a time decides.

    def acquire_lease(self, holder: str, now: int, until: int, orphaned: bool = False) -> bool:
        """Takes or renews the decider's lease; False while another one holds it.

        `orphaned` says that the holder is known to be dead: its lease need not run out.
        """

    def release_lease(self, holder: str) -> None: ...

    def wake_descriptor(self) -> int | None:
        """A file descriptor that becomes readable when events were committed; None where that can't be had."""

    def change_counter(self) -> int:
        """A number that changes when another connection has written; cheap enough to ask every few milliseconds."""

    def undecided(self, after_seq: int, limit: int) -> list[Event]:
        """Events whose takers are still to be decided, in the order of arrival."""

    def held(self, after_seq: int, limit: int) -> list[Event]:
        """Events that are held, in the order of arrival."""

    def freed(self, limit: int) -> list[Event]:
        """Events whose takers all turned out gone: free again, the decider is to look."""

    def returned_tasks(self) -> list[Task]:
        """Tasks whose event was refused for good: they wait again, the decider is to look."""

    def adopt(self, holder: str, tasks: Sequence[Task], now: int) -> list[Task]:
        """Remembers tasks that were found waiting; returns those that weren't known as waiting before.

        A task from the index that was settled before is not taken for waiting again: an index may lag.
        """

    def hand_over(self, tasks: Sequence[Task], now: int) -> None:
        """Leaves tasks that were polled as the lease was lost to the worker that decides now, as returned ones."""

    def drop(self, holder: str, task_ids: Sequence[str], now: int) -> None:
        """The tasks no longer wait: Conductor has ended them."""

    def decide(
        self,
        holder: str,
        decisions: Sequence[Decision],
        expired: Sequence[str],
        now: int,
        claim_for: str | None,
        claim: int,
    ) -> list[Target]:
        """Writes decisions down, all or none: targets, their tasks taken, each event's status and hold.

        The hold of the `expired` events has run out: their status is what their targets make it, or `expired`.
        Claims the first `claim` targets for the worker `claim_for` in the same transaction, and returns those.
        """

    def look_again(self, holder: str, task_ids: Sequence[str]) -> None:
        """Returned tasks are waiting ones from now on."""

    # Any worker calls.

    def claim(self, worker: str, now: int, expired_before: int, limit: int) -> list[Target]:
        """Claims due targets, and those whose claim is older than `expired_before`."""

    def settle(self, worker: str, results: Sequence[Result], now: int) -> bool:
        """Records what came of calls, and what follows for tasks and events.

        True if that left something for the decider: an event is free again or a task has returned.
        """

    def renew_claim(self, worker: str, target: Target, now: int) -> bool:
        """Claims the target anew before a late call; False if another worker has claimed it meanwhile."""

    def next_due(self) -> int | None:
        """When the next unclaimed target is due."""

    def hurry(self, now: int) -> None:
        """Conductor is back: targets that only wait for it are due now."""

    def events_of(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """id → event."""

    # Workflows that were looked up.

    def workflow(self, workflow_id: str) -> Workflow | None: ...

    def remember_workflows(self, workflows: Sequence[Workflow]) -> None: ...

    def checkpoint(self) -> None:
        """Moves what was committed from the log into the database file, so that no delivery's commit has to."""

    def prune(self, before: int, limit: int) -> int:
        """Deletes up to `limit` events, and as many tasks, that were settled before; returns how many events."""
