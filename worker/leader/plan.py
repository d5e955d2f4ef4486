"""Decisions that aren't written yet, and the targets they consist of."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from config.webhooks import Webhook
from criteria.conditions import Conditions
from store.one_target import OneTarget
from store.records import Decision, Event, NewTarget
from store.rules.keys import NoKey, lane_of, message_key, once_key
from worker.discovery.barrier import Barrier
from worker.leader.held_index import HeldEvent, HeldIndex
from worker.leader.task_index import Document, WaitingTask

STEP = 1000
"""Targets and ended holds per transaction; a single decision may have more targets."""


@dataclass
class Plan:
    """Decisions to be written. Nothing else changes before they are in the store."""

    paced: Collection[str]
    """Webhooks with a pace."""
    tasks_to_match: dict[str, WaitingTask]
    """Tasks that may take a held event: they began to wait, or more is known about them now."""
    freed: Sequence[Event]
    """Events that are free again, which count as held."""
    freed_index: HeldIndex = field(default_factory=HeldIndex)
    decisions: list[Decision] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)
    """task id → event id."""
    released: dict[str, HeldEvent] = field(default_factory=dict)
    """id → event that is no longer held."""
    events: dict[str, Event] = field(default_factory=dict)
    """id → event that is decided, or free again."""
    refused: bool = False
    """Whether the store refused a decision; everything after it is decided again."""
    in_doubt: dict[str, WaitingTask] = field(default_factory=dict)
    """Tasks that may take an event once their workflow can be looked up."""
    in_doubt_for: set[tuple[str, str]] = field(default_factory=set)
    """Ids of tasks in doubt, each with a webhook of which this plan holds an event that may be the task's."""
    kept: list[tuple[HeldEvent, str]] = field(default_factory=list)
    """Events whose hold ran out, each with the task in doubt that may still take it."""
    undefined: dict[str, int] = field(default_factory=dict)
    """Undefined webhook → when the first of its events is decided all the same."""
    barrier: Barrier | None = None
    """Which waiting tasks are known; events that may have others as takers are left undecided. None: all are."""
    more_expired: bool = False
    """Whether more holds have run out than are ended at once."""
    over: list[HeldEvent] = field(default_factory=list)
    """Callbacks whose hold has ended, and whose task doesn't wait."""
    blocked: set[str] = field(default_factory=set)
    """Webhooks with such an event: their later events wait too."""

    def take(self, event: HeldEvent, task: WaitingTask) -> None:
        """The task takes the event."""
        self.taken[task.id] = event.id
        self.release(event, (completion(task),))

    def release(self, event: HeldEvent, targets: tuple[NewTarget, ...]) -> None:
        """These are the event's targets; it is no longer held."""
        self.released[event.id] = event
        self.decisions.append(Decision(event.id, "pending", "no", targets, event.webhook in self.paced))

    def ignore(self, event: HeldEvent) -> None:
        """Another event came first for the only task that the event is for."""
        self.released[event.id] = event
        self.decisions.append(Decision(event.id, "ignored", "no"))

    def forget(self, event: HeldEvent) -> None:
        """A stranger made the event up."""
        self.released[event.id] = event
        self.decisions.append(Decision(event.id, "ignored", "no", forgotten=True))

    def steps(self, ended: Sequence[HeldEvent]) -> Iterator[tuple[list[Decision], list[HeldEvent]]]:
        """The decisions, then the ended holds, in order, in steps of one transaction each."""
        step: list[Decision] = []
        size = 0
        for decision in self.decisions:
            if step and size + 1 + len(decision.targets) > STEP:
                yield step, []
                step, size = [], 0
            step.append(decision)
            size += 1 + len(decision.targets)
        first = max(0, STEP - size)
        if step or ended:
            yield step, list(ended[:first])
        for begin in range(first, len(ended), STEP):
            yield [], list(ended[begin : begin + STEP])


@dataclass(frozen=True)
class Start:
    """A start that an event makes, and whether only because there was no taker."""

    target: NewTarget
    unless_taken: bool


def starts_of(webhook: Webhook, event: Event, document: Document, taken: bool) -> list[Start]:
    """The event's starts, which depend on whether it is `taken` by a task. A replay to one target makes at most one."""
    starts: list[Start] = []
    entries: dict[str, int] = {}
    for start in webhook.starts:
        if Conditions.parse(start.when).holds(document.value):
            # An entry keeps its number whether or not earlier ones are made.
            number = entries[start.workflow] = entries.get(start.workflow, 0) + 1
            if event.only not in (None, OneTarget("start", start.workflow, entry=number)):
                continue
            correlation_id = event.id if number == 1 else f"{event.id}#{number}"
            if not (taken and start.unless):
                once = start.once
                key = once_key(webhook.name, start.workflow, once.key, document.value) if once is not None else None
                target = NewTarget(
                    "start",
                    start.workflow,
                    version=start.version,
                    correlation_id=correlation_id,
                    once_key=key,
                    once_while=once.while_ if once is not None and key is not None else None,
                    input=None if start.input is None else json.dumps(start.input),
                )
                starts.append(Start(target, start.unless is not None))
    return starts


def messages_of(webhook: Webhook, event: Event, document: Document) -> list[NewTarget]:
    """The event's messages, at most one to each workflow: the first entry that applies and has a key.

    A replay to one target makes at most one.
    """
    messages: dict[str, NewTarget] = {}
    for message in webhook.messages:
        if message.workflow in messages or event.only not in (None, OneTarget("message", message.workflow)):
            continue
        if not Conditions.parse(message.when).holds(document.value):
            continue
        try:
            key = message_key(message.key, document.value)
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


def completion(task: WaitingTask) -> NewTarget:
    return NewTarget(
        "complete",
        task.workflow,
        workflow_id=task.workflow_id,
        task_id=task.id,
        reference_name=task.reference_name,
        iteration=task.iteration,
    )


def postponed(decision: Decision, not_before: Mapping[str, int]) -> Decision:
    """The decision, with the times before which some tasks may not be completed."""
    if not any(new.task_id in not_before for new in decision.targets):
        return decision
    targets = tuple(replace(new, not_before=not_before.get(new.task_id or "", 0)) for new in decision.targets)
    return replace(decision, targets=targets)
