"""Which task takes which event: makes decisions by the delivery rules, for the leader.

It indexes the waiting tasks and held events in memory. Times are Unix milliseconds by our clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from config.logs import some_of
from config.webhooks import Definitions, Webhook
from store.clock import ServerClock
from store.processes import WorkerStore
from store.records import (
    Decision,
    Event,
    EventStatus,
    Hold,
    NewTarget,
    Target,
    Task,
    Term,
)
from store.tracing import in_logs, span
from worker.decision.addressed_events import AddressedEvents
from worker.decision.callbacks import Callbacks
from worker.decision.fate import Goes, Held, Over, Prospects, Unknown, fate
from worker.decision.held_events import HeldEvents
from worker.decision.matching import Document, HeldEvent, TaskIndex, Turns, WaitingTask, parse_task
from worker.decision.plan_writer import PlanWriter
from worker.decision.quarantine import Quarantine
from worker.decision.rules import Plan, Rules, is_ever_held, messages_of, starts_of
from worker.decision.workflows import Workflows
from worker.discovery.barrier import Barrier
from worker.health import Health

log = structlog.get_logger()

_PAGE = 2000
_UNDEFINED_GRACE = 60_000
"""Milliseconds that an event waits, at least, for its webhook's definition to appear."""


class Timeouts(Protocol):
    """The response time-outs of tasks, which are extended while the tasks wait."""

    def add(self, task: WaitingTask) -> None:
        """The task waits from now on."""

    def suspended(
        self, tasks: Collection[WaitingTask]
    ) -> AbstractContextManager[Mapping[str, int]]:
        """Extends none of these tasks' time-outs while the block gives the tasks to events. Yields
        the times before which some may not be completed."""


@dataclass(frozen=True)
class Request:
    """What there is to decide after a scan."""

    events: Sequence[Event]
    """New events, which arrived before the scan began."""
    freed: Sequence[Event]
    """Events that are free again, since all their takers turned out to be gone."""
    began: int
    """When the scan began."""
    now: int
    limit: int
    """Targets that may be claimed for this worker."""
    barrier: Barrier
    """Which tasks that waited then are known."""
    blocked: Collection[str] = ()
    """Webhooks with earlier events that wait, and aren't among these."""


