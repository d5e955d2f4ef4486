"""The one target that an event is for: of a replay to one target, or of a callback, whose URL names
a task."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

_ITERATION = re.compile(r"__\d+\Z")
"""What Conductor adds to the reference name of a task in a loop, from its second iteration on."""

STILL_TO_COME = "its task is still to come: replay the event"
ONLY_NOW = "its task waits only now: replay the event"
NEVER_CAME = frozenset({STILL_TO_COME, ONLY_NOW})
"""Why a callback hasn't completed its task: that didn't wait before the end of the hold."""


class _Task(Protocol):
    @property
    def workflow(self) -> str: ...
    @property
    def workflow_id(self) -> str: ...
    @property
    def reference_name(self) -> str: ...
    @property
    def iteration(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class OneTarget:
    """The place of a target: one task of one running workflow, one entry of `starts`, or the
    message to a workflow.

    A `callback` is for one task of any type, of a workflow whose name its URL doesn't have.

    It outlives the target itself: in a loop the task of the next iteration has the same place, and
    so has the next start by the same entry.
    """

    kind: Literal["complete", "start", "message", "callback"]
    workflow: str
    """The workflow's name; empty for a callback."""
    workflow_id: str | None = None
    """For a completion or a callback: the workflow whose task it is."""
    reference_name: str | None = None
    """For a completion: the task's reference name, without the number of its iteration. For a
    callback: as in its URL; without the number of an iteration, any iteration will do."""
    made_at: int | None = None
    """For a callback: when its URL was made (Unix milliseconds); None if it doesn't say."""
    entry: int | None = None
    """For a start: which one it is of those that the event makes of this workflow, from 1."""

    def is_for(self, task: _Task) -> bool:
        """Whether the task has this place."""
        if self.kind == "callback":
            return self.workflow_id == task.workflow_id and self.names(task.reference_name)
        return (
            self.kind == "complete"
            and (self.workflow, self.workflow_id) == (task.workflow, task.workflow_id)
            and self.reference_name == plain_name(task.reference_name, task.iteration)
        )

    def names(self, reference_name: str) -> bool:
        """For a callback: whether a task of its workflow with this reference name may be the one."""
        return self.reference_name in (reference_name, without_iteration(reference_name))

    def __str__(self) -> str:
        if self.kind == "callback":
            return f"task {self.reference_name} of workflow {self.workflow_id}"
        if self.kind == "complete":
            return f"task {self.reference_name} of {self.workflow} ({self.workflow_id})"
        if self.kind == "message":
            return f"message to {self.workflow}"
        return f"start of {self.workflow}" + (
            f" (number {self.entry} of it)" if (self.entry or 1) > 1 else ""
        )


def to_text(only: OneTarget | None) -> str | None:
    """As the store keeps it."""
    if only is None:
        return None
    return json.dumps({name: value for name, value in asdict(only).items() if value is not None})


def from_text(text: str) -> OneTarget:
    """From what the store keeps. Raises ValueError, TypeError."""
    found = OneTarget(**json.loads(text))
    if found.kind not in ("complete", "start", "message", "callback"):
        raise ValueError(f"{found.kind} is no kind of target")
    return found


def callback_to(workflow_id: str, reference_name: str, made_at: int | None = None) -> OneTarget:
    """The place that a callback's URL names."""
    return OneTarget("callback", "", workflow_id, reference_name, made_at)


def names_of(reference_name: str) -> tuple[str, str]:
    """The reference name as it is, and without a number at its end, which may be that of an
    iteration or its own."""
    return reference_name, without_iteration(reference_name)


def plain_name(reference_name: str, iteration: int | None) -> str:
    """The reference name of a task without the number of its iteration, which outside of loops is
    0, and in no name.

    If the iteration isn't known, any number at the end is taken for it.
    """
    if iteration is None:
        return without_iteration(reference_name)
    return reference_name.removesuffix(f"__{iteration}") if iteration > 0 else reference_name


def without_iteration(reference_name: str) -> str:
    """The reference name without the number of its iteration."""
    return _ITERATION.sub("", reference_name)
