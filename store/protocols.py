"""What differs between the two databases: the parts of a store of which each has its own.

The other parts are in `store.sql`, and `store.sql.store.Store` has all of them. All times are Unix milliseconds by the
store's clock (`Clock.now`). Unless it says otherwise, every method of a store raises StoreUnavailable if the store is
unavailable: then nothing has changed, or everything has and the answer was lost. Methods that change very many rows
work in steps, each a transaction, some of which may have been committed by then.

`store.transitions` defines what follows from a decision or a result; a store reads, calls it, and writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol

from store.delivery_records import Rejection
from store.event_filter import EventFilter, EventPage
from store.records import Agenda, Committed, Decision, Event, NewEvent, Pruned, Result, Target, TargetState, Task, Term
from store.settled_numbers import Arrivals

News = Literal["events", "targets", "answers"]
"""What a listener waits for. `events`: there may be something to decide. `targets`: there may be something to claim.
`answers`: there may be an answer for a sender that waits."""


class Clock(Protocol):
    """The time that all processes on one store agree on."""

    def now(self) -> int:
        """The store's time, in Unix milliseconds. Needs no round trip, and never raises."""


class Listener(Protocol):
    """Waits for changes in the store, for one thread. None of its methods raises StoreUnavailable."""

    def wait(self, seconds: float) -> bool:
        """Returns when there may be changes since the last wait, when it is woken, or after that time; False if only
        the time is over.

        It may return for no reason, and changes may be missed while the store can't be reached: so poll at intervals
        too.
        """

    def wake(self) -> None:
        """Ends the current wait, or else the next one. May be called from any thread, and from signal handlers."""

    def close(self) -> None:
        """Stops listening."""


class Signals(Protocol):
    """How one process learns about another's commits at once."""

    def tell(self, news: News) -> None:
        """Wakes the listeners of all processes. A lost wake-up costs only time: every process polls at intervals
        too."""

    def listener(self, news: News) -> Listener:
        """Listens from now on. The leader waits for `events`, the other workers for `targets`, and relays
        for `answers`."""


class Deliveries(Protocol):
    """Stores events, and the outcomes of requests that created none.

    `until` (`time.monotonic`) bounds the wait for the database, for callers that must answer in time.
    """

    def append(self, events: Sequence[NewEvent], until: float = float("inf")) -> list[Committed]:
        """Commits a delivery's events durably, all or none, skipping those whose delivery id is known.

        Returns one `Committed` per event, in the order given. Concurrent deliveries share a commit. In the same
        transaction it keeps the `raw` of events that weren't known.
        """

    def received_at(self, webhook: str, delivery_id: str, until: float = float("inf")) -> int | None:
        """When the event with this delivery id arrived; None if there is none."""

    def record_rejections(self, rejections: Sequence[Rejection], counts: Mapping[tuple[str, str], int]) -> None:
        """Keeps each webhook's newest rejections and, separately, its newest filtered deliveries; adds `counts`,
        (webhook, outcome) → number, to those of the current hour."""

    def check_writable(self, until: float = float("inf")) -> None:
        """Raises StoreUnavailable unless a write would succeed now."""


class Leadership(Protocol):
    """One worker at a time is leader, and decides. It loses leadership if it doesn't renew its term."""

    def elect(self, worker: str, seconds: float) -> Term | None:
        """Makes this worker leader for this many seconds, if the last term has run out or its holder is known to be
        dead.

        None while another worker is leader. If the caller is already leader, this renews its term, in which it is its
        own predecessor.
        """

    def renew(self, term: Term, seconds: float) -> bool:
        """Extends the term to this many seconds from now; False if leadership was lost. Never begins a new term."""

    def resign(self, term: Term) -> None:
        """Ends the term: another worker can be elected at once.

        If it raises, leadership may be given up or not; others may consider the worker dead.
        """

    def leader(self) -> tuple[str, int] | None:
        """The leader's id, and when its term ends; None if there is no leader."""


