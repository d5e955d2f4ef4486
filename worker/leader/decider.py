"""Which task takes which event: plans decisions by the delivery rules, for the leader.

It indexes the waiting tasks and held events in memory. A decision is written to the store first, and only then changes
the indexes. Times are Unix milliseconds by our clock; Conductor's are converted when they are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial

import structlog

from config.logs import some_of
from config.webhooks import Definitions, Webhook
from store.clock import ServerClock
from store.records import Decision, Event, EventStatus, Hold, NewTarget, Target, Task, Term
from store.sql.store import Store
from store.tracing import in_logs, span
from worker.discovery.barrier import Barrier
from worker.health import Health
from worker.leader.addressed_events import AddressedEvents
from worker.leader.callbacks import Callbacks
from worker.leader.held_events import HeldEvents, Scope
from worker.leader.held_index import HeldEvent
from worker.leader.plan import Plan, messages_of, starts_of
from worker.leader.plan_writer import PlanWriter
from worker.leader.quarantine import Quarantine
from worker.leader.rules import Rules, is_for
from worker.leader.task_index import Document, TaskIndex, WaitingTask, parse_task
from worker.leader.task_timeouts import TaskTimeouts
from worker.leader.workflows import Workflows

log = structlog.get_logger()

_PAGE = 2000
_EXPIRED_AT_ONCE = 2000
"""Holds that are ended between two scans: after a long downtime, new events shouldn't wait for all of them."""
_UNDEFINED_GRACE = 60_000
"""Milliseconds that an event waits, at least, for its webhook's definition to appear."""


