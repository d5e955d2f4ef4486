"""Google Chat: its two kinds of tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.relay import Clock, MakeRelay
from tests.support.vendors import CHATS_KEYS, GOOGLES_KEYS, Pages, chat, pages

BODY = b'{"type": "MESSAGE", "eventTime": "2025-10-09T08:53:20.123456Z"}'
URL = "https://hooks.example.com/webhook/hook"
APP = "service-1234567890@gcp-sa-gsuiteaddons.iam.gserviceaccount.com"
OF_GOOGLE = {
    "iss": "https://accounts.google.com",
    "aud": URL,
    "email": "chat@system.gserviceaccount.com",
    "email_verified": True,
}


@pytest.fixture
def vendor() -> Pages:
    return pages()


@pytest.mark.parametrize(
    ("audience", "claims", "keys"), [("1234567890", {}, CHATS_KEYS), (URL, OF_GOOGLE, GOOGLES_KEYS)]
)
def test_a_token_for_the_audience_is_accepted_and_the_event_counts_once(
    audience: str,
    claims: dict[str, Any],
    keys: str,
    make_relay: MakeRelay,
    vendor: Pages,
    clock: Clock,
) -> None:
    relay = make_relay(
        {"name": "hook", "platform": "google-chat", "audience": audience}, fetch=vendor
    )
    for _ in range(2):
        response = relay.post("hook", BODY, chat(**claims))
        assert (response.status_code, response.get_json()) == (200, {})
    assert set(vendor.visited) == {keys}
    assert len(relay.events()) == 1
    assert "authorization" not in relay.event().headers


def addon(token: str, at: str = "2025-10-09T08:53:20Z") -> bytes:
    granted = {
        "systemIdToken": token,
        "userOAuthToken": f"oauth {token}",
        "authorizedScopes": ["a"],
    }
    return json.dumps({"authorizationEventObject": granted, "chat": {"eventTime": at}}).encode()


def test_an_app_that_is_an_addon_has_a_service_account_of_its_own(
    make_relay: MakeRelay, vendor: Pages, clock: Clock
) -> None:
    definition = {
        "name": "hook",
        "platform": "google-chat",
        "audience": URL,
        "service_account": APP,
    }
    relay = make_relay(definition, fetch=vendor)
    for token in ("t-1", "t-2"):  # another attempt
        assert (
            relay.post("hook", addon(token), chat(**OF_GOOGLE | {"email": APP})).status_code == 200
        )
    assert relay.payloads() == [
        {
            "authorizationEventObject": {"authorizedScopes": ["a"]},
            "chat": {"eventTime": "2025-10-09T08:53:20Z"},
        }
    ]
    assert (
        relay.post(
            "hook", addon("t-1", "2025-10-09T08:53:21Z"), chat(**OF_GOOGLE | {"email": APP})
        ).status_code
        == 200
    )
    assert len(relay.events()) == 2
    for email in ("chat@system.gserviceaccount.com", APP.replace("1234567890", "1234567891")):
        assert (
            relay.post("hook", addon("t"), chat(**OF_GOOGLE | {"email": email})).status_code == 401
        )


def test_the_token_that_is_always_the_same_is_not_kept(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "google-chat", "verifier": "none"})
    assert relay.post("hook", b'{"type": "MESSAGE", "token": "s3cr3t"}').status_code == 200
    assert relay.payloads() == [{"type": "MESSAGE"}]


@pytest.mark.parametrize(
    ("audience", "claims"),
    [
        # Anyone can have Google sign for his own account.
        (
            "1234567890",
            OF_GOOGLE | {"aud": "1234567890"},
        ),
        (URL, {"aud": URL}),
        (URL, OF_GOOGLE | {"aud": "https://evil.example"}),
        (URL, OF_GOOGLE | {"email": "evil@project.iam.gserviceaccount.com"}),
        (URL, OF_GOOGLE | {"email_verified": False}),
    ],
)
def test_any_other_token_is_refused(
    audience: str, claims: dict[str, Any], make_relay: MakeRelay, vendor: Pages, clock: Clock
) -> None:
    relay = make_relay(
        {"name": "hook", "platform": "google-chat", "audience": audience}, fetch=vendor
    )
    assert relay.post("hook", BODY, chat(**claims)).status_code == 401
    assert relay.post("hook", BODY, {}).status_code == 401
    assert relay.events() == []


def test_a_strangers_key_is_refused_and_a_missing_one_is_no_verdict(
    make_relay: MakeRelay, vendor: Pages, clock: Clock
) -> None:
    relay = make_relay(
        {"name": "hook", "platform": "google-chat", "audience": "1234567890"}, fetch=vendor
    )
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert relay.post("hook", BODY, chat(stranger)).status_code == 401
    for content in ({}, {CHATS_KEYS: b"no JSON"}):
        vendor.pages = content
        assert relay.post("hook", BODY, chat()).status_code == 503
