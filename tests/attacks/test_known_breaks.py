"""Breaks that were found, one by one: each gave a forgery, a second event of one delivery, or one
event for two."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from platforms import PLATFORMS
from tests.attacks.test_unsigned import Target, is_of_sender, send, sent
from tests.platforms.test_properties import SECRETS
from tests.support.genuine import deliveries_of
from tests.support.relay import NOW, Clock, MakeRelay, Relay

SECRET = "0123456789abcdef-secret"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
STAMP = str(int(NOW))
RFC3339 = "2025-10-09T08:53:20Z"


def mac(message: bytes, algorithm: str = "sha256", key: bytes = SECRET.encode()) -> bytes:
    """The HMAC of the message."""
    return hmac.digest(key, message, algorithm)


def text(raw: bytes) -> str:
    """Bytes in base64."""
    return base64.b64encode(raw).decode()


def hub(body: bytes) -> dict[str, str]:
    """GitHub's signature, and Meta's."""
    return {"X-Hub-Signature-256": "sha256=" + mac(body).hex()}


def zendesk(body: bytes, stamp: str = RFC3339) -> dict[str, str]:
    """Zendesk's headers."""
    name = "X-Zendesk-Webhook-Signature"
    return {name: text(mac(stamp.encode() + body)), f"{name}-Timestamp": stamp}


def ids(relay: Relay) -> list[str | None]:
    """The delivery ids of what was stored."""
    return [event.delivery_id for event in relay.events()]


# --- time and body ---


