"""What an event goes to: the delivery rules for one event and one task, its starts and messages,
and the plan of them.

Times are Unix milliseconds by our clock as it is set now: when they are compared, Conductor's are
converted, and so are those of events that arrived before a clock was set.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from config.webhooks import Definitions, Webhook
from criteria.conditions import Conditions
from store.clock import ServerClock
from store.one_target import OneTarget
from store.records import Decision, Event, NewTarget
from store.rules import transitions
from store.rules.keys import NoKey, lane_of, message_key, once_key
from worker.conductor.addressed import AddressedTask
from worker.decision.matching import Document, HeldEvent, Near, TaskIndex, WaitingTask
from worker.decision.workflows import InDoubt, Workflows


class Rules:
    """What decisions depend on besides tasks and events: the definitions in force, and Conductor's
    workflows.

    Methods raise InDoubt if the answer depends on a task's workflow and Conductor can't return it
    for now.
    """

    def __init__(self, tasks: TaskIndex, workflows: Workflows, clock: ServerClock, skew: float):
        """`skew` is BRIDGE_CLOCK_SKEW in milliseconds."""
        self._tasks = tasks
        self.workflows = workflows
        self._clock = clock
        self._skew = skew
        self.definitions = Definitions(())
        self.paused: Collection[str] = ()

    def webhook(self, event: Event) -> Webhook | None:
        """The event's webhook, if it is defined; of a replay to one target without the receivers
        that it isn't for."""
        webhook = self.definitions.by_name.get(event.webhook)
        if webhook is None or event.only is None or event.is_callback:
            return webhook
        workflow = event.only.workflow if event.only.kind == "complete" else None
        receivers = {
            name: versions for name, versions in webhook.receivers.items() if name == workflow
        }
        return webhook.model_copy(update={"receivers": receivers})

    def open_to(self, workflow: str) -> Iterable[Webhook]:
        """The webhooks whose held events tasks of the workflow may take now."""
        return (
            webhook
            for webhook in self.definitions.by_receiver.get(workflow, ())
            if webhook.name not in self.paused
        )

    def names_versions(self, workflow: str) -> bool:
        """Whether any webhook receives only some versions of it."""
        webhooks = self.definitions.by_receiver.get(workflow, ())
        return any(webhook.receivers[workflow] is not None for webhook in webhooks)

    # --- tasks ---

    def matching(self, webhook: Webhook, event: Event, document: Document) -> Iterator[WaitingTask]:
        """The waiting tasks that the event may be for, earliest scheduled first."""
        return (
            task
            for task in self._tasks.matching(document, webhook.receivers)
            if is_for(event, task)
        )

    def takers(
        self, webhook: Webhook, event: Event, document: Document, taken: Collection[str]
    ) -> tuple[list[NewTarget], list[WaitingTask]]:
        """The completions of all matching tasks that were waiting when the event arrived, without
        the `taken` ones; if there are none, of the first one that came later.

        A task that was waiting but whose version can't be looked up for now is included, with a
        target in doubt. If there is no taker at all, also returns the later tasks in doubt, for
        which the event may be.
        """
        matching = [
            task for task in self.matching(webhook, event, document) if task.id not in taken
        ]
        if any(webhook.receivers[task.workflow] is not None for task in matching):
            self.workflows.look_up(task.workflow_id for task in matching)
        received = self.received(event)
        waiting: list[NewTarget] = []
        later: list[WaitingTask] = []
        for task in matching:
            if transitions.was_waiting(self.scheduled(task), received):
                waiting += self._completions(task, webhook)
            else:
                later.append(task)
        if waiting:
            return waiting, []
        return self._first_taker(later, event, webhook)

    def _completions(self, task: WaitingTask, webhook: Webhook) -> list[NewTarget]:
        """The completion of a task that was waiting; none if the webhook doesn't receive its
        version."""
        try:
            fits = self.version_fits(task, webhook)
        except InDoubt:
            versions = tuple(sorted(webhook.receivers[task.workflow] or ()))
            return [replace(completion(task), only_versions=versions)]
        return [completion(task)] if fits else []

    def _first_taker(
        self, later: Iterable[WaitingTask], event: Event, webhook: Webhook
    ) -> tuple[list[NewTarget], list[WaitingTask]]:
        """The completion of the first of these tasks that takes the event; else those in doubt."""
        in_doubt: list[WaitingTask] = []
        for task in later:
            try:
                if self.may_take_held(task, event, webhook):
                    return [completion(task)], []
            except InDoubt:
                in_doubt.append(task)
        return [], in_doubt

    def may_take_held(self, task: WaitingTask, event: Event | HeldEvent, webhook: Webhook) -> bool:
        """Whether a matching task may take a held event: it came in time, the webhook receives its
        version, and its workflow was running when the event arrived, and wasn't started by it."""
        if not self.came_in_time(task, event) or not self.version_fits(task, webhook):
            return False
        scheduled = self.scheduled(task)
        if transitions.surely_was_running(scheduled, self.received(event), self._skew):
            return True
        workflow = self.workflows.get(task.workflow_id)
        if transitions.is_started_by(event.id, workflow.root_correlation_id):
            return False
        root_started_at = self._clock.to_local(workflow.root_started_at)
        return transitions.was_running(root_started_at, self.received(event), self._skew)

    def could_take_held(self, task: WaitingTask, event: Event, webhook: Webhook) -> bool:
        """Whether a matching task may take a held event, or that is in doubt."""
        try:
            return self.may_take_held(task, event, webhook)
        except InDoubt:
            return True

    def scheduled(self, task: WaitingTask | AddressedTask) -> float:
        """When the task began to wait."""
        return self._clock.to_local(task.scheduled_at)

    def received(self, event: Event | HeldEvent) -> float:
        """When the event arrived."""
        return self._clock.comparable(event.received_at)

    def came_in_time(self, task: WaitingTask | AddressedTask, event: Event | HeldEvent) -> bool:
        """Whether the task came before the end of the event's hold."""
        hold = event.hold_until - event.received_at
        hold_until = max(event.hold_until, self.received(event) + hold)
        return transitions.came_in_time(self.scheduled(task), hold_until)

    def running_since(self, task: WaitingTask) -> float:
        """No held event that arrived before then, as the clock showed it, may go to the task;
        -infinite if that is in doubt."""
        try:
            workflow = self.workflows.get(task.workflow_id)
        except InDoubt:
            return float("-inf")
        root_started_at = self._clock.to_local(workflow.root_started_at)
        return self._clock.shown_before(min(self.scheduled(task), root_started_at - self._skew))

    def version_may_fit(self, task: WaitingTask, webhook: Webhook) -> bool:
        """Whether the webhook's receivers include the version of the task's workflow, or that is in
        doubt."""
        try:
            return self.version_fits(task, webhook)
        except InDoubt:
            return True

    def version_fits(self, task: WaitingTask, webhook: Webhook) -> bool:
        """Whether the webhook's receivers include the version of the task's workflow."""
        versions = webhook.receivers[task.workflow]
        if versions is None:
            return True
        return self.workflows.get(task.workflow_id).version in versions