class Decider:
    """Decides events. Belongs to the loop's thread."""

    def __init__(
        self,
        store: Store,
        workflows: Workflows,
        server_clock: ServerClock,
        timeouts: TaskTimeouts,
        callbacks: Callbacks,
        skew: float,
    ):
        """`server_clock` is Conductor's; `skew` is BRIDGE_CLOCK_SKEW in seconds."""
        self._store = store
        self.workflows = workflows
        self.tasks = TaskIndex()
        self.quarantine = Quarantine(store)
        self._scope = Scope()
        self._rules = Rules(self.tasks, workflows, server_clock, skew * 1000)
        self.held = HeldEvents(store, self._scope, self.tasks, self._rules, self.quarantine, callbacks)
        self.addressed = AddressedEvents(store, self._scope, self.tasks, self.held, server_clock)
        self._writer = PlanWriter(store, self.tasks, self.held, timeouts)
        self._undefined: dict[str, int] = {}
        """Undefined webhook → when the first of its events is decided all the same."""
        self._known_up_to = 0
        """Up to when all waiting tasks are known: holds that end later haven't ended."""
        self.blocked: Collection[str] = ()
        """Webhooks whose events wait since the last decision or the one before, as not every waiting task was known."""
        self.newly_held = False
        """Whether the last decision left an event without a taker, so that it is held."""
        self.unfinished = False
        """Whether there is more to decide at once that no agenda shows."""

    # --- state ---

    def set_definitions(self, definitions: Definitions) -> None:
        """Uses these definitions from now on, and matches all waiting tasks with held events again."""
        receivers: dict[str, list[Webhook]] = {}
        for webhook in definitions.webhooks:
            for workflow in webhook.receivers:
                receivers.setdefault(workflow, []).append(webhook)
        self._scope.definitions, self._scope.receivers = definitions, receivers
        self.held.match_all()

    def load(self, health: Health) -> None:
        """Reads waiting tasks and held events from the store, with a beat to `health` from time to time.

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
            self.held.hold(event)
        self.quarantine.write(self._store.now())

    def _learn_paths(self) -> None:
        """Registers the tasks' paths before the held events are read, so that each payload is read only once."""
        criteria = {(task.workflow, task.criteria.paths): task.criteria for task in self.tasks if task.criteria}
        common = Counter((task.workflow, task.criteria.paths) for task in self.tasks if task.criteria)
        # The most common paths come last: if there are too many, the first are forgotten.
        for (workflow, paths), _ in reversed(common.most_common()):
            for webhook in self._scope.receivers.get(workflow, ()):
                if not self.held.index.knows(webhook.name, paths):
                    self.held.index.learn(webhook.name, criteria[workflow, paths], ())

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        """These tasks now wait."""
        for task in tasks:
            self._add_task(task)

    def _add_task(self, task: Task) -> None:
        try:
            waiting, _ = parse_task(task)
            self.tasks.add(waiting)
            self.held.tasks_to_match[task.id] = waiting
        except Exception as error:
            self.quarantine.task_failed(task.id, error, partial(self._add_task, task))

    def drop_tasks(self, task_ids: Iterable[str]) -> None:
        """These tasks no longer wait."""
        for task_id in task_ids:
            self.held.remove_task(task_id)
            self.quarantine.task_is_gone(task_id)

    @property
    def receivers(self) -> Collection[str]:
        """The workflows whose tasks any webhook may complete."""
        return self._scope.receivers.keys()

    def lacks_taker(self, events: Iterable[Event]) -> bool:
        """Whether any of these events has receivers, but no known waiting task matches it."""
        for event in events:
            webhook = self._scope.webhook(event)
            if webhook is None or not webhook.receivers or event.is_callback:
                continue
            with suppress(Exception):  # deciding it sets it aside
                matching = self.tasks.matching(Document(event.document()), webhook.receivers)
                if not any(is_for(event, task) for task in matching):
                    return True
        return False

    def undefined(self, now: int) -> list[str]:
        """Undefined webhooks none of whose undecided events has waited long enough yet."""
        known = self._scope.definitions.by_name
        return [webhook for webhook, end in self._undefined.items() if webhook not in known and now < end]

    def full(self) -> list[str]:
        """Webhooks whose new events are left in the store for now, since strangers may have made them up."""
        return self.held.callbacks.full

    def set_paused(self, paused: Collection[str]) -> None:
        """These webhooks are paused from now on, and no others."""
        if resumed := [webhook for webhook in self._scope.paused if webhook not in paused]:
            # As after downtime: tasks that began to wait meanwhile may take events that arrived, or were held,
            # meanwhile.
            self.held.match_all()
            for name in resumed:
                self.held.index.unpark(name)
        self._scope.paused = paused

    # --- deciding ---

    def decide(
        self,
        term: Term,
        events: Sequence[Event],
        freed: Sequence[Event],
        began: int,
        now: int,
        limit: int,
        barrier: Barrier | None = None,
        blocked: Collection[str] = (),
    ) -> list[tuple[Target, Event]]:
        """Decides these new events, in their order, as well as freed events and newly waiting tasks.

        `began`: when the scan began; the events arrived earlier. `barrier`: which tasks that waited then are known,
        by default all. Events that may have others as takers wait, and so do their webhooks' later events. `blocked`:
        webhooks with such events that aren't among these. An event or task that fails alone is set aside; those that
        are due again are retried.

        Claims the first `limit` targets for this worker, and returns them with their events. Raises LeadershipLost and
        StoreUnavailable; the store must then be read again.
        """
        self.quarantine.retry_tasks(now)
        events, freed = self._with_due(events, freed, now)
        self._known_up_to = began if barrier is None else barrier.holds_up_to()
        plan = self._plan(events, freed, began, now, barrier, blocked)
        expired = self._expired(plan)
        self.workflows.save()
        claimed = self._writer.write(term, plan, expired, now, limit)
        self._finish(plan, events)
        self.quarantine.write(now)
        return claimed

    def _with_due(
        self, events: Sequence[Event], freed: Sequence[Event], now: int
    ) -> tuple[Sequence[Event], Sequence[Event]]:
        """The events that may be decided now, and those that are free, including what is due from the quarantine."""
        events, freed = self.quarantine.ready(events, now), self.quarantine.ready(freed, now)
        if due := self.quarantine.due_events(now, self._scope.paused):
            undecided = [event for event in due if event.decided_at is None]
            # The agenda has those too that somebody had locked as they were to be set aside.
            events = sorted({event.id: event for event in (*events, *undecided)}.values(), key=lambda event: event.seq)
            freed = [*freed, *(event for event in due if event.hold in ("aside", "held"))]
        return events, freed

    def _plan(
        self,
        events: Sequence[Event],
        freed: Sequence[Event],
        began: int,
        now: int,
        barrier: Barrier | None,
        blocked: Collection[str],
    ) -> Plan:
        self.held.begin()
        tasks_to_match = dict(self.held.tasks_to_match)
        plan = Plan(self._scope.definitions.paces, tasks_to_match, freed, barrier=barrier, blocked=set(blocked))
        for event in freed:
            with self.held.isolated(event):
                self._free(event, plan)
        plan.freed = [event for event in freed if event.id in plan.events]
        self.addressed.take(plan)
        self.held.take(plan)
        for event in plan.freed:
            with self.held.isolated(event):
                self._start_instead(event, plan)
        for event in events:
            with (
                self.held.isolated(event),
                span("decide", "INTERNAL", event.headers, webhook=event.webhook, event_id=event.id),
            ):
                self._decide_new(event, began, now, plan)
        return plan

    def _expired(self, plan: Plan) -> list[HeldEvent]:
        """The events whose hold ran out before all waiting tasks were known, and that nothing may take any more."""
        for task_id in plan.taken:  # the hold of events kept for it ends now, unless another task may still take them
            self.held.index.stop_keeping(task_id)
        ended = self.held.index.ended(self._known_up_to, self._scope.paused, _EXPIRED_AT_ONCE)
        plan.more_expired = len(ended) >= _EXPIRED_AT_ONCE
        freed = (HeldEvent(event) for event in plan.freed if not event.is_callback)
        ended += [event for event in freed if event.hold_until < self._known_up_to]
        return self.held.expired([event for event in ended if event.id not in plan.released], plan) + plan.over

    def _free(self, event: Event, plan: Plan) -> None:
        """Holds the event unless a task takes it."""
        if event.is_callback:
            self.addressed.hold(event, plan, 0)
            return
        document = Document(event.document())
        webhook = self._scope.webhook(event)
        tasks = self.tasks.matching(document, webhook.receivers) if webhook is not None else ()
        matching = [task for task in tasks if is_for(event, task)]
        plan.freed_index.add(HeldEvent(event), document)
        plan.events[event.id] = event
        plan.tasks_to_match.update((task.id, task) for task in matching)
        plan.decisions.append(Decision(event.id, event.status, "held"))

    def _finish(self, plan: Plan, events: Iterable[Event]) -> None:
        """The plan has been stored, up to the first decision that the store refused."""
        self.unfinished = plan.more_expired or plan.refused
        freed = {event.id for event in plan.freed}
        self.newly_held = any(
            d.hold == "held" and d.event_id not in freed and not plan.events[d.event_id].is_callback
            for d in plan.decisions
        )
        self.blocked = plan.blocked
        self.held.finish(plan)
        for event in events:
            self._undefined.pop(event.webhook, None)
        self._undefined.update(plan.undefined)

    def _decide_new(self, event: Event, began: int, now: int, plan: Plan) -> None:
        webhook = self._scope.webhook(event)
        if webhook is None:
            end = max(event.hold_until, event.received_at + _UNDEFINED_GRACE)
            if now < end:
                plan.undefined[event.webhook] = min(end, plan.undefined.get(event.webhook, end))
            else:
                log.warning("an event of an undefined webhook expired", event_id=event.id, webhook=event.webhook)
                plan.events[event.id] = event
                plan.decisions.append(Decision(event.id, "expired", "no", origin=event.origin, scan_at=began))
            return
        if webhook.name in plan.blocked:
            return
        if event.is_callback:
            self.addressed.hold(event, plan, began)
            return
        document = Document(event.document())
        takers, in_doubt = self._rules.takers(webhook, event, document, plan)
        can_be_held = bool(webhook.receivers) and event.hold_until >= began
        if can_be_held and self._comes_after_another(event, webhook, document, takers, plan):
            takers = []
        barrier = plan.barrier
        if webhook.receivers and barrier and not barrier.knows(event.received_at, webhook.receivers, bool(takers)):
            plan.blocked.add(webhook.name)
            return
        plan.events[event.id] = event
        starts = starts_of(webhook, event, document, taken=bool(takers))
        instead = any(start.unless_taken for start in starts)
        for task, _ in takers:
            plan.taken[task.id] = event.id
        messages = messages_of(webhook, event, document)
        targets = (*(target for _, target in takers), *(start.target for start in starts), *messages)
        hold: Hold = "no"
        status: EventStatus = "pending"
        # A hold that has ended goes on for a task that came before its end, and is in doubt.
        if not takers and not instead and (can_be_held or in_doubt):
            hold = "held"
            plan.in_doubt.update((task.id, task) for task in in_doubt)
            plan.in_doubt_for.update((task.id, webhook.name) for task in in_doubt)
        elif not targets:
            status = "expired" if webhook.receivers else "ignored"
        paced = webhook.name in plan.paced
        plan.decisions.append(Decision(event.id, status, hold, targets, paced, event.origin, began))
        log.info(
            "event decided",
            event_id=event.id,
            webhook=event.webhook,
            **in_logs(event.headers),
            status=status,
            held=hold == "held",
            tasks=some_of(task.id for task, _ in takers),
            workflows=some_of(sorted({task.workflow_id for task, _ in takers})),
            starts=[start.target.workflow for start in starts],
            messages=[message.workflow for message in messages],
        )

    def _comes_after_another(
        self,
        event: Event,
        webhook: Webhook,
        document: Document,
        takers: Sequence[tuple[WaitingTask, NewTarget]],
        plan: Plan,
    ) -> bool:
        """Whether the event is held so as not to overtake an earlier one, which may be for its only taker.

        A held event has one taker: one that goes to several tasks is never held. Nor is an event that starts a workflow
        unless it is taken.
        """
        if len(takers) != 1 or not self.held.may_take_earlier(takers[0][0], webhook, plan):
            return False
        return not any(start.unless_taken for start in starts_of(webhook, event, document, taken=False))

    def _start_instead(self, event: Event, plan: Plan) -> None:
        """A freed event that no other task takes starts the workflows that only its takers prevented."""
        webhook = self._scope.webhook(event)
        if webhook is None or event.id in plan.released:
            return
        starts = [start for start in starts_of(webhook, event, Document(event.document()), False) if start.unless_taken]
        if starts:
            there = {(target.workflow, target.correlation_id) for target in self._store.queries.targets_of([event.id])}
            new = [s.target for s in starts if (s.target.workflow, s.target.correlation_id) not in there]
            if new:  # the others were started before the definition said `unless`
                plan.release(HeldEvent(event), tuple(new))