@pytest.mark.parametrize(
    "stamp",
    ["1760000000", "1234", "", "soon", "2025-10-09", "2025-10-09T08:53:20", "Thu, 9 Oct 2025"],
)
@pytest.mark.parametrize("more", [{}, {"tolerance": "1000d"}])
def test_zendesks_time_is_rfc_3339_or_the_delivery_is_refused(
    stamp: str, more: dict[str, Any], make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay({"name": "hook", "platform": "zendesk", "secret": SECRET} | more)
    assert relay.post("hook", b"{}", zendesk(b"{}", stamp)).status_code == 401
    assert relay.post("hook", b"{}", zendesk(b"{}")).status_code == 200


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_what_is_too_old_is_refused_wherever_a_time_is_signed(
    platform: str, make_relay: MakeRelay, clock: Clock, tmp_path: Any
) -> None:
    for genuine in deliveries_of(platform, tmp_path):
        verifier, tolerance = PLATFORMS[platform].verifier, PLATFORMS[platform].tolerance
        if verifier is None or "time" not in verifier.covers or is_of_sender(genuine):
            continue
        if tolerance is None:
            assert platform in ("sendgrid", "aws-sns"), (
                "retries for hours with the first time; say so in security-model.md"
            )
            continue
        clock.now = genuine.now
        limit = {"tolerance": f"{int(tolerance)}s"} if "tolerance" in genuine.webhook else {}
        relay = make_relay(genuine.webhook | {"name": "after"} | limit, fetch=genuine.fetch)
        # A genuine one may be as old as that already.
        for seconds in (
            2 * tolerance + 2,
            -2 * tolerance - 2,
        ):
            clock.now = genuine.now + seconds
            assert send(relay, "after", sent(genuine)) in (400, 401), genuine
        assert relay.events() == []


def test_linears_age_is_looked_at_whatever_the_content_type_says(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay({"name": "hook", "platform": "linear", "secret": SECRET})
    body = b'{"webhookTimestamp": %d, "type": "Issue"}' % (NOW * 1000)
    clock.now += 9 * 3600
    for content_type in (
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "application/json",
    ):
        headers = {"Linear-Signature": mac(body).hex(), "Content-Type": content_type}
        assert relay.post("hook", body, headers).status_code == 401
    for body in (
        b'{"type": "Issue"}',
        b'{"webhookTimestamp": true}',
        b'{"webhookTimestamp": "soon"}',
        b"[]",
    ):
        assert relay.post("hook", body, {"Linear-Signature": mac(body).hex()}).status_code == 401
    assert relay.events() == []


def test_another_attempt_of_linears_is_the_same_event(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay({"name": "hook", "platform": "linear", "secret": SECRET})
    for attempt, duplicate in ((0, False), (60, True), (3600, True)):
        clock.now = NOW + attempt
        body = b'{"webhookTimestamp": %d, "createdAt": "2025-10-09T08:53:19Z"}' % (clock.now * 1000)
        answer = relay.post("hook", body, {"Linear-Signature": mac(body).hex()}).get_json()
        assert answer.get("duplicate", False) is duplicate


# --- the query ---


@pytest.mark.parametrize(
    ("webhook", "headers", "merged"),
    [
        ({"platform": "github", "secret": SECRET}, hub(b'{"a": 1}'), False),
        (
            {"signature": {"secret": SECRET, "header": "X-Sig"}},
            {"X-Sig": mac(b'{"a": 1}').hex()},
            False,
        ),
        (
            {"signature": {"secret": SECRET, "header": "X-Sig"}, "headers": {"X-Key": SECRET}},
            {"X-Sig": mac(b'{"a": 1}').hex(), "X-Key": SECRET},
            False,
        ),
        (
            {"platform": "github", "secret": SECRET, "headers": {"X-Key": SECRET}},
            hub(b'{"a": 1}') | {"X-Key": SECRET},
            False,
        ),
        ({"headers": {"X-Key": SECRET}}, {"X-Key": SECRET}, True),
        ({"platform": "gitlab", "secret": SECRET}, {"X-Gitlab-Token": SECRET}, True),
        ({"platform": "okta", "secret": SECRET}, {"Authorization": SECRET}, True),
        ({"verifier": "none"}, {}, True),
        (
            {"platform": "square", "secret": SECRET, "public_url": "https://h.example/s"},
            {"x-square-hmacsha256-signature": text(mac(b'https://h.example/s?b=2&a=3{"a": 1}'))},
            True,
        ),
    ],
)
def test_a_query_that_nobody_signed_is_no_part_of_the_payload(
    webhook: dict[str, Any], headers: dict[str, str], merged: bool, make_relay: MakeRelay
) -> None:
    relay = make_relay({"name": "hook"} | webhook)
    assert relay.post("hook", b'{"a": 1}', headers, query_string="b=2&a=3").status_code == 200
    assert relay.payloads() == [{"a": 1, "b": "2"} if merged else {"a": 1}]
    assert relay.event().query == {"a": "3", "b": "2"}


# --- ids ---


def standard(
    identifier: str, body: bytes, prefix: str = "webhook", stamp: str = STAMP
) -> dict[str, str]:
    """Headers of Standard Webhooks."""
    key = base64.b64decode(SECRETS["standard-webhooks"].removeprefix("whsec_"))
    signature = mac(f"{identifier}.{stamp}.".encode() + body, key=key)
    return {
        f"{prefix}-id": identifier,
        f"{prefix}-timestamp": stamp,
        f"{prefix}-signature": f"v1,{text(signature)}",
    }


@pytest.mark.parametrize(
    ("platform", "genuine", "unsigned", "expected"),
    [
        (
            "pagerduty",
            {"X-PagerDuty-Signature": "v1=" + mac(b'{"event": {"id": "e"}}').hex()},
            "X-Webhook-Id",
            "e",
        ),
        (
            "standard-webhooks",
            standard("m-1", b'{"event": {"id": "e"}}', "svix"),
            "webhook-id",
            "m-1",
        ),
        ("standard-webhooks", standard("m-1", b'{"event": {"id": "e"}}'), "svix-id", "m-1"),
        ("gitlab", standard("m-1", b'{"event": {"id": "e"}}'), "Idempotency-Key", "m-1"),
    ],
)
def test_a_signed_id_wins_over_one_that_nobody_signed(
    platform: str,
    genuine: dict[str, str],
    unsigned: str,
    expected: str,
    make_relay: MakeRelay,
    clock: Clock,
) -> None:
    relay = make_relay({"name": "hook", "platform": platform, "secret": SECRETS["standard-webhooks"]
                        if platform != "pagerduty" else SECRET})  # fmt: skip
    for forged in ("other", "another", ""):
        assert (
            relay.post("hook", b'{"event": {"id": "e"}}', genuine | {unsigned: forged}).status_code
            == 200
        )
    assert ids(relay) == [expected]


def test_a_full_stop_in_an_id_cannot_move_time_and_body(
    make_relay: MakeRelay, clock: Clock
) -> None:
    relay = make_relay(
        {"name": "hook", "platform": "standard-webhooks", "secret": SECRETS["standard-webhooks"]}
    )
    body = f'{{"text": "x.{STAMP}.{{}}'.encode()
    genuine = standard("m-1", body)
    forged = genuine | {"webhook-id": f'm-1.{STAMP}.{{"text": "x'}
    assert relay.post("hook", b"{}", forged).status_code == 401
    assert relay.post("hook", b"{}", standard("m.1", b"{}")).status_code == 401


@pytest.mark.parametrize(
    "platform", ["github", "facebook", "jira", "typeform", "square", "intercom", "zoom", "twitter"]
)
def test_a_delivery_without_an_id_is_known_by_a_digest_of_what_is_signed(
    platform: str, make_relay: MakeRelay, clock: Clock, tmp_path: Any
) -> None:
    """Whatever the headers say: the sender's retry, and anybody's, is a duplicate."""
    genuine = next(
        one
        for one in deliveries_of(platform, tmp_path)
        if one.name.startswith(f"{platform}/") and one.body[:1] == b"{"
    )
    target = Target(genuine, make_relay, clock)
    for identifier in ("x", "y"):
        headers = sent(genuine).with_header("X-GitHub-Delivery", identifier)
        target.check(sent(genuine).named(identifier, headers=headers))
    target.check_events()
    assert all(ids(target.relay))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            {"eventId": 1, "subscriptionId": 1, "attemptNumber": 0},
            {"eventId": 1, "subscriptionId": 1, "attemptNumber": 3},
            True,
        ),
        ({"eventId": 1, "subscriptionId": 1}, {"subscriptionId": 1, "eventId": 1}, True),
        ({"eventId": 1, "subscriptionId": 1}, {"eventId": 1, "subscriptionId": 2}, False),
        ({"eventId": 1, "occurredAt": 1}, {"eventId": 1, "occurredAt": 2}, False),
        ({"eventId": 1, "objectId": 1}, {"eventId": 1, "objectId": 2}, False),
        ({"eventId": 1}, {"eventId": 2}, False),
    ],
)
@pytest.mark.parametrize("split", [False, True])
def test_hubspots_event_id_alone_makes_no_event_of_two(
    one: Any, other: Any, same: bool, split: bool, make_relay: MakeRelay, clock: Clock
) -> None:
    url = "https://h.example/hubspot"
    relay = make_relay(
        {"name": "hook", "platform": "hubspot", "secret": SECRET, "public_url": url, "split": split}
    )
    for number, value in enumerate((one, other)):
        body, stamp = json.dumps([value]).encode(), str(int(NOW * 1000) + number)
        signature = text(mac(b"POST" + url.encode() + body + stamp.encode()))
        headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": stamp}
        assert relay.post("hook", body, headers).status_code == 200
    assert len(relay.events()) == (1 if same else 2)


