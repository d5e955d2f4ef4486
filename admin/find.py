"""What an id belongs to, for somebody who knows nothing else: events, deliveries, tasks, workflows,
correlations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pydantic import Field

from admin import operations
from admin.api.objects import ListedEvent, Task, TaskTarget
from admin.api_object import ApiObject
from admin.bridge import Bridge, ids_like
from store import records
from store.hiding import masked_target, may_be_hidden
from store.records import Target, TaskState
from store.rules.keys import lane_of

_MOST = 50
"""Things of one kind that are shown."""
_FURTHER_ENTRY = re.compile(r"#\d+$")
"""What a start's correlation id has after the event's, of a further entry of the same workflow."""


class FoundTask(Task):
    """A task of a workflow."""

    state: TaskState


class FoundWorkflow(ApiObject):
    """A workflow as the bridge knows it."""

    workflow_id: str
    workflow: str
    done: list[TaskTarget] = Field(
        description="what the bridge has done to it, or tries to, newest first"
    )
    tasks: list[FoundTask] = Field(
        description="its WAIT_FOR_WEBHOOK tasks; it still waits where one is waiting"
    )


class Found(ApiObject):
    """What an id belongs to."""

    events: list[ListedEvent]
    workflows: list[FoundWorkflow]


def find(bridge: Bridge, text: str) -> Found:
    """What has this id: `text` is whole, or the first eight or more characters of a UUID.

    Raises StoreUnavailable.
    """
    given = text.strip()
    event_id = _FURTHER_ENTRY.sub("", given)
    queries = bridge.store.queries
    event_ids: list[str] = []
    by_delivery: list[str] = []
    tasks: list[records.Task] = []
    targets: list[Target] = []
    for first, last in {(given, given), (event_id, event_id), ids_like(event_id)}:
        event_ids += queries.event_ids(first, last, _MOST)
        by_delivery += queries.event_ids_of_delivery(first, last, _MOST)
        tasks += queries.tasks_with(first, last, _MOST)
        targets += queries.targets_with(first, last, _MOST)
    # A delivery id, or a message's key, may be what `hide` names: then nobody learns that it was
    # guessed.
    delivered = queries.listed(by_delivery).values()
    event_ids += [event.id for event in delivered if bridge.hide(event.webhook) == ()]
    lanes = {
        lane_of(message.workflow, given)
        for webhook in bridge.definitions.webhooks
        for message in webhook.messages
        if not may_be_hidden(message.key, bridge.hide(webhook.name))
    }
    if lanes:
        targets += queries.targets_in_lanes(sorted(lanes), _MOST)
    names = {task.workflow_id: task.workflow for task in tasks}
    names |= {
        target.workflow_id: target.workflow for target in targets if target.workflow_id is not None
    }
    return Found(
        events=operations.listed(
            bridge, [bridge.in_list(one) for one in queries.listed(event_ids).values()]
        ),
        workflows=[_workflow(bridge, workflow_id, name) for workflow_id, name in names.items()],
    )


def _workflow(bridge: Bridge, workflow_id: str, name: str) -> FoundWorkflow:
    queries = bridge.store.queries
    tasks = (
        task
        for task in queries.tasks_with(workflow_id, workflow_id, _MOST)
        if task.workflow_id == workflow_id
    )
    return FoundWorkflow(
        workflow_id=workflow_id,
        workflow=name,
        done=_shown(bridge, queries.targets_with(workflow_id, workflow_id, _MOST)),
        tasks=[FoundTask.of(task) for task in tasks],
    )


def _shown(bridge: Bridge, targets: Sequence[Target]) -> list[TaskTarget]:
    """The targets without what must stay hidden of their events."""
    events = bridge.store.queries.listed(_event_ids(targets))
    return [
        TaskTarget.of(masked_target(target, bridge.hide(events[target.event_id].webhook)))
        for target in targets
        if target.event_id in events
    ]


def _event_ids(targets: Iterable[Target]) -> list[str]:
    return list(dict.fromkeys(target.event_id for target in targets))