class Decisions(Protocol):
    """What there is to decide, and the decisions."""

    def agenda(self, limit: int, without: Collection[str] = ()) -> Agenda:
        """What there is to decide: up to `limit` of each kind, and no more payload than `store.turns.BYTES`.

        Leaves out paused webhooks and those in `without`. Each webhook's events come in order of arrival (`seq`). If
        there are more than are read at once, webhooks take turns, and so do returned tasks. What stays undecided is
        read again by the next call, or in a later turn. The cost grows neither with the events left out nor with later
        ones.
        """

    def is_quiet(self) -> bool:
        """Whether the agenda would be empty: nothing to decide, and no webhook paused. Takes less than the agenda."""

    def held(self, after_seq: int, limit: int, webhook: str | None = None) -> list[Event]:
        """Held events of one webhook or all, after that number, in order of arrival.

        Fewer than `limit` if their payloads are large; none only if there are no more.
        """

    def decide(
        self,
        term: Term,
        decisions: Sequence[Decision],
        expired: Sequence[str],
        now: int,
        claim_for: str | None,
        claim: int,
    ) -> list[Target]:
        """Writes decisions, all or none: targets, the tasks they take, and each event's status and hold.

        Ends the hold of the `expired` events (by id). In the same transaction, claims the first `claim` targets without
        a pace for the worker `claim_for`, and returns them. The first start with a once key holds the key.

        Raises LeadershipLost once another worker is leader.
        """


class Tasks(Protocol):
    """Tasks waiting for an event. All methods but `hand_over` raise LeadershipLost once another worker is leader."""

    def adopt(self, term: Term, tasks: Sequence[Task], now: int) -> list[Task]:
        """Stores tasks that were found waiting; returns those that weren't known to wait before.

        A settled task that the index shows doesn't wait again, since an index may lag. One that has returned, or was
        handed over, waits from now on.
        """

    def drop(self, term: Term, task_ids: Sequence[str], now: int) -> None:
        """The tasks no longer wait: Conductor has ended them."""

    def look_again(self, term: Term, task_ids: Sequence[str]) -> None:
        """Returned tasks wait from now on."""

    def hand_over(self, tasks: Sequence[Task], now: int) -> None:
        """Leaves tasks that were polled while leadership was being lost to the next leader, as returned ones."""


NO_PACES: Mapping[str, float] = MappingProxyType({})


class Claims(Protocol):
    """Targets claimed by workers. A claim belongs to its worker, and stands until its result is recorded or another
    worker claims the target.

    The target's `attempts`, which every claim increments, tells a claim from a later one.
    """

    def claim(
        self, worker: str, now: int, expired_before: int, limit: int, paces: Mapping[str, float] = NO_PACES
    ) -> list[Target]:
        """Claims targets whose claim is older than `expired_before`, and targets that are due.

        Each webhook's longest due first; if more than `limit` are due, webhooks take turns. The cost grows with neither
        the targets nor the webhooks that wait. `paces`: webhook → calls a second; all workers together claim no more
        than `store.pace` allows, and only claims count.
        """

    def may_claim(self, now: int, expired_before: int) -> bool:
        """Whether `claim` may find anything, if there are no paces. Takes less than a claim that finds nothing."""

    def renew(self, worker: str, target: Target, now: int) -> bool:
        """Renews the claim before a late call; False if another worker has claimed the target in the meantime."""

    def record_results(self, worker: str, results: Sequence[Result], now: int) -> None:
        """Records the results of calls, and what follows for tasks and events. Results of lost claims are ignored.

        Wakes the leader if that leaves something to decide (an event is free again, a task has returned).
        """

    def give_back(self, worker: str, targets: Sequence[Target], now: int) -> None:
        """Undoes claims without a call: the targets are due at once, for any worker."""

    def hurry(self, now: int) -> None:
        """Conductor is back: makes targets that only wait for it due now. In steps, each a transaction."""

    def next_due(self, paces: Mapping[str, float] = NO_PACES) -> int | None:
        """When the next unclaimed target is due, taking `paces` into account.

        None if there is none.
        """


