"""The requests of Orkes' clients, as their sources send them: the command line of Conductor OSS and
the Go SDK."""

from __future__ import annotations

import base64
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from relay.app import create_app as create_relay
from store.open import open_store
from tests.support.webhook_page import ADMIN, VIEWER, Page

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
        return self.page.client.open(
            f"/api/metadata/webhook{path}", method=method, headers=self.headers, **more
        )


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
    assert (
        page.defined["custom_webhook_1"].headers["Authorization"][0].get_secret_value()
        == "BB12346789"
    )
    changed = client("PUT", one, FLAGS | {"headers": {"Authorization": "UPDATED_AUTH_TOKEN_123"}})
    assert changed.status_code == 200
    assert (
        page.defined["custom_webhook_1"].headers["Authorization"][0].get_secret_value()
        == "UPDATED_AUTH_TOKEN_123"
    )
    assert client("DELETE", one).status_code == 200
    assert client("GET", one).status_code == 404
    assert client("GET", "").get_json() == []
    assert not page.defined
    texts = [
        file.read_text()
        for file in page.folder.rglob("*")
        if file.is_file() and file.name != ".gitignore"
    ]
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
    renamed = client("PUT", "/7f3kq", shown | {"name": "renamed"})
    assert renamed.status_code == 400
    assert "make another webhook" in renamed.get_json()["message"]
    more = shown["receiverWorkflowNamesToVersions"] | {"third": 4}
    client("PUT", "/7f3kq", shown | {"receiverWorkflowNamesToVersions": more})
    receivers = page.defined["tickets"].receivers
    assert receivers == {"one": frozenset({1, 2}), "other": None, "third": frozenset({4})}
    assert page.defined["tickets"].starts[0].when == {"$.a": 1}


def test_a_name_that_orkes_would_write_otherwise_stays(client: Client, page: Page) -> None:
    text = (
        "webhooks:\n- {name: team_, headers: {A: a-secret-of-somebody}, receivers: {flow: any}}\n"
    )
    (page.folder / "team.yaml").write_text(text)
    assert client("PUT", "/team_", client("GET", "/team_").get_json()).status_code == 200
    assert (page.folder / "team.yaml").read_text() == text


def test_a_token_and_a_certificate_stay_until_another_proof_is_asked_for(
    client: Client, page: Page
) -> None:
    proofs = (
        "    jwt: {issuer: https://login.example.com}\n    mtls: {header: X-DN, subject: CN=a}\n"
    )
    rest = "    split: $.items\n    receivers: {flow: any}\n"
    (page.folder / "a.yaml").write_text(f"webhooks:\n  - name: orders\n{proofs}{rest}")
    before = (page.folder / "a.yaml").read_text()
    shown = client("GET", "/orders").get_json()
    assert client("PUT", "/orders", shown).status_code == 200
    assert (page.folder / "a.yaml").read_text() == before
    signed = {
        "verifier": "SIGNATURE_BASED",
        "headerKey": "X-Signature",
        "secretValue": "a-secret-of-orders-0123",
    }
    assert client("PUT", "/orders", shown | signed).status_code == 200
    orders = page.defined["orders"]
    assert (orders.jwt, orders.mtls, orders.signature.header) == (None, None, "X-Signature")
    assert orders.split == "$.items"


