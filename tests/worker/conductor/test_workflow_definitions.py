"""Which receivers and starts Conductor's workflow definitions don't fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.webhooks import Definitions, load_definitions
from worker.conductor.errors import ConductorError, NotFound, OutcomeUnknown, Refused, Unreachable
from worker.conductor.workflow_definitions import Documents, check_workflows

PUSH = {"ref": "refs/heads/main", "repository": {"full_name": "acme/shop"}}
ISSUE = {"action": "opened", "issue": {"number": 1}}


class Registry:
    """A Conductor with these workflows: (name, version) → the definition, or the error of reading
    it."""

    def __init__(self, **workflows: Any):
        self.definitions: dict[tuple[str, int], Any] = {
            (name, 1): found for name, found in workflows.items()
        }
        self.asked: list[tuple[str, int]] = []
        self.listing: ConductorError | None = None
        self.queues: bool | ConductorError = True

    @property
    def messages(self) -> Registry:
        return self

    def are_on(self) -> bool:
        if isinstance(self.queues, ConductorError):
            raise self.queues
        return self.queues

    def within(self, seconds: float) -> Registry:
        return self

    def workflow_versions(self) -> dict[str, list[int]]:
        if self.listing is not None:
            raise self.listing
        found: dict[str, list[int]] = {}
        for name, version in sorted(self.definitions):
            found.setdefault(name, []).append(version)
        return found

    def workflow_definition(self, name: str, version: int) -> dict[str, Any]:
        self.asked.append((name, version))
        found = self.definitions[name, version]
        if isinstance(found, ConductorError):
            raise found
        return {"name": name, "version": version, "tasks": found}


WAIT = {"type": "WAIT_FOR_WEBHOOK", "taskReferenceName": "wait"}
EVERY_EVENT: dict[str, Any] = {}


def wait(matches: Any = EVERY_EVENT) -> dict[str, Any]:
    return {**WAIT, "inputParameters": {"matches": matches}}


def defined(folder: Path, text: str) -> Definitions:
    file = folder / "webhooks.yaml"
    file.write_text(f"webhooks:\n  - name: hook\n    verifier: none\n{text}", encoding="utf-8")
    return load_definitions(file, environment={})


def found(
    registry: Registry, folder: Path, text: str, documents: Documents = lambda webhook: ()
) -> list[tuple[int, str, str]]:
    """Line, what is wrong and the remedy of each problem."""
    checked = check_workflows(registry, defined(folder, text), documents=documents)  # type: ignore[arg-type]
    assert checked.unread == ""
    assert all(problem.warning for problem in checked.problems)
    return [(problem.line, problem.what, problem.remedy) for problem in checked.problems]


def test_nothing_is_said_of_webhooks_that_fit(tmp_path: Path) -> None:
    registry = Registry(deploy=[wait()], on_push=[])
    text = "    receivers: {deploy: any}\n    starts: [{workflow: on_push, version: 1}]\n"
    assert found(registry, tmp_path, text) == []


def test_only_a_start_that_is_bound_to_fail_fails_the_check(tmp_path: Path) -> None:
    """A receiver may be defined inside another workflow, or be registered later."""
    definitions = defined(
        tmp_path, "    receivers: {nothing: any}\n    starts: [{workflow: nothing}]\n"
    )
    checked = check_workflows(Registry(), definitions)  # type: ignore[arg-type]
    assert [problem.fails_check for problem in checked.problems] == [False, True]


def test_of_any_version_the_latest_is_looked_at_and_of_certain_ones_each(tmp_path: Path) -> None:
    registry = Registry()
    registry.definitions = {("deploy", 1): [], ("deploy", 2): [wait()]}
    assert found(registry, tmp_path, "    receivers: {deploy: any}\n") == []
    [(_, what, remedy)] = found(registry, tmp_path, "    receivers: {deploy: [1, 2]}\n")
    assert what == "version 1 of deploy has no WAIT_FOR_WEBHOOK task, so no event resumes it"
    assert remedy == "add one, or remove the receiver"


def test_a_callbacks_receivers_need_no_task_that_waits_for_webhooks_but_must_be_there(
    tmp_path: Path,
) -> None:
    file = tmp_path / "webhooks.yaml"
    webhook = "{name: hook, callback: {by: id}, receivers: {order: any, sign: any, none: any}}"
    file.write_text(f"webhooks: [{webhook}]\n", encoding="utf-8")
    registry = Registry(order=[{"type": "HUMAN"}], sign=[wait({"$..[": 1})])
    checked = check_workflows(registry, load_definitions(file, environment={}))  # type: ignore[arg-type]
    assert [problem.what for problem in checked.problems] == ["Conductor has no workflow none"]


def test_a_workflow_whose_tasks_are_made_as_it_runs_may_wait(tmp_path: Path) -> None:
    assert (
        found(Registry(deploy=[{"type": "DYNAMIC"}]), tmp_path, "    receivers: {deploy: any}\n")
        == []
    )


def test_a_sub_workflow_that_waits_in_its_place_is_named(tmp_path: Path) -> None:
    inner = {
        "subWorkflowParam": {
            "name": "x",
            "workflowDefinition": {"name": "inner", "tasks": [wait()]},
        }
    }
    by_name = {"subWorkflowParam": {"name": "child"}}
    registry = Registry(outer=[inner], parent=[by_name])
    remedies = [
        remedy
        for _, _, remedy in found(registry, tmp_path, "    receivers: {outer: any, parent: any}\n")
    ]
    assert remedies == [
        "its sub-workflow inner has one: make that the receiver",
        "add one, or, if a sub-workflow waits (child), make that the receiver",
    ]


def test_a_receiver_that_is_defined_inside_another_is_none_that_is_missing(tmp_path: Path) -> None:
    inner = {
        "subWorkflowParam": {
            "name": "x",
            "workflowDefinition": {"name": "inner", "tasks": [wait({"$.b": 1})]},
        }
    }
    registry = Registry(outer=[inner, wait()])
    text = "    receivers: {inner: any, outer: any}\n"
    assert found(registry, tmp_path, text) == []
    [(_, what, _)] = found(registry, tmp_path, text, lambda webhook: [PUSH])
    assert what == "task wait of inner needs $.b, which no sample event of custom has"


@pytest.mark.parametrize(
    ("matches", "missing"),
    [
        ({}, None),
        ({"$.ref": "refs/heads/release"}, None),
        ({"$['repository']['full_name']": "${workflow.input.repository}"}, None),
        ({"$.repository.name": "${workflow.input.repository}", "$.ref": "x"}, "$.repository.name"),
        ({"$.issue.number": 7}, None),
        ({"$.issue.number": 7, "$.ref": "x"}, "$.issue.number"),
        ({"$.issue.number": 7, "$.action": "x", "$.ref": "x"}, "$.ref"),
        ({"$._webhook.headers['x-github-event']": "push"}, None),
        ({"$.${workflow.input.path}": 1}, None),
        ("${workflow.input.matches}", None),
    ],
)
def test_paths_that_no_sample_has_together_are_said(
    tmp_path: Path, matches: Any, missing: str | None
) -> None:
    problems = found(
        Registry(deploy=[wait(matches)]),
        tmp_path,
        "    receivers: {deploy: any}\n",
        lambda webhook: [PUSH, ISSUE],
    )
    expected = f"task wait of deploy needs {missing}, which no sample event of custom has"
    assert [what for _, what, _ in problems] == ([] if missing is None else [expected])


def test_a_path_that_no_events_metadata_has_is_said(tmp_path: Path) -> None:
    matches = {
        "$._webhook.headers['X-GitHub-Event']": "push",
        "$._webhook.headers['x-id']": 1,
        "$.${a}": 2,
    }
    [(_, what, remedy)] = found(
        Registry(deploy=[wait(matches)]), tmp_path, "    receivers: {deploy: any}\n"
    )
    assert what.startswith(
        "task wait of deploy needs $._webhook.headers['X-GitHub-Event']: header names are in lower"
    )
    assert remedy == "write $._webhook.headers['x-github-event']"


def test_matches_that_cannot_be_parsed_are_said(tmp_path: Path) -> None:
    [(_, what, remedy)] = found(
        Registry(deploy=[wait({"$[": 1})]), tmp_path, "    receivers: {deploy: any}\n"
    )
    assert what.startswith("the matches of task wait of deploy can't be used: ")
    assert remedy == "correct them in the workflow"


@pytest.mark.parametrize("inputs", [{"$.user": "alice"}, {"matches": None}, {}, None])
def test_a_task_without_matches_is_said_with_how_to_write_them(tmp_path: Path, inputs: Any) -> None:
    registry = Registry(deploy=[{**WAIT, "inputParameters": inputs}])
    [(line, what, _)] = found(registry, tmp_path, "    receivers: {deploy: any}\n")
    assert (line, "written flat" in what, '{"matches": {"$.path": "value"}}' in what) == (
        4,
        True,
        True,
    )


def test_each_definition_is_read_once_however_many_webhooks_name_it(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    entry = "  - {{name: hook{0}, verifier: none, receivers: {{deploy: [1], flow: any}}}}\n"
    file.write_text(
        "webhooks:\n" + "".join(entry.format(number) for number in range(50)), encoding="utf-8"
    )
    registry = Registry(deploy=[], flow=[])
    checked = check_workflows(registry, load_definitions(file, environment={}))  # type: ignore[arg-type]
    assert registry.asked == [("deploy", 1), ("flow", 1)]
    assert len(checked.problems) == 100


def test_a_definition_that_cannot_be_read_is_said_and_the_others_are_compared(
    tmp_path: Path,
) -> None:
    registry = Registry(
        broken=OutcomeUnknown("500"), forbidden=Refused("403 no"), gone=NotFound("404"), nothing=[]
    )
    text = "    receivers: {broken: any, forbidden: any, gone: any, nothing: any}\n"
    checked = check_workflows(registry, defined(tmp_path, text))  # type: ignore[arg-type]
    assert checked.unread == "forbidden: 403 no"
    assert [problem.where for problem in checked.problems] == ["webhook hook: receivers.nothing"]


def test_a_conductor_that_goes_away_is_asked_no_further(tmp_path: Path) -> None:
    registry = Registry(a=Unreachable("no connection"), b=[], c=[])
    checked = check_workflows(
        registry, defined(tmp_path, "    receivers: {a: any, b: any, c: any}\n")
    )  # type: ignore[arg-type]
    assert (registry.asked, checked.unread, checked.problems) == (
        [("a", 1)],
        "a: no connection",
        (),
    )


def test_a_slow_conductor_is_asked_no_further_than_the_given_time(tmp_path: Path) -> None:
    registry = Registry(deploy=[])
    checked = check_workflows(
        registry, defined(tmp_path, "    receivers: {deploy: any}\n"), seconds=0
    )  # type: ignore[arg-type]
    assert (registry.asked, checked.unread) == ([], "Conductor is slow")


def test_workflows_that_cannot_be_listed_are_an_error(tmp_path: Path) -> None:
    registry = Registry()
    registry.listing = Refused("403")
    with pytest.raises(ConductorError):
        check_workflows(registry, defined(tmp_path, "    receivers: {deploy: any}\n"))  # type: ignore[arg-type]


def test_a_poisoned_definition_keeps_no_other_from_being_compared(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    text = "    receivers: {a_poison: any, b_poison: any, fine: any}\n"
    registry = Registry(
        a_poison=[{"type": ["x"]}, wait(deep)], b_poison=[wait({"$.a": deep})], fine=[]
    )
    whats = [what for _, what, _ in found(registry, tmp_path, text)]
    assert whats == [
        "the matches of task wait of a_poison can't be used: the matches are nested too deeply",
        "the matches of task wait of b_poison can't be used: the matches are nested too deeply",
        "version 1 of fine has no WAIT_FOR_WEBHOOK task, so no event resumes it",
    ]


PULL = {
    "type": "DO_WHILE",
    "loopOver": [{"type": "PULL_WORKFLOW_MESSAGES", "taskReferenceName": "read"}],
}
MESSAGES = "    messages: [{workflow: agent, key: $.a}, {workflow: other, key: $.a, else: hold}]\n"


def test_nothing_is_said_of_messages_that_somebody_reads(tmp_path: Path) -> None:
    assert found(Registry(agent=[PULL], other=[{"type": "DYNAMIC"}]), tmp_path, MESSAGES) == []


def test_messages_that_nobody_reads_or_of_no_workflow_are_said(tmp_path: Path) -> None:
    checked = check_workflows(Registry(agent=[wait()]), defined(tmp_path, MESSAGES))  # type: ignore[arg-type]
    assert [(problem.what, problem.fails_check) for problem in checked.problems] == [
        (
            "version 1 of agent has no PULL_WORKFLOW_MESSAGES task, so nothing reads its messages",
            False,
        ),
        ("Conductor has no workflow other", False),
    ]
    checked = check_workflows(Registry(other=[PULL]), defined(tmp_path, MESSAGES))  # type: ignore[arg-type]
    assert [(problem.what, problem.fails_check) for problem in checked.problems] == [
        ("Conductor has no workflow agent", True)
    ]


def test_message_queues_that_are_off_are_said_with_the_remedy(tmp_path: Path) -> None:
    registry = Registry(agent=[PULL], other=[PULL])
    registry.queues = False
    first, second = found(registry, tmp_path, MESSAGES)
    assert (
        first[1:]
        == second[1:]
        == (
            "Conductor's message queues are off, so every message waits",
            "set conductor.workflow-message-queue.enabled=true there",
        )
    )
    registry.queues = OutcomeUnknown("500", 500)
    assert "message queues" in check_workflows(registry, defined(tmp_path, MESSAGES)).unread  # type: ignore[arg-type]
