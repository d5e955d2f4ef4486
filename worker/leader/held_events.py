"""Matches held events with newly waiting tasks."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from config.webhooks import Definitions, Webhook
from criteria.matches import Criteria
from store.records import Event
from store.rules import fairness
from store.rules.takers import came_in_time
from store.sql.store import Store
from worker.failing_items import concerns_all, failing_items
from worker.leader.callbacks import Callbacks
from worker.leader.held_index import HeldEvent, HeldIndex
from worker.leader.plan import Plan
from worker.leader.quarantine import Quarantine
from worker.leader.rules import Rules, is_for
from worker.leader.task_index import Document, TaskIndex, WaitingTask
from worker.leader.workflows import InDoubt

_PAGE = 2000
_READ_AT_ONCE = 500


@dataclass
class Scope:
    """What decisions depend on: the definitions in force, and which webhooks are paused."""

    definitions: Definitions = field(default_factory=lambda: Definitions(()))
    receivers: Mapping[str, Sequence[Webhook]] = field(default_factory=dict)
    """workflow → the webhooks that receive it."""
    paused: Collection[str] = ()

    def webhook(self, event: Event) -> Webhook | None:
        """The event's webhook, if it is defined; of a replay to one target without the receivers that it isn't for."""
        webhook = self.definitions.by_name.get(event.webhook)
        if webhook is None or event.only is None or event.is_callback:
            return webhook
        workflow = event.only.workflow if event.only.kind == "complete" else None
        receivers = {name: versions for name, versions in webhook.receivers.items() if name == workflow}
        return webhook.model_copy(update={"receivers": receivers})

    def open_to(self, workflow: str) -> Iterable[Webhook]:
        """The webhooks whose held events tasks of the workflow may take now."""
        return (webhook for webhook in self.receivers.get(workflow, ()) if webhook.name not in self.paused)


class HeldEvents:
    """The held events, the tasks still to be matched with them, and those in doubt.

    Belongs to the loop's thread.
    """

    def __init__(
        self,
        store: Store,
        scope: Scope,
        tasks: TaskIndex,
        rules: Rules,
        quarantine: Quarantine,
        callbacks: Callbacks,
    ):
        self.callbacks = callbacks
        """Those of the held events that came by a callback's URL. They are in no index."""
        self._store = store
        self._scope = scope
        self._tasks = tasks
        self._rules = rules
        self._quarantine = quarantine
        self.index = HeldIndex()
        self.tasks_to_match: dict[str, WaitingTask] = {}
        """Newly waiting tasks, which may take a held event."""
        self._in_doubt: dict[str, dict[str, WaitingTask]] = {}
        """Tasks that may take a held event, by their workflow, which can't be looked up for now."""

    def match_all(self) -> None:
        """Matches all tasks again: what they may take has changed."""
        self.tasks_to_match.update((task.id, task) for task in self._tasks)
        self.callbacks.look_up_again()

    def hold(self, event: Event) -> None:
        """The event is held from now on."""
        with self.isolated(event):
            if event.is_callback:
                webhook = self._scope.definitions.by_name.get(event.webhook)
                callback = webhook.callback if webhook is not None else None
                event.document()  # one that can't be read is set aside before anything is looked up for it
                self.callbacks.add(event, is_signed=callback is None or callback.by is None)
            else:
                self.index.add(HeldEvent(event), Document(event.document()))

    def release(self, event: HeldEvent) -> None:
        """The event is no longer held."""
        self.index.remove(event)
        self.callbacks.remove(event)

    def remove_task(self, task_id: str) -> None:
        """The task no longer waits, and takes nothing any more."""
        if (task := self._tasks.remove(task_id)) is None:
            return
        self.tasks_to_match.pop(task_id, None)
        if (in_doubt := self._in_doubt.get(task.workflow_id)) is not None:
            in_doubt.pop(task_id, None)
            if not in_doubt:
                del self._in_doubt[task.workflow_id]
        self.index.stop_keeping(task_id)

    def begin(self) -> None:
        """A decision begins: matches tasks again if more may be known about their workflows."""
        for workflow_id in self._rules.workflows.begin() & self._in_doubt.keys():
            for task_id, task in self._in_doubt.pop(workflow_id).items():
                self.tasks_to_match[task_id] = task
                self.index.stop_keeping(task_id)

    def finish(self, plan: Plan) -> None:
        """The plan has been stored, up to the first decision that the store refused."""
        for task_id, task in plan.tasks_to_match.items():
            if not plan.refused:
                self.tasks_to_match.pop(task_id, None)
            elif task_id in self._tasks:  # it may take what another was going to take
                self.tasks_to_match[task_id] = task
        for task in plan.in_doubt.values():
            if task.id in self._tasks:
                self._in_doubt.setdefault(task.workflow_id, {})[task.id] = task
        for kept, task_id in plan.kept:
            self.index.keep(kept, task_id)

    def read(self, webhook: str | None = None) -> Iterator[Event]:
        """The held events in the store, of one webhook or all."""
        seq = 0
        while page := self._store.decisions.held(seq, _PAGE, webhook):
            yield from page
            seq = page[-1].seq

    def set_aside(self, event: Event | HeldEvent, error: Exception) -> None:
        """The event fails alone: keeps it out of the way of others until its next try."""
        self._quarantine.event_failed(event.id, event.webhook, error)
        self.release(event if isinstance(event, HeldEvent) else HeldEvent(event))

    def isolated(self, event: Event | HeldEvent) -> AbstractContextManager[None]:
        """Sets the event aside if the block fails."""
        return _isolated(partial(self.set_aside, event))

    def _match_again(self, task_id: str) -> None:
        """The task, if it is waiting, may take a held event."""
        if (task := self._tasks.get(task_id)) is not None:
            self.tasks_to_match[task_id] = task

    def take(self, plan: Plan) -> None:
        """Gives each newly waiting task the oldest held event that it may take."""
        if not len(self.index) and not len(plan.freed_index):
            return
        free = (task for task in plan.tasks_to_match.values() if task.id not in plan.taken)
        coming = sorted(free, key=lambda task: (task.scheduled_at, task.id))
        fitting: list[WaitingTask] = []
        for task in coming:
            with self._isolated_task(task):
                if self._has_candidate(task, plan):
                    fitting.append(task)
        self._rules.workflows.look_up(task.workflow_id for task in fitting)
        for task in fitting:
            with self._isolated_task(task):
                try:
                    event = self._oldest_for(task, plan)
                except InDoubt:
                    plan.in_doubt[task.id] = task
                    continue
                if event is not None:
                    plan.take(event, task)

    def _isolated_task(self, task: WaitingTask) -> AbstractContextManager[None]:
        """Sets the task aside if the block fails: it takes no held event before its next try."""
        match_again = partial(self._match_again, task.id)
        return _isolated(lambda error: self._quarantine.task_failed(task.id, error, match_again))

    def _has_candidate(self, task: WaitingTask, plan: Plan) -> bool:
        criteria = task.criteria
        if criteria is None or None in criteria.keys:
            return False
        return any(
            next(self._candidates(webhook, criteria, float("-inf"), plan), None) is not None
            for webhook in self._scope.open_to(task.workflow)
        )

    def _candidates(
        self, webhook: Webhook, criteria: Criteria, received_after: float, plan: Plan
    ) -> Iterator[HeldEvent]:
        """The webhook's held or freed events for which the criteria hold, oldest first."""
        held = self._matching(self.index, webhook.name, criteria, received_after, self.read)
        if not len(plan.freed_index):
            return held
        freed = self._matching(
            plan.freed_index,
            webhook.name,
            criteria,
            received_after,
            lambda name: (event for event in plan.freed if event.webhook == name),
        )
        return heapq.merge(held, freed)

    def _matching(
        self,
        held: HeldIndex,
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

    def _oldest_for(self, task: WaitingTask, plan: Plan) -> HeldEvent | None:
        """The oldest held event that the task may take. Raises InDoubt if the answer depends on a failed look-up."""
        oldest: HeldEvent | None = None
        doubt: InDoubt | None = None
        for webhook in self._scope.open_to(task.workflow):
            event, its_doubt = self._first_for(task, webhook, plan)
            if event is not None and (oldest is None or event.seq < oldest.seq):
                oldest, doubt = event, its_doubt
        if doubt is not None:
            raise doubt
        return oldest

    def _first_for(self, task: WaitingTask, webhook: Webhook, plan: Plan) -> tuple[HeldEvent | None, InDoubt | None]:
        """The webhook's oldest held event that the task may take, with the doubt if there is any."""
        assert task.criteria is not None
        scheduled = self._rules.scheduled(task)
        since, doubt = float("-inf"), None
        try:
            # Only events that arrived while the workflow was running can be taken: skip older ones.
            running_since = self._rules.running_since(task)
            if running_since is None or not self._rules.version_fits(task, webhook):
                return None, None
            since = running_since
        except InDoubt as error:
            doubt = error
        for event in self._candidates(webhook, task.criteria, since, plan):
            if event.id in plan.released or not is_for(event, task):
                continue
            try:
                versions = webhook.receivers[task.workflow]
                if doubt is not None and versions is not None and came_in_time(scheduled, event.hold_until):
                    raise doubt
                if self._rules.may_take(task, event.id, event.received_at, event.hold_until):
                    return event, None
            except InDoubt as error:
                return event, error
        return None, None

    def may_take_earlier(self, task: WaitingTask, webhook: Webhook, plan: Plan) -> bool:
        """Whether it is in doubt if the task takes an event of the webhook that is held already."""
        if (task.id, webhook.name) in plan.in_doubt_for:
            return True
        if task.workflow_id not in self._in_doubt and task.id not in plan.in_doubt:
            return False
        _, doubt = self._first_for(task, webhook, plan)
        return doubt is not None

    def expired(self, ended: list[HeldEvent], plan: Plan) -> list[HeldEvent]:
        """The events whose hold has ended and that no task in doubt may still take; the others are kept."""
        doubted = {task.id: task for tasks in self._in_doubt.values() for task in tasks.values()} if ended else {}
        doubted.update(plan.in_doubt)
        doubted = {task_id: task for task_id, task in doubted.items() if task_id not in plan.taken}
        if not doubted:
            return ended
        workflows = {task.workflow for task in doubted.values()}
        webhooks = {webhook.name: webhook for webhook in self._scope.definitions.webhooks}
        doubtful = {
            name: names for name, webhook in webhooks.items() if (names := webhook.receivers.keys() & workflows)
        }
        over = [event for event in ended if event.webhook not in doubtful]
        for event, found in self._stored([event for event in ended if event.webhook in doubtful]):
            with self.isolated(event):
                names = doubtful[event.webhook]
                task = (
                    self._doubtful_taker(found, webhooks[event.webhook], names, doubted) if found is not None else None
                )
                if task is None:
                    over.append(event)
                else:
                    plan.kept.append((event, task.id))
        return over

    def _stored(self, events: Sequence[HeldEvent]) -> Iterator[tuple[HeldEvent, Event | None]]:
        """Each with its event in the store, if it has one; reads many at once. Unreadable events are set aside."""
        for part in _in_parts(events):
            found = self._read_together(part)
            yield from ((event, found[event.seq]) for event in part if event.seq in found)

    def _read_together(self, events: Sequence[HeldEvent]) -> dict[int, Event | None]:
        found: dict[int, Event | None] = {}

        def read(some: Sequence[HeldEvent]) -> None:
            stored = self._store.queries.events_of([event.id for event in some])
            found.update((event.seq, stored.get(event.id)) for event in some)

        for event, error in failing_items(events, read):
            self.set_aside(event, error)
        return found

    def _doubtful_taker(
        self, event: Event, webhook: Webhook, workflows: Collection[str], doubted: Mapping[str, WaitingTask]
    ) -> WaitingTask | None:
        """A task in doubt, of these workflows, that may take the event once its workflow can be looked up."""
        for task in self._tasks.matching(Document(event.document()), workflows):
            if (
                task.id not in doubted
                or not is_for(event, task)
                or not came_in_time(self._rules.scheduled(task), event.hold_until)
            ):
                continue
            try:
                if not self._rules.version_fits(task, webhook):
                    continue
                if self._rules.may_take(task, event.id, event.received_at, event.hold_until):
                    return task  # its workflow was just looked up: the next decision gives the event to the task
            except InDoubt:
                return task
        return None


@contextmanager
def _isolated(set_aside: Callable[[Exception], None]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if concerns_all(error):
            raise
        set_aside(error)


def _in_parts(events: Sequence[HeldEvent]) -> Iterator[Sequence[HeldEvent]]:
    """Splits the events into parts that may be read at once: not too many, and not too much payload."""
    begin, room = 0, fairness.BYTES
    for number, event in enumerate(events):
        if number - begin == _READ_AT_ONCE or room <= 0:
            yield events[begin:number]
            begin, room = number, fairness.BYTES
        room -= event.size
    if begin < len(events):
        yield events[begin:]
