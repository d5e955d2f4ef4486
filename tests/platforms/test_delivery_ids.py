"""What tells deliveries apart, of platforms whose ids aren't simply at one place."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.relay.bridge import NOW, Clock, MakeRelay, Relay

SECRET = "0123456789abcdef-secret"
FORM = "application/x-www-form-urlencoded"


def accepted(relay: Relay, body: Any, headers: dict[str, str] | None = None) -> bool:
    """Whether it became an event; otherwise it was a duplicate."""
    response = relay.post("hook", body if isinstance(body, str) else json.dumps(body), headers or {})
    assert response.status_code == 200, relay.rejections()
    count = len(relay.events())
    return count > getattr(relay, "seen", 0) and not setattr(relay, "seen", count)


@pytest.mark.parametrize(
    ("platform", "body", "expected"),
    [
        ("telegram", {"update_id": 7}, "7"),
        ("datadog", {"id": "7"}, "7"),
        ("datadog", {}, None),
        ("docker-registry", {"events": [{"id": "e"}]}, "e"),
        ("docker-registry", {"events": [{}]}, None),
        ("docker-registry", {"events": 1}, None),
        ("aws-eventbridge", {"id": "e"}, "e"),
        ("azure-devops", {"id": "e", "subscriptionId": "s"}, "s e"),
        ("azure-devops", {"id": "e"}, "e"),
        ("azure-event-grid", [{"id": "e", "topic": "/t"}], "/t e"),
        ("azure-event-grid", [{"id": "e"}], "e"),
        ("azure-event-grid", {}, None),
        ("auth0", [{"log_id": "l"}], "l"),
        ("auth0", {"log_id": "l"}, "l"),
        ("alertmanager", {"alerts": [{"fingerprint": "f"}]}, None),
        ("line", {"events": [{"webhookEventId": "w"}]}, "w"),
        ("line", {"events": [{}]}, None),
        ("klaviyo", {"data": [{"topic": "t", "external_id": "x"}]}, "t x"),
        ("klaviyo", {"data": [{"topic": "t"}]}, None),
        ("gocardless", {"events": [{"id": "EV1"}]}, "EV1"),
        ("gocardless", {"events": [{"id": "EV1"}, {}]}, None),
        ("lark", {"uuid": "u"}, "u"),
        ("checkout-com", {"id": "evt_1"}, "evt_1"),
        ("chargebee", {"id": "ev_1"}, "ev_1"),
        ("workos", {"id": "event_1"}, "event_1"),
        ("trello", {"action": {"id": "a"}}, "a"),
        ("notion", {"id": "n"}, "n"),
        ("vercel", {"id": "v"}, "v"),
        ("circleci", {"id": "c"}, "c"),
        ("box", {"id": "b"}, "b"),
        ("paddle", {"event_id": "p"}, "p"),
        ("monday", {"event": {"triggerUuid": "m"}}, "m"),
        ("monday", {"event": {"triggerUuid": "m", "subscriptionId": 1}}, "1 m"),
        ("paypal", {"id": "WH-1"}, "WH-1"),
        ("whatsapp", {"entry": [{"changes": [{"value": {"messages": [{"id": "w"}]}}]}]}, "w"),
        ("whatsapp", {"entry": [{"changes": [{"value": {"statuses": [{"id": "w", "status": "read"}]}}]}]}, "w read"),
    ],
)
def test_the_delivery_id(platform: str, body: Any, expected: str | None, make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": platform, "verifier": "none"})
    assert accepted(relay, body)
    assert relay.event().delivery_id == expected


def test_a_message_and_its_statuses_are_events_of_their_own(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "whatsapp", "verifier": "none"})

    def of(**content: Any) -> Any:
        return {"entry": [{"id": "1", "changes": [{"field": "messages", "value": content}]}]}

    for content in (
        {"messages": [{"id": "w"}]},
        {"statuses": [{"id": "w", "status": "sent"}]},
        {"statuses": [{"id": "w", "status": "read"}]},
        {"messages": [{"id": "w"}, {"id": "x"}]},
        {"statuses": [{"id": "w", "status": "read", "recipient_participant_id": "1"}]},
        {"statuses": [{"id": "w", "status": "read", "recipient_participant_id": "2"}]},
        {"errors": [{"code": 1}]},
    ):
        assert accepted(relay, of(**content))
        assert not accepted(relay, of(**content))


def test_docusigns_attempts_are_one_delivery(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "docusign", "secret": SECRET})

    def signed(**changed: Any) -> tuple[Any, dict[str, str]]:
        body = {"event": "envelope-completed", "generatedDateTime": "2026-11-24T09:15:00Z", "retryCount": 0} | changed
        signature = hmac.digest(SECRET.encode(), json.dumps(body).encode(), "sha256")
        return body, {"X-DocuSign-Signature-2": base64.b64encode(signature).decode(), "X-DocuSign-Signature-1": "AAAA"}

    assert accepted(relay, *signed())
    assert not accepted(relay, *signed(retryCount=1))
    assert accepted(relay, *signed(generatedDateTime="2026-11-24T09:16:00Z"))
    assert accepted(relay, *signed(event="envelope-voided"))


def test_docusign_signs_with_up_to_a_hundred_keys(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "docusign", "secret": SECRET})
    signature = base64.b64encode(hmac.digest(SECRET.encode(), b"{}", "sha256")).decode()
    headers = {f"X-DocuSign-Signature-{number}": "AAAA" for number in range(1, 100)}
    assert relay.post("hook", "{}", headers).status_code == 401
    assert accepted(relay, "{}", headers | {"X-DocuSign-Signature-100": signature})


@pytest.mark.parametrize(
    ("platform", "header", "encoding"),
    [
        ("gitea", "X-Gitea-Delivery", "X-Gitea-Signature"),
        ("forgejo", "X-Forgejo-Delivery", "X-Forgejo-Signature"),
    ],
)
def test_only_pushes_and_branches_are_told_apart_by_the_header(
    platform: str, header: str, encoding: str, make_relay: MakeRelay
) -> None:
    relay = make_relay({"name": "hook", "platform": platform, "secret": SECRET})

    def signed(body: Any, identifier: str) -> tuple[Any, dict[str, str]]:
        return body, {
            encoding: hmac.new(SECRET.encode(), json.dumps(body).encode(), "sha256").hexdigest(),
            header: identifier,
        }

    for body, is_another in (
        ({"commits": [], "ref": "refs/heads/main"}, True),
        ({"ref_type": "branch", "ref": "main"}, True),
        ({"action": "edited", "page": "Home"}, True),
        ({"action": "opened", "pull_request": {"id": 1}}, False),
    ):
        assert accepted(relay, *signed(body, "1"))
        assert not accepted(relay, *signed(body, "1"))
        assert accepted(relay, *signed(body, "2")) is is_another


def test_a_membership_of_webex_may_be_changed_back_and_again(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "webex", "secret": SECRET})

    def signed(event: str, is_moderator: bool) -> tuple[Any, dict[str, str]]:
        body = {"resource": "memberships", "event": event, "data": {"isModerator": is_moderator}}
        return body, {"X-Spark-Signature": hmac.digest(SECRET.encode(), json.dumps(body).encode(), "sha1").hex()}

    assert all(accepted(relay, *signed("updated", one)) for one in (True, False, True))
    assert [accepted(relay, *signed("created", True)) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("prefix", ["X-Shopify-", "Shopify-"])
@pytest.mark.parametrize(
    ("body", "is_another"),
    [
        ({"inventory_item_id": 1, "location_id": 2}, True),
        ({"fulfillment_order": {"id": 1, "status": "open"}}, True),
        ({"id": 1, "updated_at": "2026-11-24T09:15:00Z"}, False),
        ({"product_listing": {"id": 1, "updated_at": "2026-11-24T09:15:00Z"}}, False),
        ({"customerId": 1, "occurredAt": "2026-11-24T09:15:00Z"}, False),
    ],
)
def test_what_has_no_time_at_shopify_may_come_again(
    body: Any, is_another: bool, prefix: str, make_relay: MakeRelay
) -> None:
    relay = make_relay({"name": "hook", "platform": "shopify", "secret": SECRET})
    signature = base64.b64encode(hmac.digest(SECRET.encode(), json.dumps(body).encode(), "sha256")).decode()
    headers = {prefix + "Hmac-Sha256": signature, prefix + "Topic": "x/y"}
    for identifier, expected in (("1", True), ("1", False), ("2", is_another)):
        assert accepted(relay, body, headers | {prefix + "Event-Id": identifier}) is expected
    assert signature not in json.dumps(relay.payloads())


@pytest.mark.parametrize(
    ("payload", "is_another"),
    [({"id": "1", "submittedAt": "2026-11-24T09:15:00Z"}, False), ({"id": "1", "status": "pending"}, True)],
)
def test_an_attempt_of_webflow_has_its_own_time(
    payload: Any, is_another: bool, make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay({"name": "hook", "platform": "webflow", "secret": SECRET})
    body = {"triggerType": "form_submission", "payload": payload}
    for time, expected in ((NOW, True), (NOW + 600, is_another)):
        clock.now, stamp = time, str(int(time * 1000))
        signature = hmac.digest(SECRET.encode(), f"{stamp}:{json.dumps(body)}".encode(), "sha256").hex()
        assert accepted(relay, body, {"x-webflow-signature": signature, "x-webflow-timestamp": stamp}) is expected


def test_a_goal_of_clickup_may_change_again(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "clickup", "secret": SECRET})
    for body, is_another in (
        ({"event": "goalUpdated", "goal_id": "1"}, True),
        ({"event": "taskUpdated", "history_items": [{"id": "1"}]}, False),
    ):
        headers = {"X-Signature": hmac.digest(SECRET.encode(), json.dumps(body).encode(), "sha256").hex()}
        assert [accepted(relay, body, headers) for _ in range(2)] == [True, is_another]


def test_an_order_under_two_topics_is_two_events(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "woocommerce", "secret": SECRET})
    signature = base64.b64encode(hmac.digest(SECRET.encode(), b'{"id": 1}', "sha256")).decode()
    for topic, is_event in (("order.created", True), ("order.updated", True), ("order.created", False)):
        headers = {"X-WC-Webhook-Signature": signature, "X-WC-Webhook-Topic": topic}
        assert accepted(relay, '{"id": 1}', headers) is is_event


@pytest.mark.parametrize(
    ("body", "is_another"),
    [
        ({"id": 1}, True),
        ({"action": "woocommerce_add_to_cart", "arg": "x"}, True),
        ({"id": 1, "date_modified_gmt": "2026-11-24T09:15:00"}, False),
    ],
)
def test_a_deletion_or_action_of_woocommerce_may_come_again(body: Any, is_another: bool, make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "woocommerce", "secret": SECRET})
    signature = base64.b64encode(hmac.digest(SECRET.encode(), json.dumps(body).encode(), "sha256")).decode()
    headers = {"X-WC-Webhook-Signature": signature, "X-WC-Webhook-Topic": "x"}
    for identifier, expected in (("1", True), ("1", False), ("2", is_another)):
        assert accepted(relay, body, headers | {"X-WC-Webhook-Delivery-ID": identifier}) is expected


@pytest.mark.parametrize(("action", "is_another"), [("resolved", True), ("assigned", True), ("created", False)])
def test_an_issue_of_sentry_may_be_resolved_again(action: str, is_another: bool, make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "sentry", "secret": SECRET})
    body = {"action": action, "data": {"issue": {"id": "1", "status": "resolved"}}}
    headers = {"Sentry-Hook-Signature": hmac.new(SECRET.encode(), json.dumps(body).encode(), "sha256").hexdigest()}
    for identifier, expected in (("1", True), ("1", False), ("2", is_another)):
        assert accepted(relay, body, headers | {"Request-ID": identifier}) is expected


@pytest.mark.parametrize(
    ("platform", "raw", "content_type"),
    [
        ("mandrill", urlencode({"mandrill_events": '[{"_id": "1"}, {"_id": "1", "event": "open"}]'}), FORM),
        ("azure-event-grid", '[{"id": "1", "topic": "/t"}, {"id": "2", "topic": "/t"}]', "application/json"),
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
    assert all(isinstance(payload, dict) and "request" not in payload for payload in relay.payloads())


def test_a_field_of_adyens_cannot_lend_a_part_to_another(make_relay: MakeRelay) -> None:
    """All are signed with colons between them, so that a reference `1:2` could be an amount of `2:1130` as well."""
    key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    relay = make_relay({"name": "hook", "platform": "adyen", "secret": key})

    def post(reference: str, value: Any) -> int:
        item = {
            "pspReference": "p", "merchantAccountCode": "m", "merchantReference": reference,
            "amount": {"value": value, "currency": "EUR"}, "eventCode": "AUTHORISATION", "success": "true",
        }  # fmt: skip
        signed = f"p::m:{reference}:{value}:EUR:AUTHORISATION:true".encode()
        signature = base64.b64encode(hmac.digest(bytes.fromhex(key), signed, "sha256")).decode()
        whole = {"NotificationRequestItem": item | {"additionalData": {"hmacSignature": signature}}}
        return relay.post("hook", json.dumps({"notificationItems": [whole]})).status_code

    assert post("1", "2:1130") == 401
    assert post("1:2", 1130) == 200


def test_adyens_signature_is_not_stored(make_relay: MakeRelay) -> None:
    key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    relay = make_relay({"name": "hook", "platform": "adyen", "secret": key})
    signature = "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="
    item = {
        "pspReference": "7914073381342284", "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704", "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION", "success": "true",
        "additionalData": {"hmacSignature": signature, "authCode": "1234"},
    }  # fmt: skip
    items = [{"NotificationRequestItem": item}]
    assert accepted(relay, {"live": "false", "notificationItems": items})
    (payload,) = relay.payloads()
    assert payload["notificationItems"][0]["NotificationRequestItem"]["additionalData"] == {"authCode": "1234"}
    assert signature not in json.dumps(payload)
    # What isn't signed doesn't make it another event; what has an item without a signature is refused.
    assert not accepted(relay, {"live": "true", "notificationItems": items})
    bad = item | {"additionalData": {}}
    for value in ([], None, 1, [1], [{}], [*items, {"NotificationRequestItem": bad}], items * 51):
        assert relay.post("hook", json.dumps({"notificationItems": value})).status_code == 401
    assert relay.post("hook", "{").status_code == 400
