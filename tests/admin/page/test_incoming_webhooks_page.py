"""What Conductor's documentation says on its page "Incoming webhooks": a test for each sentence.

https://docs.conductor-oss.org/devguide/how-tos/incoming-webhooks.html (August 2026)
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from werkzeug.test import TestResponse

from relay.app import create_app as create_relay
from tests.admin.page.test_orkes_api import Client
from tests.support.webhook_page import ADMIN, Page
from tools.demo import signing

SECRET = "a-signing-secret-of-thirty-two-chars"
BODY = b'{"id": "evt_1", "event": {"type": "message"}}'


class Documented:
    """Conductor's API as the page describes it: definitions by /metadata/webhook, deliveries by
    /webhook/{id}."""

    def __init__(self, folder: Path):
        self.page = Page(folder, bridge_admin_token=ADMIN)
        self.api = Client(self.page)

    def create(self, **fields: Any) -> str:
        """Makes a webhook; its id."""
        body = {
            "name": "callback",
            "sourcePlatform": "Custom",
            "receiverWorkflowNamesToVersions": {"flow": 1},
        }
        made = self.api("POST", "", body | fields)
        assert made.status_code == 200, made.text
        self.relay = create_relay(self.page.settings).test_client()
        webhook_id: str = made.get_json()["id"]
        return webhook_id

    def post(self, webhook_id: str, headers: Mapping[str, str], body: bytes = BODY) -> int:
        return self.relay.post(
            f"/api/webhook/{webhook_id}",
            data=body,
            headers=list(headers.items()),
            content_type="application/json",
        ).status_code

    def get(self, webhook_id: str, query: str = "") -> TestResponse:
        return self.relay.get(f"/api/webhook/{webhook_id}{query}")


@pytest.fixture
def documented(tmp_path: Path) -> Iterator[Documented]:
    yield Documented(tmp_path)


def mac(key: bytes, body: bytes = BODY) -> bytes:
    return hmac.digest(key, body, "sha256")


def test_every_configured_header_must_be_present_exactly_once_and_equal_its_value(
    documented: Documented,
) -> None:
    wanted = {"X-Api-Key": SECRET, "X-Tenant": "a-tenant-nobody-guesses"}
    webhook = documented.create(verifier="HEADER_BASED", headers=wanted)
    assert documented.post(webhook, {"X-Api-Key": SECRET}) == 401
    assert documented.post(webhook, wanted | {"X-Tenant": "another"}) == 401
    assert documented.post(webhook, wanted) == 200
    twice = [*wanted.items(), ("X-Api-Key", SECRET)]
    answer = documented.relay.post(
        f"/api/webhook/{webhook}", data=BODY, headers=twice, content_type="application/json"
    )
    assert answer.status_code == 401


def test_a_configured_header_contains_sha256_and_an_hmac_of_the_raw_body(
    documented: Documented,
) -> None:
    webhook = documented.create(
        verifier="SIGNATURE_BASED", headerKey="X-Provider-Signature", secretValue=SECRET
    )
    good = mac(SECRET.encode()).hex()
    assert documented.post(webhook, {"X-Provider-Signature": f"sha256={good}"}) == 200
    assert documented.post(webhook, {"X-Provider-Signature": good}) == 401
    assert documented.post(webhook, {"X-Provider-Signature": f"sha256={good}"}, BODY + b" ") == 401


def test_the_configured_secret_is_base64_decoded_before_verification(
    documented: Documented,
) -> None:
    key = bytes(range(190, 222))
    secret = base64.b64encode(key).decode()
    webhook = documented.create(
        verifier="HMAC_BASED", headerKey="X-Provider-Signature", secretValue=secret
    )
    assert (
        documented.post(webhook, {"X-Provider-Signature": base64.b64encode(mac(key)).decode()})
        == 200
    )
    undecoded = base64.b64encode(mac(secret.encode())).decode()
    assert documented.post(webhook, {"X-Provider-Signature": undecoded}) == 401


def test_slacks_timestamp_is_replay_window_checked(documented: Documented) -> None:
    webhook = documented.create(sourcePlatform="Slack", verifier="SLACK_BASED", secretValue=SECRET)
    assert documented.post(webhook, signing.slack(SECRET, BODY)) == 200
    old = str(int(time.time()) - 3600)
    text = b"v0:" + old.encode() + b":" + BODY
    signature = "v0=" + hmac.new(SECRET.encode(), text, "sha256").hexdigest()
    assert (
        documented.post(webhook, {"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": old})
        == 401
    )


def test_slacks_challenge_value_is_returned_during_url_verification(documented: Documented) -> None:
    webhook = documented.create(sourcePlatform="Slack", verifier="SLACK_BASED", secretValue=SECRET)
    body = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
    answer = documented.relay.post(
        f"/api/webhook/{webhook}", data=body, headers=signing.slack(SECRET, body)
    )
    assert (answer.status_code, "abc" in answer.text) == (200, True)


def test_stripes_signature_is_of_the_raw_body_and_the_signing_secret(
    documented: Documented,
) -> None:
    webhook = documented.create(
        sourcePlatform="Stripe", verifier="STRIPE", secretValue="whsec_" + SECRET
    )
    now = str(int(time.time()))
    signature = hmac.new(
        b"whsec_" + SECRET.encode(), now.encode() + b"." + BODY, "sha256"
    ).hexdigest()
    assert documented.post(webhook, {"Stripe-Signature": f"t={now},v1={signature}"}) == 200
    assert documented.post(webhook, {"Stripe-Signature": f"t={now},v1={'0' * 64}"}) == 401


def test_on_crc_token_a_response_token_is_returned_signed_with_the_secret(
    documented: Documented,
) -> None:
    webhook = documented.create(sourcePlatform="Twitter", verifier="TWITTER", secretValue=SECRET)
    answer = documented.get(webhook, "?crc_token=challenge")
    token = base64.b64encode(mac(SECRET.encode(), b"challenge")).decode()
    assert answer.get_json() == {"response_token": f"sha256={token}"}
    body = b'{"for_user_id": "1", "tweet_create_events": [{"id_str": "2"}]}'
    signature = base64.b64encode(mac(SECRET.encode(), body)).decode()
    assert (
        documented.post(webhook, {"x-twitter-webhooks-signature": f"sha256={signature}"}, body)
        == 200
    )


def test_sendgrids_signature_is_checked_by_the_configured_ecdsa_public_key(
    documented: Documented,
) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    webhook = documented.create(
        sourcePlatform="SendGrid",
        verifier="SENDGRID",
        secretValue=base64.b64encode(public).decode(),
    )
    now, body = str(int(time.time())), b'[{"email": "a@example.com", "sg_event_id": "1"}]'
    signature = base64.b64encode(
        private.sign(now.encode() + body, ec.ECDSA(hashes.SHA256()))
    ).decode()
    names = ("X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp")
    assert documented.post(webhook, dict(zip(names, (signature, now), strict=True)), body) == 200
    assert documented.post(webhook, dict(zip(names, (signature, "1"), strict=True)), body) == 401


@pytest.mark.parametrize(
    "fields",
    [
        {"verifier": "HEADER_BASED", "headers": {"X-Api-Key": SECRET}},
        {"verifier": "SIGNATURE_BASED", "headerKey": "X-Sig", "secretValue": SECRET},
        {
            "verifier": "HMAC_BASED",
            "headerKey": "X-Sig",
            "secretValue": base64.b64encode(b"k" * 32).decode(),
        },
        {"verifier": "STRIPE", "sourcePlatform": "Stripe", "secretValue": "whsec_" + SECRET},
    ],
    ids=lambda fields: fields["verifier"],
)
def test_there_is_no_provider_challenge_behavior(
    fields: dict[str, Any], documented: Documented
) -> None:
    webhook = documented.create(**fields)
    answer = documented.get(webhook, "?crc_token=challenge&challenge=abc")
    assert answer.status_code == 405
    assert "challenge" not in answer.text


def test_the_documented_example_keeps_verifier_material_in_the_secret_store(
    documented: Documented, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENT_WEBHOOK_SECRET", base64.b64encode(b"k" * 32).decode())
    example = {
        "name": "payment-provider-callback",
        "sourcePlatform": "Custom",
        "verifier": "HMAC_BASED",
        "headerKey": "X-Provider-Signature",
        "secretValue": "${workflow.secrets.PAYMENT_WEBHOOK_SECRET}",
        "receiverWorkflowNamesToVersions": {"process_payment_callback": 1},
    }
    webhook = documented.create(**example)
    signature = base64.b64encode(mac(b"k" * 32)).decode()
    assert documented.post(webhook, {"X-Provider-Signature": signature}) == 200
    literal = base64.b64encode(mac(b"${workflow.secrets.PAYMENT_WEBHOOK_SECRET}")).decode()
    assert documented.post(webhook, {"X-Provider-Signature": literal}) == 401
    assert documented.api("GET", f"/{webhook}").get_json()["secretValue"] == "***"


def test_the_lifecycle_routes_create_list_read_update_and_delete(documented: Documented) -> None:
    webhook = documented.create(verifier="HEADER_BASED", headers={"X-Api-Key": SECRET})
    assert [one["id"] for one in documented.api("GET", "").get_json()] == [webhook]
    found = documented.api("GET", f"/{webhook}").get_json()
    changed = documented.api("PUT", f"/{webhook}", found | {"workflowsToStart": {"other": 2}})
    assert changed.get_json()["workflowsToStart"] == {"other": 2}
    assert documented.api("DELETE", f"/{webhook}").status_code == 200
    assert documented.api("GET", f"/{webhook}").status_code == 404
