"""What Conductor says about the task that a callback's URL names. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from config.webhooks import Webhook
from store.one_target import OneTarget, plain_name
from worker.conductor.errors import Garbled
from worker.conductor.responses import UNDER_WAY, iteration_of, version_of
from worker.conductor.search import TASK_TYPE

_QUEUED = ("SIMPLE", TASK_TYPE)
"""Types whose tasks may be completed before a worker has polled them: nothing of Conductor's own
works on them, and no poll hands them out afterwards (measured). Any other type may be completed
once it is in progress."""

_COMPLETED = frozenset({"COMPLETED", "COMPLETED_WITH_ERRORS"})


@dataclass(frozen=True, slots=True)
class Addressed:
    """A workflow, and its task that an address names."""

    workflow: str
    version: int
    ended: str | None
    """Its status, if it has ended."""
    waiting: AddressedTask | None
    """The task, if it can be completed now."""
    over: tuple[str, ...]
    """The statuses of such tasks that have ended, since the URL was made if that is known; else
    none in a loop, unless the address names the iteration."""
    workers: frozenset[str]
    """The worker ids of all such tasks: after a completion by name, the event's id."""

    @property
    def is_used_up(self) -> bool:
        """Whether the task that the URL was made for has been completed: one that waits now isn't
        it."""
        return not _COMPLETED.isdisjoint(self.over)

    def misfit(self, webhook: Webhook | None, place: str) -> str | None:
        """Why the webhook's URLs may not complete the task; None if they may. `place`: the
        workflow, for people."""
        if webhook is None or self.workflow not in webhook.receivers:
            return f"{place} is a {self.workflow}, which isn't among the webhook's receivers"
        versions = webhook.receivers[self.workflow]
        if versions is not None and self.version not in versions:
            return (
                f"{place} has version {self.version};"
                f" the webhook's receivers have {listed(versions)}"
            )
        waiting, callback = self.waiting, webhook.callback
        if waiting is not None and callback is not None and not waiting.is_among(callback.tasks):
            name = waiting.reference_name
            return f"task {name} isn't among those that `callback.tasks` names"
        return None


@dataclass(frozen=True, slots=True)
class AddressedTask:
    """The task that an address names, and that can be completed."""

    id: str
    reference_name: str
    scheduled_at: int
    """By Conductor's clock."""
    iteration: int
    """Of its loop; 0 outside of loops, where a number at the end of the name is part of it."""

    def is_among(self, names: Collection[str]) -> bool:
        """Whether the task is one of those that a webhook's `callback.tasks` names; none stands for
        all."""
        plain = plain_name(self.reference_name, self.iteration)
        return not names or self.reference_name in names or plain in names


@dataclass(frozen=True)
class WorkflowTasks:
    """A workflow with its tasks, as Conductor showed them."""

    workflow: dict[str, Any]
    tasks: Sequence[dict[str, Any]]
    ahead: float = 0
    """Milliseconds by which Conductor's clock may be ahead of the bridge's. If it isn't clear which
    of two tasks a URL is for, it is for the one that waits: a loop makes it the moment after its
    last task was completed."""

    def at(self, place: OneTarget) -> Addressed:
        """The task at this place in it. Raises Garbled if it can't be read, NotThere if the answer
        isn't a workflow."""
        found = self._by_name.get(place.reference_name, ())
        pending = [task for task in found if _can_be_completed(task)]
        name, status = self.workflow.get("workflowName"), self.workflow.get("status")
        if not isinstance(name, str) or not isinstance(status, str):
            raise Garbled(
                f"the workflow has no name or status: {str(name)[:100]!r}, {str(status)[:100]!r}"
            )
        return Addressed(
            name,
            version_of(self.workflow),
            None if status in UNDER_WAY else status,
            _addressed_task(pending[-1]) if pending else None,
            tuple(str(task.get("status")) for task in found if _is_over(task, place, self.ahead)),
            frozenset(str(task.get("workerId")) for task in found),
        )

    @cached_property
    def _by_name(self) -> dict[str | None, list[dict[str, Any]]]:
        """The tasks that an address with this name names. One answer may be for very many
        addresses."""
        found: dict[str | None, list[dict[str, Any]]] = {}
        for task in self.tasks:
            for name in _names(task):
                found.setdefault(name, []).append(task)
        return found


def listed(versions: Iterable[int]) -> str:
    """The versions in order, for people."""
    return ", ".join(map(str, sorted(versions)))


def _names(task: dict[str, Any]) -> set[str]:
    """The names by which an address may name the task. A number at the end may also be part of
    another task's name."""
    name = task.get("referenceTaskName")
    return {name, plain_name(name, iteration_of(task) or 0)} if isinstance(name, str) else set()


def _can_be_completed(task: dict[str, Any]) -> bool:
    definition = task.get("workflowTask")
    kind = definition.get("type") if isinstance(definition, dict) else task.get("taskType")
    status = task.get("status")
    return status == "IN_PROGRESS" or (status == "SCHEDULED" and kind in _QUEUED)


def _is_over(task: dict[str, Any], place: OneTarget, ahead: float) -> bool:
    """Whether the task has ended, and no later one can be the one that the URL was made for."""
    if task.get("status") in ("SCHEDULED", "IN_PROGRESS"):
        return False
    if place.made_at is None:
        return task.get("referenceTaskName") == place.reference_name
    ended_at = task.get("endTime")
    return not isinstance(ended_at, int) or ended_at - ahead >= place.made_at


def _addressed_task(item: dict[str, Any]) -> AddressedTask:
    id_, name = item.get("taskId"), item.get("referenceTaskName")
    scheduled = item.get("scheduledTime") or item.get("startTime") or 0
    if not isinstance(id_, str) or not isinstance(name, str) or not isinstance(scheduled, int):
        raise Garbled(f"a task can't be read: it has {(id_, name, scheduled)}"[:500])
    return AddressedTask(id_, name, scheduled, iteration_of(item) or 0)