class Decider:
    """Decides events. Belongs to the loop's thread."""

    def __init__(
        self,
        store: WorkerStore,
        workflows: Workflows,
        server_clock: ServerClock,
        timeouts: Timeouts,
        callbacks: Callbacks,
        skew: float,
    ):
        """`server_clock` is Conductor's; `skew` is BRIDGE_CLOCK_SKEW in seconds."""
        self._store = store
        self._timeouts = timeouts
        self.workflows = workflows
        self.tasks = TaskIndex()
        self.quarantine = Quarantine(store)
        self._rules = Rules(self.tasks, workflows, server_clock, skew * 1000)
        self.held = HeldEvents(store, self.tasks, self._rules, self.quarantine, callbacks)
        self.addressed = AddressedEvents(store, self.tasks, self._rules, self.held)
        self.blocked: set[str] = set()
        """Webhooks whose events wait, since the last decision or the one before: for more tasks to
        be known, for their definition, or for look-ups of earlier callbacks."""
        self.newly_held = False
        """Whether the last decision left an event without a taker, so that it is held."""
        self.decided = False
        """Whether the last decision decided anything."""
        self.unfinished = False
        """Whether there is more to decide at once that no agenda shows."""
        self._turns = Turns()

    # --- state ---

    def set_definitions(self, definitions: Definitions) -> None:
        """Uses these definitions from now on, and matches all waiting tasks with held events
        again."""
        self._rules.definitions = definitions
        self.held.match_all()

    def set_paused(self, paused: Collection[str]) -> None:
        """These webhooks are paused from now on, and no others."""
        resumed = any(webhook not in paused for webhook in self._rules.paused)
        self._rules.paused = paused
        if resumed:
            # As after downtime: tasks that began to wait meanwhile may take events that arrived, or
            # were held, meanwhile.
            self.held.match_all()

    def load(self, health: Health) -> None:
        """Reads waiting tasks and held events from the store, with a beat to `health` from time to
        time.

        Raises StoreUnavailable.
        """
        after = ""
        while page := self._store.queries.waiting_tasks(after, _PAGE):
            health.beat("the loop")
            self.add_tasks(page)
            after = page[-1].id
        self._learn_paths()
        for number, event in enumerate(self.held.read()):
            if number % _PAGE == 0:
                health.beat("the loop")
            with self.held.isolated(event):
                self.held.hold(event, Document(event.document()))
        self.quarantine.write(self._store.now())

    def _learn_paths(self) -> None:
        """Registers the tasks' paths before the held events are read, so that each payload is read
        only once."""
        index, by_receiver = self.held.index, self._rules.definitions.by_receiver
        for task in self.tasks:
            for webhook in by_receiver.get(task.workflow, ()):
                if task.criteria is not None and not index.knows(webhook.name, task.criteria.paths):
                    index.learn(webhook.name, task.criteria, ())

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        """These tasks now wait."""
        for task in tasks:
            waiting, _ = parse_task(task)
            self.tasks.add(waiting)
            self._timeouts.add(waiting)
            self.held.match([waiting])

    def read_versions_again(self, tasks: Iterable[Task]) -> None:
        """These tasks may be new: a workflow that is restarted or upgraded may have another
        version. Raises StoreUnavailable."""
        versioned = {
            task.workflow_id for task in tasks if self._rules.names_versions(task.workflow)
        }
        if versioned:
            self.workflows.read_again(versioned)

    def drop_tasks(self, task_ids: Iterable[str]) -> None:
        """These tasks no longer wait."""
        for task_id in task_ids:
            self.held.remove_task(task_id)
            self.quarantine.task_is_gone(task_id)

    def lacks_taker(self, events: Iterable[Event]) -> bool:
        """Whether any of these events has receivers, but no known waiting task matches it; of each
        webhook's, those are looked at that have their turn."""
        turns = Turns()
        for event in events:
            webhook = self._rules.webhook(event)
            if webhook is None or not webhook.receivers or event.is_callback:
                continue
            if turns.puts_off(event):
                continue
            with suppress(Exception):  # deciding it sets it aside
                matching = self._rules.matching(webhook, event, turns.document(event))
                if next(matching, None) is None:
                    return True
        return False

    # --- deciding ---

    def decide(self, term: Term, request: Request) -> list[tuple[Target, Event]]:
        """Decides the new events, in their order, as well as freed events and newly waiting tasks;
        ends holds.

        An event that waits, for example as it may have takers which aren't known yet, or since its
        webhook's turn is over, keeps its webhook's later events waiting. An event or task that
        fails alone is set aside; those that are due again are retried. Returns the targets that are
        claimed for this worker, with their events. Raises LeadershipLost and StoreUnavailable; the
        store must then be read again.
        """
        now = request.now
        self.quarantine.retry_tasks(now)
        events, freed = self._with_due(request)
        plan = Plan(self._rules.definitions.paces)
        self.blocked, self.newly_held = set(request.blocked), False
        self._turns = Turns()
        self.held.begin()
        for event in freed:
            # No agenda shows again the others, which come from the quarantine.
            if event.hold == "recheck" and self._turns.puts_off(event):
                continue
            with self.held.isolated(event):
                self._free(event, plan)
        self.addressed.take(plan)
        self.held.give(plan)
        for event in freed:
            with self.held.isolated(event):
                self._start_instead(event, plan)
        for event in events:
            with (
                self.held.isolated(event),
                span("decide", "INTERNAL", event.headers, webhook=event.webhook, event_id=event.id),
            ):
                self._decide_new(event, request, plan)
        more_ended = self.held.end(plan, request.began, request.barrier, self._turns)
        self.workflows.save()
        claimed = self._write(term, request, plan)
        self.decided = bool(plan.decisions)
        self.unfinished |= more_ended or self._turns.put_off
        self.quarantine.write(now)
        return claimed

    def _with_due(self, request: Request) -> tuple[Sequence[Event], Sequence[Event]]:
        """The events that may be decided now, and those that are free, including what is due from
        the quarantine."""
        now = request.now
        events = self.quarantine.ready(request.events, now)
        freed = self.quarantine.ready(request.freed, now)
        due = self.quarantine.due_events(now, self._rules.paused)
        if due:
            # The agenda has some of them too: those that were locked as they were to be set aside.
            undecided = {event.id: event for event in events}
            undecided.update((event.id, event) for event in due if event.decided_at is None)
            events = sorted(undecided.values(), key=lambda event: event.seq)
            freed += [event for event in due if event.hold in ("aside", "held")]
        return events, freed

    def _write(self, term: Term, request: Request, plan: Plan) -> list[tuple[Target, Event]]:
        writer = PlanWriter(self._store, self.held, term, plan, request.now, request.limit)
        taken = [task for task in map(self.tasks.get, plan.taken) if task is not None]
        with self._timeouts.suspended(taken) as not_before:
            claimed = writer.write(not_before)
        self.unfinished = writer.refused
        if not writer.refused:  # else they may take what others were going to take
            self.held.all_matched()
        return claimed

    def _free(self, event: Event, plan: Plan) -> None:
        """Holds the event again: tasks that wait already may take it."""
        document = self._turns.document(event)
        self.held.hold(event, document)
        plan.decide(event, Decision(event.id, event.status, "held"))
        webhook = self._rules.webhook(event)
        if webhook is not None and not event.is_callback:
            self.held.match(self._rules.matching(webhook, event, document))

    def _start_instead(self, event: Event, plan: Plan) -> None:
        """A freed event that no other task takes starts the workflows that only its takers
        prevented."""
        webhook = self._rules.webhook(event)
        if webhook is None or event.id not in plan.events or event.id in plan.released:
            return
        starts = starts_of(webhook, event, self._turns.document(event))
        wanted = [start.target for start in starts if start.unless_taken]
        if not wanted:
            return
        # Some may have been started before the definition said `unless`.
        there = {
            (target.workflow, target.correlation_id)
            for target in self._store.queries.targets_of([event.id])
        }
        new = [start for start in wanted if (start.workflow, start.correlation_id) not in there]
        if new:
            plan.release(HeldEvent(event), *new)

    def _decide_new(self, event: Event, request: Request, plan: Plan) -> None:
        if event.webhook in self.blocked or self._turns.puts_off(event):
            return
        webhook = self._rules.webhook(event)
        if webhook is None:
            self._wait_for_definition(event, request, plan)
        elif event.is_callback:
            self._hold_callback(event, request, plan)
        else:
            self._decide_defined(event, webhook, request, plan)

    def _hold_callback(self, event: Event, request: Request, plan: Plan) -> None:
        """Holds the event, however short its hold, until its task has been looked up."""
        if self.held.callbacks.is_full(event.webhook):
            self.blocked.add(event.webhook)
            return
        self.held.hold(event, self._turns.document(event))
        plan.decide(
            event,
            Decision(event.id, "pending", "held", origin=event.origin, scan_at=request.began),
        )

    def _decide_defined(self, event: Event, webhook: Webhook, request: Request, plan: Plan) -> None:
        document = self._turns.document(event)
        status: EventStatus = "pending"
        hold: Hold = "no"
        targets: tuple[NewTarget, ...] = ()
        match fate(self._prospects(event, webhook, document, request, plan)):
            case Unknown():
                self.blocked.add(webhook.name)
                return
            case Goes(targets):
                pass
            case Held(targets, in_doubt):
                hold = "held"
                self._hold(event, document, in_doubt)
            case Over(status):
                pass
        if webhook.receivers and not any(target.kind == "complete" for target in targets):
            plan.near[event.id] = self.tasks.nearest(document, webhook.receivers)
        is_paced = webhook.name in plan.paced
        decision = Decision(event.id, status, hold, targets, is_paced, event.origin, request.began)
        plan.decide(event, decision)
        _log_decision(event, decision, plan)

    def _prospects(
        self, event: Event, webhook: Webhook, document: Document, request: Request, plan: Plan
    ) -> Prospects:
        takers, in_doubt = self._rules.takers(webhook, event, document, plan.taken)
        starts = starts_of(webhook, event, document)
        hold_goes_on = bool(webhook.receivers) and not self._is_over(event, webhook, request)
        overtakes = hold_goes_on and is_ever_held(starts) and self._overtakes(takers, webhook, plan)
        has_taker = bool(takers) and not overtakes
        are_tasks_known = not webhook.receivers or request.barrier.knows(
            event.received_at, webhook.receivers, has_taker
        )
        return Prospects(
            takers=takers,
            in_doubt=in_doubt,
            overtakes=overtakes,
            starts=starts,
            messages=messages_of(webhook, event, document),
            has_receivers=bool(webhook.receivers),
            hold_goes_on=hold_goes_on,
            are_tasks_known=are_tasks_known,
        )

    def _is_over(self, event: Event, webhook: Webhook, request: Request) -> bool:
        """Whether the event's hold is over: tasks that come from now on are too late, and those that
        came before are known."""
        hold_until, barrier = event.hold_until, request.barrier
        return hold_until < request.began and hold_until < barrier.holds_up_to(webhook.receivers)

    def _overtakes(self, takers: Sequence[NewTarget], webhook: Webhook, plan: Plan) -> bool:
        """Whether an event with these takers would overtake an earlier one of the webhook, which is
        held. A held event has one taker: an event that goes to several tasks is never held."""
        if len(takers) != 1:
            return False
        taker = self.tasks.get(takers[0].task_id or "")
        return taker is not None and self.held.may_take_earlier(taker, webhook, plan)

    def _hold(self, event: Event, document: Document, in_doubt: Iterable[WaitingTask]) -> None:
        self.newly_held = True
        self.held.hold(event, document)
        for task in in_doubt:
            self.held.doubt(task)

    def _wait_for_definition(self, event: Event, request: Request, plan: Plan) -> None:
        """The event's webhook isn't defined. It expires unless it soon is."""
        end = max(event.hold_until, event.received_at + _UNDEFINED_GRACE)
        if request.now < end:
            self.blocked.add(event.webhook)
            return
        log.warning(
            "an event of an undefined webhook expired", event_id=event.id, webhook=event.webhook
        )
        plan.decide(
            event, Decision(event.id, "expired", "no", origin=event.origin, scan_at=request.began)
        )


def _log_decision(event: Event, decision: Decision, plan: Plan) -> None:
    takers = [target for target in decision.targets if target.kind == "complete"]
    log.info(
        "event decided",
        event_id=event.id,
        webhook=event.webhook,
        **in_logs(event.headers),
        status=decision.status,
        held=decision.hold == "held",
        tasks=some_of(str(taker.task_id) for taker in takers),
        workflows=some_of(sorted({str(taker.workflow_id) for taker in takers})),
        starts=[target.workflow for target in decision.targets if target.kind == "start"],
        messages=[target.workflow for target in decision.targets if target.kind == "message"],
        nearest=list(map(str, plan.near.get(event.id, ()))),
    )
