"""What a webhook will do with Conductor's workflows, in words, and which of them wait for one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from config.webhooks import Webhook
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotFound
from worker.conductor.search import fits_path
from worker.conductor.workflow_definitions import WaitTask, find_wait_tasks

READ = 100
"""Workflow definitions that are read, at most."""
_PATHS = 3
"""Paths of one task that are named."""


@dataclass(frozen=True)
class Waiting:
    """A version of a workflow with tasks that wait for webhooks."""

    workflow: str
    version: int
    tasks: Sequence[WaitTask]

    @property
    def meaning(self) -> str:
        """``wait_for_push waits for $.ref``, for each of its tasks."""
        return "; ".join(f"{one.reference_name} waits for {_paths(one)}" for one in self.tasks)


def _paths(task: WaitTask) -> str:
    if not isinstance(task.matches, dict):
        return "what is known once it runs"
    paths = list(task.matches)
    if not paths:
        return "every event"
    named = ", ".join(paths[:_PATHS])
    return f"{named} and {len(paths) - _PATHS} more" if len(paths) > _PATHS else named


def find_waiting(
    conductor: Conductor, wanted: Sequence[tuple[str, int]], seconds: float
) -> dict[tuple[str, int], Waiting]:
    """Of these workflows, each with its version, those that have such tasks; what can't be read
    within this time is left out."""
    until = time.monotonic() + seconds
    found = {}
    for workflow, version in wanted[:READ]:
        left = until - time.monotonic()
        if left <= 0 or not fits_path(workflow):
            continue
        try:
            definition = conductor.within(left).workflow_definition(workflow, version)
        except NotFound:
            continue
        except ConductorError:
            break
        if tasks := find_wait_tasks(definition).own:
            found[workflow, version] = Waiting(workflow, version, tasks)
    return found


def outlook(
    webhook: Webhook,
    versions: Mapping[str, Sequence[int]],
    waiting: Mapping[tuple[str, int], Waiting],
) -> Iterator[str]:
    """What will come of an event, a sentence for each receiver, start and message."""
    for workflow, chosen in webhook.receivers.items():
        known = versions.get(workflow, ())
        for version in sorted(chosen) if chosen else known[-1:]:
            if (found := waiting.get((workflow, version))) is None:
                continue
            for task in found.tasks:
                yield (
                    f"Fits {workflow}, version {version}, whose task {task.reference_name}"
                    f" waits for {_paths(task)}"
                )
    for start in webhook.starts:
        certain = f", version {start.version}" if start.version else ""
        when = f" if {', '.join(start.when)} fits" if start.when else " for every event"
        yield f"Starts {start.workflow}{certain}{when}"
    for message in webhook.messages:
        yield f"Gives the running {message.workflow} a message, found by {message.key}"
