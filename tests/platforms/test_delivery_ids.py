"""What tells deliveries apart, of platforms whose ids aren't simply at one place."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from platforms import PLATFORMS
from platforms.verifiers import Credentials, Draft
from tests.support.relay import NOW, Clock, MakeRelay, Relay

SECRET = "0123456789abcdef-secret"
FORM = "application/x-www-form-urlencoded"
MESSAGE = {"messages": [{"id": "w"}]}


def accepted(relay: Relay, body: Any, headers: dict[str, str] | None = None) -> bool:
    """Whether it became an event; otherwise it was a duplicate."""
    before = len(relay.events())
    response = relay.post(
        "hook", body if isinstance(body, str) else json.dumps(body), headers or {}
    )
    assert response.status_code in (200, 204), relay.rejections()
    return len(relay.events()) > before


def signed(platform: str, body: Any, now: float = NOW) -> dict[str, str]:
    """The headers of a genuine delivery."""
    verifier = PLATFORMS[platform].verifier
    assert verifier is not None
    draft = Draft("POST", "http://localhost/webhook/hook", {}, json.dumps(body).encode(), now)
    return verifier.sign(draft, Credentials((SECRET,))).headers


def whatsapp(**content: Any) -> Any:
    return {"entry": [{"id": "1", "changes": [{"field": "messages", "value": content}]}]}


@pytest.mark.parametrize(
    ("platform", "headers", "body", "expected"),
    [
        ("alertmanager", {}, {"alerts": [{"fingerprint": "f"}]}, None),
        ("azure-devops", {}, {"id": "e", "subscriptionId": "s"}, "s e"),
        ("azure-devops", {}, {"id": "e"}, "e"),
        ("azure-event-grid", {}, [{"id": "e", "topic": "/t"}], "/t e"),
        ("azure-event-grid", {}, {}, None),
        ("discord", {}, {"id": "i", "type": 2, "token": "t"}, "i"),
        ("discord", {}, {"type": 1, "event": {"type": "A"}}, None),
        ("docker-registry", {}, {"events": [{"id": "e"}]}, "e"),
        ("docker-registry", {}, {"events": [{}]}, None),
        ("docker-registry", {}, {"events": 1}, None),
        ("facebook", {}, {"entry": [{"messaging": [{"message": {"mid": "m"}}]}]}, "m"),
        ("facebook", {}, {"entry": []}, None),
        ("github", {"X-GitHub-Delivery": ""}, {}, None),
        ("gitlab", {"Idempotency-Key": "i", "webhook-id": "w"}, {}, "i"),
        ("gitlab", {"webhook-id": "w"}, {}, "w"),
        ("hubspot", {}, [{"objectId": 7}], None),
        ("klaviyo", {}, {"data": [{"topic": "t", "external_id": "x"}]}, "t x"),
        ("klaviyo", {}, {"data": [{"topic": "t"}]}, None),
        ("mailgun", {}, {"signature": {"token": "t"}}, "t"),
        ("mailgun", {}, {"token": "t"}, "t"),
        ("monday", {}, {"event": {"triggerUuid": "m"}}, "m"),
        ("monday", {}, {"event": {"triggerUuid": "m", "subscriptionId": 1}}, "1 m"),
        ("pagerduty", {"X-Webhook-Id": "w"}, {"event": {"id": "e"}}, "w"),
        ("pagerduty", {}, {"event": {"id": "e"}}, "e"),
        ("sendgrid", {}, [{"sg_event_id": "s"}, {}], None),
        (
            "shopify",
            {"X-Shopify-Event-Id": "e", "X-Shopify-Topic": "orders/create"},
            {},
            "e orders/create",
        ),
        ("slack", {}, {"event": 1}, None),
        ("twilio", {"I-Twilio-Idempotency-Token": "t"}, {"MessageSid": "SM1"}, "t"),
        ("twilio", {}, {"MessageSid": "SM1", "SmsStatus": "received"}, "SM1 received"),
        ("twilio", {}, {"CallSid": "CA1"}, None),
        ("twitter", {}, {"follow_events": [{"type": "follow"}]}, None),
        ("twitter", {}, {"for_user_id": "1"}, None),
        ("whatsapp", {}, whatsapp(**MESSAGE), "w"),
        ("whatsapp", {}, whatsapp(statuses=[{"id": "w", "status": "read"}]), "w read"),
    ],
)
def test_the_delivery_id(
    platform: str, headers: dict[str, str], body: Any, expected: str | None, make_relay: MakeRelay
) -> None:
    relay = make_relay({"name": "hook", "platform": platform, "verifier": "none"})
    assert accepted(relay, body, headers)
    assert relay.event().delivery_id == expected


TWEET = {"for_user_id": "1", "tweet_create_events": [{"id_str": "5"}]}


@pytest.mark.parametrize(
    ("platform", "one", "other"),
    [
        ("twitter", TWEET, TWEET | {"for_user_id": "2"}),
        ("twitter", TWEET, {"for_user_id": "1", "favorite_events": [{"id": "5"}]}),
        (
            "facebook",
            {"entry": [{"id": "1", "changes": [1]}]},
            {"entry": [{"id": "1", "changes": [2]}]},
        ),
        ("hubspot", [{"eventId": 1}, {"eventId": 2}], [{"eventId": 1}, {"eventId": 3}]),
        (
            "microsoft-graph",
            {"value": [{"id": "1"}, {"id": "2"}]},
            {"value": [{"id": "1"}, {"id": "3"}]},
        ),
        (
            "microsoft-teams",
            {"id": "1", "conversation": {"id": "a"}},
            {"id": "1", "conversation": {"id": "b"}},
        ),
        (
            "google-pubsub",
            {"message": {"messageId": "1"}, "subscription": "a"},
            {"message": {"messageId": "1"}},
        ),
        ("whatsapp", whatsapp(**MESSAGE), whatsapp(statuses=[{"id": "w", "status": "sent"}])),
        ("whatsapp", whatsapp(**MESSAGE), whatsapp(messages=[{"id": "w"}, {"id": "x"}])),
        (
            "whatsapp",
            whatsapp(statuses=[{"id": "w", "status": "read"}]),
            whatsapp(errors=[{"code": 1}]),
        ),
    ],
)
def test_other_events_have_another_id(
    platform: str, one: Any, other: Any, make_relay: MakeRelay
) -> None:
    needed = (
        {"audience": "a", "service_account": "b@example.com"} if platform == "google-pubsub" else {}
    )
    relay = make_relay({"name": "hook", "platform": platform, "verifier": "none", **needed})
    assert [accepted(relay, body) for body in (one, other, one, other)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("platform", "header", "body", "is_another"),
    [
        ("bitbucket", "X-Request-UUID", {"push": {"changes": []}}, True),
        ("clickup", "", {"event": "goalUpdated", "goal_id": "1"}, True),
        ("clickup", "", {"event": "taskUpdated", "history_items": [{"id": "1"}]}, False),
        ("dropbox", "", {}, True),
        ("forgejo", "X-Forgejo-Delivery", {"commits": [], "ref": "refs/heads/main"}, True),
        ("gitea", "X-Gitea-Delivery", {"ref_type": "branch", "ref": "main"}, True),
        ("gitea", "X-Gitea-Delivery", {"action": "edited", "page": "Home"}, True),
        ("gitea", "X-Gitea-Delivery", {"action": "opened", "pull_request": {"id": 1}}, False),
        ("github", "X-GitHub-Delivery", {"inputs": {}, "ref": "main", "workflow": "nightly"}, True),
        ("github", "X-GitHub-Delivery", {"action": "nightly", "client_payload": {}}, True),
        ("github", "X-GitHub-Delivery", {"action": "added", "member": {"id": 1}}, True),
        ("github", "X-GitHub-Delivery", {"action": "revoked", "sender": {"id": 1}}, True),
        ("github", "X-GitHub-Delivery", {"action": "blocked", "blocked_user": {"id": 2}}, True),
        ("github", "X-GitHub-Delivery", {"requested_action": {}, "check_run": {"id": 4}}, True),
        ("github", "X-GitHub-Delivery", {"action": "rerequested", "check_run": {"id": 4}}, True),
        (
            "github",
            "X-GitHub-Delivery",
            {"action": "edited", "label": {"id": 5}, "changes": {}},
            True,
        ),
        ("github", "X-GitHub-Delivery", {"action": "resolved", "thread": {"node_id": "6"}}, True),
        (
            "github",
            "X-GitHub-Delivery",
            {"action": "added", "repositories_added": [{"id": 8}]},
            True,
        ),
        ("github", "X-GitHub-Delivery", {"action": "updated", "new_property_values": []}, True),
        ("sentry", "Request-ID", {"action": "resolved", "data": {"issue": {"id": "1"}}}, True),
        ("sentry", "Request-ID", {"action": "created", "data": {"issue": {"id": "1"}}}, False),
        ("shopify", "X-Shopify-Topic", {"id": 1, "updated_at": "2025-10-09"}, True),
        ("shopify", "X-Shopify-Event-Id", {"inventory_item_id": 1, "location_id": 2}, True),
        ("shopify", "Shopify-Event-Id", {"fulfillment_order": {"id": 1, "status": "open"}}, True),
        (
            "shopify",
            "X-Shopify-Event-Id",
            {"product_listing": {"id": 1, "updated_at": "2025-10-09"}},
            False,
        ),
        ("shopify", "Shopify-Event-Id", {"customerId": 1, "occurredAt": "2025-10-09"}, False),
        ("webex", "", {"resource": "memberships", "event": "updated"}, True),
        ("webex", "", {"resource": "memberships", "event": "created"}, False),
        ("woocommerce", "X-WC-Webhook-Topic", {"id": 1, "date_modified_gmt": "2025-10-09"}, True),
        (
            "woocommerce",
            "X-WC-Webhook-Delivery-ID",
            {"action": "woocommerce_add_to_cart", "arg": "x"},
            True,
        ),
        (
            "woocommerce",
            "X-WC-Webhook-Delivery-ID",
            {"id": 1, "date_modified_gmt": "2025-10-09"},
            False,
        ),
    ],
)
def test_events_that_may_be_the_same_to_the_byte_are_told_apart(
    platform: str, header: str, body: Any, is_another: bool, make_relay: MakeRelay
) -> None:
    """By a header that nobody signs; where there is none, a repetition is another event."""
    relay = make_relay({"name": "hook", "platform": platform, "secret": SECRET})

    def post(value: str) -> bool:
        return accepted(relay, body, signed(platform, body) | ({header: value} if header else {}))

    assert post("1")
    assert not header or not post("1")
    assert post("2") is is_another


def test_attempts_are_one_delivery(make_relay: MakeRelay, clock: Clock) -> None:
    docusign = {
        "event": "envelope-completed",
        "generatedDateTime": "2025-10-09T08:53:20Z",
        "retryCount": 0,
    }
    webflow = {
        "triggerType": "form_submission",
        "payload": {"id": "1", "submittedAt": "2025-10-09T08:53:20Z"},
    }
    timeless = {"triggerType": "form_submission", "payload": {"id": "1", "status": "pending"}}
    for platform, attempts in (
        ("docusign", [(docusign, True), (docusign | {"retryCount": 1}, False)]),
        ("docusign", [(docusign, True), (docusign | {"event": "envelope-voided"}, True)]),
        ("webflow", [(webflow, True), (webflow, False)]),
        ("webflow", [(timeless, True), (timeless, True)]),
    ):
        relay = make_relay({"name": "hook", "platform": platform, "secret": SECRET})
        for number, (body, is_event) in enumerate(attempts):
            clock.now = NOW + 600 * number
            assert accepted(relay, body, signed(platform, body, clock.now)) is is_event, platform


def test_docusign_signs_with_up_to_a_hundred_keys(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "docusign", "secret": SECRET})
    signature = base64.b64encode(hmac.digest(SECRET.encode(), b"{}", "sha256")).decode()
    headers = {f"X-DocuSign-Signature-{number}": "AAAA" for number in range(1, 100)}
    assert relay.post("hook", "{}", headers).status_code == 401
    assert accepted(relay, "{}", headers | {"X-DocuSign-Signature-100": signature})


@pytest.mark.parametrize(
    ("platform", "raw", "content_type"),
    [
        (
            "mandrill",
            urlencode({"mandrill_events": '[{"_id": "1"}, {"_id": "1", "event": "open"}]'}),
            FORM,
        ),
        (
            "azure-event-grid",
            '[{"id": "1", "topic": "/t"}, {"id": "2", "topic": "/t"}]',
            "application/json",
        ),
        ("auth0", '[{"log_id": "1"}, {"log_id": "2"}]', "application/json"),
        ("quickbooks", '[{"id": "1"}, {"id": "2"}]', "application/json"),
    ],
)
def test_each_event_of_a_delivery_becomes_one(
    platform: str, raw: str, content_type: str, make_relay: MakeRelay
) -> None:
    relay = make_relay({"name": "hook", "platform": platform, "verifier": "none"})
    first = relay.post("hook", raw, {"Content-Type": content_type}).get_json()["eventIds"]
    assert len(first) == len(relay.events()) == 2
    again = relay.post("hook", raw, {"Content-Type": content_type}).get_json()
    assert (again["eventIds"], again["duplicate"]) == (first, True)
    assert all(
        isinstance(payload, dict) and "request" not in payload for payload in relay.payloads()
    )


# https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures
def test_adyens_signature_is_not_stored(make_relay: MakeRelay) -> None:
    key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    relay = make_relay({"name": "hook", "platform": "adyen", "secret": key})
    item = {
        "pspReference": "7914073381342284", "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704", "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION", "success": "true",
        "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=", "authCode": "1234"},
    }  # fmt: skip
    items = [{"NotificationRequestItem": item}]
    assert accepted(relay, {"live": "false", "notificationItems": items})
    (payload,) = relay.payloads()
    assert payload["notificationItems"][0]["NotificationRequestItem"]["additionalData"] == {
        "authCode": "1234"
    }
    # What isn't signed doesn't make it another event; what has an item without a signature is
    # refused.
    assert not accepted(relay, {"live": "true", "notificationItems": items})
    bad = item | {"additionalData": {}}
    for value in ([], None, 1, [1], [{}], [*items, {"NotificationRequestItem": bad}], items * 51):
        assert relay.post("hook", json.dumps({"notificationItems": value})).status_code == 401
    assert relay.post("hook", "{").status_code == 400
