"""The store as relay, worker and admin see it: small protocols, which every store keeps.

All times are Unix milliseconds by the store's clock (`Clock.now`). Every method raises StoreUnavailable when the store
can't do it now, unless it says otherwise; nothing has changed then, or all of it has and its answer was lost. What is
about very many rows is done in steps, each a transaction: some of them may have been done then.
`store.transitions` says what follows from a decision or a result; a store reads, asks it, and writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, Protocol

from store.effects import Effects
from store.records import (
    Agenda,
    Change,
    Committed,
    Decision,
    Event,
    EventFilter,
    NewEvent,
    OnceHolder,
    Pruned,
    Rejection,
    Result,
    SetAside,
    SetAsideKind,
    Target,
    TargetKind,
    Task,
    Term,
    Workflow,
)
from store.tables import Tables

NO_PACES: Mapping[str, float] = MappingProxyType({})
News = Literal["events", "targets"]
"""What a listener waits for. `events`: there may be something to decide. `targets`: there may be something to claim."""


class StoreUnavailable(Exception):
    """The store can't be read or written now: it is full, locked, down or gone."""


class StoreRefused(StoreUnavailable):
    """The store answers, or is named, in a way that no waiting mends: somebody has to set it up differently."""


class StoreMissing(StoreUnavailable):
    """There is no store yet: the relay and the worker make it when they start."""


class Unstorable(Exception):
    """The database refuses what it was given, now and later: something else may be fine."""


class PartRefused(Exception):
    """The next part of a large decision can't be written; the decisions of other events may be."""

    def __init__(self, event_id: str, error: Exception):
        super().__init__(f"its targets can't be written: {type(error).__name__}: {error}")
        self.event_id = event_id


class NewerStore(Exception):
    """The database was made by a newer version of the bridge."""


class LeadershipLost(Exception):
    """Another worker decides now: this one was too long without a sign of life."""


class Clock(Protocol):
    """The time that all processes on one store agree on."""

    def now(self) -> int:
        """The store's time. It needs no round trip, and never raises."""


class Facts(Protocol):
    """What the processes last said of themselves: conductor (up or the error), definitions errors, …"""

    def facts(self) -> dict[str, str]:
        """name → what was said."""

    def set_fact(self, name: str, value: str | None) -> None:
        """Says such a thing; None takes it back."""


class KeptDefinitions(Protocol):
    """The last good definitions, for a process that begins while their files are broken. No secret is in them."""

    def kept_definitions(self) -> dict[str, str]:
        """file's name → what `config.last_good` keeps of it."""

    def keep_definitions(self, kept: Mapping[str, str]) -> None:
        """Replaces all of it; only what differs is written."""


class Deliveries(Clock, Protocol):
    """What the relay needs."""

    def append(self, events: Sequence[NewEvent]) -> list[Committed]:
        """Commits the events of a delivery durably, all or none, and only those whose delivery id is new.

        Returns in the order given. Deliveries that come together share a commit.
        """

    def verified_at(self, webhook: str, fingerprint: str) -> int | None:
        """When the webhook was verified with the verifier of this fingerprint; None while it isn't."""

    def set_verified(self, webhook: str, fingerprint: str, at: int) -> None:
        """Remembers that the webhook is verified, from the first time on."""

    def verifications(self) -> dict[str, tuple[str, int]]:
        """webhook → (fingerprint of its verifier, when it was verified)."""

    def fingerprint_salt(self) -> bytes:
        """Random bytes of this store, made once: salts the fingerprints of verifiers."""

    def record_rejections(self, rejections: Sequence[Rejection], counts: Mapping[tuple[str, str], int]) -> None:
        """Keeps the newest rejections of each webhook, and apart from them the newest that were filtered; adds to the
        day's counts of (webhook, outcome)."""

    def check_writable(self) -> None:
        """Raises StoreUnavailable unless a write would succeed now."""


class Leadership(Clock, Protocol):
    """Who decides. One worker has leadership at a time, and loses it if it gives no sign of life."""

    def elect(self, worker: str, seconds: float) -> Term | None:
        """Takes leadership for so long if it is free: the term has run out, or its holder is known to be dead.

        None while another worker has it. If the caller is already leader, this renews its term.
        """

    def renew(self, term: Term, seconds: float) -> bool:
        """Has leadership for so long from now; False if it was lost. Never takes a lead that is not its own already."""

    def resign(self, term: Term) -> None:
        """Gives leadership up, if this worker has it: the next one decides at once.

        When it raises, leadership is given up as far as that can be told: others may take its holder for dead.
        """

    def leader(self) -> tuple[str, int] | None:
        """The worker that decides, and until when its lead stands; None if none does."""


