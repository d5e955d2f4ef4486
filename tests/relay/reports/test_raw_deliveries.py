"""Webhooks with `listen` keep deliveries as they came, without what is a secret; others keep
nothing."""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.webhooks import DefinitionsError, load_definitions
from platforms import PLATFORMS
from platforms.http import Request
from relay.reports import raw_deliveries
from relay.verify.secrets import as_it_came, tokens_of
from store.delivery_records import RawDelivery
from tests.support.genuine import deliveries_of
from tests.support.relay import MakeRelay, Relay

KEY = "0123456789abcdef-key"
SECRET = "github-secret-0123456789"
GITHUB = {"name": "push", "platform": "github", "secret": SECRET, "listen": True}


def signed(body: bytes) -> dict[str, str]:
    return {
        "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    }


def kept(relay: Relay, webhook: str) -> list[RawDelivery]:
    return relay.store.raw_deliveries.next_accepted(webhook, 0, 99)[0]


def test_an_accepted_delivery_is_kept_as_it_came_with_its_signature(make_relay: MakeRelay) -> None:
    relay = make_relay(GITHUB)
    body = b'{ "a":1 ,"\xc3\xbc": [] }'
    answer = relay.post(
        "push", body, signed(body) | {"X-GitHub-Event": "push"}, query_string="x=%20y&x=1"
    )
    [found] = kept(relay, "push")
    assert (found.event_id, found.method, found.query) == (
        answer.get_json()["eventId"],
        "POST",
        "x=%20y&x=1",
    )
    assert found.body == body
    assert found.headers["x-hub-signature-256"] == signed(body)["X-Hub-Signature-256"]
    assert found.headers["x-github-event"] == "push"


def test_what_was_refused_filtered_or_is_a_duplicate_is_not_kept(make_relay: MakeRelay) -> None:
    relay = make_relay(GITHUB | {"only": {"$.a": 1}})
    relay.post("push", b'{"a": 1}', signed(b"other"))
    relay.post("push", b'{"a": 2}', signed(b'{"a": 2}'))
    for _ in range(2):
        relay.post("push", b'{"a": 1}', signed(b'{"a": 1}'))
    assert len(kept(relay, "push")) == 1


def test_what_is_beyond_the_bounds_goes_soon_after_others_came(
    make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_deliveries, "LISTENED", replace(raw_deliveries.LISTENED, number=2))
    relay = make_relay(GITHUB)
    for number in range(4):
        relay.background.keeper.prune()
        body = b'{"n": %d}' % number
        relay.post("push", body, signed(body))
    relay.background.keeper.prune()
    assert [one.body for one in kept(relay, "push")] == [b'{"n": 2}', b'{"n": 3}']


def test_without_listen_nothing_is_kept(make_relay: MakeRelay) -> None:
    relay = make_relay({**GITHUB, "listen": False})
    assert relay.post("push", b"{}", signed(b"{}")).status_code == 200
    assert kept(relay, "push") == []


@pytest.mark.parametrize(
    ("definition", "headers"),
    [
        ({"headers": {"X-Api-Key": KEY}}, {"X-Api-Key": KEY}),
        ({"platform": "gitlab", "secret": KEY}, {"X-Gitlab-Token": KEY}),
        ({"platform": "okta", "secret": KEY}, {"Authorization": KEY}),
        ({"platform": "cloudevents", "secret": KEY}, {"Authorization": f"Bearer {KEY}"}),
    ],
    ids=["headers", "gitlab", "okta", "cloudevents"],
)
def test_a_header_that_is_a_secret_is_never_kept(
    make_relay: MakeRelay, definition: dict[str, Any], headers: dict[str, str]
) -> None:
    relay = make_relay({"name": "w", "listen": True, **definition})
    attributes = {"ce-id": "1", "ce-source": "s", "ce-type": "t", "ce-specversion": "1.0"}
    body = b'{"data": {"events": [{"uuid": "1"}]}}'
    answer = relay.post(
        "w", body, headers | attributes | {"Cookie": f"a={KEY}", "Proxy-Authorization": KEY}
    )
    assert answer.status_code == 200, answer.text
    [found] = kept(relay, "w")
    assert KEY not in repr(found.headers)
    assert found.headers["content-type"] == "application/json"


def test_a_platform_with_the_secret_in_its_body_cannot_be_listened_to(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(
        f"webhooks:\n- {{name: w, platform: microsoft-graph, secret: {KEY}, listen: true, receivers: {{f: any}}}}\n",
        encoding="utf-8",
    )
    with pytest.raises(DefinitionsError, match="has the secret in its body"):
        load_definitions(file, PLATFORMS)


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_no_platforms_secret_is_kept(platform: str, tmp_path: Path) -> None:
    """Of all platforms' genuine deliveries, also of one that is added later."""
    is_found = False
    for genuine in deliveries_of(platform, tmp_path):
        file = tmp_path / "webhooks.yaml"
        whole = {"receivers": {"f": "any"}} | genuine.webhook
        file.write_text(json.dumps({"webhooks": [whole]}), encoding="utf-8")
        [webhook] = load_definitions(file, PLATFORMS).webhooks
        headers = {name.lower(): value for name, value in genuine.headers.items()}
        query = genuine.url.partition("?")[2]
        request = Request("POST", genuine.url, query, headers, genuine.body, None, genuine.now)
        kept = repr(as_it_came(request, webhook.name, 1, tokens_of(webhook, PLATFORMS[platform])))
        secrets = [secret.get_secret_value() for secret in webhook.secret or ()]
        secrets += map(str, genuine.webhook.get("headers", {}).values())
        secrets += re.findall(
            r'(?:"systemIdToken": "|<SessionId>)([^"<]+)["<]', genuine.body.decode("latin-1")
        )
        # An example has 12345, and as a number too.
        is_found |= any(secret in kept for secret in secrets if len(secret) > 8)
    assert is_found == PLATFORMS[platform].secret_in_body


def test_check_says_what_listen_means(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(
        f"webhooks:\n- {{name: w, platform: github, secret: {SECRET}, listen: true, receivers: {{f: any}}}}\n",
        encoding="utf-8",
    )
    [warning] = load_definitions(file, PLATFORMS).warnings
    assert "kept as they came" in str(warning)
    assert "BRIDGE_ADMIN_TOKEN" in str(warning)


def test_which_event_a_duplicate_repeats_is_kept(make_relay: MakeRelay) -> None:
    relay = make_relay({**GITHUB, "listen": False})
    first = relay.post("push", b"{}", signed(b"{}")).get_json()["eventId"]
    relay.post("push", b"{}", signed(b"{}"))
    relay.background.outcomes.flush()
    [found] = relay.store.without_events.newest("push")
    assert (found.kind, found.event_id, found.method) == ("duplicate", first, "POST")


def test_a_challenge_that_was_answered_is_among_the_deliveries(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "slack", "platform": "slack"})
    challenge = '{"type": "url_verification", "challenge": "c"}'
    assert relay.post("slack", challenge).status_code == 200
    relay.background.outcomes.flush()
    [found] = relay.store.without_events.newest("slack")
    assert (found.kind, found.status, found.reason) == ("challenge", 200, "it was answered")
