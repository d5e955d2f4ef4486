"""Importing Orkes' webhooks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from admin.orkes.importing import NotOrkes, convert, read_webhooks, to_yaml
from config.webhooks import Webhook, load_definitions
from platforms import PLATFORMS
from tests.support.sample import P256_KEY as KEY

SECRET = "never-to-be-printed"


def imported(tmp_path: Path, *webhooks: dict[str, Any]) -> tuple[tuple[Webhook, ...], str]:
    made = convert(read_webhooks(json.dumps(list(webhooks))))
    text = to_yaml(made)
    assert SECRET not in text
    file = tmp_path / "orkes.yaml"
    file.write_text(text, encoding="utf-8")
    variables = {name for one in made for name in one.variables}
    return load_definitions(file, PLATFORMS, dict.fromkeys(variables, KEY)).webhooks, text


def orkes(**more: Any) -> dict[str, Any]:
    return {
        "name": "hook",
        "id": "1a2b3c",
        "receiverWorkflowNamesToVersions": {"flow": 1},
        "workflowsToStart": {},
        "urlVerified": True,
        "createdBy": "ada@example.com",
        "secretValue": SECRET,
        **more,
    }


@pytest.mark.parametrize(
    ("fields", "platform"),
    [
        (
            {
                "sourcePlatform": "Github",
                "verifier": "SIGNATURE_BASED",
                "headerKey": "X-Hub-Signature-256",
            },
            "github",
        ),
        ({"sourcePlatform": "Slack", "verifier": "SLACK_BASED"}, "slack"),
        (
            {"sourcePlatform": "Stripe", "verifier": "STRIPE", "headerKey": "Stripe-Signature"},
            "stripe",
        ),
        ({"sourcePlatform": "Twitter", "verifier": "TWITTER"}, "twitter"),
        ({"sourcePlatform": "SendGrid", "verifier": "SENDGRID"}, "sendgrid"),
        (
            {
                "sourcePlatform": "Microsoft Teams",
                "verifier": "HMAC_BASED",
                "headerKey": "Authorization",
            },
            "microsoft-teams",
        ),
    ],
)
def test_a_platforms_webhook_becomes_its_platform_with_a_secret_to_set(
    tmp_path: Path, fields: dict[str, Any], platform: str
) -> None:
    (webhook,), text = imported(tmp_path, orkes(**fields))
    assert webhook.platform == platform
    assert webhook.secret is not None
    assert "${HOOK_SECRET}" in text
    assert "# set HOOK_SECRET: " in text
    assert webhook.url_id == "1a2b3c"


def test_headers_become_references(tmp_path: Path) -> None:
    (webhook,), text = imported(
        tmp_path,
        orkes(
            sourcePlatform="Custom",
            verifier="HEADER_BASED",
            headers={"X-Api-Key": SECRET, "X-Other": SECRET},
        ),
    )
    assert webhook.headers is not None
    assert list(webhook.headers) == ["X-Api-Key", "X-Other"]
    assert "${HOOK_X_API_KEY}" in text


def test_other_signatures_become_signature_blocks(tmp_path: Path) -> None:
    (plain, encoded), _ = imported(
        tmp_path,
        orkes(sourcePlatform="Custom", verifier="SIGNATURE_BASED", headerKey="X-Sig"),
        orkes(id="2", sourcePlatform="Custom", verifier="HMAC_BASED", headerKey="X-Mac"),
    )
    assert plain.signature is not None
    assert (plain.signature.header, plain.signature.prefix, plain.signature.encoding) == (
        "X-Sig",
        "sha256=",
        "hex",
    )
    assert encoded.signature is not None
    assert (encoded.signature.header, encoded.signature.prefix, encoded.signature.encoding) == (
        "X-Mac",
        "",
        "base64",
    )
    assert (plain.name, encoded.name) == ("hook", "hook-2")


def test_receivers_and_starts_keep_their_versions(tmp_path: Path) -> None:
    (webhook,), text = imported(
        tmp_path,
        orkes(
            verifier="STRIPE",
            receiverWorkflowNamesToVersions={"a": 2, "b": None, "c d": "3"},
            workflowsToStart={
                "e": 1,
                "f": "",
                "idempotencyKey": "constant",
                "idempotencyStrategy": "FAIL",
            },
        ),
    )
    assert webhook.receivers == {"a": frozenset({2}), "b": None, "c d": frozenset({3})}
    assert [(start.workflow, start.version) for start in webhook.starts] == [("e", 1), ("f", None)]
    assert 'its idempotency key "constant" is not a single value of the payload' in text


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("FAIL_ON_RUNNING", "running"), ("RETURN_EXISTING", "kept"), ("FAIL", "kept")],
)
def test_an_idempotency_key_becomes_once(tmp_path: Path, strategy: str, expected: str) -> None:
    key = "${workflow.input.order['id']}"
    to_start = {"e": 1, "idempotencyKey": key, "idempotencyStrategy": strategy}
    (webhook,), _ = imported(tmp_path, orkes(verifier="STRIPE", workflowsToStart=to_start))
    [start] = webhook.starts
    assert start.once is not None
    assert (start.once.key, start.once.while_) == ("$.order['id']", expected)


@pytest.mark.parametrize(
    "key", ["${workflow.input}", "${workflow.input.a}-${workflow.input.b}", "${workflow.input[}"]
)
def test_an_idempotency_key_that_is_no_value_of_the_payload_is_told(key: object) -> None:
    (made,) = convert([orkes(workflowsToStart={"e": 1, "idempotencyKey": key})])
    assert "once" not in made.keys["starts"][0]
    assert any("idempotency key" in note for note in made.notes)


def test_a_name_that_no_url_can_have_is_changed_and_told(tmp_path: Path) -> None:
    (webhook,), text = imported(tmp_path, orkes(name="my hook: ä\n- x", verifier="STRIPE"))
    assert webhook.name == "my-hook-x"
    assert 'was named "my hook: \\u00e4\\n- x" in Orkes' in text


def test_what_cannot_be_taken_over_is_told() -> None:
    (made,) = convert([orkes(verifier="HEADER_BASED", expression="$.x", brandNew=1)])
    assert made.unsafe
    assert any("not over the payload. To" in note for note in made.notes)
    assert any("brandNew" in note for note in made.notes)
    (made,) = convert([{"name": "x", "receiverWorkflowNamesToVersions": {"a": 1}}])
    assert made.unsafe


@pytest.mark.parametrize(
    "text", ["", "{", "5", "[]", '{"id": 1}', '[{"name": 1}]', '["a"]', "null"]
)
def test_anything_else_is_not_orkes(text: str) -> None:
    with pytest.raises(NotOrkes):
        read_webhooks(text)


def test_one_webhook_alone_is_read() -> None:
    assert len(read_webhooks('{"name": "a"}')) == 1
