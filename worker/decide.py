"""Who takes an event: the delivery rules.

One worker decides at a time. It keeps the waiting tasks and the held events indexed in memory; what it decides is
written down in one transaction, and only then changes the indexes. Times are Unix milliseconds by our clock; those of
Conductor are converted as they are compared.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from config.webhooks import Definitions, Webhook
from events import turns
from events.clock import ServerClock
from events.matches import Criteria
from events.records import Decision, Event, EventStatus, Hold, NewTarget, Target, Task, Workflow
from events.store import Store
from events.tracing import in_logs, span
from worker.aside import Aside
from worker.matching import Document, HeldEvent, HeldEvents, TaskIndex, WaitingTask, parse_task
from worker.narrow import OF_ALL
from worker.plan import Plan, completion, is_large, starts_of
from worker.workflows import InDoubt, Workflows

log = structlog.get_logger()

_PAGE = 2000
_ENDED_AT_ONCE = 2000
"""Holds that are ended between two sweeps, so that after a long downtime new events needn't wait for all of them."""
_UNKNOWN_WEBHOOK_GRACE = 60_000
"""Milliseconds that an event at least waits for its webhook's definition to appear."""

Claim = tuple[str, int]
"""The worker to claim the first targets for, and how many."""


class Decider:
    """Decides events, for the worker that has the lead."""

    def __init__(
        self,
        store: Store,
        holder: str,
        look_up: Callable[[str], Workflow | None],
        clock: ServerClock,
        skew: float,
        pool: ThreadPoolExecutor | None = None,
        giving: Callable[[Collection[WaitingTask]], AbstractContextManager[Mapping[str, int]]] = lambda _: nullcontext(
            {}
        ),
        at_once: int = 1,
    ):
        """`look_up` asks Conductor for a workflow and may raise; `skew` is BRIDGE_CLOCK_SKEW in seconds; `at_once`
        look-ups run on the `pool`. Tasks are given to events inside `giving` them, which yields until
        when the completions of some may not be made."""
        self._store = store
        self._holder = holder
        self._clock = clock
        self._skew = skew * 1000
        self._giving = giving
        self.aside = Aside(store)
        self.workflows = Workflows(store, look_up, pool, at_once)
        self.tasks = TaskIndex()
        self.held = HeldEvents()
        self._definitions = Definitions(())
        self._receivers: dict[str, list[Webhook]] = {}
        self._coming: dict[str, WaitingTask] = {}
        self._unknown: dict[str, int] = {}
        self._paused: Collection[str] = ()
        self._doubted: dict[str, dict[str, WaitingTask]] = {}
        """Tasks that may take a held event, by the workflow that can't be shown for now."""
        self._whole_began = 0
        """When the last sweep began that was whole: no hold has ended that ends later."""
        self.waiting: Collection[str] = ()
        """Webhooks whose events were left undecided in the last decision, as not every waiting task was known."""
        self.newly_held = False
        """Whether the last decision left an event without a taker, so that it is held."""
        self.more_ended = False
        """Whether more holds have ended than the last decision could end."""
        self.unfinished = False
        """Whether there is more to decide at once, which no agenda shows."""

    # --- state ---

    def set_definitions(self, definitions: Definitions) -> None:
        """Uses these definitions from now on; waiting tasks are held against held events anew."""
        self._definitions = definitions
        self._receivers = {}
        for webhook in definitions.webhooks:
            for workflow in webhook.receivers:
                self._receivers.setdefault(workflow, []).append(webhook)
        self._coming.update((task.id, task) for task in self.tasks)

    def load(self, alive: Callable[[], None] = lambda: None) -> None:
        """Reads waiting tasks and held events from the store; calls `alive` now and then meanwhile."""
        # What the worker before was writing down comes first: it was decided before anything that is decided now.
        try:
            while self._store.write_large(self._holder, self._store.now()):
                alive()
        except OF_ALL:
            raise
        except Exception:  # its event is decided anew, or set aside
            log.exception("what the worker before decided can't be written down to its end")
        after = ""
        while page := self._store.waiting_tasks(after, _PAGE):
            alive()
            for task in page:
                self._add_task(task)
            after = page[-1].id
        # Paths are made known before the events come, so that each event's payload is read only once.
        # The most usual ones come last: of too many the first are forgotten.
        common = Counter((waiting.workflow, waiting.criteria.paths) for waiting in self.tasks if waiting.criteria)
        samples = {(task.workflow, task.criteria.paths): task.criteria for task in self.tasks if task.criteria}
        for (workflow, paths), _ in reversed(common.most_common()):
            for webhook in self._receivers.get(workflow, ()):
                if not self.held.knows(webhook.name, paths):
                    self.held.learn(webhook.name, samples[workflow, paths], ())
        for number, event in enumerate(self._held_events()):
            if number % _PAGE == 0:
                alive()
            with self._alone(event):
                self.held.add(HeldEvent(event), Document(event.document()))
        self.aside.settle(self._store.now())

    def _held_events(self, webhook: str | None = None) -> Iterable[Event]:
        seq = 0
        while page := self._store.held(seq, _PAGE, webhook):
            yield from page
            seq = page[-1].seq

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        """Tasks that have come to wait."""
        for task in tasks:
            self._add_task(task)

    def _add_task(self, task: Task) -> None:
        try:
            waiting, _ = parse_task(task)
            self.tasks.add(waiting)
            self._coming[task.id] = waiting
        except Exception as error:
            self.aside.task_failed(task.id, error, partial(self._add_task, task))

    def _look_again(self, task_id: str) -> None:
        """The task, if it waits, may take a held event."""
        if (task := self.tasks.get(task_id)) is not None:
            self._coming[task_id] = task

    def _set_aside(self, event: Event | HeldEvent, error: Exception) -> None:
        """The event fails alone: it makes room for others until its next try."""
        self.aside.event_failed(event.id, event.webhook, error)
        self.held.remove(event if isinstance(event, HeldEvent) else HeldEvent(event))

    def drop_tasks(self, task_ids: Iterable[str]) -> None:
        """Tasks that wait no longer."""
        for task_id in task_ids:
            self._remove(task_id)
            self.aside.task_is_gone(task_id)

    def _remove(self, task_id: str) -> None:
        task = self.tasks.remove(task_id)
        self._coming.pop(task_id, None)
        if task is not None and (doubted := self._doubted.get(task.workflow_id)) is not None:
            doubted.pop(task_id, None)
            if not doubted:
                del self._doubted[task.workflow_id]
        self.held.let_go(task_id)

    def receivers(self) -> list[str]:
        """The workflows whose tasks any webhook may complete."""
        return list(self._receivers)

    def lacks_taker(self, events: Iterable[Event]) -> bool:
        """Whether any of these events has receivers, and no task that is known to wait matches it."""
        for event in events:
            webhook = self._definitions.by_name.get(event.webhook)
            if webhook is None or not webhook.receivers:
                continue
            with suppress(Exception):  # it is set aside as it is decided
                if not self.tasks.matching(Document(event.document()), webhook.receivers):
                    return True
        return False

    def is_receiver(self, workflow: str) -> bool:
        """Whether any webhook may complete tasks of this workflow."""
        return workflow in self._receivers

    def undefined(self, now: int) -> list[str]:
        """Webhooks that aren't defined, and none of whose undecided events has waited long enough for that."""
        known = self._definitions.by_name
        return [webhook for webhook, end in self._unknown.items() if webhook not in known and now < end]

    def set_paused(self, paused: Collection[str]) -> None:
        """These webhooks are paused from now on, and no others."""
        if resumed := [webhook for webhook in self._paused if webhook not in paused]:
            # As after downtime: what came to wait meanwhile may take what was held, or came, meanwhile.
            self._coming.update((task.id, task) for task in self.tasks)
            for name in resumed:
                self.held.unpark(name)
        self._paused = paused

    # --- deciding ---

    def decide(
        self,
        events: Sequence[Event],
        freed: Sequence[Event],
        began: int,
        now: int,
        claim: Claim,
        whole: bool = True,
    ) -> list[tuple[Target, Event]]:
        """Decides these new events, in their order, and what freed events and tasks that came to wait mean.

        `began` is when the sweep began that found every task that was waiting before; the events arrived earlier. If it
        wasn't `whole`, as the index couldn't be searched, events without receivers are decided, and those that have a
        taker all the same; the others wait, and with them those of their webhooks that came later.
        What fails alone is set aside, and the rest decided without it; what was set aside and is due is tried again.
        Returns the targets that were claimed, with their events. Raises LeadLost and StoreUnavailable: then the store
        is to be read anew.
        """
        self.aside.retry_tasks(now)
        if due := self.aside.due_events(now, self._paused):
            events = sorted([*events, *(event for event in due if event.hold != "aside")], key=lambda event: event.seq)
            freed = [*freed, *(event for event in due if event.hold == "aside")]
        for workflow_id in self.workflows.begin() & self._doubted.keys():
            for task_id, task in self._doubted.pop(workflow_id).items():
                self._coming[task_id] = task
                self.held.let_go(task_id)
        paced = {webhook.name for webhook in self._definitions.webhooks if webhook.pace is not None}
        plan = Plan(paced, dict(self._coming), freed, whole=whole)
        if whole:
            self._whole_began = began
        for event in freed:
            with self._alone(event):
                self._free(event, plan)
        freed = plan.freed = [event for event in freed if event.id in plan.events]
        self._take_held(plan)
        for event in freed:
            with self._alone(event):
                self._start_instead(event, plan)
        for event in events:
            with (
                self._alone(event),
                span("decide", "INTERNAL", event.headers, webhook=event.webhook, event_id=event.id),
            ):
                self._decide_new(event, began, now, plan)
        over = self.held.ended(self._whole_began, self._paused, _ENDED_AT_ONCE)
        self.more_ended = len(over) >= _ENDED_AT_ONCE
        over += [event for event in map(HeldEvent, freed) if event.hold_until < self._whole_began]
        ended = self._without_doubt([event for event in over if event.id not in plan.used], plan)

        worker, limit = claim
        # Everything that may fail comes before the transactions; what each did is then done here too.
        found, limit = self._to_call(plan, limit)
        self.workflows.save()
        claimed: list[Target] = []
        taken = [task for task in map(self.tasks.get, plan.taken) if task is not None]
        with self._giving(taken) as not_before:
            for decisions, expired in plan.steps(ended):
                if not_before:
                    decisions = [_put_off(decision, not_before) for decision in decisions]
                claimed += self._write(plan, decisions, expired, now, worker, limit - len(claimed))
                if plan.refused:
                    break
        self._finish(plan, events)
        self.aside.settle(now)
        if missing := list({target.event_id for target in claimed} - found.keys()):  # others' calls were put off
            found |= self._store.events_of(missing)
        return [(target, found[target.event_id]) for target in claimed]

    @contextmanager
    def _alone(self, event: Event | HeldEvent) -> Iterator[None]:
        """Sets the event aside if what is done for it fails."""
        try:
            yield
        except OF_ALL:
            raise
        except Exception as error:
            self._set_aside(event, error)

    def _free(self, event: Event, plan: Plan) -> None:
        """It stays held unless a task takes it."""
        document = Document(event.document())
        webhook = self._definitions.by_name.get(event.webhook)
        matching = self.tasks.matching(document, webhook.receivers) if webhook is not None else ()
        plan.freed_held.add(HeldEvent(event), document)
        plan.events[event.id] = event
        plan.coming.update((task.id, task) for task in matching)
        plan.decisions.append(Decision(event.id, event.status, "held"))

    def _write(
        self, plan: Plan, decisions: list[Decision], ended: list[HeldEvent], now: int, worker: str, room: int
    ) -> list[Target]:
        """Writes these down in one transaction; what of them is refused is narrowed down to one event, and set aside.

        What comes after that one is decided anew without it: its tasks, for example, may take other events.
        """
        try:
            claimed: list[Target] = []
            if len(decisions) == 1 and is_large(decisions[0]):
                self._write_large(decisions[0], now)
            else:
                over = [event.id for event in ended]
                claimed = self._store.decide(self._holder, decisions, over, now, worker, room)
        except OF_ALL:
            raise
        except Exception as error:
            number = len(decisions) + len(ended)
            if number == 1:
                plan.refused = True
                id_ = decisions[0].event_id if decisions else ended[0].id
                self._set_aside(ended[0] if ended else plan.used.get(id_) or plan.events[id_], error)
                return []
            half = number // 2
            first = max(0, half - len(decisions))
            claimed = self._write(plan, decisions[:half], ended[:first], now, worker, room)
            if not plan.refused:
                claimed += self._write(plan, decisions[half:], ended[first:], now, worker, room - len(claimed))
            return claimed
        self._apply(plan, decisions, ended)
        return claimed

    def _write_large(self, decision: Decision, now: int) -> None:
        """Writes a decision that is too large for one transaction: any worker claims its targets."""
        self._store.record_large(self._holder, decision)
        while self._store.write_large(self._holder, now):
            pass

    def _to_call(self, plan: Plan, limit: int) -> tuple[dict[str, Event], int]:
        """The events of the first targets, and how many of these may be claimed: no more payload than fits is read."""
        found: dict[str, Event] = {}
        number, size = 0, 0
        for decision in plan.decisions:
            if not decision.targets or decision.paced or is_large(decision):
                continue
            if number >= limit or size >= turns.BYTES:
                break
            event_id = decision.event_id
            if event_id not in found:
                try:
                    found[event_id] = plan.events.get(event_id) or self._store.events_of([event_id])[event_id]
                except OF_ALL:
                    raise
                except Exception as error:  # whoever claims its targets sees what comes of it
                    log.warning("an event can't be read to be called for", event_id=event_id, error=str(error))
                    break
                size += len(found[event_id].payload)
            number += len(decision.targets)
        return found, min(limit, number)

    def _apply(self, plan: Plan, decisions: Iterable[Decision], ended: Iterable[HeldEvent]) -> None:
        """Does here what a transaction did in the store."""
        for decision in decisions:
            for target in decision.targets:
                if target.task_id is not None:
                    self._remove(target.task_id)
            if decision.hold == "held":
                event = plan.events[decision.event_id]
                with self._alone(event):
                    self.held.add(HeldEvent(event), Document(event.document()))
            elif decision.event_id in plan.used:
                self.held.remove(plan.used[decision.event_id])
        for over in ended:
            self.held.remove(over)
            log.info("event expired", event_id=over.id, webhook=over.webhook)

    def _finish(self, plan: Plan, events: Iterable[Event]) -> None:
        """The plan is in the store, or what of it comes before a decision that the store refused."""
        self.unfinished = self.more_ended or plan.refused
        freed = {event.id for event in plan.freed}
        self.newly_held = any(d.hold == "held" and d.event_id not in freed for d in plan.decisions)
        self.waiting = plan.waiting
        for task_id, task in plan.coming.items():
            if not plan.refused:
                self._coming.pop(task_id, None)
            elif task_id in self.tasks:  # it may take what another was to take
                self._coming[task_id] = task
        for task in plan.doubted.values():
            if task.id not in plan.taken:
                self._doubted.setdefault(task.workflow_id, {})[task.id] = task
        for kept, task_id in plan.kept:
            self.held.keep(kept, task_id)
        for event in events:
            self._unknown.pop(event.webhook, None)
        self._unknown.update(plan.unknown)

    def _take_held(self, plan: Plan) -> None:
        """Each task that came to wait takes the oldest held event that it may take."""
        if not len(self.held) and not len(plan.freed_held):
            return
        coming = sorted(plan.coming.values(), key=lambda task: (task.scheduled_at, task.id))
        fitting: list[WaitingTask] = []
        for task in coming:
            with self._task_alone(task):
                if self._has_candidate(task, plan):
                    fitting.append(task)
        self.workflows.look_up(task.workflow_id for task in fitting)
        for task in fitting:
            with self._task_alone(task):
                try:
                    event = self._oldest_for(task, plan)
                except InDoubt:
                    plan.doubted[task.id] = task
                    continue
                if event is not None:
                    plan.take(event, task)

    @contextmanager
    def _task_alone(self, task: WaitingTask) -> Iterator[None]:
        """Sets the task aside if what is done for it fails: it takes no held event before its next try."""
        try:
            yield
        except OF_ALL:
            raise
        except Exception as error:
            self.aside.task_failed(task.id, error, partial(self._look_again, task.id))

    def _has_candidate(self, task: WaitingTask, plan: Plan) -> bool:
        criteria = task.criteria
        if criteria is None or None in criteria.keys:
            return False
        return any(
            next(self._candidates(webhook, criteria, float("-inf"), plan), None) is not None
            for webhook in self._open_to(task.workflow)
        )

    def _open_to(self, workflow: str) -> Iterable[Webhook]:
        """The webhooks whose held events tasks of the workflow may take now."""
        return (webhook for webhook in self._receivers.get(workflow, ()) if webhook.name not in self._paused)

    def _candidates(
        self, webhook: Webhook, criteria: Criteria, received_after: float, plan: Plan
    ) -> Iterator[HeldEvent]:
        """The webhook's events that are held, or free again, and for which the criteria hold: the oldest first."""
        held = self._matching(self.held, webhook.name, criteria, received_after, self._held_events)
        if not len(plan.freed_held):
            return held
        freed = self._matching(
            plan.freed_held,
            webhook.name,
            criteria,
            received_after,
            lambda name: (event for event in plan.freed if event.webhook == name),
        )
        return heapq.merge(held, freed)

    def _matching(
        self,
        held: HeldEvents,
        webhook: str,
        criteria: Criteria,
        received_after: float,
        read: Callable[[str], Iterable[Event]],
    ) -> Iterator[HeldEvent]:
        if not held.knows(webhook, criteria.paths) and held.wants(webhook, criteria):
            held.learn(webhook, criteria, self._documents(read(webhook)))
        for event, sure in held.candidates(webhook, criteria, received_after):
            if sure:
                yield event
                continue
            for _, document in self._documents(self._store.events_of([event.id]).values()):
                if criteria.holds(document):
                    yield event

    def _documents(self, events: Iterable[Event]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Number and payload of each; what can't be read is set aside."""
        for event in events:
            try:
                document = event.document()
            except Exception as error:
                self._set_aside(event, error)
            else:
                yield event.seq, document

    def _oldest_for(self, task: WaitingTask, plan: Plan) -> HeldEvent | None:
        """The oldest held event that the task may take. Raises InDoubt if which one it is depends on a look-up."""
        oldest: HeldEvent | None = None
        doubt: InDoubt | None = None
        for webhook in self._open_to(task.workflow):
            event, its_doubt = self._first_for(task, webhook, plan)
            if event is not None and (oldest is None or event.seq < oldest.seq):
                oldest, doubt = event, its_doubt
        if doubt is not None:
            raise doubt
        return oldest

    def _first_for(self, task: WaitingTask, webhook: Webhook, plan: Plan) -> tuple[HeldEvent | None, InDoubt | None]:
        """The webhook's oldest held event that the task may take, or with the doubt the one that it might."""
        assert task.criteria is not None
        scheduled = self._clock.to_local(task.scheduled_at)
        running, doubt = float("-inf"), None
        try:
            workflow = self.workflows.get(task.workflow_id)
            if workflow is None or not self._version_fits(task, webhook):
                return None, None
            # Only events that arrived while the workflow ran already can be taken: older ones needn't be looked at.
            running = min(scheduled, self._clock.to_local(workflow.root_started_at) - self._skew)
        except InDoubt as error:
            doubt = error
        for event in self._candidates(webhook, task.criteria, running, plan):
            if event.id in plan.used:
                continue
            try:
                if doubt is not None and webhook.receivers[task.workflow] is not None and scheduled <= event.hold_until:
                    raise doubt
                if self._may_take(task, event.id, event.received_at, event.hold_until):
                    return event, None
            except InDoubt as error:
                return event, error
        return None, None

    def _without_doubt(self, ended: list[HeldEvent], plan: Plan) -> list[HeldEvent]:
        """Those of the events whose hold has run out that no task in doubt may still take; the others are kept."""
        doubted = {task.id: task for tasks in self._doubted.values() for task in tasks.values()} if ended else {}
        doubted.update(plan.doubted)
        doubted = {task_id: task for task_id, task in doubted.items() if task_id not in plan.taken}
        if not doubted:
            return ended
        workflows = {task.workflow for task in doubted.values()}
        over: list[HeldEvent] = []
        for event in ended:
            webhook = self._definitions.by_name.get(event.webhook)
            names = webhook.receivers.keys() & workflows if webhook is not None else set()
            with self._alone(event):
                task = self._doubter(event, webhook, names, doubted) if webhook is not None and names else None
                if task is None:
                    over.append(event)
                else:
                    plan.kept.append((event, task.id))
        return over

    def _doubter(
        self, event: HeldEvent, webhook: Webhook, workflows: Collection[str], doubted: Mapping[str, WaitingTask]
    ) -> WaitingTask | None:
        """A task in doubt, of these workflows, that may take the event when its workflow can be looked up."""
        found = self._store.events_of([event.id]).get(event.id)
        matching = self.tasks.matching(Document(found.document()), workflows) if found is not None else ()
        for task in matching:
            if task.id not in doubted or self._clock.to_local(task.scheduled_at) > event.hold_until:
                continue
            try:
                if not self._version_fits(task, webhook):
                    continue
                if self._may_take(task, event.id, event.received_at, event.hold_until):
                    return task  # it was looked up just now: the next decision gives it to the task
            except InDoubt:
                return task
        return None

    def _decide_new(self, event: Event, began: int, now: int, plan: Plan) -> None:
        webhook = self._definitions.by_name.get(event.webhook)
        if webhook is None:
            end = max(event.hold_until, event.received_at + _UNKNOWN_WEBHOOK_GRACE)
            if now < end:
                plan.unknown[event.webhook] = min(end, plan.unknown.get(event.webhook, end))
            else:
                log.warning("event of a webhook that isn't defined expired", event_id=event.id, webhook=event.webhook)
                plan.events[event.id] = event
                plan.decisions.append(Decision(event.id, "expired", "no"))
            return
        if webhook.name in plan.waiting:
            return
        document = Document(event.document())
        takers = self._takers(webhook, event, document, plan)
        if not plan.whole and webhook.receivers and not takers:
            plan.waiting.add(webhook.name)
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

    def _takers(
        self, webhook: Webhook, event: Event, document: Document, plan: Plan
    ) -> list[tuple[WaitingTask, NewTarget]]:
        """All matching tasks that were waiting when the event arrived; if there is none, the first that came later.

        Of those that were waiting one whose version can't be looked up for now is among them, with a target in doubt.
        """
        matching = [task for task in self.tasks.matching(document, webhook.receivers) if task.id not in plan.taken]
        if any(webhook.receivers[task.workflow] is not None for task in matching):
            self.workflows.look_up(task.workflow_id for task in matching)
        waiting: list[tuple[WaitingTask, NewTarget]] = []
        later: list[WaitingTask] = []
        for task in matching:
            if self._clock.to_local(task.scheduled_at) > event.received_at:
                later.append(task)
                continue
            try:
                if self._version_fits(task, webhook):
                    waiting.append((task, completion(task)))
            except InDoubt:
                versions = tuple(sorted(webhook.receivers[task.workflow] or ()))
                waiting.append((task, replace(completion(task), only_versions=versions)))
        if waiting:
            return waiting
        for task in later:
            try:
                if self._version_fits(task, webhook) and self._may_take(
                    task, event.id, event.received_at, event.hold_until
                ):
                    return [(task, completion(task))]
            except InDoubt:
                # The event is held for it, unless another takes it.
                if self._clock.to_local(task.scheduled_at) <= event.hold_until:
                    plan.doubted[task.id] = task
        return []

    def _may_take(self, task: WaitingTask, event_id: str, received_at: int, hold_until: int) -> bool:
        """Whether a task that came to wait may take a held event: in time, and of a workflow that was running."""
        scheduled = self._clock.to_local(task.scheduled_at)
        if scheduled > hold_until:
            return False
        if scheduled <= received_at - self._skew:
            return True
        workflow = self.workflows.get(task.workflow_id)
        if workflow is None:
            return False
        if _is_own_start(workflow.root_correlation_id, event_id):
            return False
        return self._clock.to_local(workflow.root_started_at) <= received_at + self._skew

    def _version_fits(self, task: WaitingTask, webhook: Webhook) -> bool:
        versions = webhook.receivers[task.workflow]
        if versions is None:
            return True
        workflow = self.workflows.get(task.workflow_id)
        return workflow is not None and workflow.version in versions

    def _start_instead(self, event: Event, plan: Plan) -> None:
        """A freed event that no other task takes starts the workflows that only its takers forbade."""
        webhook = self._definitions.by_name.get(event.webhook)
        if webhook is None or event.id in plan.used:
            return
        starts = [start for start in starts_of(webhook, event, Document(event.document()), False) if start.unless_taken]
        if starts:
            there = {(target.workflow, target.correlation_id) for target in self._store.targets_of([event.id])}
            new = [s.target for s in starts if (s.target.workflow, s.target.correlation_id) not in there]
            if new:  # the others were made before the definition forbade them
                plan.use(HeldEvent(event), tuple(new))


def _put_off(decision: Decision, not_before: Mapping[str, int]) -> Decision:
    """The decision, with the times before which the completions of some tasks may not be made."""
    if not any(new.task_id in not_before for new in decision.targets):
        return decision
    targets = tuple(replace(new, not_before=not_before.get(new.task_id or "", 0)) for new in decision.targets)
    return replace(decision, targets=targets)


def _is_own_start(correlation_id: str | None, event_id: str) -> bool:
    """Whether the event itself started the workflow with this correlation id."""
    return correlation_id is not None and correlation_id.partition("#")[0] == event_id
