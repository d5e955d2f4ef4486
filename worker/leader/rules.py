"""Which tasks an event may go to: the delivery rules for one task and one event.

Each raises InDoubt if the rule needs the task's workflow and Conductor can't return it for now.
"""

from __future__ import annotations

from dataclasses import replace

from config.webhooks import Webhook
from store.clock import ServerClock
from store.records import Event, NewTarget
from store.rules.takers import came_in_time, is_started_by, surely_was_running, was_running, was_waiting
from worker.leader.held_index import HeldEvent
from worker.leader.plan import Plan, completion
from worker.leader.task_index import Document, TaskIndex, WaitingTask
from worker.leader.workflows import InDoubt, Workflows


def is_for(event: Event | HeldEvent, task: WaitingTask) -> bool:
    """Whether the event may go to the task: not if it is a replay to another target."""
    return event.only is None or event.only.is_for(task)


class Rules:
    """Times are Unix milliseconds by our clock; Conductor's are converted when they are compared."""

    def __init__(self, tasks: TaskIndex, workflows: Workflows, clock: ServerClock, skew: float):
        """`skew` is BRIDGE_CLOCK_SKEW in milliseconds."""
        self._tasks = tasks
        self.workflows = workflows
        self._clock = clock
        self._skew = skew

    def scheduled(self, task: WaitingTask) -> float:
        """When the task began to wait."""
        return self._clock.to_local(task.scheduled_at)

    def running_since(self, task: WaitingTask) -> float | None:
        """The time before which a held event must not have arrived for the task to take it; None if Conductor doesn't
        have its workflow."""
        workflow = self.workflows.get(task.workflow_id)
        if workflow is None:
            return None
        return min(self.scheduled(task), self._clock.to_local(workflow.root_started_at) - self._skew)

    def takers(
        self, webhook: Webhook, event: Event, document: Document, plan: Plan
    ) -> tuple[list[tuple[WaitingTask, NewTarget]], list[WaitingTask]]:
        """All matching tasks that were waiting when the event arrived; if there are none, the first one that came
        later. If there is no taker at all, also the later ones in doubt, for which the event may be.

        A task that was waiting but whose version can't be looked up for now is included, with a target in doubt.
        """
        matching = [
            task
            for task in self._tasks.matching(document, webhook.receivers)
            if task.id not in plan.taken and is_for(event, task)
        ]
        if any(webhook.receivers[task.workflow] is not None for task in matching):
            self.workflows.look_up(task.workflow_id for task in matching)
        waiting: list[tuple[WaitingTask, NewTarget]] = []
        later: list[WaitingTask] = []
        for task in matching:
            if not was_waiting(self.scheduled(task), event.received_at):
                later.append(task)
                continue
            try:
                if self.version_fits(task, webhook):
                    waiting.append((task, completion(task)))
            except InDoubt:
                versions = tuple(sorted(webhook.receivers[task.workflow] or ()))
                waiting.append((task, replace(completion(task), only_versions=versions)))
        if waiting:
            return waiting, []
        in_doubt: list[WaitingTask] = []
        for task in later:
            try:
                if self.version_fits(task, webhook) and self.may_take(
                    task, event.id, event.received_at, event.hold_until
                ):
                    return [(task, completion(task))], []
            except InDoubt:
                if came_in_time(self.scheduled(task), event.hold_until):
                    in_doubt.append(task)
        return [], in_doubt

    def may_take(self, task: WaitingTask, event_id: str, received_at: int, hold_until: int) -> bool:
        """Whether a task may take a held event: it came in time, and its workflow was running when the event
        arrived."""
        scheduled = self.scheduled(task)
        if not came_in_time(scheduled, hold_until):
            return False
        if surely_was_running(scheduled, received_at, self._skew):
            return True
        workflow = self.workflows.get(task.workflow_id)
        if workflow is None or is_started_by(event_id, workflow.root_correlation_id):
            return False
        return was_running(self._clock.to_local(workflow.root_started_at), received_at, self._skew)

    def version_fits(self, task: WaitingTask, webhook: Webhook) -> bool:
        """Whether the webhook's receivers include the version of the task's workflow."""
        versions = webhook.receivers[task.workflow]
        if versions is None:
            return True
        workflow = self.workflows.get(task.workflow_id)
        return workflow is not None and workflow.version in versions