@dataclass
class Plan:
    """The decisions that are made after one scan, until they are written. Only events that are held
    from now on are in the held index already."""

    paced: Collection[str]
    """The webhooks with a pace."""
    decisions: list[Decision] = field(default_factory=list)
    near: dict[str, list[Near]] = field(default_factory=dict)
    """id → the tasks that came nearest to an event that none takes."""
    ended: list[HeldEvent] = field(default_factory=list)
    """Events whose hold ends, after all decisions."""
    events: dict[str, Event] = field(default_factory=dict)
    """id → event that is new or free again, of those decided."""
    taken: set[str] = field(default_factory=set)
    """The ids of the tasks that events take."""
    released: dict[str, HeldEvent] = field(default_factory=dict)
    """id → event that is no longer held."""

    def decide(self, event: Event, decision: Decision) -> None:
        """The decision on an event that is new or free again."""
        self.events[event.id] = event
        self._add(decision)

    def take(self, event: HeldEvent, task: WaitingTask) -> None:
        """The task takes the held event."""
        self.release(event, completion(task))

    def release(self, event: HeldEvent, *targets: NewTarget) -> None:
        """These are the held event's targets."""
        self.released[event.id] = event
        self._add(Decision(event.id, "pending", "no", targets, event.webhook in self.paced))

    def ignore(self, event: HeldEvent, forgotten: bool = False) -> None:
        """Another event came first for the only task that the held event is for; or it is
        `forgotten`, since a stranger made it up."""
        self.released[event.id] = event
        self._add(Decision(event.id, "ignored", "no", forgotten=forgotten))

    def end(self, event: HeldEvent) -> None:
        """The event's hold is over."""
        self.released[event.id] = event
        self.ended.append(event)

    def _add(self, decision: Decision) -> None:
        self.decisions.append(decision)
        self.taken.update(
            target.task_id for target in decision.targets if target.task_id is not None
        )


