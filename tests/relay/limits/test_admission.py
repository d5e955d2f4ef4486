"""How many deliveries are looked at: of a webhook, and of an address that proves nothing."""

from __future__ import annotations

import hmac
import io
import json
import os
from typing import Any

import pytest
from werkzeug.test import TestResponse

from config.model import Accept
from config.webhooks import DefinitionsError
from relay import metrics
from relay.limits.admission import FAILURES, PROVEN_FOR, Admission, Allowance, SharedTimes
from relay.verify.verification import Verification
from tests.support.clock import Clock
from tests.support.relay import MakeRelay, Relay

KEY = {"X-Api-Key": "0123456789abcdef"}
PLAIN = {"name": "plain", "headers": KEY}
STRANGER, SENDER = "203.0.114.9", "198.51.99.7"


def test_an_allowance_is_a_burst_and_then_its_rate() -> None:
    allowance = Allowance(rate=2, burst=3)
    full_at, taken = 0.0, []
    for tenth in range(40):
        now = 100 + tenth / 10
        if not allowance.wait(full_at, now):
            full_at = allowance.less(full_at, now)
            taken.append(tenth)
    assert taken[:2] == [0, 1]
    assert 8 <= len(taken) <= 11
    assert allowance.wait(full_at, 200) == 0


def test_times_are_shared_with_forks() -> None:
    times = SharedTimes()
    times.set("before", 1.0)
    pid = os.fork()
    if pid == 0:
        times.set("in the child", times.get("before") + 1)
        os._exit(0)
    os.waitpid(pid, 0)
    assert times.get("in the child") == 2.0
    assert times.get("other") == 0.0


def test_more_keys_than_places_lose_the_earliest() -> None:
    times = SharedTimes(places=64)
    for number in range(1000):
        times.set(number, float(number))
    kept = [number for number in range(1000) if times.get(number)]
    assert len(kept) == 64
    assert min(kept) > 800


@pytest.mark.parametrize(
    "sender", [None, "", "127.0.0.1", "10.1.2.3", "fd00::1", "unknown", "1" * 10_000]
)
def test_an_address_that_many_may_share_is_not_held_to_its_failures(sender: str | None) -> None:
    admission = Admission(Clock(1000.0))
    for _ in range(10 * FAILURES.burst):
        admission.failed("a", sender)
    assert admission.wait("a", sender) == 0


def test_who_fails_again_and_again_waits_and_nobody_else_does() -> None:
    clock = Clock(1000.0)
    admission = Admission(clock)
    for number in range(FAILURES.burst):
        assert admission.wait("a", "2001:db7:1:2::1") == 0
        admission.failed("a", f"2001:db7:1:2::{number:x}")
    assert admission.wait("a", "2001:db7:1:2:ffff::1") == 1
    assert admission.wait("a", "2001:db7:1:3::1") == 0
    assert admission.wait("b", "2001:db7:1:2::1") == 0
    clock.seconds += 1
    assert admission.wait("a", "2001:db7:1:2::1") == 0


def test_a_large_body_counts_as_many_failures() -> None:
    admission = Admission(Clock(1000.0))
    number = 0
    while not admission.wait("a", STRANGER):
        admission.failed("a", STRANGER, 1024 * 1024)
        number += 1
    assert number < 5


def test_failures_that_were_all_looked_at_shut_nobody_out_for_long() -> None:
    """As of an address that was proven once, or of many slow bodies at the same time."""
    clock = Clock(1000.0)
    admission = Admission(clock)
    admission.proven("a", SENDER)
    # More than are forgotten meanwhile.
    for _ in range(int(PROVEN_FOR * FAILURES.rate) + 10 * FAILURES.burst):
        admission.failed("a", SENDER)
    clock.seconds += PROVEN_FOR + 1
    assert admission.wait("a", SENDER) == 0
    for _ in range(100 * FAILURES.burst):
        admission.failed("a", SENDER)
    assert admission.wait("a", SENDER) == 1
    clock.seconds += 1 / FAILURES.rate
    assert admission.wait("a", SENDER) == 0


