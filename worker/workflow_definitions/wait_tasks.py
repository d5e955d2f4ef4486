"""The tasks of a workflow's definition that events reach. Pure: the definition in, its tasks out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from criteria.matches import matches_of
from store.one_target import without_iteration
from worker.conductor.messages import PULL_TYPE
from worker.conductor.search import TASK_TYPE

_MADE_AS_IT_RUNS = ("DYNAMIC", "FORK_JOIN_DYNAMIC")
"""Types of tasks that Conductor turns into others as the workflow runs: what they are no definition says."""


@dataclass(frozen=True, slots=True)
class WaitTask:
    """One WAIT_FOR_WEBHOOK task."""

    reference_name: str
    matches: Any


@dataclass(slots=True)
class WaitTasks:
    """What a definition says of the tasks that wait."""

    own: list[WaitTask] = field(default_factory=list)
    inside: dict[str, list[WaitTask]] = field(default_factory=dict)
    """Sub-workflow that is defined inside → its tasks. In Conductor they are that workflow's, not the outer one's."""
    sub_workflows: set[str] = field(default_factory=set)
    """Sub-workflows by name: their tasks are in definitions of their own."""
    reads_messages: bool = False
    """Whether it has a task that reads its message queue."""
    like_iterations: list[str] = field(default_factory=list)
    """The names of tasks in loops that end as Conductor's names of iterations do."""
    may_have_more: bool = False
    """Whether some tasks are only made as the workflow runs."""


def find_wait_tasks(definition: dict[str, Any]) -> WaitTasks:
    """The tasks at any depth: in loops, forks, switches, and sub-workflows that are defined inside.

    What isn't as Conductor writes it is left out: nothing is raised.
    """
    found = WaitTasks()
    rest = [(found.own, definition.get("tasks"), False)]
    while rest:
        tasks, items, in_loop = rest.pop()
        for item in items if isinstance(items, list) else ():
            if not isinstance(item, dict):
                continue
            if item.get("type") == TASK_TYPE:
                inputs = item.get("inputParameters")
                matches = matches_of(inputs if isinstance(inputs, dict) else None)
                tasks.append(WaitTask(str(item.get("taskReferenceName")), matches))
            name = str(item.get("taskReferenceName"))
            if in_loop and without_iteration(name) != name:
                found.like_iterations.append(name)
            if item.get("type") == PULL_TYPE and tasks is found.own:
                found.reads_messages = True
            found.may_have_more = found.may_have_more or item.get("type") in _MADE_AS_IT_RUNS
            rest.append((tasks, item.get("loopOver"), True))
            rest += [(tasks, nested, in_loop) for nested in _nested(item)]
            if (inner := _defined_inside(item)) is not None:
                rest.append((found.inside.setdefault(str(inner.get("name")), []), inner.get("tasks"), False))
            elif isinstance(parameters := item.get("subWorkflowParam"), dict) and parameters.get("name"):
                found.sub_workflows.add(str(parameters["name"]))
    return found


def _nested(task: dict[str, Any]) -> Iterator[Any]:
    """The lists of tasks in a task, besides a loop's."""
    yield task.get("defaultCase")
    cases, forks = task.get("decisionCases"), task.get("forkTasks")
    yield from cases.values() if isinstance(cases, dict) else ()
    yield from forks if isinstance(forks, list) else ()


def _defined_inside(task: dict[str, Any]) -> dict[str, Any] | None:
    """The definition of a sub-workflow that a task contains, if it does."""
    parameters = task.get("subWorkflowParam")
    inner = parameters.get("workflowDefinition") if isinstance(parameters, dict) else None
    return inner if isinstance(inner, dict) else None
