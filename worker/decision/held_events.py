"""Matches held events with newly waiting tasks."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import chain
from typing import Any

from config.webhooks import Webhook
from criteria.matches import Criteria
from store.errors import RowsUnavailable
from store.processes import WorkerStore
from store.records import Event
from worker.decision.callbacks import Callbacks, is_signed
from worker.decision.matching import Document, HeldEvent, HeldIndex, TaskIndex, Turns, WaitingTask
from worker.decision.quarantine import Quarantine
from worker.decision.rules import Plan, Rules, is_for
from worker.decision.workflows import InDoubt
from worker.discovery.barrier import Barrier
from worker.retries import concerns_all

_PAGE = 2000
_ENDED_AT_ONCE = 500
"""Holds that are ended between two scans: after a long downtime, new events shouldn't wait for all
of them. While tasks are in doubt, each of these events must be read."""
_EXPLAINED = 50
"""Of them, those for which it is looked up what came nearest."""
_EXPLAINED_SIZE = 100_000
"""Characters of the payload of such an event, at most."""


class HeldEvents:
    """The held events, the tasks still to be matched with them, and those in doubt.

    Belongs to the loop's thread.
    """

    def __init__(
        self,
        store: WorkerStore,
        tasks: TaskIndex,
        rules: Rules,
        quarantine: Quarantine,
        callbacks: Callbacks,
    ):
        self.callbacks = callbacks
        """Those of the held events that came by a callback's URL. They are in no index."""
        self._store = store
        self._tasks = tasks
        self._rules = rules
        self._quarantine = quarantine
        self.index = HeldIndex()
        self._to_match: dict[str, WaitingTask] = {}
        """Tasks that may take a held event: they began to wait, or more is known about them now."""
        self._in_doubt: dict[str, dict[str, WaitingTask]] = {}
        """Tasks that may take a held event, by their workflow, which can't be looked up for now."""

    # --- what is held, and what waits ---

    def hold(self, event: Event, document: Document) -> None:
        """The event is held from now on. `document` is its payload."""
        if event.is_callback:
            webhook = self._rules.definitions.by_name.get(event.webhook)
            self.callbacks.add(event, is_signed=webhook is None or is_signed(webhook))
        else:
            self.index.add(HeldEvent(event), document)

    def release(self, event: HeldEvent) -> None:
        """The event is no longer held."""
        self.index.remove(event)
        self.callbacks.remove(event)

    @property
    def tasks_to_match(self) -> Collection[WaitingTask]:
        """The tasks that are matched with held events at the next decision."""
        return self._to_match.values()

    def match(self, tasks: Iterable[WaitingTask]) -> None:
        """These tasks may take a held event: they are matched at the next decision."""
        self._to_match.update((task.id, task) for task in tasks)

    def all_matched(self) -> None:
        """The decision is written: the tasks have what they can take."""
        self._to_match.clear()

    def match_all(self) -> None:
        """Matches all tasks again: what they may take has changed."""
        self.match(self._tasks)
        self.index.stop_keeping()
        self.callbacks.look_up_all_again()

    def doubt(self, task: WaitingTask) -> None:
        """The task may take a held event, which depends on its workflow."""
        self._in_doubt.setdefault(task.workflow_id, {})[task.id] = task

    def remove_task(self, task_id: str) -> None:
        """The task no longer waits, and takes nothing any more."""
        task = self._tasks.remove(task_id)
        if task is None:
            return
        self._to_match.pop(task_id, None)
        in_doubt = self._in_doubt.get(task.workflow_id, {})
        if in_doubt.pop(task_id, None) is not None:
            self.index.stop_keeping()
            if not in_doubt:
                del self._in_doubt[task.workflow_id]

    def begin(self) -> None:
        """A decision begins: matches tasks again if more may be known about their workflows."""
        for workflow_id in self._rules.workflows.begin() & self._in_doubt.keys():
            self.match(self._in_doubt.pop(workflow_id).values())
            self.index.stop_keeping()

    def read(self, webhook: str | None = None) -> Iterator[Event]:
        """The held events in the store, of one webhook or all."""
        seq = 0
        while page := self._store.decisions.held(seq, _PAGE, webhook):
            yield from page
            seq = page[-1].seq

    # --- what fails alone ---

    def set_aside(self, event: Event | HeldEvent, error: Exception) -> None:
        """The event fails alone: keeps it out of the way of others until its next try."""
        self._quarantine.event_failed(event.id, event.webhook, error)
        self.release(event if isinstance(event, HeldEvent) else HeldEvent(event))

    def isolated(self, event: Event | HeldEvent) -> AbstractContextManager[None]:
        """Sets the event aside if the block fails."""
        return _isolated(partial(self.set_aside, event))

    def _isolated_task(self, task: WaitingTask) -> AbstractContextManager[None]:
        """Sets the task aside if the block fails: it takes no held event before its next try."""
        match_again = partial(self._match_again, task.id)
        return _isolated(lambda error: self._quarantine.task_failed(task.id, error, match_again))

    def _match_again(self, task_id: str) -> None:
        """The task, if it is waiting, may take a held event."""
        task = self._tasks.get(task_id)
        if task is not None:
            self.match([task])

    # --- who takes a held event ---

    def give(self, plan: Plan) -> None:
        """Gives each newly waiting task the oldest held event that it may take."""
        if not len(self.index):
            return
        coming = [task for task in self.tasks_to_match if task.id not in plan.taken]
        fitting: list[WaitingTask] = []
        for task in sorted(coming, key=lambda task: (task.scheduled_at, task.id)):
            with self._isolated_task(task):
                candidates = self._candidates(task, self._rules.open_to(task.workflow), plan)
                if next(candidates, None) is not None:
                    fitting.append(task)
        self._rules.workflows.look_up(task.workflow_id for task in fitting)
        for task in fitting:
            with self._isolated_task(task):
                try:
                    event = self._oldest_for(task, self._rules.open_to(task.workflow), plan)
                except InDoubt:
                    self.doubt(task)
                    continue
                if event is not None:
                    plan.take(event, task)

    def may_take_earlier(self, task: WaitingTask, webhook: Webhook, plan: Plan) -> bool:
        """Whether the task, which was in doubt, takes or may take an event of the webhook that is
        held already."""
        if task.workflow_id not in self._in_doubt:
            return False
        try:
            # Its workflow may have been looked up since: then the next decision gives the event to
            # the task.
            return self._oldest_for(task, [webhook], plan) is not None
        except InDoubt:
            return True

    def _oldest_for(
        self, task: WaitingTask, webhooks: Iterable[Webhook], plan: Plan
    ) -> HeldEvent | None:
        """The oldest held event of these webhooks that the task may take. Raises InDoubt if the
        answer depends on a failed look-up."""
        named = {
            webhook.name: webhook
            for webhook in webhooks
            if self._rules.version_may_fit(task, webhook)
        }
        # Only events that arrived while the workflow was running can be taken.
        since = self._rules.running_since(task)
        for event in self._candidates(task, named.values(), plan, since):
            if event.id in plan.released or not is_for(event, task):
                continue
            if self._rules.may_take_held(task, event, named[event.webhook]):
                return event
        return None

    def _candidates(
        self,
        task: WaitingTask,
        webhooks: Iterable[Webhook],
        plan: Plan,
        received_after: float = float("-inf"),
    ) -> Iterator[HeldEvent]:
        """The webhooks' held events for which the task's criteria hold, oldest first."""
        criteria = task.criteria
        if criteria is None or None in criteria.keys:
            return iter(())
        return heapq.merge(
            *(self._matching(webhook.name, criteria, received_after, plan) for webhook in webhooks)
        )

    def _matching(
        self, webhook: str, criteria: Criteria, received_after: float, plan: Plan
    ) -> Iterator[HeldEvent]:
        if not self.index.knows(webhook, criteria.paths):
            unwritten = (event for event in plan.events.values() if event.webhook == webhook)
            self.index.learn(
                webhook, criteria, self._documents(chain(self.read(webhook), unwritten))
            )
        for event, sure in self.index.candidates(webhook, criteria, received_after):
            if sure:
                yield event
                continue
            for _, document in self._documents(self._store.queries.events_of([event.id]).values()):
                if criteria.holds(document):
                    yield event

    def _documents(self, events: Iterable[Event]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Each event's number and payload; unreadable events are set aside."""
        for event in events:
            try:
                document = event.document()
            except Exception as error:
                self.set_aside(event, error)
            else:
                yield event.seq, document

    # --- the ends of holds ---

    def end(self, plan: Plan, began: int, barrier: Barrier, turns: Turns) -> bool:
        """Ends the holds that are over after a scan that began then, except of events that a task in doubt may still take, which
        are kept. Returns whether more are over than are ended at once. `turns`: the webhooks' in
        this round."""
        doubted = {id_: task for tasks in self._in_doubt.values() for id_, task in tasks.items()}
        if not plan.taken.isdisjoint(doubted):  # events may have been kept for them
            self.index.stop_keeping()
        workflows = {task.workflow for id_, task in doubted.items() if id_ not in plan.taken}
        ended = self.index.ended(began, partial(self._holds_up_to, barrier), _ENDED_AT_ONCE)
        for event in ended:
            with self.isolated(event):
                if event.id in plan.released:
                    continue
                if workflows and self._may_still_go(event, workflows, doubted.keys() - plan.taken):
                    self.index.keep(event)
                else:
                    plan.end(event)
        self._find_nearest(plan, turns)
        return len(ended) >= _ENDED_AT_ONCE

    def _holds_up_to(self, barrier: Barrier, name: str) -> int:
        """The time before which the webhook's holds that ended are over; 0 while it is paused."""
        if name in self._rules.paused:
            return 0
        webhook = self._rules.definitions.by_name.get(name)
        return barrier.holds_up_to(None if webhook is None else webhook.receivers)

    def _find_nearest(self, plan: Plan, turns: Turns) -> None:
        """Which tasks come nearest to the events whose hold ends, for people: of some events only,
        if many end."""
        ids = [event.id for event in plan.ended if not turns.is_over(event.webhook)]
        events: Mapping[str, Event] = {}
        with suppress(RowsUnavailable):  # one of them is damaged
            events = self._store.queries.events_up_to(ids[:_EXPLAINED], _EXPLAINED_SIZE)
        for event in events.values():
            webhook = self._rules.definitions.by_name.get(event.webhook)
            if webhook is not None and not event.is_callback and not turns.is_over(event.webhook):
                with suppress(ValueError):  # it can't be read
                    plan.near[event.id] = self._tasks.nearest(
                        turns.document(event), webhook.receivers
                    )

    def _may_still_go(
        self, held: HeldEvent, workflows: Collection[str], doubted: Collection[str]
    ) -> bool:
        """Whether a task in doubt, of these workflows, may take the event: when its workflow can be
        looked up, or, if it has just been looked up, at the next decision."""
        webhook = self._rules.definitions.by_name.get(held.webhook)
        if webhook is None or webhook.receivers.keys().isdisjoint(workflows):
            return False
        event = self._store.queries.events_of([held.id]).get(held.id)
        if event is None:
            return False
        matching = self._rules.matching(webhook, event, Document(event.document()))
        return any(
            self._rules.could_take_held(task, event, webhook)
            for task in matching
            if task.id in doubted
        )


@contextmanager
def _isolated(set_aside: Callable[[Exception], None]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if concerns_all(error):
            raise
        set_aside(error)
