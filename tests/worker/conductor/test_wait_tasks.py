"""The WAIT_FOR_WEBHOOK tasks of a definition, wherever they are in it."""

from __future__ import annotations

from typing import Any

import pytest

from worker.conductor.workflow_definitions import WaitTask, find_wait_tasks

WAIT = {
    "type": "WAIT_FOR_WEBHOOK",
    "taskReferenceName": "wait",
    "inputParameters": {"matches": {"$.a": 1}},
}


@pytest.mark.parametrize(
    "task",
    [
        WAIT,
        {"type": "DO_WHILE", "loopOver": [WAIT]},
        {"type": "FORK_JOIN", "forkTasks": [[], [WAIT]]},
        {"type": "SWITCH", "decisionCases": {"a": [], "b": [WAIT]}},
        {"type": "SWITCH", "defaultCase": [WAIT]},
        {
            "type": "DO_WHILE",
            "loopOver": [{"type": "FORK_JOIN", "forkTasks": [[{"defaultCase": [WAIT]}]]}],
        },
    ],
)
def test_a_task_is_found_at_any_depth(task: dict[str, Any]) -> None:
    found = find_wait_tasks({"tasks": [{"type": "SIMPLE"}, task]})
    assert found.own == [WaitTask("wait", {"$.a": 1})]
    assert not found.may_have_more


def test_a_definition_that_is_nested_a_hundred_thousand_deep_is_read() -> None:
    task: dict[str, Any] = WAIT
    for _ in range(100_000):
        task = {"loopOver": [task]}
    try:
        assert len(find_wait_tasks({"tasks": [task]}).own) == 1
    finally:
        while "loopOver" in task:  # or it would be freed recursively
            [task] = task.pop("loopOver")


@pytest.mark.parametrize(
    "odd", [None, 1, "x", [WAIT], {"type": ["WAIT_FOR_WEBHOOK"]}, {"type": {"DYNAMIC": 1}}]
)
def test_what_is_no_task_keeps_no_other_from_being_found(odd: Any) -> None:
    assert find_wait_tasks({"tasks": [odd, WAIT]}).own == [WaitTask("wait", {"$.a": 1})]
