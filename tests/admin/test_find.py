"""What an id belongs to, on the command line, in the API and on the page."""

from __future__ import annotations

import json

from flask.testing import FlaskClient

from tests.admin.conftest import Cli
from tests.support.sample import Sample


def test_a_workflows_id_shows_what_was_done_to_it_and_what_it_waits_for(
    cli: Cli, client: FlaskClient, sample: Sample
) -> None:
    delivered = sample.events["delivered"]
    done = cli("find", "workflow-deploy-main").stdout
    assert f"completed wait_for_push, event {delivered}" in done
    assert "no task of it is known to be waiting" in done
    waiting = cli("find", "workflow-deploy-other").stdout
    assert 'waits at wait_other for {"$.ref": "refs/heads/dev"}' in waiting
    assert f"webhook-bridge tasks show {sample.tasks['other']}" in waiting
    page = client.get("/find?id=workflow-deploy-main").get_data(as_text=True)
    assert f"/events/{delivered}" in page and "wait_for_push" in page
    assert "refs/heads/dev" in client.get("/find?id=workflow-deploy-other").get_data(as_text=True)


def test_events_are_found_by_their_own_their_deliverys_and_their_starts_correlation_id(
    cli: Cli, client: FlaskClient, sample: Sample
) -> None:
    delivered = sample.events["delivered"]
    for given in (delivered, delivered[:-1], "d1", f"{delivered}#2"):
        found = json.loads(cli("find", given, "--json").stdout)
        assert delivered in [event["eventId"] for event in found["events"]]
    answer = client.get("/find?id=d1")
    assert (answer.status_code, answer.location) == (302, f"/events/{delivered}")


def test_a_tasks_id_leads_to_its_workflow(client: FlaskClient) -> None:
    found = client.get("/api/find?id=task-main").get_json()
    assert [one["workflowId"] for one in found["workflows"]] == ["workflow-deploy-main"]


def test_nothing_is_said_to_be_nothing(cli: Cli, client: FlaskClient) -> None:
    assert "nothing has the id 7d0c3a30" in cli("find", "7d0c3a30", code=1).stderr
    assert "Nothing has it" in client.get("/find?id=%3Cb%3E").get_data(as_text=True)


def test_a_delivery_id_that_is_hidden_is_not_found(cli: Cli, sample: Sample) -> None:
    assert "event " in cli("find", "d1").stdout
    definitions = sample.folder / "webhooks.yaml"
    text = definitions.read_text(encoding="utf-8")
    definitions.write_text(
        text.replace("platform: github\n", "platform: github\n    hide: [$.a]\n"), encoding="utf-8"
    )
    assert "nothing has the id d1" in cli("find", "d1", code=1).stderr