def test_platforms_of_orkes_are_those_of_the_bridge(client: Client, page: Page) -> None:
    assert client("POST", "", GITHUB).status_code == 200
    github = page.defined["GitHubWebhook"]
    assert (github.platform, github.secret[0].get_secret_value()) == (
        "github",
        GITHUB["secretValue"],
    )
    assert github.starts[0].version == 2
    # Teams and SendGrid show their secrets only when they know the URL: nothing is accepted before.
    teams = {
        "sourcePlatform": "Microsoft Teams",
        "verifier": "HMAC_BASED",
        "headerKey": "Authorization",
    }
    common = {"secretValue": "", "receiverWorkflowNamesToVersions": {"http": 1}}
    assert client("POST", "", {"name": "teams", **teams, **common}).status_code == 200
    sendgrid = {"name": "mail", "sourcePlatform": "SendGrid", "verifier": "SENDGRID", **common}
    assert client("POST", "", sendgrid).status_code == 200
    slack = {"name": "slack", "sourcePlatform": "Slack", "verifier": "SLACK_BASED", **common}
    assert client("POST", "", slack).status_code == 200
    assert {webhook.platform for webhook in page.defined.values()} == {
        "github",
        "microsoft-teams",
        "sendgrid",
        "slack",
    }
    client(
        "PUT",
        "/teams",
        {"name": "teams", **teams, **common, "secretValue": "c2VjcmV0LW9mLXRlYW1zLTAxMjM="},
    )
    assert page.defined["teams"].secret[0].get_secret_value() == "c2VjcmV0LW9mLXRlYW1zLTAxMjM="


def test_a_webhook_of_the_api_takes_a_delivery_and_is_then_verified(
    client: Client, page: Page
) -> None:
    client("POST", "", FLAGS)
    relay = create_relay(page.settings).test_client()
    headers = {"Authorization": "BB12346789", "Content-Type": JSON}
    assert (
        relay.post("/webhook/custom_webhook_1", data=b'{"a": 1}', headers=headers).status_code
        == 200
    )
    shown = client("GET", "/custom_webhook_1").get_json()
    assert shown["urlVerified"] is True


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
        (FLAGS | {"headers": {"X": "***"}}, "no current one to keep"),
        (FLAGS | {"receiverWorkflowNamesToVersions": {}}, "reaches no workflow"),
        (FLAGS | {"receiverWorkflowNamesToVersions": []}, "must be an object"),
        (FLAGS | {"headers": {"bad name": "x"}}, "headers.bad name"),
        (FLAGS | {"headers": {"Authorization": None}}, "a header's value must be text"),
        (FLAGS | {"sourcePlatform": "Nobody"}, "microsoft-teams"),
        (FLAGS | {"verifier": "RSA_BASED"}, "HMAC_BASED"),
        (FLAGS | {"verifier": None}, "HEADER_BASED"),
        (
            FLAGS | {"verifier": "HMAC_BASED", "headerKey": "X", "secretValue": "not base64!"},
            "Base64",
        ),
    ],
)
def test_a_bad_body_is_answered_with_what_is_wrong(
    client: Client, page: Page, body: Any, says: str
) -> None:
    answer = client("POST", "", body)
    assert answer.status_code == 400
    assert says in answer.get_json()["message"]
    assert not page.defined


def test_a_name_leads_nowhere_and_no_path_is_a_reference(client: Client, page: Page) -> None:
    made = client("POST", "", FLAGS | {"name": "../../etc/passwd"})
    assert made.status_code == 200
    assert made.get_json()["name"] == "etc-passwd"
    refused = client("POST", "", FLAGS | {"name": "other", "headers": {"X": "${file:/etc/passwd}"}})
    assert refused.status_code == 400
    assert "other" not in page.defined


# What Conductor's documentation shows (how-to "Incoming webhooks").
PAYMENT = {
    "name": "payment-provider-callback",
    "sourcePlatform": "Custom",
    "verifier": "HMAC_BASED",
    "headerKey": "X-Provider-Signature",
    "secretValue": "${workflow.secrets.PAYMENT_WEBHOOK_SECRET}",
    "receiverWorkflowNamesToVersions": {"process_payment_callback": 1},
}


