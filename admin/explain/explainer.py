"""Reads from the store what an explanation needs, within bounds."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice

from admin.bridge import Bridge
from admin.events.replay import families
from admin.explain.events import explain_event
from admin.explain.pairs import Context, compare, is_left, share_that_holds
from admin.explain.results import Comparison, EventExplanation, StoryStep, TaskExplanation
from admin.explain.story import story_of, waiting_sender_steps
from admin.wording.statuses import EventTargets, read_targets
from admin.wording.targets import SetAsides, item_of, task_set_aside
from criteria.document import Document
from criteria.evaluator import Steps
from store.records import Event, Target, Task
from store.sql.event_search import EventFilter


def explain_task(
    task: Task,
    events: Iterable[Event],
    context: Context,
    limit: int = 20,
    steps: Steps | None = None,
) -> list[Comparison]:
    """The events that came closest to this task, closest first, and the newest first among equals.

    `events` may be a generator: no more than `limit` of them are kept. Those that can't be read are
    left out.
    """
    comparisons = _compared(task, events, context, steps)
    return heapq.nlargest(
        limit, comparisons, key=lambda comparison: (comparison.nearness, comparison.event.seq)
    )


def _compared(
    task: Task, events: Iterable[Event], context: Context, steps: Steps | None
) -> Iterator[Comparison]:
    for event in events:
        try:
            document = Document(event.document(), steps)
        except ValueError:  # as its own page says
            continue
        yield compare(context.offer(event, document), task, context)


def describe_task(task: Task, targets: Sequence[Target], context: Context) -> str:
    """What the task's state means."""
    webhooks = context.webhooks.values()
    reached_by = [webhook for webhook in webhooks if task.workflow in webhook.receivers]
    for_callbacks_only = bool(reached_by) and all(webhook.callback for webhook in reached_by)
    if task.broken and not for_callbacks_only:
        return f"Broken, so no event completes it: {task.broken}"
    taken = _taken(task, targets)
    if taken is not None:
        return taken
    if task.workflow in context.left:
        return f"Waiting, but not for the bridge: {is_left(task.workflow)}."
    if not reached_by:
        return (
            f"Waiting, but no webhook has {task.workflow} as a receiver, so no event can reach it. "
            f"Add `{task.workflow}: any` to the `receivers` of its webhook."
        )
    waiting = f"Waiting for an event from {' or '.join(webhook.name for webhook in reached_by)}"
    why = task_set_aside(task, context.set_aside)
    return f"{waiting}." if why is None else f"{waiting}; {why}."


def _taken(task: Task, targets: Sequence[Target]) -> str | None:
    """Who has the task, or how it ended; None while it waits."""
    live = ("pending", "claimed", "done")
    taker = next((target for target in reversed(targets) if target.state in live), None)
    match task.state:
        case "taken" if taker is not None:
            return f"Being completed by event {taker.event_id}."
        case "completed" if taker is not None:
            return f"Completed by event {taker.event_id}."
        case "completed" | "gone":
            return (
                "It is no longer waiting: it was completed by someone else, cancelled, or timed"
                " out."
            )
        case _:
            return None


_PAGE = 500
"""Tasks that are read at a time."""
_EXAMINED = 20_000
"""Waiting tasks that are examined for one explanation, at most: it is for a person to read."""
_EVENTS_EXAMINED = 500
"""Events of a webhook that are examined to explain one task, at most."""
_EVENTS_OF_ALL = 2000
"""Events of all webhooks that have its workflow as a receiver: each webhook gets an equal share."""
_PAYLOADS = 10
"""Payloads that are in memory at a time."""
_CHARACTERS_EXAMINED = 20_000_000
"""Characters of payloads that are read to explain one task, at most."""
STEPS = 2_000_000
"""Steps of evaluation for one explanation: a few seconds."""


