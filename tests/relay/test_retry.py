"""A rejected delivery is verified again: with today's definition, and as old as it was when it
arrived."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.webhooks import load_definitions
from platforms import PLATFORMS
from relay.retry import StillRejected, events_of
from relay.route import Route
from store.delivery_records import RawDelivery
from tests.support.relay import NOW
from tools.demo import signing

SECRET = "0123456789abcdef-right"
CHAT: dict[str, Any] = {"name": "chat", "platform": "slack", "secret": SECRET, "keep_rejected": 100}
BODY = b'{"type": "event_callback", "event_id": "E1", "event": {"type": "message"}}'


def route(webhook: dict[str, Any], folder: Path, public_url: str | None = None) -> Route:
    file = folder / "webhooks.yaml"
    file.write_text(
        json.dumps({"webhooks": [{"receivers": {"flow": "any"}} | webhook]}), encoding="utf-8"
    )
    (read,) = load_definitions(file, PLATFORMS, {}).webhooks
    return Route(read, PLATFORMS[read.platform], public_url)


def kept(headers: dict[str, str], body: bytes = BODY, **more: Any) -> RawDelivery:
    lower = {name.lower(): value for name, value in headers.items()}
    url = "http://localhost/webhook/chat"
    found = RawDelivery(
        "k1",
        "chat",
        "rejected",
        int(NOW * 1000),
        remote="192.0.2.1",
        path="/webhook/",
        url=url,
        headers=lower,
        body=body,
    )
    return replace(found, **more)


def of_chat(at: float = NOW, secret: str = SECRET, body: bytes = BODY) -> RawDelivery:
    return kept(signing.slack(secret, body, at), body)


def why_not(webhook: dict[str, Any], delivery: RawDelivery, folder: Path) -> str:
    with pytest.raises(StillRejected) as caught:
        events_of(route(webhook, folder), delivery, 1)
    return str(caught.value)


def test_it_becomes_the_event_that_it_would_have_been_and_arrives_now(tmp_path: Path) -> None:
    (event,) = events_of(route(CHAT, tmp_path), of_chat(), 123_000)
    assert json.loads(event.payload) == json.loads(BODY)
    assert (event.received_at, event.hold_until, event.delivery_id) == (
        123_000,
        123_000 + 600_000,
        "E1",
    )
    assert "x-slack-signature" not in event.headers
    assert event.remote == "192.0.2.1", "from where it came"


def test_its_age_is_the_one_at_its_arrival(tmp_path: Path) -> None:
    assert events_of(route(CHAT, tmp_path), of_chat(NOW - 299), 1), "however long ago that was"
    assert "301 s old" in why_not(CHAT, of_chat(NOW - 301), tmp_path)
    assert events_of(route(CHAT | {"tolerance": "10m"}, tmp_path), of_chat(NOW - 301), 1), (
        "today's tolerance"
    )


def test_a_wrong_signature_stays_refused(tmp_path: Path) -> None:
    assert "signature" in why_not(CHAT, of_chat(secret="another"), tmp_path)
    assert "signature" in why_not(CHAT, replace(of_chat(), body=BODY + b" "), tmp_path)
    assert why_not(CHAT, kept({}), tmp_path)


def test_a_rotated_secret_counts(tmp_path: Path) -> None:
    assert events_of(
        route(CHAT | {"secret": ["new-0123456789abcd", SECRET]}, tmp_path), of_chat(), 1
    )


def test_todays_definition_decides_about_addresses_filters_and_splitting(tmp_path: Path) -> None:
    assert "allow_ips" in why_not(CHAT | {"allow_ips": ["198.51.100.0/24"]}, of_chat(), tmp_path)
    assert "$.event.type" in why_not(
        CHAT | {"only": {"$.event.type": "reaction"}}, of_chat(), tmp_path
    )
    several = b'[{"n": 1}, {"n": 2}]'
    events = events_of(route(CHAT | {"split": True}, tmp_path), of_chat(body=several), 1)
    assert [json.loads(event.payload) for event in events] == [{"n": 1}, {"n": 2}]


def test_only_what_a_signature_proves_is_accepted(tmp_path: Path) -> None:
    """A definition that has changed to no proof, or to another kind, must not let in whatever was
    refused before."""
    open_to_all = {"name": "chat", "verifier": "none"}
    assert "keep_rejected" in why_not(open_to_all, of_chat(), tmp_path)


def test_a_challenge_is_left_to_the_platform(tmp_path: Path) -> None:
    zoom = CHAT | {"platform": "zoom"}
    body = b'{"event": "endpoint.url_validation", "payload": {"plainToken": "t"}}'
    text = str(int(NOW))
    signature = hmac.digest(SECRET.encode(), b"v0:" + text.encode() + b":" + body, "sha256").hex()
    headers = {"x-zm-request-timestamp": text, "x-zm-signature": f"v0={signature}"}
    assert "challenge" in why_not(zoom, kept(headers, body), tmp_path)


def test_what_was_accepted_stays_so(tmp_path: Path) -> None:
    assert "e-7" in why_not(CHAT, replace(of_chat(), event_id="e-7"), tmp_path)


def test_a_body_that_cannot_be_read_stays_refused(tmp_path: Path) -> None:
    assert why_not(CHAT, of_chat(body=b"{"), tmp_path)


def test_a_corrected_public_url_counts_where_the_url_is_signed(tmp_path: Path) -> None:
    hook = {"name": "chat", "platform": "square", "secret": SECRET, "keep_rejected": 1}
    url = "https://hooks.example.com/api/webhook/chat?a=1"
    signature = base64.b64encode(
        hmac.digest(SECRET.encode(), url.encode() + b"{}", "sha256")
    ).decode()
    delivery = kept(
        {"X-Square-HmacSha256-Signature": signature}, b"{}", query="a=1", path="/api/webhook/"
    )
    assert events_of(route(hook, tmp_path, "https://hooks.example.com"), delivery, 1)
    assert "signature" in why_not(hook, delivery, tmp_path)
