"""``webhook-bridge check`` beside a Conductor's workflow definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module

import pytest

from tests.admin.conftest import Cli
from tests.support.answers_of_conductor import LIST, StandIn, standing_in
from tests.support.sample import Sample
from tools.servers import PATIENCE

WAIT = {
    "type": "WAIT_FOR_WEBHOOK",
    "taskReferenceName": "wait",
    "inputParameters": {"matches": {"$.no.such": 1}},
}
POLL = "/api/tasks/poll/batch/WAIT_FOR_WEBHOOK"
ALL = ("deploy", "order_flow", "release", "sample_webhook_for_slack", "on_push")


@pytest.fixture
def conductor(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Has all workflows that the sample's webhooks name. On a busy machine, five seconds may be too
    few for it."""
    monkeypatch.setattr(import_module("admin.check.checking"), "SECONDS", PATIENCE)
    with standing_in() as stand_in:
        stand_in.answers[POLL] = 200, []
        stand_in.answers["/api/tasks/search"] = 200, {"results": []}
        for name in ALL:
            stand_in.defines(name, {**WAIT, "inputParameters": {"matches": {}}})
        stand_in.has(*ALL)
        cli.environment["CONDUCTOR_SERVER_URL"] = stand_in.url
        yield stand_in


def test_a_path_that_no_sample_of_the_platform_has_is_a_warning(
    cli: Cli, conductor: StandIn
) -> None:
    # Of github, and of a custom sender, who may send anything.
    for name in (
        "deploy",
        "order_flow",
    ):
        conductor.defines(name, WAIT)
    lines = [line for line in cli("check").stdout.splitlines() if "sample event" in line]
    assert [line.partition(": warning: ")[2] for line in lines] == [
        "task wait of deploy needs $.no.such, which no sample event of github has; compare the path with a real event"
    ]


def test_a_start_of_a_workflow_that_is_missing_fails_the_check(
    cli: Cli, conductor: StandIn, sample: Sample
) -> None:
    conductor.has(*ALL[:-1])
    result = cli("check", code=1)
    assert "starts[0]: Conductor has no workflow on_push" in result.stdout
    assert "3 webhooks, 1 error\n" in result.stderr
    problems = json.loads(cli("check", "--json", code=1).stdout)
    [missing] = [problem for problem in problems if "on_push" in problem["what"]]
    assert (missing["file"], missing["warning"]) == (str(sample.settings.bridge_webhooks), False)
    assert missing["line"] > 1


def test_workflows_that_are_left_to_conductor_are_not_compared(
    cli: Cli, conductor: StandIn
) -> None:
    conductor.has(*ALL[1:-1])
    cli.environment["BRIDGE_LEAVE_TO_CONDUCTOR"] = "on_push,deploy"
    assert "Conductor has no workflow" not in cli("check").stdout


@pytest.mark.parametrize("status", [401, 403, 404, 405, 500])
def test_a_server_that_lists_no_workflows_is_said_once_and_the_rest_goes_on(
    cli: Cli, conductor: StandIn, status: int
) -> None:
    conductor.answers[LIST] = status, {"message": "it won't"}
    lines = cli("check").stderr.splitlines()
    [said] = [line for line in lines if "workflows can't be listed" in line]
    assert said.startswith("warning: CONDUCTOR_SERVER_URL: receivers and starts aren't compared")
    assert str(status) in said
    assert any("3 webhooks, no errors" in line for line in lines)


@pytest.mark.parametrize("answer", ["a text", [1]])
def test_a_list_of_workflows_that_cannot_be_read_is_said_once(
    cli: Cli, conductor: StandIn, answer: object
) -> None:
    conductor.answers[LIST] = 200, answer
    assert cli("check").stderr.count("workflows can't be listed") == 1


def test_a_definition_that_cannot_be_read_is_said_once(cli: Cli, conductor: StandIn) -> None:
    for name in ALL:
        conductor.answers[f"/api/metadata/workflow/{name}"] = 403, {"message": "no"}
    assert cli("check").stderr.count("not all workflow definitions could be read") == 1


def test_a_conductor_that_is_away_or_refuses_is_said_once_and_offline_none_is_asked(
    cli: Cli, conductor: StandIn
) -> None:
    conductor.answers[POLL] = 401, {"message": "no"}
    [said] = [
        line for line in cli("check", code=1).stderr.splitlines() if "CONDUCTOR_SERVER_URL" in line
    ]
    assert "refuses the key" in said
    assert LIST not in conductor.asked
    conductor.asked.clear()
    cli("check", "--offline")
    assert conductor.asked == []
