"""When a webhook counts as verified: challenges, secrets, and what stands in for them."""

from __future__ import annotations

import hmac
import sqlite3
from contextlib import closing
from unittest import mock

from tests.support.receiving import GITHUB, KEY, OK, PLAIN, signed
from tests.support.relay import NOW, Clock, MakeRelay


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
    for body in (
        "{}",
        "{",
        '{"type": "url_verification"}',
        '{"type": "url_verification", "challenge": 1}',
    ):
        assert relay.post("slack", body).status_code == 401
    assert relay.rejections()[0].reason == "not verified yet: no challenge has arrived"
    response = relay.post("slack", CHALLENGE)
    assert (response.status_code, response.get_json()) == (200, {"challenge": "c"})
    assert relay.verified() == {"slack"}
    assert relay.post("slack", "{}").status_code == 200
    assert relay.post("slack", "{").status_code == 400
    assert relay.post("slack", CHALLENGE).status_code == 200
    assert relay.payloads() == [{}]


def test_a_challenge_that_verifies_is_answered_only_once_that_is_stored(
    make_relay: MakeRelay,
) -> None:
    facebook = {"name": "facebook", "platform": "facebook", "secret": KEY, "verify_token": KEY}
    relay = make_relay({"name": "slack", "platform": "slack"}, facebook)
    subscribe = {"hub.mode": "subscribe", "hub.verify_token": KEY, "hub.challenge": "1"}
    with (
        closing(
            sqlite3.connect(relay.url.removeprefix("sqlite:///"), isolation_level=None)
        ) as other,
        mock.patch.object(relay.store._connections, "busy_timeout", 0.1),
    ):
        other.execute("BEGIN IMMEDIATE")
        assert relay.post("slack", CHALLENGE).status_code == 503
        assert relay.client.get("/webhook/facebook", query_string=subscribe).status_code == 503
        assert relay.verified() == set()
        other.execute("ROLLBACK")
    assert relay.post("slack", CHALLENGE).status_code == 200
    assert relay.client.get("/webhook/facebook", query_string=subscribe).status_code == 200
    assert relay.verified() == {"slack", "facebook"}


def test_another_process_may_have_answered_the_challenge(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "slack", "platform": "slack"})
    other = relay.another_process()
    assert relay.post("slack", "{}").status_code == 401
    assert (
        other.post("/webhook/slack", data=CHALLENGE, content_type="application/json").status_code
        == 200
    )
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


def test_another_secret_makes_it_unverified_until_a_delivery_proves_it_also_if_it_was_verified_before(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(PLAIN)
    found = []
    for key in (KEY, "another-key-0123456789", KEY):
        relay.define([PLAIN | {"headers": {"X-Api-Key": key}}])
        relay.background.reload_now()
        relay.post("plain", "{}", {"X-Api-Key": "wrong"})
        before = relay.store.verifications.all().get("plain")
        assert relay.post("plain", "{}", {"X-Api-Key": key}).status_code == 200
        found.append(relay.store.verifications.all()["plain"][0])
        assert before is None or before[0] != found[-1]
    assert found[0] == found[2] != found[1]


def test_several_kinds_of_verification_must_all_pass(make_relay: MakeRelay) -> None:
    relay = make_relay(
        GITHUB
        | {
            "headers": {"X-Api-Key": KEY},
            "signature": {"secret": "third-0123456789", "header": "X-Own"},
        }
    )
    body = b"{}"
    own = {"X-Own": hmac.new(b"third-0123456789", body, "sha256").hexdigest()}
    everything = signed(body) | OK | own
    for name in everything:
        partial = {key: value for key, value in everything.items() if key != name}
        assert relay.post("push", body, partial).status_code == 401
        assert relay.post("push", body, everything | {name: "wrong"}).status_code == 401
    assert relay.post("push", body, everything).status_code == 200


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