def is_for(event: Event | HeldEvent, task: WaitingTask) -> bool:
    """Whether the event may go to the task: not if it is a replay to another target."""
    return event.only is None or event.only.is_for(task)


def completion(task: WaitingTask) -> NewTarget:
    """The target by which an event takes the task."""
    return NewTarget(
        "complete",
        task.workflow,
        workflow_id=task.workflow_id,
        task_id=task.id,
        reference_name=task.reference_name,
        iteration=task.iteration,
    )


class Start(NamedTuple):
    """A workflow that an event starts."""

    target: NewTarget
    unless_taken: bool
    """Whether it is started only if no task takes the event."""


def starts_of(webhook: Webhook, event: Event, document: Document) -> list[Start]:
    """The event's starts. A replay to one target makes at most one."""
    starts: list[Start] = []
    entries: dict[str, int] = {}
    for start in webhook.starts:
        if not Conditions.parse(start.when).holds(document):
            continue
        # An entry keeps its number whether or not earlier ones are made.
        number = entries[start.workflow] = entries.get(start.workflow, 0) + 1
        if event.only not in (None, OneTarget("start", start.workflow, entry=number)):
            continue
        target = NewTarget(
            "start",
            start.workflow,
            version=start.version,
            correlation_id=event.id if number == 1 else f"{event.id}#{number}",
            input=None if start.input is None else json.dumps(start.input),
        )
        if start.once is not None:
            key = once_key(webhook.name, start.workflow, start.once.key, document)
            if key is not None:
                target = replace(target, once_key=key, once_while=start.once.while_)
        starts.append(Start(target, start.unless is not None))
    return starts


def is_ever_held(starts: Iterable[Start]) -> bool:
    """Whether an event with these starts may be held: not if one is made for want of a taker."""
    return not any(start.unless_taken for start in starts)


def messages_of(webhook: Webhook, event: Event, document: Document) -> list[NewTarget]:
    """The event's messages, at most one to each workflow: the first entry that applies and has a
    key.

    A replay to one target makes at most one.
    """
    messages: dict[str, NewTarget] = {}
    for message in webhook.messages:
        if message.workflow in messages or event.only not in (
            None,
            OneTarget("message", message.workflow),
        ):
            continue
        if not Conditions.parse(message.when).holds(document):
            continue
        try:
            key = message_key(message.key, document)
        except NoKey:
            continue
        messages[message.workflow] = NewTarget(
            "message",
            message.workflow,
            version=message.version,
            correlation_id=key,
            lane=lane_of(message.workflow, key),
            otherwise=message.else_,
        )
    return list(messages.values())
