"""The targets of an event: the task that it completes, the workflows that it starts, the messages
that it gives. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from config.webhooks import Webhook
from criteria.conditions import Conditions
from criteria.document import Document
from store.one_target import OneTarget
from store.records import Came, Event, NewTarget, Task
from store.rules.keys import NoKey, lane_of, message_key, once_key

_UNKNOWN = "unknown"
"""Stands for the name of a callback's workflow until its call has looked."""


def completion(task: Task, came: Came) -> NewTarget:
    """The target by which an event takes the task."""
    return NewTarget(
        "complete",
        task.workflow,
        workflow_id=task.workflow_id,
        task_id=task.id,
        reference_name=task.reference_name,
        iteration=task.iteration,
        wait=task.wait,
        came=came,
    )


def callback(event: Event) -> NewTarget:
    """The target of an event that came by a URL which names its task."""
    assert event.only is not None
    return NewTarget(
        "complete",
        _UNKNOWN,
        workflow_id=event.only.workflow_id,
        reference_name=event.only.reference_name,
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