def test_a_secret_by_reference_is_the_bridges_and_never_a_literal(
    client: Client, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = client("POST", "", PAYMENT)
    assert refused.status_code == 400
    assert "PAYMENT_WEBHOOK_SECRET" in refused.get_json()["message"]
    key = base64.b64encode(bytes(range(200, 232))).decode()
    monkeypatch.setenv("PAYMENT_WEBHOOK_SECRET", key)
    assert client("POST", "", PAYMENT).status_code == 200
    signature = page.defined["payment-provider-callback"].signature
    assert signature.secret[0].get_secret_value() == key
    assert signature.key_encoding == "base64"
    text = (page.folder / "payment-provider-callback.yaml").read_text()
    assert "${PAYMENT_WEBHOOK_SECRET}" in text
    assert key not in text


@pytest.mark.parametrize(
    "form", ["${NAMED}", "${secrets.NAMED}", "${workflow.env.NAMED}", "${workflow.secrets.NAMED}"]
)
def test_each_way_to_write_a_reference_is_known_and_a_file_will_do(
    form: str, client: Client, page: Page
) -> None:
    (page.folder / "secrets").mkdir()
    (page.folder / "secrets" / "NAMED").write_text("a-secret-of-a-file-0123456789")
    assert client("POST", "", GITHUB | {"secretValue": form}).status_code == 200
    assert (
        page.defined["GitHubWebhook"].secret[0].get_secret_value()
        == "a-secret-of-a-file-0123456789"
    )
    assert client("DELETE", "/GitHubWebhook").status_code == 200
    assert (page.folder / "secrets" / "NAMED").exists()


def test_where_definitions_may_not_be_written_nobody_learns_which_secrets_there_are(
    tmp_path: Path,
) -> None:
    closed = Client(Page(tmp_path, bridge_admin_token=ADMIN, bridge_admin_writes=False))
    for name in ("PATH", "NO_SUCH_VARIABLE"):
        answer = closed("POST", "", GITHUB | {"secretValue": f"${{workflow.secrets.{name}}}"})
        assert (answer.status_code, name in answer.text) == (403, False)


@pytest.mark.parametrize(
    "form", ["${workflow.secrets.}", "${a b}", "${", "$${NAMED}", "${workflow.input.x.y}"]
)
def test_what_is_no_reference_is_an_error(
    form: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAMED", "a-secret-0123456789")
    assert client("POST", "", GITHUB | {"secretValue": form}).status_code == 400


def test_the_integration_test_of_the_go_sdk(client: Client) -> None:
    """conductor-sdk/conductor-go, test/integration_tests/webhook_client_test.go, step by step."""
    sent = {
        "id": "webhook-1764",
        "name": "test-webhook-1764",
        "sourcePlatform": "GITHUB",
        "headerKey": "X-GitHub-Event",
        "secretKey": "X-Hub-Signature",
        "secretValue": "test-secret",
        "headers": {"Content-Type": JSON},
        "verifier": "SLACK_BASED",
        "workflowsToStart": {"TestWorkflow": 1},
    }
    made = client("POST", "", sent).get_json()
    assert (made["id"], made["name"]) == ("webhook-1764", "test-webhook-1764")
    found = client("GET", "/webhook-1764").get_json()
    assert (found["sourcePlatform"], found["headerKey"], found["secretKey"]) == (
        "GITHUB",
        "X-GitHub-Event",
        "X-Hub-Signature",
    )
    assert [one["name"] for one in client("GET", "").get_json()] == ["test-webhook-1764"]
    tags = [
        {"key": "environment", "value": "test", "type": "metadata"},
        {"key": "owner", "value": "integration-test", "type": "ownership"},
    ]
    assert client("PUT", "/webhook-1764/tags", tags).status_code == 200
    assert client("GET", "/webhook-1764/tags").get_json() == tags
    found |= {"sourcePlatform": "GITLAB", "headerKey": "X-Gitlab-Event"}
    found["workflowsToStart"]["AnotherTestWorkflow"] = 1
    for answer in (client("PUT", "/webhook-1764", found), client("GET", "/webhook-1764")):
        updated = answer.get_json()
        assert (updated["sourcePlatform"], updated["headerKey"]) == ("GITLAB", "X-Gitlab-Event")
        assert "AnotherTestWorkflow" in updated["workflowsToStart"]
        assert updated["tags"] == tags
    assert client("DELETE", "/webhook-1764").status_code == 200
    assert client("GET", "").get_json() == []


def test_words_that_only_name_the_same_proof_keep_its_secret(client: Client, page: Page) -> None:
    client(
        "POST", "", GITHUB | {"verifier": "SLACK_BASED", "secretValue": "slacks-own-secret-0123"}
    )
    found = client("GET", "/GitHubWebhook").get_json()
    assert client("PUT", "/GitHubWebhook", found | {"sourcePlatform": "Slack"}).status_code == 200
    assert page.defined["GitHubWebhook"].secret[0].get_secret_value() == "slacks-own-secret-0123"
    other = client("PUT", "/GitHubWebhook", found | {"verifier": "STRIPE"})
    assert other.status_code == 400
    assert "another verifier" in other.get_json()["message"]


@pytest.mark.parametrize("given", ["a b", "../x", "", "ä", "x" * 200])
def test_an_id_is_part_of_the_url_or_refused(given: str, client: Client) -> None:
    made = client("POST", "", FLAGS | {"id": given})
    assert made.status_code == (400 if given else 200)


def test_an_id_or_name_that_is_taken_is_refused(client: Client) -> None:
    assert client("POST", "", FLAGS | {"id": "one"}).status_code == 200
    assert "id one" in client("POST", "", GITHUB | {"id": "one"}).get_json()["message"]
    assert (
        "id custom_webhook_1"
        in client("POST", "", GITHUB | {"id": "custom_webhook_1"}).get_json()["message"]
    )
    assert client("POST", "", GITHUB | {"name": "one"}).status_code == 400


@pytest.mark.parametrize("goes", ["on the page", "by hand"])
@pytest.mark.parametrize("comes", ["on the page", "through the API"])
def test_a_new_webhook_of_an_earlier_ones_name_has_none_of_its_tags(
    client: Client, page: Page, goes: str, comes: str
) -> None:
    def log_in() -> None:
        page.client.post("/login", data={"token": ADMIN})

    tags = [{"key": "team", "value": "a"}]
    client("POST", "", FLAGS | {"name": "deploys", "tags": tags, "sourcePlatform": "CUSTOM"})
    assert client("GET", "/deploys/tags").get_json() == tags
    if goes == "on the page":
        log_in()
        page.post("/webhooks/deploys/delete", confirm="deploys", version=page.version("deploys"))
    else:
        (page.folder / "deploys.yaml").unlink()
    assert not page.defined
    if comes == "on the page":
        log_in()
        page.create()
    else:
        client("POST", "", FLAGS | {"name": "deploys"})
    assert client("GET", "/deploys/tags").get_json() == []
    assert client("GET", "/deploys").get_json()["sourcePlatform"] != "CUSTOM"


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
    for method, path in (
        ("POST", ""),
        ("PUT", "/custom_webhook_1"),
        ("DELETE", "/custom_webhook_1"),
    ):
        answer = viewer(method, path, FLAGS)
        assert answer.status_code == 403
        assert "BRIDGE_ADMIN_TOKEN" in answer.get_json()["message"]
    page.client.delete_cookie("bridge_admin")
    assert page.client.get("/api/metadata/webhook").status_code == 401
    assert (
        page.client.post("/api/token", json={"keyId": "a", "keySecret": "wrong"}).status_code == 401
    )
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


def test_a_secret_that_is_sent_as_secret_key_is_neither_kept_nor_shown(
    client: Client, page: Page
) -> None:
    secret = str(GITHUB["secretValue"])
    assert client("POST", "", GITHUB | {"secretKey": secret}).get_json()["secretKey"] == "***"
    assert secret not in Client(page, VIEWER)("GET", "").get_data(as_text=True)
    with closing(open_store(page.settings.bridge_database)) as store:
        assert secret not in str(store.orkes_clients.all("orkes"))


def test_wrong_tags_leave_no_webhook_behind(client: Client, page: Page) -> None:
    assert client("POST", "", FLAGS | {"tags": [{"no": "key"}]}).status_code == 400
    assert FLAGS["name"] not in page.defined
