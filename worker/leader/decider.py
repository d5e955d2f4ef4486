"""Who takes an event: the delivery rules.

One worker decides at a time. It keeps the waiting tasks and the held events indexed in memory; what it decides is
written down in one transaction, and only then changes the indexes. Times are Unix milliseconds by our clock; those of
Conductor are converted as they are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import structlog

from config.webhooks import Definitions, Webhook
from store import turns
from store.bisect import OF_ALL
from store.clock import ServerClock
from store.protocols import Store
from store.records import Decision, Event, EventStatus, Hold, Target, Task, Term
from store.tracing import in_logs, span
from worker.health import Health
from worker.leader.held_events import HeldEvents, Scope
from worker.leader.held_index import HeldEvent
from worker.leader.large_decisions import LargeDecisions
from worker.leader.plan import Plan, is_large, postponed, starts_of
from worker.leader.quarantine import Quarantine
from worker.leader.rules import Rules
from worker.leader.task_index import Document, TaskIndex, parse_task
from worker.leader.task_timeouts import TaskTimeouts
from worker.leader.workflows import Workflows

log = structlog.get_logger()

_PAGE = 2000
_READ_AT_ONCE = 8
"""Held events that are read at once to be called for: what their payloads take is known only then."""
_ENDED_AT_ONCE = 2000
"""Holds that are ended between two scans, so that after a long downtime new events needn't wait for all of them."""
_UNKNOWN_WEBHOOK_GRACE = 60_000
"""Milliseconds that an event at least waits for its webhook's definition to appear."""

Claim = tuple[str, int]
"""The worker to claim the first targets for, and how many."""