class Decisions(Protocol):
    """What the leader reads and writes. Methods that take a term raise LeadershipLost once another worker is leader."""

    def agenda(self, limit: int, without: Collection[str] = ()) -> Agenda:
        """What there is to decide: up to `limit` of each kind, and no more payload than `store.turns.BYTES`.

        But for those of paused webhooks and of `without`. In the order of arrival (`seq`), of each webhook its first
        ones; where there are more than are read, those of the webhooks in turn; the same for returned tasks. What is
        left undecided is read again by the next call, or in a later turn. The cost doesn't grow with the events left
        out, nor with what comes later.
        """

    def taken_in_time(self, after: str, limit: int) -> list[Task]:
        """Tasks that events have taken and that have a response time-out, in the order of their ids, after that one."""

    def held(self, after_seq: int, limit: int, webhook: str | None = None) -> list[Event]:
        """Events that are held, of one webhook or of all, in the order of arrival, after that number.

        Fewer than `limit` where their payloads are large; none only if there is none.
        """

    def events_of(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """id → event, of those that there are."""

    def decide(
        self,
        term: Term,
        decisions: Sequence[Decision],
        expired: Sequence[str],
        now: int,
        claim_for: str | None,
        claim: int,
    ) -> list[Target]:
        """Writes decisions down, all or none: targets, their tasks taken, each event's status and hold.

        The hold of the `expired` events has run out. Claims the first `claim` targets for the worker `claim_for` in the
        same transaction, and returns those; not those that are paced. The first start with a once key holds the key.
        """

    def record_large(self, term: Term, decision: Decision, now: int) -> None:
        """Records a decision that has more targets than one transaction should write; it must hold no event.

        In steps: it stands once the last one is committed. Its event is decided then, and its targets are to be written
        by `write_large`.
        """

    def write_large(self, term: Term, now: int, without: Collection[str] = ()) -> bool:
        """Writes the next part of a large decision that stands; False if there is nothing to write any more.

        Those of the events `without` are left out. Raises PartRefused if it is this decision that can't be written.

        Whoever takes leadership writes all of them before it reads which tasks wait. Parts of a decision that wasn't
        recorded whole are dropped; its event is undecided.
        """

    def promised_tasks(self) -> Iterator[str]:
        """The ids of the tasks in parts that `write_large` has still to write: each has its event, and waits for no
        other, though its state is `waiting` yet. A bounded number of parts is read at a time.
        """

    def adopt(self, term: Term, tasks: Sequence[Task], now: int) -> list[Task]:
        """Remembers tasks that were found waiting; returns those that weren't known as waiting before.

        A task from the index that was settled before is not taken for waiting again: an index may lag. One that has
        returned, or was handed over, waits from now on.
        """

    def drop(self, term: Term, task_ids: Sequence[str], now: int) -> None:
        """The tasks no longer wait: Conductor has ended them."""

    def look_again(self, term: Term, task_ids: Sequence[str]) -> None:
        """Returned tasks are waiting ones from now on."""

    def hand_over(self, tasks: Sequence[Task], now: int) -> None:
        """Leaves tasks that were polled as leadership was lost to the worker that decides now, as returned ones."""

    def workflow(self, workflow_id: str) -> Workflow | None:
        """What was looked up of the workflow, if it was."""

    def remember_workflows(self, workflows: Sequence[Workflow]) -> None:
        """Remembers what was looked up, as long as a task of the workflow is kept."""


class Claims(Protocol):
    """Targets in the hands of workers. A claim is its worker's, and stands until its result or another's claim.

    A claim is told from a later one by the target's `attempts`, which every claim raises.
    """

    def claim(
        self, worker: str, now: int, expired_before: int, limit: int, paces: Mapping[str, float] = NO_PACES
    ) -> list[Target]:
        """Claims targets whose claim is older than `expired_before`, and targets that are due.

        Of each webhook the longest due first; where more are due than `limit`, the webhooks take turns. The cost grows
        with neither the targets nor the webhooks that wait. `paces` are webhook → calls a second: no more of these are
        claimed than `store.pace` allows, by all workers together, and only what is claimed counts.
        """

    def renew_claim(self, worker: str, target: Target, now: int) -> bool:
        """Dates the claim anew before a late call; False if another worker has claimed the target meanwhile."""

    def record_results(self, worker: str, results: Sequence[Result], now: int) -> None:
        """Records what came of calls, and what follows for tasks and events. Results of lost claims count for nothing.

        If that leaves something for the decider (an event is free again, a task has returned), its listener is woken.
        """

    def lock_completions(
        self, worker: str, task_ids: Sequence[str], now: int, free_before: int
    ) -> tuple[list[Target], list[str]]:
        """Claims the completions of taken tasks, so that nobody makes them while the tasks' time-outs are put off.

        Those that nobody has claimed, due or not, and of which no call can be under way: none was made, the last wasn't
        sent, or its claim is older than `free_before`. Returns them as they were, and the tasks that are neither
        taken nor wait: the decision that takes one may still be on its way, in parts.
        """

    def unlock_completions(self, worker: str, targets: Sequence[tuple[Target, int]]) -> None:
        """Undoes these claims; each target is due at that time."""

    def give_back(self, worker: str, targets: Sequence[Target], now: int) -> None:
        """Undoes claims under which no call was begun: the targets are due at once, for any worker."""

    def hurry(self, now: int) -> None:
        """Conductor is back: targets that only wait for it are due now. Done in steps, each a transaction."""

    def next_due(self, paces: Mapping[str, float] = NO_PACES) -> int | None:
        """When the next unclaimed target is due; with `paces`, when the next turn of one of those webhooks is.

        None if there is none.
        """

    def once_holder(self, key: str) -> OnceHolder | None:
        """The start that holds the once key; None if none does."""

    def take_once(self, key: str, holder: OnceHolder | None, target_id: int) -> bool:
        """Makes the target the holder of the key; False if the holder is another by now than that which was read."""

    def pruned_onces(self, after: str, limit: int) -> list[tuple[str, str]]:
        """(key, workflow id) of holders that were pruned while their workflow may run, in the order of keys."""

    def forget_onces(self, keys: Sequence[str]) -> None:
        """Forgets pruned holders, whose workflows have ended."""

    def note_effect(self, kind: TargetKind, now: int) -> None:
        """A call of this kind had its effect. To be called now and then: once a minute is enough."""

    def effects(self, kind: TargetKind) -> Effects | None:
        """Since when calls of this kind have their effects without a break; None if none was noted."""

    def events_of(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """id → event, of those that there are."""


class Listener(Protocol):
    """Waits for news in the store, for one thread. None of its methods raises StoreUnavailable."""

    def wait(self, seconds: float) -> None:
        """Returns when there may be news since the last wait, when it is woken, or after that time.

        It may return for no reason, and news may get lost while the store can't be reached: look at intervals too.
        """

    def wake(self) -> None:
        """Ends the present wait, or else the next one. May be called from any thread, and from a signal handler."""

    def close(self) -> None:
        """Listens no longer."""


class Signals(Protocol):
    """How one process learns of another's commits at once."""

    def listener(self, news: News) -> Listener:
        """Listens from now on. The deciding worker waits for `events`, the others for `targets`."""


class Pauses(Protocol):
    """Webhooks that accept and aren't decided for."""

    def pause(self, webhook: str, now: int) -> None:
        """Pauses it from now on, if it isn't paused already."""

    def resume(self, webhook: str) -> bool:
        """Decides for it again; False if it wasn't paused."""

    def paused(self) -> dict[str, int]:
        """webhook → since when it is paused."""


class Sessions(Protocol):
    """People's sessions with the admin page, for all its processes."""

    def session_key(self) -> bytes:
        """Random bytes of this store, made once: sign the cookies of sessions."""

    def end_session(self, session_id: str, until: int, now: int) -> None:
        """Its holder has logged out. It is remembered until that time, at which its cookie is too old anyway."""

    def is_session_over(self, session_id: str) -> bool:
        """Whether its holder has logged out."""


class HiddenPaths(Protocol):
    """What each webhook's `hide` said last, so that values stay hidden when its definition is gone or broken."""

    def keep_hidden_paths(self, paths: Mapping[str, Sequence[str]]) -> None:
        """Remembers the JSONPaths of these webhooks, in place of those remembered before; none is remembered too."""

    def hidden_paths(self) -> dict[str, tuple[str, ...]]:
        """webhook → JSONPaths, of every webhook that ever was defined."""


class Quarantine(Protocol):
    """Items that failed in a way that only they do: set aside with the reason, and tried again at their time."""

    def set_aside(self, items: Sequence[SetAside]) -> None:
        """Sets the items aside. One that is set aside already gets the new reason, tries and time; the earliest `since`
        stays.

        Neither `agenda` nor `held` gives an event that is set aside, and it costs them nothing; it is `pending`.
        """

    def take_back(self, kind: SetAsideKind, ids: Sequence[str]) -> None:
        """These items are as any others again; whatever isn't set aside is left alone."""

    def quarantined(
        self,
        kind: SetAsideKind | None = None,
        due_before: int | None = None,
        ids: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> list[SetAside]:
        """What is set aside, the longest due first: of one kind, due before that time, with one of these ids."""

    def quarantine_counts(self) -> dict[SetAsideKind, int]:
        """kind → how many are set aside, of the kinds that have any; no more than 10,000 of each are counted."""


class Maintenance(Protocol):
    """What keeps the store small and quick. The worker sees to it."""

    def advice(self) -> list[str]:
        """What the database's own settings put at risk, each with a remedy."""

    def maintain(self) -> None:
        """The store's own housekeeping, if there is any to do. To be called about once a second.

        If its clock was set back, what waits for a time that is now far ahead is due soon.
        """

    def prune(self, before: int, limit: int) -> Pruned:
        """Deletes up to `limit` events, and as many tasks, that were settled before: one step of several.

        An event with very many targets takes some steps. What of them was set aside goes too, and what was due before
        and that nobody has tried since.
        """


class Queries(Facts, Protocol):
    """What people look at, from command line and page."""

    def events(self, query: EventFilter) -> list[Event]:
        """The newest events that fit, newest first."""

    def event(self, event_id: str) -> Event | None:
        """The event with this id."""

    def targets_of(self, event_ids: Sequence[str]) -> list[Target]:
        """The targets of these events, in the order in which they were made."""

    def waiting_tasks(self, after: str = "", limit: int = 1000, workflow: str | None = None) -> list[Task]:
        """Waiting tasks in the order of their ids, after that id."""

    def task(self, task_id: str) -> Task | None:
        """The task with this id."""

    def targets_on(self, task_id: str) -> list[Target]:
        """The targets that ever aimed at this task."""

    def verifications(self) -> dict[str, tuple[str, int]]:
        """webhook → (fingerprint of its verifier, when it was verified)."""

    def rejections(self, webhook: str | None = None, limit: int = 50, filtered: bool = False) -> list[Rejection]:
        """The newest rejections, or of the `filtered` deliveries the newest."""

    def delivery_counts(self, since: int) -> dict[str, dict[str, int]]:
        """webhook → outcome (accepted, duplicate, filtered, rejected, challenge) → number since then."""

    def delivery_hours(self, since: int, webhook: str | None = None) -> list[tuple[int, str, int]]:
        """(hour as Unix milliseconds, outcome, number of deliveries) since then, in the order of time."""

    def record_change(self, change: Change) -> None:
        """Notes what somebody did; of those noted, the newest thousands are kept. Raises StoreUnavailable."""

    def changes(self, webhook: str | None = None, limit: int = 50) -> list[Change]:
        """What people did, the newest first."""

    def event_counts(self) -> dict[str, int]:
        """status → number of events."""

    def oldest_pending(self) -> int | None:
        """When the oldest event arrived that is undecided or has a call to be made: none that is held or set aside."""

    def overdue(self, before: int, without: Collection[str] = (), paced: Collection[str] = ()) -> set[str]:
        """What was to be decided or called before that time and wasn't: the first event and the first target of each
        webhook, and the oldest claim. Whatever is decided or tried isn't in the next answer.

        Without what is set aside, events of paused webhooks and of `without`, and targets of `paced` ones.
        """

    def broken_tasks(self, limit: int = 50) -> list[Task]:
        """Waiting tasks whose matches can't be parsed."""

    def waiting_by_workflow(self) -> dict[str, int]:
        """workflow → number of waiting tasks."""

    def waiting_count(self) -> int:
        """Number of waiting tasks."""

    def leader(self) -> tuple[str, int] | None:
        """The worker that decides, and until when its lead stands; None if none does."""


class Store(
    Deliveries,
    Leadership,
    Decisions,
    Claims,
    Pauses,
    Sessions,
    HiddenPaths,
    Quarantine,
    Signals,
    Maintenance,
    Queries,
    KeptDefinitions,
    Protocol,
):
    """All of it."""

    def tables(self) -> Tables:
        """The tables as they are."""

    def close(self) -> None:
        """Closes this process's connections; the next use opens them again."""
