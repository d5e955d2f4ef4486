"""Conductor's workflows on the page: the form offers them, and a webhook's page runs one and
follows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from admin.page.app import create_app
from tests.support.answers_of_conductor import LIST, StandIn, standing_in
from tests.support.sample import settings_for

ADMIN, VIEWER = "the-token-of-admins", "the-token-of-viewers"
DEPLOYS = """
webhooks:
  - name: deploys
    verifier: none
    receivers: {deploy: any, release: [1, 2]}
    starts: [{workflow: on_push}, {workflow: deploy}]
"""

pytestmark = pytest.mark.usefixtures("patient_forms")


@pytest.fixture
def conductor() -> Iterator[StandIn]:
    with standing_in() as stand_in:
        yield stand_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "webhooks"
    folder.mkdir()
    (folder / "deploys.yaml").write_text(DEPLOYS, encoding="utf-8")
    return folder


def page_of(folder: Path, conductor: StandIn, **more: Any) -> FlaskClient:
    given = {
        "bridge_webhooks": folder,
        "bridge_admin_writes": True,
        "conductor_server_url": conductor.url,
        **more,
    }
    return create_app(settings_for(folder.parent, **given)).test_client()


@pytest.fixture
def page(folder: Path, conductor: StandIn) -> FlaskClient:
    return page_of(folder, conductor)


def post(page: FlaskClient, path: str, **values: Any) -> TestResponse:
    return page.post(path, data=values)


# --- the form ---


def test_a_workflow_that_can_hardly_be_offered_does_not_keep_the_others_from_it(
    page: FlaskClient, conductor: StandIn
) -> None:
    odd = {"\ud800": [{"version": 1}], "x" * 1_000_000: [{"version": 1}], "<b>": [{"version": 1}]}
    conductor.answers[LIST] = (
        200,
        {"deploy": [{"version": 1}], **odd, "release": [{"version": None}]},
    )
    answer = page.get("/new?platform=github")
    assert answer.status_code == 200
    offered = re.findall(r'<option value="(.*?)">(.*?)</option>', answer.text)
    assert offered[:2] == [("deploy", "version 1"), ("&lt;b&gt;", "version 1")]
    assert len(answer.text) < 20_000


def test_a_conductor_that_lists_nothing_leaves_a_form_to_type_names_in(
    page: FlaskClient, conductor: StandIn
) -> None:
    conductor.answers[LIST] = 403, {"message": "no"}
    text = unescape(page.get("/new?platform=github").text)
    assert "Conductor's workflows can't be listed now: 403 no" in text
    answer = post(
        page,
        "/new",
        platform="github",
        name="new",
        secret="x" * 32,
        receiver="anything",
        do="create",
    )
    assert "It takes effect in relay and worker within seconds" in answer.text


def test_a_chosen_workflow_is_added_to_the_receivers(
    page: FlaskClient, conductor: StandIn, folder: Path
) -> None:
    conductor.has("flow", "other", "release", "deploy")
    wait = {"type": "WAIT_FOR_WEBHOOK", "taskReferenceName": "wait_for_push"}
    matches = {"$.repository.full_name": "acme/shop"}
    conductor.defines("deploy", {**wait, "inputParameters": {"matches": matches}})
    conductor.defines("release", {"type": "SIMPLE"})
    added = post(
        page, "/new", platform="github", do="check", receiver=["other", "", "flow: 2, 3"]
    ).text
    for chosen in ("other", "flow: 2, 3"):
        assert f'name="receiver" value="{chosen}" checked' in added
    offered = re.findall(r'name="receiver" value="([^"]*)">', added)
    assert offered == ["deploy"], "only what waits for a webhook"
    assert "version 2: wait_for_push waits for $.repository.full_name" in added
    whole = {"platform": "github", "name": "new", "secret": "x" * 32, "receiver": "deploy"}
    checked = post(page, "/new", do="check", **whole).text
    sentence = "fits deploy, version 2, whose task wait_for_push waits for $.repository.full_name"
    assert "No mistakes" in checked
    assert sentence in checked
    values = {
        "platform": "github",
        "name": "new",
        "secret": "x" * 32,
        "receiver": ["deploy", "release: 1, 2", "a:b: any"],
    }
    post(page, "/new", do="create", **values, start=["on_push", "deploy: 3"])
    found = (folder / "new.yaml").read_text().replace("'", "")
    assert "a:b: any" in found
    assert "- workflow: deploy\n        version: 3" in found


def test_what_does_not_fit_is_said_beside_the_yaml(page: FlaskClient, conductor: StandIn) -> None:
    conductor.has("deploy", "release")
    wait = {
        "type": "WAIT_FOR_WEBHOOK",
        "taskReferenceName": "w",
        "inputParameters": {"matches": {"$.nothing": 1}},
    }
    conductor.defines("deploy", wait)
    values = {
        "platform": "github",
        "name": "new",
        "secret": "x" * 32,
        "receiver": ["deploy", "releas", "release: 2"],
    }
    text = unescape(post(page, "/new", do="check", start="deploy: 9", **values).text)
    assert "Conductor has no workflow releas; did you mean release?" in text
    assert "Conductor has no version 9 of deploy; it has 2" in text
    assert "task w of deploy needs $.nothing, which no sample event of github has" in text


# --- running one ---


def test_the_workflows_of_the_webhook_can_be_chosen(page: FlaskClient) -> None:
    text = unescape(page.get("/webhooks/deploys").text)
    chosen = re.findall(r'<option value="(.*?)">\1</option>', text.partition('id="workflow"')[2])
    assert chosen == ["deploy", "release, version 1", "release, version 2", "on_push"]


def test_a_workflow_is_started_with_the_input_as_it_was_typed(
    page: FlaskClient, conductor: StandIn
) -> None:
    bodies: list[Any] = []
    conductor.answers["/api/workflow"] = lambda body: bodies.append(body) or (200, "w-1")  # type: ignore[func-returns-value]
    answer = post(
        page, "/webhooks/deploys/run", workflow="release, version 2", input='{"ref": "main"}'
    )
    assert 'href="https://conductor.example.com/execution/w-1"' in answer.text
    assert [(body["name"], body["version"], body["input"]) for body in bodies] == [
        ("release", 2, {"ref": "main"})
    ]
    assert "release, version 2: w-1" in page.get("/changes").text
    post(page, "/webhooks/deploys/run", workflow="deploy", input="  ")
    assert bodies[1]["input"] == {} and "version" not in bodies[1]
    assert bodies[0]["correlationId"] != bodies[1]["correlationId"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("[1]", "the input is not a JSON object"),
        ("null", "the input is not a JSON object"),
        ("{", "the input is not JSON"),
        ('{"a": NaN}', "NaN is not"),
        ("[" * 15_000, "the input is nested"),
    ],
)
def test_an_input_that_is_no_json_object_starts_nothing(
    page: FlaskClient, conductor: StandIn, typed: str, said: str
) -> None:
    answer = post(page, "/webhooks/deploys/run", workflow="deploy", input=typed)
    assert answer.status_code == 422
    assert said in answer.text
    assert conductor.asked == []


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "It was not started: 404 No such"),
        (403, "It was not started: 403 No such"),
        (500, "It may have been"),
    ],
)
def test_a_start_that_fails_is_said_with_what_was_typed(
    page: FlaskClient, conductor: StandIn, status: int, said: str
) -> None:
    conductor.answers["/api/workflow"] = status, {"message": "No such workflow"}
    answer = post(page, "/webhooks/deploys/run", workflow="on_push", input='{"n": 1}')
    assert answer.status_code == 422
    assert said in answer.text
    assert '{"n": 1}</textarea>' in unescape(answer.text)
    assert '<option value="on_push" selected' in answer.text


def test_only_a_workflow_of_the_webhook_is_run(page: FlaskClient, conductor: StandIn) -> None:
    assert post(page, "/webhooks/deploys/run", workflow="other").status_code == 409
    assert post(page, "/webhooks/nothing/run", workflow="deploy").status_code == 404
    assert conductor.asked == []


def test_running_needs_an_admin_and_writes_and_no_other_site(
    folder: Path, conductor: StandIn
) -> None:
    values = {"workflow": "deploy", "input": "{}"}
    tokens = {"bridge_admin_token": ADMIN, "bridge_viewer_token": VIEWER}
    with_tokens = page_of(folder, conductor, **tokens)
    for token, status in ((VIEWER, 403), (ADMIN, 422)):
        headers = {"Authorization": f"Bearer {token}"}
        assert (
            with_tokens.post("/webhooks/deploys/run", data=values, headers=headers).status_code
            == status
        )
    assert conductor.asked == ["/api/workflow"]  # which the stand-in hasn't got

    conductor.asked.clear()
    read_only = page_of(folder, conductor, bridge_admin_writes=False)
    assert "Run workflow" not in read_only.get("/webhooks/deploys").text
    foreign = page_of(folder, conductor).post(
        "/webhooks/deploys/run", data=values, headers={"Origin": "https://x.example"}
    )
    assert foreign.status_code == 403
    answer = read_only.post("/webhooks/deploys/run", data=values)
    assert (answer.status_code, conductor.asked) == (403, [])
    assert "BRIDGE_ADMIN_WRITES" in answer.text
