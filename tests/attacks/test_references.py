"""References that somebody types into the page or the API are text, and read no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.admin.conftest import Cli
from tests.attacks.page import SECRET, STRONG
from tests.attacks.page import page as page
from tests.support.webhook_page import Page

REFERENCES = ("${OTHER_SECRET}", "${file:secrets/other}", "a${OTHER_SECRET}", "$${OTHER_SECRET}")


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_name_with_a_reference_is_refused_and_reads_no_secret(page: Page, reference: str) -> None:
    answer = page.create(name=reference)
    assert answer.status_code == 422
    assert SECRET not in answer.text
    assert "be a webhook&#39;s name" in answer.text
    assert list(page.folder.glob("*.yaml")) == []
    answer = page.client.post(
        "/api/metadata/webhook",
        json={
            "name": reference,
            "verifier": "HEADER_BASED",
            "headers": {"X-Key": STRONG},
            "receiverWorkflowNamesToVersions": {"w": 1},
        },
    )
    assert SECRET not in answer.text
    assert all(SECRET not in name for name in page.defined)


@pytest.mark.parametrize("reference", REFERENCES)
def test_whatever_is_typed_is_text(page: Page, reference: str) -> None:
    page.create(
        name="custom",
        platform="custom",
        proof="signature",
        secret=reference + STRONG,
        receiver="flow",
        start=f"{reference}: any",
        more=f"respond: {{body: '{reference}'}}\nsignature: {{header: X-Signature, prefix: '{reference}'}}\n"
        f"starts: [{{workflow: '{reference}', when: {{$.x: '{reference}'}}}}]",
    )
    webhook = page.defined["custom"]
    assert webhook.signature.prefix == reference
    assert webhook.signature.secret[0].get_secret_value() == reference + STRONG
    assert [start.workflow for start in webhook.starts] == [reference, reference]
    assert webhook.starts[1].when == {"$.x": reference}
    assert webhook.respond.body == reference
    assert SECRET not in page.client.get("/webhooks/custom").text


@pytest.mark.parametrize("reference", REFERENCES)
def test_whatever_the_api_is_sent_is_text(page: Page, reference: str) -> None:
    body = {
        "name": "custom",
        "sourcePlatform": "Custom",
        "verifier": "SIGNATURE_BASED",
        "headerKey": "X-Signature",
        "secretValue": STRONG,
        "receiverWorkflowNamesToVersions": {"flow": 1},
        "workflowsToStart": {reference: 2},
    }
    made = page.client.post("/api/metadata/webhook", json=body)
    assert made.status_code == 200
    changed = page.client.put(
        "/api/metadata/webhook/custom", json={**body, "workflowsToStart": {f"b{reference}": 2}}
    )
    assert changed.status_code == 200
    webhook = page.defined["custom"]
    assert webhook.starts[0].workflow == f"b{reference}"
    assert SECRET not in made.text + changed.text


@pytest.mark.parametrize("name", ["BRIDGE_ADMIN_TOKEN", "CONDUCTOR_AUTH_SECRET", "PGPASSWORD"])
def test_a_secrets_reference_never_names_a_setting_of_the_bridge(
    page: Page, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, STRONG)
    body = {
        "name": "custom",
        "verifier": "SIGNATURE_BASED",
        "headerKey": "X-S",
        "workflowsToStart": {"flow": 1},
    }
    answer = page.client.post(
        "/api/metadata/webhook", json={**body, "secretValue": f"${{workflow.secrets.{name}}}"}
    )
    assert answer.status_code == 400
    assert name in answer.get_json()["message"]


@pytest.mark.parametrize("reference", REFERENCES)
def test_what_is_imported_is_text(
    tmp_path: Path, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    orkes = {
        "name": "custom",
        "sourcePlatform": "Custom",
        "verifier": "SIGNATURE_BASED",
        "headerKey": "X-Signature",
        "receiverWorkflowNamesToVersions": {"flow": 1},
        "workflowsToStart": {reference: 2},
    }
    (tmp_path / "orkes.json").write_text(json.dumps([orkes]))
    text = Cli({})("import", "orkes.json").stdout
    (tmp_path / "webhooks.yaml").write_text(text)
    environment = {"CUSTOM_SECRET": STRONG, "OTHER_SECRET": SECRET}
    found = Cli({"BRIDGE_WEBHOOKS": "webhooks.yaml", **environment})("webhooks", "--json").output
    assert SECRET not in found
    from config.webhooks import load_definitions

    (webhook,) = load_definitions(tmp_path / "webhooks.yaml", None, environment).webhooks
    assert webhook.starts[0].workflow == reference
