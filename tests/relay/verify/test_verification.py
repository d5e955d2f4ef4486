"""What proves a delivery, who can sign one, and the fingerprint of a verifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.webhooks import Webhook, load_definitions
from platforms import PLATFORMS
from platforms.http import Request
from platforms.verifiers import CannotSign, Draft
from relay.verify.verification import VerifiedDelivery, fingerprint, verifiers_of
from tests.platforms.test_properties import proof_of
from tests.support.relay import NOW, Clock, MakeRelay

SALT = b"0123456789abcdef"
URL = "https://hooks.example.com/hook?a=1"


def webhook(tmp_path: Path, **keys: Any) -> Webhook:
    """A webhook as it is read from a file."""
    file = tmp_path / "webhooks.yaml"
    file.write_text(json.dumps({"webhooks": [{"name": "hook", "receivers": {"a": "any"}} | keys]}))
    return load_definitions(file, PLATFORMS).webhooks[0]


def test_only_verification_makes_a_verified_delivery() -> None:
    with pytest.raises(TypeError):
        VerifiedDelivery(Request("POST", "", "", {}, b"", None, 0.0), object())


@pytest.mark.parametrize("name", ["twilio", "mailgun"])
def test_json_is_signed_as_well(
    name: str, make_relay: MakeRelay, clock: Clock, tmp_path: Path
) -> None:
    definition = {
        "platform": name,
        "secret": "0123456789abcdef-secret",
        "public_url": "https://hooks.example.com/hook",
    }
    draft = Draft("POST", URL, {"Content-Type": "application/json"}, b'{"a": 1}', NOW)
    for verifier, credentials in verifiers_of(webhook(tmp_path, **definition), PLATFORMS[name]):
        draft = verifier.sign(draft, credentials)
    relay = make_relay({"name": "hook"} | definition)
    query = draft.url.partition("?")[2]
    assert relay.post("hook", draft.body, draft.headers, query_string=query).status_code == 200


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("mailgun", b"[]"),
        ("mailgun", b"\xff"),
        ("microsoft-graph", b"{}"),
        ("adyen", b"{}"),
        ("adyen", b"\xff"),
        ("adyen", b'{"notificationItems": [{"NotificationRequestItem": {"success": true}}]}'),
    ],
)
def test_a_body_that_cannot_carry_its_proof_is_not_signed(
    name: str, body: bytes, tmp_path: Path
) -> None:
    found = verifiers_of(webhook(tmp_path, platform=name, **proof_of(name)), PLATFORMS[name])
    with pytest.raises(CannotSign):
        found[0][0].sign(
            Draft("POST", URL, {"Content-Type": "application/json"}, body, NOW), found[0][1]
        )


BASE: dict[str, Any] = {"headers": {"X-Key": "0123456789abcdef"}}


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"X-Key": "0123456789abcdeF"}},
        {"headers": {"X-Key": ["0123456789abcdeF", "0123456789abcdef"]}},
        {"headers": {"X-Other": "0123456789abcdef"}},
        {"headers": {"X-Key": "0123456789abcdef", "X-Other": "0123456789abcdef"}},
        {"signature": {"secret": "0123456789abcdef", "header": "X-Sig"}},
        {"challenge": "check"},
        {"platform": "slack"},
        {"platform": "github", "secret": "0123456789abcdef"},
        {"verifier": "none"},
    ],
)
def test_the_fingerprint_changes_with_verifier_and_secrets(
    change: dict[str, Any], tmp_path: Path
) -> None:
    before = fingerprint(webhook(tmp_path, **BASE), SALT)
    after = fingerprint(webhook(tmp_path, **BASE | change), SALT)
    assert before != after
    assert "0123456789abcdef" not in before + after


@pytest.mark.parametrize(
    "change",
    [
        {"hold": "1s"},
        {"receivers": {"b": "any"}},
        {"tolerance": "1m"},
        {"public_url": "https://x.example/y"},
        {"id": "other"},
        {"headers": {"x-key": "0123456789abcdef"}},
        {"headers": {"X-Key": ["0123456789abcdef"]}},
    ],
)
def test_the_fingerprint_stays_with_everything_else(change: dict[str, Any], tmp_path: Path) -> None:
    assert fingerprint(webhook(tmp_path, **BASE), SALT) == fingerprint(
        webhook(tmp_path, **BASE | change), SALT
    )


def test_a_delivery_may_show_any_value_of_a_header_that_is_being_rotated(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(
        {"name": "hook", "headers": {"X-Key": ["of-today-0123456789", "of-yesterday-0123456789"]}}
    )
    answers = [
        relay.post("hook", "{}", {"X-Key": f"of-{day}-0123456789"})
        for day in ("today", "yesterday", "ever")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 401]


def test_secrets_are_in_no_text_of_a_request_or_its_terms(tmp_path: Path) -> None:
    found = verifiers_of(
        webhook(tmp_path, platform="github", secret="0123456789abcdef"), PLATFORMS["github"]
    )
    request = Request(
        "POST", "", "", {"authorization": "0123456789abcdef"}, b"0123456789abcdef", None, 0.0
    )
    assert "0123456789abcdef" not in repr(found) + repr(request)