def test_an_empty_id_is_none(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {"name": "path", "headers": {"X-Key": SECRET}, "dedup": {"path": "$.id"}},
        {"name": "header", "headers": {"X-Key": SECRET}, "dedup": {"header": "X-Id"}},
    )
    for number in range(2):
        body = json.dumps({"id": "", "n": number})
        assert relay.post("path", body, {"X-Key": SECRET}).status_code == 200
        assert relay.post("header", body, {"X-Key": SECRET, "X-Id": ""}).status_code == 200
    assert ids(relay) == [None] * 4


def test_a_header_that_the_definition_names_counts_with_the_body_that_is_signed(
    make_relay: MakeRelay,
) -> None:
    """So it tells like bodies apart, and nobody can take another delivery's id with it."""
    relay = make_relay(
        {
            "name": "hook",
            "signature": {"secret": SECRET, "header": "X-Sig"},
            "dedup": {"header": "X-Id"},
        },
        {
            "name": "github",
            "platform": "github",
            "secret": SECRET,
            "dedup": {"header": "X-GitHub-Delivery"},
        },
    )
    for body, identifier in ((b"{}", "1"), (b"{}", "2"), (b'{"a": 1}', "2"), (b"{}", "1")):
        assert (
            relay.post("hook", body, {"X-Sig": mac(body).hex(), "X-Id": identifier}).status_code
            == 200
        )
        assert (
            relay.post("github", body, hub(body) | {"X-GitHub-Delivery": identifier}).status_code
            == 200
        )
    assert len(relay.events()) == 6


# --- what a body is ---


def test_twilios_json_cannot_become_a_form_without_fields(make_relay: MakeRelay) -> None:
    url = "https://h.example/sms"
    relay = make_relay({"name": "hook", "platform": "twilio", "secret": SECRET, "public_url": url})
    body = b'{"a": 1}'
    query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {"X-Twilio-Signature": text(mac(f"{url}?{query}".encode(), "sha1"))}
    for forged in (b"", b"&", b"&&&"):
        assert relay.post("hook", forged, headers | FORM, query_string=query).status_code == 401
    assert relay.post("hook", body, headers | FORM, query_string=query).status_code == 200
    assert relay.payloads()[0]["a"] == 1


PART = b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\n1\r\n--b--\r\n'