class Queries(Protocol):
    """Lists, counts and details."""

    def page(self, query: EventFilter) -> EventPage:
        """The newest matching events, and how far they were searched for.

        Times are exact, but an event is overlooked that is more than a minute out of order: the clock was set back.
        """

    def events(self, query: EventFilter) -> list[Event]:
        """The newest matching events, newest first."""

    def arrivals(self, after: int) -> Arrivals:
        """The events after that `seq`. Some with lower ones than the newest may become visible later."""

    def events_up_to(self, event_ids: Sequence[str], characters: int) -> dict[str, Event]:
        """id → event, of those that exist and whose payload has at most this many characters."""

    def event(self, event_id: str) -> Event | None:
        """The event with this id."""

    def unresolved(self) -> int:
        """Number of failed events that are neither acknowledged nor resolved; counts at most 10,000."""

    def failed_between(self, after: int, until: int) -> list[tuple[int, str, int]]:
        """(`seq`, webhook, when) of the unresolved events that failed after `after`, up to `until`."""

    def event_ids(self, first: str, last: str, limit: int) -> list[str]:
        """The ids from `first` to `last`, both included, in their order."""

    def events_of(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """id → event, of those that exist."""

    def listed(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """The same, without payloads."""

    def replays(self, origins: Sequence[str], limit: int) -> dict[str, list[Event]]:
        """origin → the newest events of each status that have this origin, up to `limit` of each; oldest first, without
        payloads.

        Origins without any are left out.
        """

    def with_effect(self, event_ids: Sequence[str]) -> set[str]:
        """The ids of those of these events that have completed a task or started a workflow."""

    def event_counts(self) -> dict[str, int]:
        """status → number of events."""

    def targets_of(self, event_ids: Sequence[str]) -> list[Target]:
        """The targets of these events, in the order in which they were created."""

    def targets_in_order(self, event_id: str, limit: int, skipped: int = 0) -> list[Target]:
        """The event's targets in the order in which they were created: up to `limit` after the first `skipped`."""

    def target_states(self, event_id: str) -> dict[TargetState, int]:
        """State → how many of the event's targets have it; only those that some have."""

    def some_targets_of(self, event_ids: Sequence[str], most: int) -> list[Target]:
        """The same for lists: of an event with more than `most` targets, up to `most` of each kind and state."""

    def targets_on(self, task_id: str) -> list[Target]:
        """All targets, past and present, for this task."""

    def task(self, task_id: str) -> Task | None:
        """The task with this id."""

    def waiting_tasks(self, after: str = "", limit: int = 1000, workflow: str | None = None) -> list[Task]:
        """Waiting tasks after that id, in order of id."""

    def waiting_by_workflow(self) -> dict[str, int]:
        """workflow → number of waiting tasks."""

    def waiting_count(self) -> int:
        """Number of waiting tasks."""

    def broken_tasks(self, limit: int = 50) -> list[Task]:
        """Waiting tasks whose matches can't be parsed."""

    def rejections(self, webhook: str | None = None, limit: int = 50, filtered: bool = False) -> list[Rejection]:
        """The newest rejections or, with `filtered`, the newest filtered deliveries."""

    def delivery_counts(self, since: int) -> dict[str, dict[str, int]]:
        """webhook → outcome (accepted, duplicate, filtered, rejected, challenge) → number since then."""

    def delivery_hours(self, since: int, webhook: str | None = None) -> list[tuple[int, str, int]]:
        """(hour as Unix milliseconds, outcome, number of deliveries) since then, in chronological order."""

    def oldest_pending(self) -> int | None:
        """When the oldest event arrived that is undecided or has a pending call, not counting held and set-aside
        ones, nor undecided ones of paused webhooks.

        Of more than 10,000 pending calls only those that are due first and last are looked at.
        """

    def overdue(self, before: int, without: Collection[str] = (), paced: Collection[str] = ()) -> set[str]:
        """What should have been decided or called before that time but wasn't: each webhook's first event and first
        target, and the oldest claim. Anything decided or tried is missing from the next answer.

        Leaves out set-aside items, events of paused webhooks and of `without`, and targets of `paced` webhooks.
        """


TRANSFER = "transfer"
"""The fact that records how far a transfer into the store has got."""
Row = tuple[Any, ...]


class Maintenance(Protocol):
    """The store's own housekeeping, and retention. The leader runs it."""

    def advice(self) -> list[str]:
        """The risks of the database's own settings, each with a remedy."""

    def run(self) -> None:
        """The store's own housekeeping, if any is due. Call it about once a second.

        If the store's clock was set back, items that wait for a time that is now far ahead become due soon.
        """

    def prune(self, before: int, limit: int) -> Pruned:
        """Deletes up to `limit` events, and as many tasks, that were settled before that time: one step of several.

        An event with very many targets takes several steps. Also deletes their quarantined items, and those that were
        due before that time and that haven't been retried since.
        """


@dataclass(frozen=True)
class Table:
    """A table that every SQL store has (listed in `store.transfer`)."""

    name: str
    key: tuple[str, ...]
    """The primary key."""
    others: tuple[str, ...]
    large: str | None = None
    """The column whose text may be large."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, the key's first."""
        return self.key + self.others


class Tables(Protocol):
    """A store's raw tables, for moving everything to another store (`store.transfer`)."""

    def read(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        """The first rows after that key, in order of key; booleans as 0 and 1.

        Up to `limit`; fewer if they are large, and none only if there are no more.
        """

    def write(self, table: Table, rows: Sequence[Row], note: str) -> None:
        """Adds the rows, and records the transfer's progress, in one transaction."""

    def count(self, table: Table) -> int:
        """How many rows there are."""

    def finish(self) -> None:
        """Brings sequences, counts and statistics up to date with the rows, and deletes the record of progress."""
