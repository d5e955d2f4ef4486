"""The requests of Orkes' clients, as their sources send them: the command line of Conductor OSS and the Go SDK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from relay.app import create_app as create_relay
from store.open import open_store
from tests.admin.page.test_webhooks import ADMIN, VIEWER, Page

JSON = "application/json"
# conductor webhook create --name custom_webhook_1 --source-platform Custom --verifier HEADER_BASED
#   --headers 'Authorization:BB12346789' --receiver-workflows hello_world:1
FLAGS = {
    "headers": {"Authorization": "BB12346789"},
    "name": "custom_webhook_1",
    "receiverWorkflowNamesToVersions": {"hello_world": 1},
    "sourcePlatform": "Custom",
    "verifier": "HEADER_BASED",
}
GITHUB = {
    "name": "GitHubWebhook",
    "sourcePlatform": "Github",
    "verifier": "SIGNATURE_BASED",
    "headerKey": "X-Hub-Signature-256",
    "secretValue": "9f86d081884c7d659a2feaa0c55ad015",
    "receiverWorkflowNamesToVersions": {"http": 1},
    "workflowsToStart": {"on_push": 2},
}


class Client:
    """Calls as conductor-go does: a token first, then X-Authorization."""

    def __init__(self, page: Page, secret: str = ADMIN):
        self.page = page
        answer = page.client.post("/api/token", json={"keyId": "any", "keySecret": secret})
        assert answer.status_code == 200
        self.headers = {"X-Authorization": answer.get_json()["token"], "Accept": JSON}

    def __call__(self, method: str, path: str, body: Any = None) -> TestResponse:
        self.page.client.delete_cookie("bridge_admin")
        more = {} if body is None else {"json": body}
        return self.page.client.open(f"/api/metadata/webhook{path}", method=method, headers=self.headers, **more)


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path, bridge_admin_token=ADMIN, bridge_viewer_token=VIEWER)


@pytest.fixture
def client(page: Page) -> Client:
    return Client(page)


def test_the_life_of_a_webhook_by_the_command_line(client: Client, page: Page) -> None:
    made = client("POST", "", FLAGS)
    assert made.status_code == 200
    webhook = made.get_json()
    assert webhook["name"] == "custom_webhook_1"
    assert webhook["headers"] == {"Authorization": "***"}
    assert webhook["receiverWorkflowNamesToVersions"] == {"hello_world": 1}
    assert webhook["urlVerified"] is False
    assert webhook["createdBy"] == "admin"
    one = f"/{webhook['id']}"
    assert client("GET", one).get_json()["verifier"] == "HEADER_BASED"
    assert [found["id"] for found in client("GET", "").get_json()] == [webhook["id"]]
    assert page.defined["custom_webhook_1"].headers["Authorization"].get_secret_value() == "BB12346789"
    changed = client("PUT", one, FLAGS | {"headers": {"Authorization": "UPDATED_AUTH_TOKEN_123"}})
    assert changed.status_code == 200
    assert page.defined["custom_webhook_1"].headers["Authorization"].get_secret_value() == "UPDATED_AUTH_TOKEN_123"
    assert client("DELETE", one).status_code == 200
    assert client("GET", one).status_code == 404
    assert client("GET", "").get_json() == []
    assert not page.defined
    texts = [file.read_text() for file in page.folder.rglob("*") if file.is_file() and file.name != ".gitignore"]
    assert texts == []


def test_what_get_shows_put_takes_back_and_nothing_changes(client: Client, page: Page) -> None:
    (page.folder / "teams.yaml").write_text(
        "webhooks:\n"
        "  - name: tickets  # ours\n"
        "    id: 7f3kq\n"
        "    platform: zendesk\n"
        "    secret: [a-secret-of-the-team-1, a-secret-of-the-team-2]\n"
        "    receivers: {one: [1, 2], other: any}\n"
        "    starts: [{workflow: s, version: 3, when: {$.a: 1}}]\n"
        "    hold: 5m\n"
    )
    before = (page.folder / "teams.yaml").read_text()
    shown = client("GET", "/7f3kq").get_json()
    assert shown["secretValue"] == "***"
    assert client("PUT", "/7f3kq", shown).status_code == 200
    assert (page.folder / "teams.yaml").read_text() == before
    renamed = client("PUT", "/7f3kq", shown | {"name": "renamed"}).get_json()
    assert (renamed["name"], renamed["id"]) == ("renamed", "7f3kq")
    more = shown["receiverWorkflowNamesToVersions"] | {"third": 4}
    client("PUT", "/7f3kq", renamed | {"receiverWorkflowNamesToVersions": more})
    receivers = page.defined["renamed"].receivers
    assert receivers == {"one": frozenset({1, 2}), "other": None, "third": frozenset({4})}
    assert page.defined["renamed"].starts[0].when == {"$.a": 1}


def test_platforms_of_orkes_are_those_of_the_bridge(client: Client, page: Page) -> None:
    assert client("POST", "", GITHUB).status_code == 200
    github = page.defined["GitHubWebhook"]
    assert (github.platform, github.secret[0].get_secret_value()) == ("github", GITHUB["secretValue"])
    assert github.starts[0].version == 2
    # Teams and SendGrid show their secrets only when they know the URL: nothing is accepted before.
    teams = {"sourcePlatform": "Microsoft Teams", "verifier": "HMAC_BASED", "headerKey": "Authorization"}
    common = {"secretValue": "", "receiverWorkflowNamesToVersions": {"http": 1}}
    assert client("POST", "", {"name": "teams", **teams, **common}).status_code == 200
    sendgrid = {"name": "mail", "sourcePlatform": "SendGrid", "verifier": "SENDGRID", **common}
    assert client("POST", "", sendgrid).status_code == 200
    slack = {"name": "slack", "sourcePlatform": "Slack", "verifier": "SLACK_BASED", **common}
    assert client("POST", "", slack).status_code == 200
    assert {webhook.platform for webhook in page.defined.values()} == {"github", "microsoft-teams", "sendgrid", "slack"}
    client("PUT", "/teams", {"name": "teams", **teams, **common, "secretValue": "c2VjcmV0LW9mLXRlYW1zLTAxMjM="})
    assert page.defined["teams"].secret[0].get_secret_value() == "c2VjcmV0LW9mLXRlYW1zLTAxMjM="


def test_a_webhook_of_the_api_takes_a_delivery_and_is_then_verified(client: Client, page: Page) -> None:
    client("POST", "", FLAGS)
    relay = create_relay(page.settings, in_background=False).test_client()
    headers = {"Authorization": "BB12346789", "Content-Type": JSON}
    assert relay.post("/webhook/custom_webhook_1", data=b'{"a": 1}', headers=headers).status_code == 200
    shown = client("GET", "/custom_webhook_1").get_json()
    assert shown["urlVerified"] is True
    (event,) = shown["webhookExecutionHistory"]
    assert event["payload"] == '{"a": 1}'
    assert event["matched"] is False


def test_tags_are_put_read_and_deleted(client: Client) -> None:
    client("POST", "", FLAGS)
    one = "/custom_webhook_1/tags"
    assert client("GET", one).get_json() == []
    dev, backend = {"key": "dev", "value": "automation"}, {"key": "backend", "value": "PR"}
    assert client("PUT", one, [dev, backend]).status_code == 200
    assert client("GET", one).get_json() == [dev, backend]
    assert client("DELETE", one, [dev]).status_code == 200
    assert client("GET", one).get_json() == [backend]
    assert client("PUT", one, [{"key": "x"}]).status_code == 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "name is missing"),
        (FLAGS | {"name": 5}, "name is missing"),
        (FLAGS | {"headers": {}}, "no headers"),
        (FLAGS | {"headers": {"X": "***"}}, "none to keep"),
        (FLAGS | {"receiverWorkflowNamesToVersions": {}}, "reaches no workflow"),
        (FLAGS | {"receiverWorkflowNamesToVersions": []}, "no object"),
        (FLAGS | {"verifier": "NOTHING"}, "nothing would verify"),
        (FLAGS | {"headers": {"bad name": "x"}}, "not a header's name"),
    ],
)
def test_a_bad_body_is_answered_with_what_is_wrong(client: Client, page: Page, body: Any, says: str) -> None:
    answer = client("POST", "", body)
    assert answer.status_code == 400
    assert says in answer.get_json()["message"]
    assert not page.defined


def test_a_name_leads_nowhere_and_references_stay_text(client: Client, page: Page) -> None:
    made = client("POST", "", FLAGS | {"name": "../../etc/passwd", "headers": {"X": "${file:/etc/passwd}"}})
    assert made.status_code == 200
    assert made.get_json()["name"] == "etc-passwd"
    assert page.defined["etc-passwd"].headers["X"].get_secret_value() == "${file:/etc/passwd}"


def test_no_secret_is_ever_returned(client: Client) -> None:
    client("POST", "", FLAGS)
    client("POST", "", GITHUB)
    for path in ("", "/custom_webhook_1", "/GitHubWebhook"):
        text = client("GET", path).text
        assert "BB12346789" not in text
        assert GITHUB["secretValue"] not in text


def test_who_may_what(page: Page) -> None:
    client = Client(page)
    client("POST", "", FLAGS)
    viewer = Client(page, VIEWER)
    assert viewer("GET", "").status_code == 200
    for method, path in (("POST", ""), ("PUT", "/custom_webhook_1"), ("DELETE", "/custom_webhook_1")):
        answer = viewer(method, path, FLAGS)
        assert answer.status_code == 403
        assert "BRIDGE_ADMIN_TOKEN" in answer.get_json()["message"]
    page.client.delete_cookie("bridge_admin")
    assert page.client.get("/api/metadata/webhook").status_code == 401
    assert page.client.post("/api/token", json={"keyId": "a", "keySecret": "wrong"}).status_code == 401
    for header in (ADMIN, "nonsense"):
        expected = 200 if header == ADMIN else 401
        answer = page.client.get("/api/metadata/webhook", headers={"X-Authorization": header})
        assert answer.status_code == expected


def test_without_the_setting_the_api_reads_only(tmp_path: Path) -> None:
    page = Page(tmp_path, bridge_admin_token=ADMIN, bridge_admin_writes=False)
    (page.folder / "a.yaml").write_text("webhooks: []\n")
    open_store(page.settings.bridge_database).close()
    client = Client(page)
    assert client("GET", "").get_json() == []
    answer = client("POST", "", FLAGS)
    assert answer.status_code == 403
    assert "BRIDGE_ADMIN_WRITES" in answer.get_json()["message"]