class Explainer:
    """Explains events and tasks of a bridge."""

    def __init__(self, bridge: Bridge):
        self._bridge = bridge
        self._store = bridge.store

    def event(
        self, event: Event, limit: int = 1000, targets: EventTargets | None = None
    ) -> EventExplanation:
        """Why the event did or didn't reach each task: those of its targets and receivers, then
        other waiting ones.

        Only the `limit` closest tasks are explained. `targets`: the event's, if the caller has read
        them.
        """
        if targets is None:
            targets = read_targets(self._store.queries, event.id)
        queries = self._store.queries
        of_targets = [target.task_id for target in targets.some[:limit] if target.task_id]
        tasks = {task.id: task for task in queries.tasks(of_targets)}
        tasks |= {task.id: task for task in queries.near_misses(event.id)}
        family = families(self._store.queries, [event])[event.id]
        try:
            document = Document(event.document(), Steps(STEPS))  # read once: it may be large
        except ValueError as error:
            found = EventExplanation(
                event, f"It can't be read: {error}.", (), (), (), resolved_by=event.resolved_by
            )
        else:
            found = self._explained(event, document, targets, tasks, limit)
        origins = self._store.acknowledgements.origins(event.id)
        waited = self._waited(event)
        story = story_of(event, targets, origins, family, self._store.now(), waited, tasks)
        return replace(found, story=story, replays=tuple(family.replays_of(event.id)))

    def _explained(
        self,
        event: Event,
        document: Document,
        targets: EventTargets,
        tasks: dict[str, Task],
        limit: int,
    ) -> EventExplanation:
        """The explanation with these tasks, to which the nearest are added."""
        webhook = self._bridge.definitions.by_name.get(event.webhook)
        receivers = list(webhook.receivers) if webhook else []
        _add_nearest(event, document, self._waiting(receivers), tasks, limit)
        if len(tasks) < limit:
            others = (task for task in self._waiting([None]) if task.workflow not in receivers)
            _add_nearest(event, document, others, tasks, limit)
        context = self._context({event.id: targets.some}, tasks.values())
        context = replace(context, repeated_at=self._repeated_at(event))
        return explain_event(event, tasks.values(), context, targets.others, document)

    def _waited(self, event: Event) -> Iterable[StoryStep]:
        waited = self._store.answers.waited(event.id)
        if waited is None:
            return ()
        # The answer may repeat what is hidden of the payload.
        shows_body = not self._bridge.hide(event.webhook)
        return waiting_sender_steps(waited, event.received_at, self._store.now(), shows_body)

    def _repeated_at(self, event: Event) -> list[int]:
        """When its sender delivered it again, if that matters: what came to nothing isn't helped by
        it."""
        if event.status not in ("expired", "failed"):
            return []
        newest = self._store.without_events.newest(event.webhook)
        return [one.at for one in newest if one.event_id == event.id]

    def waiting(self, event: Event, limit: int = 20) -> list[Comparison]:
        """The waiting tasks of the webhook's receivers that the event would come closest to if it
        arrived now.

        It need not be in the store.
        """
        webhook = self._bridge.definitions.by_name.get(event.webhook)
        now = self._store.now()
        arriving = replace(
            event,
            id="new",
            received_at=now,
            hold_until=max(now, event.hold_until),
            decided_at=None,
            status="pending",
        )
        tasks: dict[str, Task] = {}
        document = Document(arriving.document(), Steps(STEPS))
        _add_nearest(
            arriving, document, self._waiting(webhook.receivers if webhook else ()), tasks, limit
        )
        context = self._context({}, tasks.values())
        offer = context.offer(arriving, document)
        found = [compare(offer, task, context) for task in tasks.values()]
        return sorted(found, key=lambda comparison: comparison.nearness, reverse=True)

    def task(self, task: Task, limit: int = 20) -> TaskExplanation:
        """What the task's state means, its targets, and the recent events that came closest to it."""
        targets = self._store.queries.targets_on(task.id)
        names = [
            webhook.name for webhook in self._bridge.definitions.by_receiver.get(task.workflow, ())
        ]
        events = self._store.queries.events_of([target.event_id for target in targets])
        each = min(_EVENTS_EXAMINED, max(_EVENTS_OF_ALL // max(len(names), 1), 1))
        for name in names or (None,):
            for event in self._store.queries.events(
                EventFilter(webhook=name, limit=each, listing=True)
            ):
                events.setdefault(event.id, event)
        context = self._context(self._bridge.targets_by_event(events.values()), [task])
        near = explain_task(task, self.with_payloads(list(events)), context, limit, Steps(STEPS))
        meaning = describe_task(task, targets, context)
        return TaskExplanation(meaning, targets, near, item_of(task, context.set_aside))

    def with_payloads(self, event_ids: Sequence[str]) -> Iterator[Event]:
        """These events with their payloads, until reading more would keep a person waiting."""
        room = _CHARACTERS_EXAMINED
        for start in range(0, len(event_ids), _PAYLOADS):
            part = event_ids[start : start + _PAYLOADS]
            events = self._store.queries.events_of(part)
            yield from (events[event_id] for event_id in part if event_id in events)
            room -= sum(len(event.payload) for event in events.values())
            if room < 0:
                return

    def _waiting(self, workflows: Iterable[str | None]) -> Iterator[Task]:
        """The first `_EXAMINED` waiting tasks of these workflows; None stands for all."""
        return islice(chain.from_iterable(map(self._waiting_of, workflows)), _EXAMINED)

    def _waiting_of(self, workflow: str | None) -> Iterator[Task]:
        after = ""
        while page := self._store.queries.waiting_tasks(after, _PAGE, workflow):
            yield from page
            after = page[-1].id

    def _context(
        self, targets_of: Mapping[str, Sequence[Target]], tasks: Collection[Task]
    ) -> Context:
        found = {task.workflow_id: self._store.workflows.find(task.workflow_id) for task in tasks}
        reports = self._store.reports.read()
        return Context(
            webhooks=self._bridge.definitions.by_name,
            hide=self._bridge.hide,
            targets_of=targets_of,
            targets_on={task.id: self._store.queries.targets_on(task.id) for task in tasks},
            workflows={id_: workflow for id_, workflow in found.items() if workflow is not None},
            added_at={
                (one.webhook, one.workflow): one.added_at for one in self._store.joins.receivers()
            },
            clock_skew=int(self._bridge.settings.bridge_clock_skew * 1000),
            conductor_error=reports.conductor_error,
            conductor_since=reports.conductor_at,
            misfits=reports.misfits or (),
            paused=self._store.pauses.paused(),
            set_aside=self._set_aside(targets_of, tasks),
            left=self._bridge.settings.bridge_leave_to_conductor,
        )

    def _set_aside(
        self, targets_of: Mapping[str, Sequence[Target]], tasks: Iterable[Task]
    ) -> SetAsides:
        """What is set aside among these events and their targets, and these tasks and their
        workflows."""
        if not self._store.quarantine.counts():
            return {}
        ids = {
            *targets_of,
            *(str(target.id) for targets in targets_of.values() for target in targets),
        }
        for task in tasks:
            ids |= {task.id, task.workflow_id}
        items = self._store.quarantine.items(ids=sorted(ids), limit=len(ids))
        return {(item.kind, item.id): item for item in items}


def _add_nearest(
    event: Event, document: Document, tasks: Iterable[Task], into: dict[str, Task], limit: int
) -> None:
    """Adds the tasks of which the most criteria hold, until there are `limit`."""

    def rank(task: Task) -> tuple[bool, float]:
        return event.only is None or event.only.is_for(task), share_that_holds(
            task.matches, document
        )

    new = (task for task in tasks if task.id not in into)
    for task in heapq.nlargest(limit - len(into), new, key=rank):
        into[task.id] = task
