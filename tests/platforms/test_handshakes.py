"""Handshakes, pings and verifications: what is answered, to whom, and that it is no event."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from platforms.lark import KeyedDigest
from platforms.verifiers import Credentials, Draft
from tests.support.relay import NOW, Clock, MakeRelay, Relay

SECRET = "0123456789abcdef-secret"


def mac(message: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.digest(SECRET.encode(), message, algorithm)


def hook(make_relay: MakeRelay, platform: str, **more: Any) -> Relay:
    return make_relay({"name": "hook", "platform": platform, "secret": SECRET} | more)


@pytest.mark.parametrize("platform", ["trello", "mandrill", "intercom"])
def test_head_tells_that_the_url_exists_and_proves_nothing(
    platform: str, make_relay: MakeRelay
) -> None:
    relay = hook(make_relay, platform)
    response = relay.client.head("/webhook/hook")
    assert (response.status_code, response.data) == (200, b"")
    assert relay.verified() == set()
    assert relay.client.get("/webhook/hook").status_code == 405
    assert relay.post("hook", "{}").status_code == 401


def test_mailchimp_asks_by_get_whether_the_url_exists(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {"name": "hook", "verifier": "none", "challenge": {"name": "token", "head": True}}
    )
    assert [
        relay.client.open("/webhook/hook", method=method).status_code for method in ("GET", "HEAD")
    ] == [200, 200]
    assert relay.client.get("/webhook/hook?token=t").text == "t"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert relay.post("hook", b"type=subscribe&data%5Bid%5D=8a25ff1d98", form).status_code == 200
    assert relay.payloads() == [{"type": "subscribe", "data[id]": "8a25ff1d98"}]


def test_larks_challenge_is_encrypted_and_its_deliveries_are_read_in_clear(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = hook(make_relay, "lark", secret=["0123456789abcdef-other", SECRET])
    keyed = KeyedDigest()

    def draft(value: Any, secret: str = SECRET) -> Draft:
        unsigned = Draft(
            "POST",
            "https://relay.example.com/webhook/hook",
            {},
            json.dumps(value).encode(),
            clock.now,
        )
        return keyed.sign(unsigned, Credentials((secret,)))

    asked = {"challenge": "ajls384kdjx98XX", "token": "xxx", "type": "url_verification"}
    assert relay.post("hook", draft(asked, "a-stranger's-key-0123456").body, {}).status_code == 401
    assert relay.post("hook", json.dumps(asked)).status_code == 401
    assert relay.verified() == set()
    assert relay.post("hook", draft(asked).body, {}).get_json() == {"challenge": "ajls384kdjx98XX"}
    assert relay.verified() == {"hook"}
    event = draft(
        {"schema": "2.0", "header": {"event_id": "e1", "token": "xxx"}, "event": {"n": 1}}
    )
    assert relay.post("hook", event.body, {}).status_code == 401
    assert relay.post("hook", event.body, event.headers).get_json() == {}
    assert relay.payloads() == [{"schema": "2.0", "header": {"event_id": "e1"}, "event": {"n": 1}}]
    assert relay.event().delivery_id == "e1"
    clock.now += 8 * 3600 + 1
    assert relay.post("hook", event.body, event.headers).status_code == 401


def test_asanas_secret_is_returned_and_not_taken(make_relay: MakeRelay) -> None:
    relay = hook(make_relay, "asana")
    response = relay.post("hook", "{}", {"X-Hook-Secret": "b537207f20cbfa02"})
    assert (response.status_code, response.data, response.headers["X-Hook-Secret"]) == (
        200,
        b"",
        "b537207f20cbfa02",
    )
    assert relay.verified() == set()
    body = b'{"events": [{"action": "changed"}]}'
    by_stranger = hmac.digest(b"b537207f20cbfa02", body, "sha256").hex()
    assert relay.post("hook", body, {"X-Hook-Signature": by_stranger}).status_code == 401
    # With a signature it is a delivery, whatever else it carries.
    headers = {"X-Hook-Signature": mac(body).hex(), "X-Hook-Secret": "b537207f20cbfa02"}
    response = relay.post("hook", body, headers)
    assert "eventId" in response.get_json()
    assert "X-Hook-Secret" not in response.headers
    assert "b537207f20cbfa02" not in json.dumps(relay.event().document())


@pytest.mark.parametrize("secret", ["a" * 257, "\xe9", "a\tb"])
def test_what_is_no_secret_of_asana_is_not_returned(secret: str, make_relay: MakeRelay) -> None:
    relay = hook(make_relay, "asana")
    response = relay.client.post("/webhook/hook", environ_overrides={"HTTP_X_HOOK_SECRET": secret})
    assert response.status_code == 401
    assert "X-Hook-Secret" not in response.headers


@pytest.mark.parametrize(
    ("platform", "body", "headers", "answer"),
    [
        ("asana", {"events": []}, lambda body: {"X-Hook-Signature": mac(body).hex()}, {}),
        (
            "line",
            {"destination": "U1", "events": []},
            lambda body: {"x-line-signature": base64.b64encode(mac(body)).decode()},
            {},
        ),
        (
            "terraform-cloud",
            {"notifications": [{"trigger": "verification"}]},
            lambda body: {"X-TFE-Notification-Signature": mac(body, "sha512").hex()},
            {},
        ),
        (
            "xero",
            {"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "S0m3"},
            lambda body: {"x-xero-signature": base64.b64encode(mac(body)).decode()},
            None,
        ),
        (
            "xero",
            {"events": None, "entropy": "FMLHZNKCVK"},
            lambda body: {"x-xero-signature": base64.b64encode(mac(body)).decode()},
            None,
        ),
    ],
)
def test_a_signed_delivery_without_events_is_answered_and_is_none(
    platform: str, body: Any, headers: Any, answer: Any, make_relay: MakeRelay
) -> None:
    relay, raw = hook(make_relay, platform), json.dumps(body).encode()
    refused = relay.post(
        "hook", raw, {name: value[:-4] + "AAAA" for name, value in headers(raw).items()}
    )
    # To Xero a 401 with a body isn't one.
    assert (refused.status_code, refused.data == b"") == (401, platform == "xero")
    assert relay.verified() == set()
    response = relay.post("hook", raw, headers(raw))
    assert (response.status_code, response.data) == (
        200,
        b"" if answer is None else json.dumps(answer).encode(),
    )
    assert relay.events() == []
    assert relay.verified() == {"hook"}


def test_xero_and_adyen_get_the_only_answer_they_take(make_relay: MakeRelay) -> None:
    relay = make_relay(
        *({"name": name, "platform": name, "verifier": "none"} for name in ("xero", "adyen"))
    )
    response = relay.post("xero", '{"events": [{"resourceId": "1"}]}')
    assert (response.status_code, response.data, "Content-Type" in response.headers) == (
        200,
        b"",
        False,
    )
    assert (
        relay.post("adyen", '{"notificationItems": [{"NotificationRequestItem": {}}]}').data
        == b"[accepted]"
    )
    assert len(relay.events()) == 2


def twitch(
    body: bytes, identifier: str = "m-1", at: str = "2025-10-09T08:53:20.123456789Z"
) -> dict[str, str]:
    name = "Twitch-Eventsub-Message-"
    signature = mac(identifier.encode() + at.encode() + body).hex()
    return {
        f"{name}Id": identifier,
        f"{name}Timestamp": at,
        f"{name}Signature": f"sha256={signature}",
    }


def test_twitchs_challenge_is_signed(make_relay: MakeRelay, clock: Clock) -> None:
    relay = hook(make_relay, "twitch")
    pending = {"status": "webhook_callback_verification_pending", "type": "stream.online"}
    body = json.dumps({"challenge": "pogchamp-kappa", "subscription": pending}).encode()
    assert (
        relay.post("hook", body, twitch(body) | {"Twitch-Eventsub-Message-Id": "m-2"}).status_code
        == 401
    )
    response = relay.post("hook", body, twitch(body))
    assert (response.status_code, response.data, response.mimetype) == (
        200,
        b"pogchamp-kappa",
        "text/plain",
    )
    assert relay.verified() == {"hook"}
    # A notification that has such a field is an event.
    body = b'{"challenge": "x", "subscription": {"status": "enabled"}}'
    assert "eventId" in relay.post("hook", body, twitch(body, "m-3")).get_json()
    assert relay.event().delivery_id == "m-3"


def mcp(body: bytes, message: str = "msg_1") -> dict[str, str]:
    at = str(int(NOW))
    signature = base64.b64encode(mac(f"{message}.{at}.".encode() + body)).decode()
    return {"webhook-id": message, "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}


def test_an_mcp_servers_challenge_is_answered_if_it_is_proven(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = hook(
        make_relay, "mcp-events", secret=f"whsec_{base64.b64encode(SECRET.encode()).decode()}"
    )
    body = b'{"type": "verification", "challenge": "n-1"}'
    assert relay.post("hook", body).status_code == 401
    assert relay.post("hook", body, mcp(body + b" ")).status_code == 401
    assert relay.post("hook", body, mcp(body)).get_json() == {"challenge": "n-1"}
    assert (relay.verified(), relay.events()) == ({"hook"}, [])
    for body in (
        b'{"eventId": "e-1", "name": "order.paid", "challenge": "n-1"}',
        b'{"type": "gap", "cursor": "c-1"}',
        b'{"type": "verification"}',
    ):
        assert "eventId" in relay.post("hook", body, mcp(body, f"msg_{len(body)}")).get_json()
    assert len(relay.events()) == 3


def test_an_mcp_event_is_known_by_its_own_id(make_relay: MakeRelay, clock: Clock) -> None:
    relay = hook(
        make_relay, "mcp-events", secret=f"whsec_{base64.b64encode(SECRET.encode()).decode()}"
    )
    bodies = [
        b'{"eventId": "e-1", "cursor": "c-1"}',
        b'{"eventId": "e-1", "cursor": "c-2"}',
        b'{"type": "gap"}',
    ]
    answers = [
        relay.post("hook", body, mcp(body, message)).get_json()
        for body, message in zip(
            [*bodies, bodies[2], bodies[2]], ["m1", "m2", "m3", "m3", "m4"], strict=True
        )
    ]
    assert ["duplicate" in answer for answer in answers] == [False, True, False, True, False]
    assert sorted(event.delivery_id or "" for event in relay.events()) == ["e-1", "m3", "m4"]


@pytest.mark.parametrize("identifier", ["", "a b", "a.b", "{", "m" * 129, "é"])
def test_an_id_of_another_form_is_refused(
    identifier: str, make_relay: MakeRelay, clock: Clock
) -> None:
    relay = hook(make_relay, "twitch")
    assert relay.post("hook", "{}", twitch(b"{}", identifier)).status_code == 401


@pytest.mark.parametrize("body", [b"webhook_id=15", b"webhook_id=1"])
def test_woocommerces_ping_is_answered(body: bytes, make_relay: MakeRelay) -> None:
    relay = hook(make_relay, "woocommerce")
    assert (
        relay.post("hook", body, {"Content-Type": "application/x-www-form-urlencoded"}).status_code
        == 200
    )
    assert (relay.verified(), relay.events()) == (set(), [])


@pytest.mark.parametrize("body", [b"webhook_id=15&a=1", b"webhook_id=x", b"webhook_id=", b"a=1"])
def test_what_is_no_ping_of_woocommerce_is_refused(body: bytes, make_relay: MakeRelay) -> None:
    assert hook(make_relay, "woocommerce").post("hook", body).status_code == 401


def test_mondays_challenge_is_answered_but_proves_nothing_beside_a_secret(
    make_relay: MakeRelay,
) -> None:
    relay = hook(make_relay, "monday")
    assert relay.post("hook", '{"challenge": "3eZbrw1aBm2rZgRN"}').get_json() == {
        "challenge": "3eZbrw1aBm2rZgRN"
    }
    assert relay.verified() == set()
    for body in (
        '{"event": {}}',
        '{"challenge": "x", "event": {}}',
        '{"challenge": {}}',
        '["challenge"]',
        '{"challenge"',
    ):
        assert relay.post("hook", body).status_code == 401
    assert relay.events() == []


def validation(**changed: Any) -> list[dict[str, Any]]:
    event = {"id": "1", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent"}
    return [event | {"data": {"validationCode": "512d38b6"}} | changed]


def test_event_grids_validation_is_answered(make_relay: MakeRelay) -> None:
    relay, headers = (
        hook(make_relay, "azure-event-grid"),
        {"aeg-event-type": "SubscriptionValidation"},
    )
    response = relay.post("hook", json.dumps(validation()), headers)
    assert response.get_json() == {"validationResponse": "512d38b6"}
    assert (relay.verified(), relay.events()) == (set(), [])
    for body in (validation(eventType="x"), validation(data={}), validation() * 2, {}, []):
        assert relay.post("hook", json.dumps(body), headers).status_code == 401
    assert relay.post("hook", json.dumps(validation())).status_code == 401
    assert relay.post("hook", "{", headers).status_code == 401


def test_mandrills_test_is_answered_whoever_signed_it(make_relay: MakeRelay) -> None:
    """Mandrill signs it with a key that is in its documentation."""
    relay = hook(make_relay, "mandrill", public_url="https://y.example/z")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert relay.post("hook", urlencode({"mandrill_events": "[]"}), form).status_code == 200
    assert (relay.verified(), relay.events()) == (set(), [])
    assert relay.post("hook", urlencode({"mandrill_events": "[{}]"}), form).status_code == 401


def test_notions_token_is_kept_nowhere_once_there_is_a_secret(make_relay: MakeRelay) -> None:
    relay = hook(make_relay, "notion", keep_rejected=10)
    body = '{"verification_token": "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}'
    assert relay.post("hook", body).status_code == 200
    assert (relay.verified(), relay.events(), relay.rejections()) == (set(), [], [])
    for other in (
        body.replace("}", ', "id": "1"}'),
        '{"verification_token": {}}',
        '["verification_token"]',
        "{",
    ):
        assert relay.post("hook", other).status_code == 401
    unverified = make_relay({"name": "hook", "platform": "notion", "verifier": "none"})
    assert unverified.post("hook", body).status_code == 200
    assert unverified.payloads() == [json.loads(body)]
