"""What a stranger could have signed or replayed, and genuine deliveries that were taken for
others."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.attacks.test_known_breaks import RFC3339, SECRET, STAMP, hub, mac, text, zendesk
from tests.support.relay import NOW, Clock, MakeRelay

URL = "https://h.example/hook?tenant=1"


# --- signatures for strangers ---


@pytest.mark.parametrize(
    "body",
    [
        "",
        "1",
        "true",
        '"text"',
        "[]",
        '[{"id": 1}]',
        '{"tweet_create_events": [{"id": 1}]}',
        ' {"for_user_id": "1"}',
    ],
)
def test_xs_challenge_gives_nobody_the_signature_of_a_delivery(
    body: str, make_relay: MakeRelay
) -> None:
    """Its answer is the HMAC of a text that the asker chooses, by the key that signs deliveries."""
    relay = make_relay(
        {
            "name": "hook",
            "platform": "twitter",
            "secret": SECRET,
            "accept": {"rate": "1/s", "burst": 1},
        }
    )
    answer = relay.client.get(f"/webhook/hook?crc_token={quote(body)}")
    signature = (answer.get_json() or {}).get("response_token") or "sha256=" + text(
        mac(body.encode())
    )
    if "{" in body:
        assert answer.status_code == 401
        assert b"response_token" not in answer.data
        return
    for _ in range(2):
        forged = relay.post(
            "hook", body, {"x-twitter-webhooks-signature": signature}, query_string="id=forged"
        )
        assert forged.status_code == 401
    assert relay.events() == []
    assert relay.verified() == set()


def test_xs_challenge_and_deliveries_go_on(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "twitter", "secret": SECRET})
    token = "MTg1NzI4NTU-_=.foo"
    answer = relay.client.get("/webhook/hook", query_string={"crc_token": token, "nonce": "x"})
    assert answer.get_json() == {"response_token": "sha256=" + text(mac(token.encode()))}
    body = b'{"for_user_id": "1"}'
    signed = {"x-twitter-webhooks-signature": "sha256=" + text(mac(body))}
    assert relay.post("hook", body, signed).status_code == 200


# --- ids that are made of what nobody signed ---


def mailgun(body: dict[str, Any], token: str = "t" * 50) -> bytes:
    """Mailgun's body, signed: time and token, and nothing else."""
    signature = {
        "timestamp": STAMP,
        "token": token,
        "signature": mac((STAMP + token).encode()).hex(),
    }
    return json.dumps(body | {"signature": signature}).encode()


@pytest.mark.parametrize("dedup", [{"header": "X-Id"}, {"path": "$.id"}])
def test_a_body_that_is_not_signed_makes_no_second_event(
    dedup: dict[str, str], make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay({"name": "hook", "platform": "mailgun", "secret": SECRET, "dedup": dedup})
    for identifier in ("1", "2", "3"):
        body = mailgun({"id": identifier, "event": identifier})
        assert relay.post("hook", body, {"X-Id": identifier}).status_code == 200
    assert len(relay.events()) == 1


@pytest.mark.parametrize("platform", ["square", "hubspot"])
def test_a_body_cannot_move_into_the_query_that_is_signed_beside_it(
    platform: str, make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay({"name": "hook", "platform": platform, "secret": SECRET, "public_url": URL})
    body = b'{"eventId":1,"event_id":"e"}'
    if platform == "square":
        headers = {"x-square-hmacsha256-signature": text(mac(URL.encode() + body))}
    else:
        stamp = str(int(NOW * 1000))
        signature = text(mac(b"POST" + URL.encode() + body + stamp.encode()))
        headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": stamp}
    assert relay.post("hook", body, headers, query_string="tenant=1").status_code == 200
    for content_type in (None, "application/json"):
        moved = relay.client.post(
            "/webhook/hook",
            headers=headers,
            content_type=content_type,
            environ_overrides={"QUERY_STRING": "tenant=1" + body.decode()},
        )
        assert moved.status_code == 400
    assert len(relay.events()) == 1


# --- genuine events that were taken for others ---


@pytest.mark.parametrize(
    "more", [{"is_deleted": True}, {"is_echo": True}, {"is_echo": True, "is_deleted": True}]
)
def test_a_message_that_is_unsent_is_another_event_than_the_message(
    more: dict[str, bool], make_relay: MakeRelay
) -> None:
    relay = make_relay(
        {"name": "hook", "platform": "facebook", "secret": SECRET, "verify_token": SECRET}
    )
    for message in (
        {"mid": "m", "text": "hello"},
        {"mid": "m"} | more,
        {"mid": "m", "text": "hello"},
    ):
        body = json.dumps(
            {"object": "instagram", "entry": [{"id": "1", "messaging": [{"message": message}]}]}
        ).encode()
        assert relay.post("hook", body, hub(body)).status_code == 200
    assert len(relay.events()) == 2


def test_mailguns_last_attempt_has_the_signature_of_the_first(
    make_relay: MakeRelay, clock: Clock
) -> None:
    """After 10, 20, 35 minutes and so on, eight hours in all."""
    relay = make_relay({"name": "hook", "platform": "mailgun", "secret": SECRET})
    for minutes, token in ((10, "a"), (125, "b"), (485, "c")):
        body = mailgun({"event": "failed"}, token * 50)
        clock.now = NOW + minutes * 60
        assert relay.post("hook", body).status_code == 200
    clock.now = NOW + 24 * 3600
    assert relay.post("hook", mailgun({}, "d" * 50)).status_code == 401


def test_zendesks_triggers_of_one_second_are_told_apart_by_the_header_that_is_named(
    make_relay: MakeRelay, clock: Clock
) -> None:
    name = "X-Zendesk-Webhook-Invocation-Id"
    relay = make_relay(
        {"name": "hook", "platform": "zendesk", "secret": SECRET, "dedup": {"header": name}}
    )
    for stamp, identifier in ((RFC3339, "a"), (RFC3339, "b"), ("2025-10-09T08:53:21Z", "a")):
        body = b'{"event": "solved"}'
        assert (
            relay.post("hook", body, zendesk(body, stamp) | {name: identifier}).status_code == 200
        )
    assert len(relay.events()) == 2