def test_twice_the_deliveries_of_a_second_may_come_at_once_unless_it_says_otherwise() -> None:
    assert Accept(rate="200/s").most_at_once == 400  # type: ignore[arg-type]
    assert Accept(rate="6/m").most_at_once == 1  # type: ignore[arg-type]
    assert Accept(rate="200/s", burst=7).most_at_once == 7  # type: ignore[arg-type]


# --- on a relay


def post(
    relay: Relay, remote: str, headers: dict[str, str], name: str = "plain", body: str = "{}"
) -> Any:
    return relay.post(name, body, headers, environ_base={"REMOTE_ADDR": remote})


def test_a_stranger_is_answered_429_before_anything_is_computed(
    make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = make_relay(PLAIN, clock=Clock(1000.0))
    computed = 0
    verify = Verification.verify

    def counted(*arguments: Any) -> Any:
        nonlocal computed
        computed += 1
        return verify(*arguments)

    monkeypatch.setattr(Verification, "verify", counted)
    answers = [post(relay, STRANGER, {"X-Api-Key": "wrong"}) for _ in range(3 * FAILURES.burst)]
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {401, 429}
    assert statuses.count(401) == computed < 2 * FAILURES.burst
    assert answers[-1].get_json()["error"] == "too_many_requests"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert post(relay, SENDER, KEY).status_code == 200
    assert {one.status for one in relay.rejections()} == {401}
    assert (
        b'bridge_deliveries_total{code="429",outcome="limited",webhook="plain"}'
        in metrics.exposition()
    )
    assert relay.store.queries.delivery_counts(0)["plain"]["limited"] == statuses.count(429)


def test_an_honest_sender_at_a_strangers_address_gets_through(make_relay: MakeRelay) -> None:
    """Platforms send everybody's deliveries from the same addresses: anybody can have one send to
    this relay."""
    relay = make_relay(PLAIN, clock=Clock(1000.0))
    assert post(relay, SENDER, KEY).status_code == 200
    for _ in range(3 * FAILURES.burst):
        assert post(relay, SENDER, {"X-Api-Key": "wrong"}).status_code == 401
    assert post(relay, SENDER, KEY).status_code == 200


def test_a_proxy_that_is_not_named_is_not_taken_for_a_stranger(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN, clock=Clock(1000.0))
    forwarded = {"X-Forwarded-For": STRANGER}
    for _ in range(3 * FAILURES.burst):
        assert post(relay, "198.51.99.1", forwarded).status_code == 401
    assert post(relay, "198.51.99.1", KEY | forwarded).status_code == 200


def test_behind_a_proxy_that_is_named_it_is_the_stranger_who_waits(make_relay: MakeRelay) -> None:
    relay = make_relay(PLAIN, bridge_trusted_proxies="198.51.99.1", clock=Clock(1000.0))
    found = [
        post(relay, "198.51.99.1", {"X-Forwarded-For": STRANGER}) for _ in range(3 * FAILURES.burst)
    ]
    assert found[-1].status_code == 429
    assert post(relay, "198.51.99.1", KEY | {"X-Forwarded-For": SENDER}).status_code == 200
    # Who reaches the relay around the proxy is counted by his own address, whatever he claims.
    found = [
        post(relay, "203.0.114.8", {"X-Forwarded-For": f"9.9.{n // 250}.{n % 250}"})
        for n in range(300)
    ]
    assert found[-1].status_code == 429


def test_a_body_that_proves_nothing_because_it_cannot_be_read_counts_too(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(
        {"name": "mail", "platform": "mailgun", "secret": "0123456789abcdef"}, clock=Clock(1000.0)
    )
    found = [post(relay, STRANGER, {}, "mail", "[") for _ in range(3 * FAILURES.burst)]
    assert found[0].status_code in (400, 401)
    assert found[-1].status_code == 429


@pytest.mark.parametrize(("sent", "length", "status"), [("x" * 11, "11", 413), ("x", "2", 400)])
def test_a_body_that_is_too_large_or_breaks_off_counts_too(
    sent: str, length: str, status: int, make_relay: MakeRelay
) -> None:
    """They are listed among the rejections, from which a flood of them would push the others."""
    relay = make_relay(PLAIN | {"max_body": "10"}, clock=Clock(1000.0))
    found = []
    for _ in range(3 * FAILURES.burst):
        given = {
            "REMOTE_ADDR": STRANGER,
            "CONTENT_LENGTH": length,
            "wsgi.input": io.BytesIO(sent.encode()),
        }
        found.append(relay.client.post("/webhook/plain", environ_overrides=given).status_code)
    assert (found[0], found[-1]) == (status, 429)
    assert post(relay, SENDER, KEY).status_code == 200


def test_a_webhook_answers_429_to_more_than_it_accepts(make_relay: MakeRelay) -> None:
    clock = Clock(1000.0)
    relay = make_relay(
        PLAIN | {"accept": {"rate": "1/s", "burst": 2}}, PLAIN | {"name": "other"}, clock=clock
    )
    for _ in range(50):
        assert post(relay, "127.0.0.1", {"X-Api-Key": "wrong"}).status_code == 401
    assert [post(relay, "127.0.0.1", KEY).status_code for _ in range(4)] == [200, 200, 429, 429]
    assert post(relay, "127.0.0.1", KEY).headers["Retry-After"] == "1"
    assert post(relay, "127.0.0.1", KEY, "other").status_code == 200
    clock.seconds += 1
    assert [post(relay, "127.0.0.1", KEY).status_code for _ in range(2)] == [200, 429]
    assert len(relay.events()) == 4


SIGNED = {"name": "push", "platform": "github", "secret": "0123456789abcdef"}


def push(relay: Relay, remote: str, body: str, secret: str = "0123456789abcdef") -> int:
    signature = "sha256=" + hmac.new(secret.encode(), body.encode(), "sha256").hexdigest()
    return int(post(relay, remote, {"X-Hub-Signature-256": signature}, "push", body).status_code)


def test_a_replayed_delivery_uses_up_nothing_of_accept_and_is_answered_all_the_same(
    make_relay: MakeRelay,
) -> None:
    relay = make_relay(SIGNED | {"accept": {"rate": "1/s", "burst": 2}}, clock=Clock(1000.0))
    assert push(relay, SENDER, '{"n": 1}') == 200
    assert [push(relay, STRANGER, '{"n": 1}') for _ in range(20)] == [200] * 20
    assert [push(relay, SENDER, f'{{"n": {n}}}') for n in (2, 3)] == [200, 429]
    assert push(relay, STRANGER, '{"n": 1}') == 200, "also once the limit is reached"
    assert len(relay.events()) == 2


def test_what_is_filtered_counts_too_and_no_repetition_is_filtered(make_relay: MakeRelay) -> None:
    only = {"only": {"$._webhook.headers['x-kind']": "wanted"}, "dedup": {"path": "$.n"}}
    relay = make_relay(PLAIN | only | {"accept": {"rate": "1/s", "burst": 2}}, clock=Clock(1000.0))

    def send(number: int, **headers: str) -> TestResponse:
        return post(relay, SENDER, KEY | headers, body=json.dumps({"n": number}))

    assert "eventId" in send(1, **{"X-Kind": "wanted"}).json
    assert send(1).json["duplicate"], "nothing signs the header, so another may be sent with it"
    assert [send(number).status_code for number in (2, 3)] == [200, 429]
    assert send(1).json["duplicate"], "also once the limit is reached"


def test_whoever_replays_a_delivery_frees_itself_from_no_limit(make_relay: MakeRelay) -> None:
    relay = make_relay(SIGNED, clock=Clock(1000.0))
    assert push(relay, SENDER, "{}") == 200
    assert push(relay, STRANGER, "{}") == 200
    found = [push(relay, STRANGER, "{}", "wrong-wrong-wrong") for _ in range(3 * FAILURES.burst)]
    assert found[-1] == 429
    assert [push(relay, SENDER, "{}", "wrong-wrong-wrong") for _ in range(3 * FAILURES.burst)][
        -1
    ] == 401


@pytest.mark.parametrize(
    "accept", [{"burst": 3}, {"rate": "fast"}, {"rate": "1/s", "burst": 0}, "1/s"]
)
def test_a_wrong_accept_is_an_error(accept: Any, make_relay: MakeRelay) -> None:
    with pytest.raises(DefinitionsError, match="accept"):
        make_relay(PLAIN | {"accept": accept})