class Decider:
    """Decides events, for the worker that has leadership."""

    def __init__(
        self,
        store: Store,
        workflows: Workflows,
        server_clock: ServerClock,
        timeouts: TaskTimeouts,
        skew: float,
    ):
        """`server_clock` is Conductor's; `skew` is BRIDGE_CLOCK_SKEW in seconds."""
        self._store = store
        self._timeouts = timeouts
        self.quarantine = Quarantine(store)
        self.workflows = workflows
        self.tasks = TaskIndex()
        self._rules = Rules(self.tasks, workflows, server_clock, skew * 1000)
        self._scope = Scope()
        self.held = HeldEvents(store, self._scope, self.tasks, self._rules, self.quarantine)
        self._undefined: dict[str, int] = {}
        self._complete_scan_began = 0
        """When the last scan began that was whole: no hold has ended that ends later."""
        self.blocked: Collection[str] = ()
        """Webhooks whose events were left undecided in the last decision, as not every waiting task was known."""
        self.newly_held = False
        """Whether the last decision left an event without a taker, so that it is held."""
        self._large = LargeDecisions(store, self.quarantine)
        self.more_ended = False
        """Whether more holds have ended than the last decision could end."""
        self.unfinished = False
        """Whether there is more to decide at once, which no agenda shows."""

    # --- state ---

    def set_definitions(self, definitions: Definitions) -> None:
        """Uses these definitions from now on; waiting tasks are held against held events anew."""
        receivers: dict[str, list[Webhook]] = {}
        for webhook in definitions.webhooks:
            for workflow in webhook.receivers:
                receivers.setdefault(workflow, []).append(webhook)
        self._scope.definitions, self._scope.receivers = definitions, receivers
        self.held.match_all()

    def load(self, term: Term, health: Health) -> list[Task]:
        """Reads waiting tasks and held events from the store, with a beat to `health` now and then.

        Returns tasks that have their event, though the store can't write that down for now.
        """
        # What the worker before was writing down comes first: it was decided before anything that is decided now.
        self._large.write_all(term, health)
        promised = set(self._store.large_decisions.promised_tasks())
        given: list[Task] = []
        after = ""
        while page := self._store.queries.waiting_tasks(after, _PAGE):
            health.beat("the loop")
            for task in page:
                if task.id in promised:
                    given.append(task)
                else:
                    self._add_task(task)
            after = page[-1].id
        # Paths are made known before the events come, so that each event's payload is read only once.
        # The most usual ones come last: of too many the first are forgotten.
        common = Counter((waiting.workflow, waiting.criteria.paths) for waiting in self.tasks if waiting.criteria)
        samples = {(task.workflow, task.criteria.paths): task.criteria for task in self.tasks if task.criteria}
        for (workflow, paths), _ in reversed(common.most_common()):
            for webhook in self._scope.receivers.get(workflow, ()):
                if not self.held.index.knows(webhook.name, paths):
                    self.held.index.learn(webhook.name, samples[workflow, paths], ())
        for number, event in enumerate(self.held.read()):
            if number % _PAGE == 0:
                health.beat("the loop")
            with self.held.isolated(event):
                self.held.index.add(HeldEvent(event), Document(event.document()))
        self.quarantine.write(self._store.now())
        return given

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        """Tasks that have come to wait."""
        for task in tasks:
            self._add_task(task)

    def _add_task(self, task: Task) -> None:
        try:
            waiting, _ = parse_task(task)
            self.tasks.add(waiting)
            self.held.to_match[task.id] = waiting
        except Exception as error:
            self.quarantine.task_failed(task.id, error, partial(self._add_task, task))

    def drop_tasks(self, task_ids: Iterable[str]) -> None:
        """Tasks that wait no longer."""
        for task_id in task_ids:
            self._remove(task_id)
            self.quarantine.task_is_gone(task_id)

    def _remove(self, task_id: str) -> None:
        if (task := self.tasks.remove(task_id)) is not None:
            self.held.task_is_gone(task_id, task.workflow_id)

    @property
    def receivers(self) -> Collection[str]:
        """The workflows whose tasks any webhook may complete."""
        return self._scope.receivers.keys()

    def lacks_taker(self, events: Iterable[Event]) -> bool:
        """Whether any of these events has receivers, and no task that is known to wait matches it."""
        for event in events:
            webhook = self._scope.definitions.by_name.get(event.webhook)
            if webhook is None or not webhook.receivers:
                continue
            with suppress(Exception):  # it is set aside as it is decided
                if not self.tasks.matching(Document(event.document()), webhook.receivers):
                    return True
        return False

    def undefined(self, now: int) -> list[str]:
        """Webhooks that aren't defined, and none of whose undecided events has waited long enough for that."""
        known = self._scope.definitions.by_name
        return [webhook for webhook, end in self._undefined.items() if webhook not in known and now < end]

    def set_paused(self, paused: Collection[str]) -> None:
        """These webhooks are paused from now on, and no others."""
        if resumed := [webhook for webhook in self._scope.paused if webhook not in paused]:
            # As after downtime: what came to wait meanwhile may take what was held, or came, meanwhile.
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
        claim: Claim,
        complete: bool = True,
    ) -> list[tuple[Target, Event]]:
        """Decides these new events, in their order, and what freed events and tasks that came to wait mean.

        `began` is when the scan began that found every task that was waiting before; the events arrived earlier. If it
        wasn't `complete`, because the index couldn't be searched, events without receivers are decided, and so are
        those that have a taker; the others wait, and with them later ones of their webhooks.
        What fails alone is set aside, and the rest decided without it; what was set aside and is due is tried again.
        Returns the targets that were claimed, with their events. Raises LeadershipLost and
        StoreUnavailable: then the store is to be read again.
        """
        self.quarantine.retry_tasks(now)
        events, freed = self.quarantine.ready(events, now), self.quarantine.ready(freed, now)
        if due := self.quarantine.due_events(now, self._scope.paused):
            undecided = [event for event in due if event.decided_at is None]
            events = sorted([*events, *undecided], key=lambda event: event.seq)
            freed = [*freed, *(event for event in due if event.hold in ("aside", "held"))]
            for event in due:
                if event.hold == "writing":
                    self._large.try_again(event.id)
        self.held.begin()
        paced = self._scope.definitions.paces
        plan = Plan(paced, dict(self.held.to_match), freed, complete=complete)
        if complete:
            self._complete_scan_began = began
        for event in freed:
            with self.held.isolated(event):
                self._free(event, plan)
        freed = plan.freed = [event for event in freed if event.id in plan.events]
        self.held.take(plan)
        for event in freed:
            with self.held.isolated(event):
                self._start_instead(event, plan)
        for event in events:
            with (
                self.held.isolated(event),
                span("decide", "INTERNAL", event.headers, webhook=event.webhook, event_id=event.id),
            ):
                self._decide_new(event, began, now, plan)
        for task_id in plan.taken:  # what was kept for it ends now, unless another task may still take it
            self.held.index.let_go(task_id)
        over = self.held.index.ended(self._complete_scan_began, self._scope.paused, _ENDED_AT_ONCE)
        self.more_ended = len(over) >= _ENDED_AT_ONCE
        over += [event for event in map(HeldEvent, freed) if event.hold_until < self._complete_scan_began]
        ended = self.held.over([event for event in over if event.id not in plan.released], plan)

        worker, limit = claim
        # Everything that may fail comes before the transactions; what each did is then done here too.
        found, limit = self._to_call(plan, limit)
        self.workflows.save()
        claimed: list[Target] = []
        taken = [task for task in map(self.tasks.get, plan.taken) if task is not None]
        with self._timeouts.suspended(taken) as not_before:
            for decisions, expired in plan.steps(ended):
                if not_before:
                    decisions = [postponed(decision, not_before) for decision in decisions]
                claimed += self._write(term, plan, decisions, expired, now, worker, limit - len(claimed))
                if plan.refused:
                    break
        self._large.write_some(term, now)
        self._finish(plan, events)
        self.quarantine.write(now)
        if missing := list({target.event_id for target in claimed} - found.keys()):  # others' calls were put off
            found |= self._store.queries.events_of(missing)
        return [(target, found[target.event_id]) for target in claimed]

    def _free(self, event: Event, plan: Plan) -> None:
        """It stays held unless a task takes it."""
        document = Document(event.document())
        webhook = self._scope.definitions.by_name.get(event.webhook)
        matching = self.tasks.matching(document, webhook.receivers) if webhook is not None else ()
        plan.freed_index.add(HeldEvent(event), document)
        plan.events[event.id] = event
        plan.to_match.update((task.id, task) for task in matching)
        plan.decisions.append(Decision(event.id, event.status, "held"))

    def _write(
        self,
        term: Term,
        plan: Plan,
        decisions: list[Decision],
        ended: list[HeldEvent],
        now: int,
        worker: str,
        room: int,
    ) -> list[Target]:
        """Writes these down in one transaction; what of them is refused is narrowed down to one event, and set aside.

        What comes after that one is decided anew without it: its tasks, for example, may take other events.
        """
        try:
            claimed: list[Target] = []
            if len(decisions) == 1 and is_large(decisions[0]):
                self._store.large_decisions.record(term, decisions[0], now)
                self._large.more = True
            else:
                over = [event.id for event in ended]
                claimed = self._store.decisions.decide(term, decisions, over, now, worker, room)
        except OF_ALL:
            raise
        except Exception as error:
            number = len(decisions) + len(ended)
            if number == 1:
                plan.refused = True
                id_ = decisions[0].event_id if decisions else ended[0].id
                self.held.set_aside(ended[0] if ended else plan.released.get(id_) or plan.events[id_], error)
                return []
            half = number // 2
            first = max(0, half - len(decisions))
            claimed = self._write(term, plan, decisions[:half], ended[:first], now, worker, room)
            if not plan.refused:
                claimed += self._write(term, plan, decisions[half:], ended[first:], now, worker, room - len(claimed))
            return claimed
        self._apply(plan, decisions, ended)
        return claimed

    def _to_call(self, plan: Plan, limit: int) -> tuple[dict[str, Event], int]:
        """The events of the first targets, and how many of these may be claimed: no more payload than fits is read."""
        found: dict[str, Event] = {}
        number, size = 0, 0
        called = [d for d in plan.decisions if d.targets and not d.paced and not is_large(d)][: max(0, limit)]
        for begin in range(0, len(called), _READ_AT_ONCE):
            some = called[begin : begin + _READ_AT_ONCE]
            events = self._events(plan, [decision.event_id for decision in some])
            for decision in some:
                event = events.get(decision.event_id)
                if event is None or number >= limit or size >= turns.BYTES:
                    return found, min(limit, number)
                if event.id not in found:
                    found[event.id] = event
                    size += len(event.payload)
                number += len(decision.targets)
        return found, min(limit, number)

    def _events(self, plan: Plan, event_ids: Sequence[str]) -> Mapping[str, Event]:
        """These events, but for those that can't be read: whoever claims their targets sees what comes of it."""
        missing = [event_id for event_id in event_ids if event_id not in plan.events]
        if not missing:
            return plan.events
        try:
            return {**plan.events, **self._store.queries.events_of(missing)}
        except OF_ALL:
            raise
        except Exception as error:
            log.warning("events can't be read to be called for", events=missing, error=str(error))
            return plan.events

    def _apply(self, plan: Plan, decisions: Iterable[Decision], ended: Iterable[HeldEvent]) -> None:
        """Does here what a transaction did in the store."""
        for decision in decisions:
            for target in decision.targets:
                if target.task_id is not None:
                    self._remove(target.task_id)
            if decision.hold == "held":
                event = plan.events[decision.event_id]
                with self.held.isolated(event):
                    self.held.index.add(HeldEvent(event), Document(event.document()))
            elif decision.event_id in plan.released:
                self.held.index.remove(plan.released[decision.event_id])
        for over in ended:
            self.held.index.remove(over)
            log.info("event expired", event_id=over.id, webhook=over.webhook)

    def _finish(self, plan: Plan, events: Iterable[Event]) -> None:
        """The plan is in the store, or what of it comes before a decision that the store refused."""
        self.unfinished = self.more_ended or plan.refused or self._large.more
        freed = {event.id for event in plan.freed}
        self.newly_held = any(d.hold == "held" and d.event_id not in freed for d in plan.decisions)
        self.blocked = plan.blocked
        self.held.finish(plan)
        for event in events:
            self._undefined.pop(event.webhook, None)
        self._undefined.update(plan.undefined)

    def _decide_new(self, event: Event, began: int, now: int, plan: Plan) -> None:
        webhook = self._scope.definitions.by_name.get(event.webhook)
        if webhook is None:
            end = max(event.hold_until, event.received_at + _UNKNOWN_WEBHOOK_GRACE)
            if now < end:
                plan.undefined[event.webhook] = min(end, plan.undefined.get(event.webhook, end))
            else:
                log.warning("event of a webhook that isn't defined expired", event_id=event.id, webhook=event.webhook)
                plan.events[event.id] = event
                plan.decisions.append(Decision(event.id, "expired", "no"))
            return
        if webhook.name in plan.blocked:
            return
        document = Document(event.document())
        takers = self._rules.takers(webhook, event, document, plan)
        if not plan.complete and webhook.receivers and not takers:
            plan.blocked.add(webhook.name)
            return
        plan.events[event.id] = event
        starts = starts_of(webhook, event, document, taken=bool(takers))
        instead = any(start.unless_taken for start in starts)
        for task, _ in takers:
            plan.taken[task.id] = event.id
        targets = (*(target for _, target in takers), *(start.target for start in starts))
        hold: Hold = "no"
        status: EventStatus = "pending"
        if not takers and not instead and webhook.receivers and event.hold_until >= began:
            hold = "held"
        elif not targets:
            status = "expired" if webhook.receivers else "ignored"
        plan.decisions.append(Decision(event.id, status, hold, targets, webhook.name in plan.paced))
        log.info(
            "event decided",
            event_id=event.id,
            webhook=event.webhook,
            **in_logs(event.headers),
            status=status,
            held=hold == "held",
            tasks=[task.id for task, _ in takers],
            workflows=sorted({task.workflow_id for task, _ in takers}),
            starts=[start.target.workflow for start in starts],
        )

    def _start_instead(self, event: Event, plan: Plan) -> None:
        """A freed event that no other task takes starts the workflows that only its takers forbade."""
        webhook = self._scope.definitions.by_name.get(event.webhook)
        if webhook is None or event.id in plan.released:
            return
        starts = [start for start in starts_of(webhook, event, Document(event.document()), False) if start.unless_taken]
        if starts:
            there = {(target.workflow, target.correlation_id) for target in self._store.queries.targets_of([event.id])}
            new = [s.target for s in starts if (s.target.workflow, s.target.correlation_id) not in there]
            if new:  # the others were made before the definition forbade them
                plan.release(HeldEvent(event), tuple(new))
