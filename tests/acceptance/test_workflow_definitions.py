"""Webhooks beside the workflow definitions of a real Conductor: what doesn't fit is said before an
event needs it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.bridge import Bridge, unique
from tools.servers.client import Conductor, set_variable, wait_for, wait_for_webhook

NESTED, NOTHING, OUTER, INNER, DYNAMIC = map(
    unique, ("wd_nested", "wd_nothing", "wd_outer", "wd_inner", "wd_dynamic")
)
RELAY = False
WEBHOOKS = f"""
webhooks:
  - name: deploys
    platform: github
    secret: ${{GITHUB_SECRET}}
    receivers:
      {NESTED}: any
      {NESTED}d: any
      {NOTHING}: [1, 7]
      {OUTER}: any
      {INNER}: any
      {DYNAMIC}: any
    starts:
      - workflow: {NOTHING.replace("noth", "nth")}
      - workflow: {NOTHING}
        version: 2
"""
MATCHES = {"$.ref": "${workflow.input.ref}", "$.repository.fullname": "acme/shop"}


def nested(*tasks: dict[str, Any]) -> dict[str, Any]:
    """A loop around a switch around a fork around the tasks."""
    fork = {
        "name": "fork",
        "taskReferenceName": "fork",
        "type": "FORK_JOIN",
        "forkTasks": [[set_variable("left")], list(tasks)],
    }
    join = {
        "name": "join",
        "taskReferenceName": "join",
        "type": "JOIN",
        "joinOn": ["left", tasks[-1]["name"]],
    }
    switch = {
        "name": "switch",
        "taskReferenceName": "switch",
        "type": "SWITCH",
        "evaluatorType": "value-param",
        "expression": "way",
        "inputParameters": {"way": "in"},
        "decisionCases": {"in": [fork, join]},
        "defaultCase": [set_variable("other")],
    }
    return {
        "name": "loop",
        "taskReferenceName": "loop",
        "type": "DO_WHILE",
        "loopCondition": "false",
        "loopOver": [switch],
    }


def sub_workflow(name: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    """A task that runs a sub-workflow which is defined inside it."""
    inner = {
        "name": name,
        "version": 1,
        "schemaVersion": 2,
        "ownerEmail": "a@example.com",
        "tasks": list(tasks),
    }
    return {
        "name": "sub",
        "taskReferenceName": "sub",
        "type": "SUB_WORKFLOW",
        "subWorkflowParam": {"name": name, "version": 1, "workflowDefinition": inner},
    }


@pytest.fixture(scope="module", autouse=True)
def registered(conductor_url: str) -> None:
    conductor = Conductor(conductor_url)
    conductor.register(NESTED, [nested(wait_for_webhook("wait", MATCHES))], version=1)
    conductor.register(NOTHING, [set_variable()], version=1)
    conductor.register(
        OUTER, [sub_workflow(INNER, wait_for_webhook("wait", {"$.ref": "refs/heads/main"}))]
    )
    dynamic = {
        "name": "dynamic",
        "taskReferenceName": "dynamic",
        "type": "DYNAMIC",
        "dynamicTaskNameParam": "which",
        "inputParameters": {"which": "${workflow.input.which}"},
    }
    conductor.register(DYNAMIC, [dynamic])


def test_check_says_with_file_and_line_what_does_not_fit(bridge: Bridge) -> None:
    file = bridge.definitions
    lines_of = {
        text.strip(): number for number, text in enumerate(file.read_text().splitlines(), 1)
    }
    nothing, outer, typo = NOTHING, OUTER, NOTHING.replace("noth", "nth")
    expected = [
        f"{file}:{lines_of[f'{NESTED}: any']}: webhook deploys: receivers.{NESTED}: warning: task wait of {NESTED} "
        "needs $.repository.fullname, which no sample event of github has; compare the path with a real event",
        f"{file}:{lines_of[f'{NESTED}d: any']}: webhook deploys: receivers.{NESTED}d: warning: Conductor has no "
        f"workflow {NESTED}d; did you mean {NESTED}?",
        f"{file}:{lines_of[f'{nothing}: [1, 7]']}: webhook deploys: receivers.{nothing}: warning: Conductor has no "
        f"version 7 of {nothing}; it has 1",
        f"{file}:{lines_of[f'{nothing}: [1, 7]']}: webhook deploys: receivers.{nothing}: warning: version 1 of "
        f"{nothing} has no WAIT_FOR_WEBHOOK task, so no event resumes it; add one, or remove the receiver",
        f"{file}:{lines_of[f'{outer}: any']}: webhook deploys: receivers.{outer}: warning: version 1 of {outer} "
        f"has no WAIT_FOR_WEBHOOK task, so no event resumes it; its sub-workflow {INNER} has one: make that the "
        "receiver",
        f"{file}:{lines_of[f'- workflow: {typo}']}: webhook deploys: starts[0]: Conductor has no workflow {typo}; "
        f"did you mean {nothing}?",
        f"{file}:{lines_of[f'- workflow: {nothing}']}: webhook deploys: starts[1]: Conductor has no version 2 of "
        f"{nothing}; it has 1",
    ]
    said = bridge.check(*expected, code=1).splitlines()
    assert sorted(line for line in said if "webhook deploys" in line) == sorted(expected)
    assert "workflow" not in bridge.cli("check", "--offline")


def test_a_task_of_a_sub_workflow_that_is_defined_inside_belongs_to_the_sub_workflow(
    bridge: Bridge, conductor: Conductor
) -> None:
    """As the check takes it."""
    conductor.start(OUTER)
    wait_for(
        lambda: INNER in bridge.store.queries.waiting_by_workflow(),
        "the sub-workflow's task is known",
    )
    assert OUTER not in bridge.store.queries.waiting_by_workflow()


def test_the_worker_notes_what_does_not_fit_for_the_overview(bridge: Bridge) -> None:
    found = wait_for(
        lambda: bridge.store.reports.read().misfits,
        "the worker compares the workflows",
    )
    misfits = [str(misfit) for misfit in found]
    assert any(
        f"Conductor has no workflow {NESTED}d; did you mean {NESTED}?" in misfit
        for misfit in misfits
    )
    assert len(misfits) == 6  # none of samples: those are guesses