@pytest.mark.parametrize(
    "body",
    [b'{"id": "1"}', b"id=1&state=open", b"<?xml version='1.0'?><id>1</id>", b"plain text", PART],
)
def test_signed_bytes_are_read_in_one_way(body: bytes, make_relay: MakeRelay) -> None:
    found = []
    for content_type in (
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "text/xml",
        "multipart/form-data; boundary=x",
        "a/b",
        "",
    ):
        relay = make_relay({"name": "hook", "signature": {"secret": SECRET, "header": "X-Sig"}})
        relay.post("hook", body, {"X-Sig": mac(body).hex(), "Content-Type": content_type})
        found.append(relay.payloads())
    assert found == [found[0]] * len(found)
    assert found[0] != []


# --- challenges and lists ---


def test_only_a_challenge_that_checks_a_secret_verifies_a_webhook_that_has_one(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(
        {"name": "twitter", "platform": "twitter", "secret": SECRET},
        {"name": "dropbox", "platform": "dropbox", "secret": SECRET},
        {"name": "okta", "platform": "okta", "secret": SECRET},
        {"name": "facebook", "platform": "facebook", "secret": SECRET, "verify_token": SECRET},
        {"name": "graph", "platform": "microsoft-graph", "secret": SECRET},
        {"name": "custom", "headers": {"X-Key": SECRET}, "challenge": "check"},
        {"name": "open", "platform": "dropbox"},
    )
    asked: dict[str, dict[str, str]] = {
        "twitter": {"crc_token": "1"},
        "dropbox": {"challenge": "1"},
        "custom": {"check": "1"},
        "open": {"challenge": "1"},
    }
    for name, query in asked.items():
        assert relay.client.get(f"/webhook/{name}", query_string=query).status_code == 200
    assert (
        relay.client.get(
            "/webhook/okta", headers={"X-Okta-Verification-Challenge": "1"}
        ).status_code
        == 200
    )
    assert (
        relay.client.post("/webhook/graph", query_string={"validationToken": "1"}).status_code
        == 200
    )
    assert relay.verified() == {"open"}
    assert (
        relay.post("dropbox", b"{}", {"X-Dropbox-Signature": mac(b"{}").hex()}).status_code == 200
    )
    assert relay.verified() == {"open", "dropbox"}
    for token, status, verified in (("another", 403, False), (SECRET, 200, True)):
        query = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "1"}
        assert relay.client.get("/webhook/facebook", query_string=query).status_code == status
        assert ("facebook" in relay.verified()) == verified


@pytest.mark.parametrize("number", [10, 3000])
def test_a_list_of_signatures_is_bounded(number: int, make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(
        {"name": "pagerduty", "platform": "pagerduty", "secret": SECRET},
        {"name": "stripe", "platform": "stripe", "secret": SECRET},
        {
            "name": "standard",
            "platform": "standard-webhooks",
            "secret": SECRETS["standard-webhooks"],
        },
    )
    genuine = standard("m-1", b"{}")
    stripe = f"v1={mac(f'{STAMP}.{{}}'.encode()).hex()}"
    given = {
        "pagerduty": {"X-PagerDuty-Signature": "v1=00," * number + "v1=" + mac(b"{}").hex()},
        "stripe": {"Stripe-Signature": f"t={STAMP}," + "v1=00," * number + stripe},
        "standard": genuine
        | {"webhook-signature": "v1,AAAA " * number + genuine["webhook-signature"]},
    }
    for name, headers in given.items():
        assert relay.post(name, b"{}", headers).status_code == (200 if number == 10 else 401), name


# --- where it is sent ---


@pytest.mark.parametrize(
    "path",
    ["/webhook/hook/", "/webhook/HOOK", "/webhook//hook", "/webhook/hook;x", "/webhook/hook%00"],
)
def test_another_path_is_another_webhook_or_none(path: str, make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "github", "secret": SECRET})
    assert relay.client.post(path, data=b"{}", headers=hub(b"{}")).status_code in (400, 404)
    assert relay.events() == []


def test_a_signed_url_is_the_configured_one_whatever_the_request_says(
    make_relay: MakeRelay,
) -> None:
    """With another host somebody's own deliveries, signed with the same token, would be taken for
    ours."""
    relay = make_relay(
        {"name": "hook", "platform": "twilio", "secret": SECRET},
        bridge_public_url="https://h.example",
    )
    for host, status in (("evil.example", 401), ("h.example", 200)):
        signature = text(mac(f"https://{host}/webhook/hookMessageSidSM1".encode(), "sha1"))
        headers = FORM | {"X-Twilio-Signature": signature, "Host": host, "X-Forwarded-Host": host}
        assert relay.post("hook", "MessageSid=SM1", headers).status_code == status
