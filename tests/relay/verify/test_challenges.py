"""When a webhook counts as verified: challenges, secrets, and what stands in for them."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from tests.relay.bridge import NOW, Clock, MakeRelay
from tests.relay.receiving import GITHUB, KEY, OK, PLAIN, signed


def test_the_first_valid_delivery_verifies(make_relay: MakeRelay, clock: Clock) -> None:
    relay = make_relay(PLAIN)
    relay.post("plain", "{}", {})
    assert relay.verified() == set()
    relay.post("plain", "{}", OK)
    clock.now += 10
    relay.post("plain", "{}", OK)
    assert relay.store.verifications.all()["plain"][1] == NOW * 1000


CHALLENGE = '{"type": "url_verification", "challenge": "c"}'


def test_without_a_secret_nothing_counts_before_the_challenge(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "slack", "platform": "slack"})
    for body in ("{}", "{", '{"type": "url_verification"}', '{"type": "url_verification", "challenge": 1}'):
        assert relay.post("slack", body).status_code == 401
    assert relay.rejections()[0].reason == "not verified yet: no challenge has arrived"
    response = relay.post("slack", CHALLENGE)
    assert (response.status_code, response.get_json()) == (200, {"challenge": "c"})
    assert relay.verified() == {"slack"}
    assert relay.post("slack", "{}").status_code == 200
    assert relay.post("slack", "{").status_code == 400
    assert relay.post("slack", CHALLENGE).status_code == 200
    assert relay.payloads() == [{}]


def test_another_process_may_have_answered_the_challenge(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "slack", "platform": "slack"})
    other = relay.another_process()
    assert relay.post("slack", "{}").status_code == 401
    assert other.post("/webhook/slack", data=CHALLENGE, content_type="application/json").status_code == 200
    assert relay.post("slack", "{}").status_code == 200


def test_with_a_secret_every_delivery_is_checked_and_a_challenge_too(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "slack", "platform": "slack", "secret": "slack-secret-0123456789"})
    assert relay.post("slack", CHALLENGE).status_code == 401
    assert relay.post("slack", "{}").status_code == 401
    assert relay.verified() == set()


def test_headers_stand_in_for_a_challenge(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "slack", "platform": "slack", "headers": {"X-Api-Key": KEY}})
    assert relay.post("slack", CHALLENGE).status_code == 401
    assert relay.post("slack", "{}", OK).status_code == 200
    assert relay.post("slack", CHALLENGE, OK).get_json() == {"challenge": "c"}


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"X-Api-Key": "another-key-0123456789"}},
        {"headers": {"X-Api-Key": KEY, "X-More": "another-key-0123456789"}},
        {"signature": {"secret": "another-key-0123456789", "header": "X-Signature"}},
    ],
)
def test_another_verifier_or_secret_makes_it_unverified_again(change: dict[str, Any], make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN)
    relay.post("plain", "{}", OK)
    before = relay.store.verifications.all()["plain"][0]
    relay.define([PLAIN | {"receivers": {"other": "any"}, "hold": "1m"}])
    relay.background.reload_now()
    relay.post("plain", "{}", OK)
    assert relay.store.verifications.all()["plain"][0] == before
    relay.define([PLAIN | change])
    relay.background.reload_now()
    relay.post("plain", "{}", OK)  # not all that is asked for now
    assert relay.store.verifications.all()["plain"][0] == before  # which is no longer the verifier's fingerprint
    key = change.get("headers", {}).get("X-Api-Key", KEY)
    body = b"{}"
    signature = hmac.new(b"another-key-0123456789", body, "sha256").hexdigest()
    more = {"X-More": "another-key-0123456789", "X-Signature": signature}
    assert relay.post("plain", body, {"X-Api-Key": key} | more).status_code == 200
    assert relay.store.verifications.all()["plain"][0] != before


def test_several_kinds_of_verification_must_all_pass(make_relay: MakeRelay) -> None:
    relay = make_relay(
        GITHUB | {"headers": {"X-Api-Key": KEY}, "signature": {"secret": "third-0123456789", "header": "X-Own"}}
    )
    body = b"{}"
    own = {"X-Own": hmac.new(b"third-0123456789", body, "sha256").hexdigest()}
    everything = signed(body) | OK | own
    for name in everything:
        partial = {key: value for key, value in everything.items() if key != name}
        assert relay.post("push", body, partial).status_code == 401
        assert relay.post("push", body, everything | {name: "wrong"}).status_code == 401
    assert relay.post("push", body, everything).status_code == 200


def test_each_secret_of_a_list_is_good(make_relay: MakeRelay) -> None:
    relay = make_relay(GITHUB | {"secret": ["old-secret-0123456789", "new-secret-0123456789"]})
    for secret, status in (("old-secret-0123456789", 200), ("new-secret-0123456789", 200), ("other", 401)):
        assert relay.post("push", "{}", signed(b"{}", secret)).status_code == status


def test_no_verifier_accepts_anything_that_says_so(make_relay: MakeRelay) -> None:
    relay = make_relay(
        {"name": "open", "verifier": "none"},
        GITHUB | {"name": "github", "verifier": "none"},
        {"name": "slack", "platform": "slack", "verifier": "none"},
    )
    for name in ("open", "github", "slack"):
        assert relay.post(name, "{}").status_code == 200
    assert relay.post("slack", CHALLENGE).get_json() == {"challenge": "c"}
    assert relay.verified() == {"open", "github", "slack"}
