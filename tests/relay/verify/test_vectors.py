"""Every signed example and challenge of `vectors.json`, through the whole relay, at the example's
time."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import TestResponse

from platforms.verifiers import KeysUnavailable
from tests.support.certificates import reissued
from tests.support.relay import Clock, MakeRelay, Relay

VECTORS: dict[str, Any] = json.loads(
    Path(__file__).with_name("vectors.json").read_text(encoding="utf-8")
)
REPEATED_FOR_HOURS = {"linear/stale-timestamp", "mailgun/stale-timestamp"}
"""By platforms that repeat for hours, for all that is known with the time of the first attempt."""
NO_TIME = "zendesk/published-zendesk-go-test"
"""A library's own test, whose time is `1234`. Zendesk sends RFC 3339, and a time that can't be read
has no age."""
NAMES = {
    "msteams": "microsoft-teams",
    "standardwebhooks": "standard-webhooks",
    "msgraph": "microsoft-graph",
    "gitlab-signing-token": "gitlab",
}
"""The examples' spelling → ours."""


def platform_of(example: dict[str, Any]) -> str:
    """Our name of the example's platform."""
    return NAMES.get(example["platform"], example["platform"])


def definition(vector: dict[str, Any], with_tolerance: bool) -> dict[str, Any]:
    """The webhook that receives this example."""
    platform = platform_of(vector)
    webhook: dict[str, Any] = {"name": "hook", "platform": platform, "public_url": vector["url"]}
    if platform == "custom":
        scheme = vector["scheme"]
        if scheme["algorithm"].startswith("none"):
            webhook["headers"] = {scheme["header"]: vector["secret"]}
        else:
            webhook["signature"] = {"secret": vector["secret"], **scheme}
    elif platform == "google-pubsub":
        webhook |= {
            "audience": vector["audience"],
            "service_account": vector["service_account_email"],
        }
    elif platform == "aws-sns":
        webhook["topic"] = "arn:aws:sns:us-west-2:123456789012:MyTopic"
    else:
        webhook["secret"] = vector["secret"]
    if with_tolerance and vector["tolerance_s"] is not None:
        webhook["tolerance"] = f"{vector['tolerance_s']}s"
    return webhook


def fetch_for(vector: dict[str, Any]) -> Any:
    """Serves the example's certificate where the vendor would."""

    def fetch(url: str, **_: Any) -> bytes:
        if url == "https://www.googleapis.com/oauth2/v1/certs":
            return json.dumps({"kid1": vector["secret"]}).encode()
        if url.startswith("https://sns.us-west-2.amazonaws.com/"):
            return reissued(vector["secret"])
        raise KeysUnavailable(url)

    return fetch


def deliver(relay: Relay, vector: dict[str, Any]) -> TestResponse:
    """Posts what the vector says."""
    return relay.post(
        "hook",
        base64.b64decode(vector["body_base64"]),
        vector["headers"],
        method=vector["method"],
        query_string=urlsplit(vector["url"]).query or None,
    )


@pytest.mark.parametrize(
    "with_tolerance", [True, False], ids=["its-tolerance", "default-tolerance"]
)
@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["id"])
def test_vector(
    vector: dict[str, Any], with_tolerance: bool, make_relay: MakeRelay, clock: Clock
) -> None:
    clock.now = vector["now"]
    relay = make_relay(definition(vector, with_tolerance), fetch=fetch_for(vector))
    response = deliver(relay, vector)
    if vector["id"] in REPEATED_FOR_HOURS and not with_tolerance:
        assert response.status_code == 200
        return
    if vector["expected"] == "invalid" or vector["id"] == NO_TIME:
        assert (response.status_code, relay.events()) == (401, [])
        assert relay.verified() == set()
        return
    # Some published examples are signed bodies that no JSON parser reads: they get past
    # verification, and no further.
    parses = True
    try:
        json.loads(vector["body"])
    except ValueError:
        parses = "json" not in vector["headers"]["Content-Type"]
    assert response.status_code == (200 if parses else 400), relay.rejections()
    if parses and "confirmation" not in vector["id"]:
        (event,) = relay.events()
        assert "ignature" not in json.dumps(event.headers)
        if len(vector["secret"]) > 8 and platform_of(vector) not in ("aws-sns", "google-pubsub"):
            assert vector["secret"] not in json.dumps(event.document())
        repeated = deliver(relay, vector)
        assert repeated.status_code == 200
        assert len(relay.events()) == (1 if event.delivery_id else 2)


@pytest.mark.parametrize("challenge", VECTORS["challenges"], ids=lambda challenge: challenge["id"])
def test_challenge(challenge: dict[str, Any], make_relay: MakeRelay, clock: Clock) -> None:
    platform = platform_of(challenge)
    webhook: dict[str, Any] = {"name": "hook", "platform": platform}
    if platform == "facebook":
        webhook |= {"verify_token": challenge["secret"], "secret": "app-secret"}
    elif challenge["secret"] is not None:
        webhook["secret"] = challenge["secret"]
    relay = make_relay(webhook)
    request, expected = challenge["request"], challenge["expected_response"]
    for _ in range(2):  # platforms repeat their challenges for ever
        response = relay.client.open(
            "/webhook/hook",
            method=request["method"],
            query_string=urlsplit(request["url"]).query or None,
            data=request["body"],
            headers=request["headers"],
        )
        assert response.status_code == expected["status"]
        if "content_type" in expected:
            assert response.mimetype == expected["content_type"]
        if "json" in expected:
            assert response.get_json() == expected["json"]
        if "body" in expected:
            assert response.get_data(as_text=True) == expected["body"]
        for name, value in expected.get("headers", {}).items():
            assert response.headers[name] == value
    is_proven = challenge["secret"] is None or platform in ("slack", "zoom", "discord", "facebook")
    assert relay.verified() == ({"hook"} if is_proven else set())
    assert relay.events() == []
